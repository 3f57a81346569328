"""Sealed mail through both clients: read as any other, damaged as it is, and sealed on its way in."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.access import sync
from msgstore.access.codes import AccessError
from msgstore.access.heads import head_of
from msgstore.access.keyshapes import WrappedKeyResult
from msgstore.access.mailkeys import MailKeys
from msgstore.crypto import PublicKey, seal
from msgstore.model.errors import KeyUnusable
from msgstore.model.keys import KeyWiped, SealError, WrongPassword
from tests.accessd.key_house import ALICE, PASSWORD, SUBJECT, TEXT, KeyHouse, another_key, key_house
from tests.accessd.test_keys import rotated
from tests.crypto.vectors import BLOB, KEYRING, LEGACY, MESSAGE, PUBLIC, golden_key
from tests.crypto.vectors import PASSWORD as GOLDEN_PASSWORD

HEADER = TEXT.partition(b"first")[0]
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcde\n" * (3 << 16)
"""3 MiB with bare line ends."""

PARTS = [(0, 1), (5, 20), (0, None), (30, None), (len(TEXT), 5), (len(TEXT) + 100, None), (0, 0)]


def read_blocking(path: str, read: Callable[[sync.Session], object]) -> object:
    with sync.AccessClient.connect(path) as client:
        return read(client.login(str(ALICE), PASSWORD, service="imap"))


@pytest.mark.parametrize(
    ("way", "text"),
    [("inline", TEXT), *((way, text) for way in ("fd", "auto", "handle") for text in (TEXT, LARGE))],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}",
)
async def test_a_sealed_message_is_read_as_if_it_had_never_been_sealed(tmp_path: Path, way: str, text: bytes) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        house.put_sealed(text)

        async with await session.retrieve(1, way=way) as body:
            found, opened, was_sealed = await body.read(), body.opened, body.was_sealed

        def read(blocking: sync.Session) -> object:
            with blocking.retrieve(1, way=way) as body:
                return body.read(), body.opened, body.was_sealed

        assert await asyncio.to_thread(read_blocking, house.path, read) == (found, opened, was_sealed)
        bare = text is LARGE
        assert (found == text, was_sealed, opened.sealed) == (True, True, None)
        assert (opened.octets, opened.stored_octets) == (len(text) + bare * (3 << 16), len(text))
        assert (opened.crlf, opened.dots) == (not bare, False)


@pytest.mark.parametrize("way", ["fd", "auto", "handle"])
@pytest.mark.parametrize("sealed", [True, False])
async def test_a_part_of_a_message_is_cut_from_what_was_sealed(tmp_path: Path, way: str, *, sealed: bool) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        if sealed:
            house.put_sealed()
        else:
            house.put(TEXT, sealed=False)

        for offset, octets in PARTS:
            wanted = TEXT[offset:] if octets is None else TEXT[offset : offset + octets]
            async with await session.retrieve(1, way=way, offset=offset, octets=octets) as body:
                assert await body.read() == wanted

            def read(blocking: sync.Session, offset: int = offset, octets: int | None = octets) -> object:
                with blocking.retrieve(1, way=way, offset=offset, octets=octets) as body:
                    return body.read()

            assert await asyncio.to_thread(read_blocking, house.path, read) == wanted


@pytest.mark.parametrize("lines", [None, 0, 1, 2, 50])
async def test_headers_and_first_lines_of_sealed_mail_come_as_of_plain_mail(tmp_path: Path, lines: int | None) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        house.put_sealed()
        house.put(TEXT, sealed=False)

        sealed, plain = await session.headers(1, lines=lines), await session.headers(2, lines=lines)

        assert sealed == plain
        assert sealed.headers == HEADER
        blocking = await asyncio.to_thread(read_blocking, house.path, lambda one: one.headers(1, lines=lines))
        assert blocking == sealed


async def test_many_messages_come_at_once_sealed_ones_among_them(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        house.put_sealed()
        house.put(TEXT, sealed=False)
        house.put_sealed(LARGE)
        house.put(bytes(100))

        def read(blocking: sync.Session) -> object:
            return [(body.read(), body.was_sealed) for body in blocking.fetch()]

        found = [(await body.read(), body.was_sealed) async for body in session.fetch()]

        assert found == [(TEXT, True), (TEXT, False), (LARGE, True), (bytes(100), True)]
        assert await asyncio.to_thread(read_blocking, house.path, read) == found


async def test_mail_of_older_keys_stays_readable(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house:
        house.put_sealed()
        house.put_sealed(key=rotated(house))

        async with house.session() as session:
            assert [await body.read() async for body in session.fetch()] == [TEXT, TEXT]


async def test_what_is_sealed_to_a_key_made_since_the_login_is_read_after_the_next(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house:
        async with house.session() as session:
            blob = house.put_sealed(key=rotated(house))
            async with await session.retrieve(1) as body:
                meanwhile = await body.read(), body.opened.sealed
        async with house.session() as session, await session.retrieve(1) as body:
            assert await body.read() == TEXT
        assert meanwhile[0] == blob
        assert meanwhile[1] is not None
        assert meanwhile[1].damaged


def cut(blob: bytes) -> bytes:
    return blob[:-1]


def flipped(blob: bytes) -> bytes:
    return blob[:80] + bytes([blob[80] ^ 1]) + blob[81:]


def foreign(_blob: bytes) -> bytes:
    with another_key() as key:
        return bytes(seal(TEXT, key.public))


def plain(_blob: bytes) -> bytes:
    return TEXT


def nothing(_blob: bytes) -> bytes:
    return b""


def too_short(blob: bytes) -> bytes:
    return blob[:71]


@pytest.mark.parametrize("way", ["fd", "auto", "handle"])
@pytest.mark.parametrize("damage", [cut, flipped, foreign, plain, nothing, too_short])
async def test_what_no_key_opens_comes_as_it_is_with_a_mark(
    tmp_path: Path, damage: Callable[[bytes], bytes], way: str
) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        octets = damage(bytes(seal(TEXT, PublicKey(PUBLIC))))
        house.put(octets)
        house.put_sealed()

        rows = await session.list(fields=("uid", "octets", "sealed"))
        async with await session.retrieve(1, way=way) as body:
            found, mark = await body.read(), body.opened.sealed
        async with await session.retrieve(1, way=way, offset=3, octets=10) as body:
            part = await body.read()
        fetched = [(await body.read(), body.opened.sealed) async for body in session.fetch()]
        headers = await session.headers(1, lines=3)

        assert [(row.uid, row.sealed) for row in rows] == [(1, True), (2, True)]
        assert mark is not None
        assert (found, part, mark.damaged) == (octets, octets[3:13], True)
        assert fetched == [(octets, mark), (TEXT, None)]
        assert (headers.headers, headers.lines) == head_of(octets, 3)

        def read(blocking: sync.Session) -> object:
            with blocking.retrieve(1, way=way) as body:
                return body.read(), body.opened.sealed

        assert await asyncio.to_thread(read_blocking, house.path, read) == (octets, mark)


async def test_a_server_marks_what_it_sees_without_a_key_for_clients_of_other_languages(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session(opens_mail=False) as session:
        house.put_sealed()
        house.put(TEXT)
        house.put(b"short")

        marks = [body.opened.sealed async for body in session.fetch()]

        assert [mark and mark.damaged for mark in marks] == [False, True, True]


def without_file(house: KeyHouse) -> None:
    (house.home() / "keyring.key").unlink()


def with_link(house: KeyHouse) -> None:
    (house.home() / "keyring.key").unlink()
    (house.home() / "keyring.key").symlink_to("/etc/hostname")


def with_half_a_file(house: KeyHouse) -> None:
    file = house.home() / "keyring.key"
    file.write_bytes(file.read_bytes()[:-20])


def under_another_password(house: KeyHouse) -> None:
    (house.home() / "keyring.key").write_bytes(LEGACY)


def of_hostile_cost(house: KeyHouse) -> None:
    (house.home() / "keyring.key").write_bytes(KEYRING.replace(b'"memory":65536', b'"memory":4194304'))


def open_mail(house: KeyHouse) -> list[str]:
    """Name the messages that this process, which is client and server, has open."""
    found: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(link.readlink()))
    return [name for name in found if name.startswith(f"{house.home()}/") and ("/cur/" in name or "/new/" in name)]


@pytest.mark.parametrize(
    ("break_keys", "code"),
    [
        (without_file, "KEY_NOT_FOUND"),
        (with_link, "KEY_UNREADABLE"),
        (with_half_a_file, "KEY_UNUSABLE"),
        (under_another_password, "KEY_UNUSABLE"),
        (of_hostile_cost, "KEY_UNUSABLE"),
    ],
)
async def test_trouble_with_the_keys_keeps_nobody_from_other_mail(
    tmp_path: Path, break_keys: Callable[[KeyHouse], None], code: str
) -> None:
    async with key_house(tmp_path) as house:
        house.put(TEXT, sealed=False)
        house.put_sealed()
        break_keys(house)

        async with house.session() as session:
            async with await session.retrieve(1) as body:
                assert await body.read() == TEXT
            before = open_mail(house)
            for read in (session.retrieve, session.headers):
                with pytest.raises(AccessError) as refused:
                    await read(2)
                assert refused.value.code == code
            assert open_mail(house) == before

        def read_blob(blocking: sync.Session) -> object:
            with pytest.raises(AccessError) as refused:
                blocking.retrieve(2)
            return refused.value.code

        assert await asyncio.to_thread(read_blocking, house.path, read_blob) == code


async def test_what_a_client_appends_is_sealed_on_its_way_and_counts_as_what_it_was(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        draft = tmp_path / "draft"
        draft.write_bytes(LARGE)
        with draft.open("rb") as file:
            await session.append(TEXT, flags=["\\Seen"])
            await session.append(file)
        await asyncio.to_thread(read_blocking, house.path, lambda one: one.append(TEXT))
        draft.unlink()

        rows = await session.list(fields=("uid", "octets", "sealed", "flags"))

        assert [(row.octets, row.sealed) for row in rows] == [(len(TEXT), True), (len(LARGE), True), (len(TEXT), True)]
        assert rows[0].flags == ("\\Seen",)
        assert [await body.read() async for body in session.fetch()] == [TEXT, LARGE, TEXT]
        assert SUBJECT not in house.files()
        assert LARGE[100:200] not in house.files()


async def test_what_is_appended_stays_plain_where_mail_is_not_to_be_sealed(tmp_path: Path) -> None:
    async with key_house(tmp_path, encryption={"policy": "off"}) as house, house.session() as session:
        await session.append(TEXT)

        assert [row.sealed for row in await session.list(fields=("uid", "sealed"))] == [False]
        assert SUBJECT in house.files()


async def test_a_client_that_opens_no_mail_seals_none(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session(opens_mail=False) as session:
        await session.append(TEXT)

        assert [row.sealed for row in await session.list(fields=("uid", "sealed"))] == [False]


async def test_an_append_that_is_repeated_is_done_once_though_it_is_sealed_anew(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        done = [await session.append(TEXT, request_id="one") for _ in range(2)]

        assert [one.uid for one in done] == [1, 1]
        assert len(await session.list(fields=("uid",))) == 1


@pytest.mark.parametrize(
    ("encryption", "octets"),
    [
        ({"algorithm": "rot13", "encrypted": True}, bytes(100)),
        ({"algorithm": "x25519-xsalsa20-poly1305", "encrypted": True}, bytes(71)),
    ],
)
async def test_what_cannot_be_a_sealed_message_is_not_kept(
    tmp_path: Path, encryption: dict[str, object], octets: bytes
) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        with pytest.raises(AccessError) as refused:
            await session.client.call(
                "message.append",
                session=session.token,
                mailbox=str(ALICE),
                folder="INBOX",
                body=octets,
                encryption=encryption,
            )

        assert refused.value.code == "SEALED"
        assert len(await session.list(fields=("uid",))) == 0


async def test_the_text_of_an_opened_message_is_wiped_with_its_body(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.session() as session:
        house.put_sealed()
        body = await session.retrieve(1)
        text: bytearray = getattr(body, "_text")  # noqa: B009
        assert bytes(text) == TEXT

        await body.close()

        assert not any(text)


async def test_the_keys_are_wiped_when_the_server_is_gone(tmp_path: Path) -> None:
    async with key_house(tmp_path) as house, house.client() as client:
        session = await client.login(str(ALICE), PASSWORD, service="imap")
        keys: MailKeys = getattr(session, "_keys")  # noqa: B009
        client.close()

        assert all(key.is_wiped for key in keys.keys)
        with pytest.raises(KeyWiped):
            keys.text_of(BLOB)


@pytest.mark.parametrize("content", [LEGACY, KEYRING])
def test_files_of_the_older_suite_open_blobs_of_the_older_suite(content: bytes) -> None:
    keys = MailKeys.opened(WrappedKeyResult(form="legacy", key_file=content), GOLDEN_PASSWORD.decode())

    assert keys.text_of(BLOB) == MESSAGE
    assert "MailKeys: 1" in repr(keys)


def test_of_two_files_the_one_is_taken_that_opens() -> None:
    both = WrappedKeyResult(form="keyring", key_file=b"{}" + bytes(102), next_key_file=LEGACY)

    with pytest.raises(WrongPassword):
        MailKeys.opened(both, "another")
    assert MailKeys.opened(both, GOLDEN_PASSWORD.decode()).text_of(BLOB) == MESSAGE


@given(octets=st.binary(max_size=300))
def test_no_octets_at_all_do_more_than_a_typed_error(octets: bytes) -> None:
    with golden_key() as key:
        keys = MailKeys([key])
    with pytest.raises(SealError):
        keys.text_of(octets)
    with pytest.raises(KeyUnusable):
        MailKeys.opened(WrappedKeyResult(form="keyring", key_file=octets), "secret")


@given(text=st.binary(max_size=200), lines=st.one_of(st.none(), st.integers(0, 5)), at=st.integers(0, 100))
def test_a_head_is_a_prefix_that_ends_after_its_lines(text: bytes, lines: int | None, at: int) -> None:
    text = text[:at] + b"\r\n\r\n" + text[at:]
    headers, more = head_of(text, lines)

    assert text.startswith(headers + (more or b""))
    assert headers.endswith((b"\n\r\n", b"\n\n")) or headers in (b"\n", b"\r\n")
    assert (more is None) == (lines is None)
    assert more is None or more.count(b"\n") <= (lines or 0)
