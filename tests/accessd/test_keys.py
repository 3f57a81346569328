"""Keys on the access socket: who is given which, and what becomes of them."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from accessd.wires import Outbox
from msgstore.access import contract
from msgstore.access.aio import AccessClient
from msgstore.access.codes import AccessError
from msgstore.access.concealed import filled, stand_in
from msgstore.access.keyshapes import WrappedKeyResult
from msgstore.auth.keychange import open_keys
from msgstore.crypto import PublicKey, SecretKey, open_key_file, open_sealed
from msgstore.crypto.keyring import OpenKeyring
from msgstore.crypto.secret import Secret
from tests.accessd.key_house import ALICE, PASSWORD, TEXT, KeyHouse, another_key, key_house
from tests.accessd_room import SMTP_ONLY, room
from tests.crypto.vectors import LEGACY, NOON, PRIVATE, PUBLIC
from tests.crypto.vectors import PASSWORD as GOLDEN_PASSWORD


async def code_of(client: AccessClient, method: str, **args: object) -> str:
    with pytest.raises(AccessError) as refused:
        await client.call(method, **args)
    return refused.value.code


def rotated(house: KeyHouse) -> PublicKey:
    """Give alice a new key beside the golden one; gives its public half."""
    account, wrapped = house.account(), house.keys.wrapped(house.account().user)
    with another_key() as key, open_keys(wrapped, PASSWORD.encode()) as opened:
        assert isinstance(opened, OpenKeyring)
        opened.rotate(key, NOON)
        assert house.changes.replace(account, wrapped, content=opened.wrapped().content(), public=key.public)
        return key.public


async def login(client: AccessClient, user: str = str(ALICE), **more: object) -> dict[str, object]:
    found = await client.call("auth.login", user=user, password=PASSWORD, service="imap", **more)
    assert isinstance(found, dict)
    return cast("dict[str, object]", found)


async def test_a_login_says_whether_there_is_a_key_and_whether_mail_is_sealed_for_it(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        with_key, without = await login(client), await login(client, "bob@example.com")

        assert (with_key["sealing"], with_key["public_key"]) == (True, PUBLIC)
        assert without["sealing"] is False
        assert "public_key" not in without
        assert "private_key" not in with_key


async def test_where_mail_is_not_sealed_a_key_is_there_all_the_same_for_what_came_sealed(tmp_path: Path) -> None:
    async with key_house(tmp_path, encryption={"policy": "off"}) as house, house.client() as client:
        found = await login(client)

        assert (found["sealing"], found["public_key"]) == (False, PUBLIC)


async def test_who_asks_for_it_is_given_the_opened_key_and_the_older_ones(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        first = await login(client, want=["key"])
        rotated(house)
        then = await login(client, want=["key"])
        without = await login(client, "bob@example.com", want=["key"])

        assert first["private_key"] == PRIVATE
        assert "old_private_keys" not in first
        assert (then["private_key"], then["old_private_keys"]) == (bytes(range(101, 133)), [PRIVATE])
        assert "private_key" not in without


async def test_an_exchange_of_sasl_gives_keys_as_a_login_does(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        initial = f"\0{ALICE}\0{PASSWORD}".encode()
        found = await client.call("auth.sasl_start", mech="PLAIN", service="imap", initial=initial, want=["key"])

        assert isinstance(found, dict)
        assert found["private_key"] == PRIVATE


async def test_a_key_that_the_password_does_not_open_fails_the_login_that_asks_for_it_alone(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        (house.home() / "keyring.key").write_bytes(LEGACY)

        asked = await code_of(client, "auth.login", user=str(ALICE), password=PASSWORD, service="imap", want=["key"])

        assert asked == "KEY_UNUSABLE"
        assert (await login(client))["sealing"] is True


async def test_a_public_key_that_cannot_be_read_is_never_no_key(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        (house.home() / "keyring.pub").unlink()
        (house.home() / "keyring.pub").symlink_to("/etc/hostname")
        house.keys.forget()

        codes = [
            await code_of(client, "key.has", address=str(ALICE)),
            await code_of(client, "key.public", address=str(ALICE)),
            await code_of(client, "auth.lookup", address=str(ALICE)),
            await code_of(client, "auth.login", user=str(ALICE), password=PASSWORD, service="imap"),
        ]

        assert codes == ["KEY_UNREADABLE"] * 4


async def test_a_public_key_of_31_octets_is_unusable(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        (house.home() / "keyring.pub").write_bytes(PUBLIC[:31])
        house.keys.forget()

        assert await code_of(client, "key.has", address=str(ALICE)) == "KEY_UNUSABLE"


async def test_a_relay_asks_for_keys_by_address(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        for address in ("alice@example.com", "Alice+lists@EXAMPLE.com"):
            assert await client.call("key.public", address=address) == {"public_key": PUBLIC}
            assert await client.call("key.has", address=address) == {"has": True}
        for address in ("bob@example.com", "nobody@example.com", "alice@elsewhere.example"):
            assert await code_of(client, "key.public", address=address) == "KEY_NOT_FOUND"
            assert await client.call("key.has", address=address) == {"has": False}
        assert await code_of(client, "key.public", address="a@b@c") == "INVALID_ADDRESS"


async def test_a_relay_gets_no_private_key_and_changes_none(tmp_path: Path) -> None:
    async with room(tmp_path, peers=SMTP_ONLY) as served, AccessClient.connect(served.path) as client:
        forbidden: dict[str, dict[str, object]] = {
            "key.wrapped": {},
            "key.open": {"private_key": PRIVATE},
            "key.close": {},
            "key.change_password": {"old": "a", "new": "b"},
        }
        for method, more in forbidden.items():
            assert await code_of(client, method, session="0" * 64, **more) == "DENIED"
        # And where no keys are kept at all, nobody is told that somebody has none.
        assert await code_of(client, "key.has", address="alice@example.org") == "UNSUPPORTED"


@pytest.mark.parametrize(("content", "password"), [(None, PASSWORD.encode()), (LEGACY, GOLDEN_PASSWORD)])
async def test_a_session_is_given_the_file_as_it_is_kept(
    tmp_path: Path, content: bytes | None, password: bytes
) -> None:
    async with key_house(tmp_path) as house, house.session(opens_mail=False) as session:
        if content is not None:
            (house.home() / "keyring.key").write_bytes(content)
        found = await session.client.call("key.wrapped", session=session.token)

        file = contract.typed(found, WrappedKeyResult)
        assert file.form == ("keyring" if content is None else "legacy")
        with open_key_file(file.key_file, password) as opened:
            assert opened.active.public == PublicKey(PUBLIC)


async def test_a_session_without_keys_is_told_so_and_of_a_broken_file_too(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session(opens_mail=False) as session:
        (house.home() / "keyring.key").write_bytes(b"half a fi")
        broken = await code_of(session.client, "key.wrapped", session=session.token)
        (house.home() / "keyring.key").unlink()
        gone = await code_of(session.client, "key.wrapped", session=session.token)

        assert (broken, gone) == ("KEY_UNUSABLE", "KEY_NOT_FOUND")


async def test_a_new_password_opens_the_mail_and_the_old_one_nothing(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        house.put_sealed()
        client, token = session.client, session.token
        wrong = await code_of(client, "key.change_password", session=token, old="wrong", new="new")
        empty = await code_of(client, "key.change_password", session=token, old=PASSWORD, new="")
        await client.call("key.change_password", session=token, old=PASSWORD, new="new")
        house.directory.forget()

        assert (wrong, empty) == ("AUTH_FAILED", "INVALID")
        refused = await code_of(client, "auth.login", user=str(ALICE), password=PASSWORD, service="imap")
        assert refused == "AUTH_FAILED"
        again = await client.login(str(ALICE), "new", service="imap")
        async with await again.retrieve(1) as body:
            assert await body.read() == TEXT


async def test_somebody_without_keys_changes_the_password_too(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        session = await client.login("bob@example.com", PASSWORD, service="imap")
        await client.call("key.change_password", session=session.token, old=PASSWORD, new="new")
        house.directory.forget()

        assert (await client.login("bob@example.com", "new", service="imap")).opened.user == "Bob@example.com"


@pytest.mark.parametrize("hash_is_new", [False, True])
async def test_a_change_that_was_cut_short_is_ended_by_the_next_login(tmp_path: Path, *, hash_is_new: bool) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        house.put_sealed()
        before = (house.domain / "passwd").read_bytes(), (house.home() / "keyring.key").read_bytes()
        house.access.change_password(house.account().user, old=bytearray(b"old"), new=bytearray(b"new"))
        (house.home() / "keyring.key.next").write_bytes((house.home() / "keyring.key").read_bytes())
        (house.home() / "keyring.key").write_bytes(before[1])
        if not hash_is_new:
            (house.domain / "passwd").write_bytes(before[0])
        house.directory.forget()

        session = await client.login(str(ALICE), "new" if hash_is_new else "old", service="imap")

        async with await session.retrieve(1) as body:
            assert await body.read() == TEXT
        assert not (house.home() / "keyring.key.next").exists()


async def test_the_server_reads_sealed_mail_only_where_the_site_allows_it(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        house.put_sealed()
        with pytest.raises(AccessError) as refused:
            await session.give_keys()

        assert refused.value.code == "UNSUPPORTED"


async def test_a_session_that_gives_its_keys_has_its_mail_searched_until_it_takes_them_back(tmp_path: Path) -> None:
    async with key_house(tmp_path, opens_keys=True) as house, house.session() as session:
        house.put_sealed()
        house.put_sealed(b"Subject: another\r\n\r\nnothing\r\n")
        house.put(bytes(200))

        async def found() -> list[int]:
            return [hit.uid for hit in await session.search(text_terms=["quarterly figures"])]

        with pytest.raises(AccessError) as before:
            await found()
        await session.give_keys()
        while_open = await found()
        headers = await session.client.call("message.headers", **at(session), uid=1, lines=1)
        await session.take_keys_back()
        with pytest.raises(AccessError) as after:
            await found()

        assert while_open == [1]
        assert headers == {
            "headers": TEXT.partition(b"first")[0],
            "lines": b"first line\r\n",
            "octets": len(TEXT),
        }
        assert (before.value.code, after.value.code) == ("SEALED", "SEALED")


def at(session: object) -> dict[str, object]:
    return {"session": getattr(session, "token"), "mailbox": str(ALICE), "folder": "INBOX"}  # noqa: B009


async def test_a_key_that_is_none_is_refused_and_one_that_is_given_twice_is_kept_once(tmp_path: Path) -> None:
    async with key_house(tmp_path, opens_keys=True) as house, house.session() as session:
        for octets in (0, 31, 33):
            refused = await code_of(session.client, "key.open", session=session.token, private_key=bytes(octets))
            assert refused == "KEY_UNUSABLE"
        for _ in range(80):
            await session.client.call("key.open", session=session.token, private_key=PRIVATE)


@pytest.mark.parametrize("cut", [1, 40, 4096])
async def test_a_frame_with_a_secret_is_wiped_when_it_has_left_whatever_the_socket_takes(cut: int) -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        outbox = Outbox(here)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, cut)
        frames = [bytearray(b"%06d" % number + b"s" * 9000) for number in range(40)]
        wanted = b"".join(frames)
        for frame in frames:
            outbox.put(frame)
        outbox.finish()
        sending = asyncio.create_task(outbox.send_all())
        got = bytearray()
        loop = asyncio.get_running_loop()
        while len(got) < len(wanted):
            got += await loop.sock_recv(there, 65536)
        await sending

        assert got == wanted
        assert not any(any(frame) for frame in frames)


async def test_a_frame_with_a_secret_that_never_leaves_is_wiped_too() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        outbox = Outbox(here)
        frames = [bytearray(b"s" * 500_000) for _ in range(3)]
        for frame in frames:
            outbox.put(frame)
        outbox.drop()
        late = bytearray(b"s" * 10)
        outbox.put(late)

        assert not any(any(frame) for frame in (*frames, late))


def test_a_secret_takes_the_place_of_its_stand_in_and_of_nothing_else() -> None:
    known: dict[bytes, Secret] = {}
    names = [stand_in(Secret(bytearray(bytes([number]) * 32)), known) for number in (1, 2)]

    assert filled(b"a" + names[1] + b"b" + names[0], known) == b"a" + b"\2" * 32 + b"b" + b"\1" * 32


@pytest.mark.parametrize("end", ["logout", "disconnect"])
async def test_keys_are_wiped_on_both_sides_at_the_end(tmp_path: Path, end: str) -> None:
    async with key_house(tmp_path, opens_keys=True) as house:
        async with house.session() as session:
            await session.give_keys()
            own = session_keys(session)
            if end == "logout":
                await session.logout()
        assert own
        assert all(key.is_wiped for key in own)
        with pytest.raises(AccessError):
            await session.retrieve(1)


def session_keys(session: object) -> tuple[SecretKey, ...]:
    keys: Callable[[], object] = getattr(session, "_require_keys")  # noqa: B009
    found: tuple[SecretKey, ...] = getattr(keys(), "keys")  # noqa: B009
    return found


async def test_what_an_older_client_asks_for_opens_what_ours_sealed(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        house.put_sealed()
        private = (await login(client, want=["key"]))["private_key"]
        session = await client.login(str(ALICE), PASSWORD, service="imap", opens_mail=False)
        async with await session.retrieve(1) as body:
            assert isinstance(private, bytes)
            assert open_sealed(await body.read(), SecretKey.copy_of(private)) == TEXT
            assert body.opened.sealed is not None


async def test_only_what_is_sealed_may_come_with_other_octets_under_one_id(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session(opens_mail=False) as session:
        plain = {"algorithm": "x25519-xsalsa20-poly1305", "encrypted": False}
        append = {**at(session), "encryption": plain, "_request_id": "one"}
        await session.client.call("message.append", **append, body=TEXT)

        assert await code_of(session.client, "message.append", **append, body=TEXT + b"more\r\n") == "INVALID"
