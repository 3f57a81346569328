"""Messages on their way in: inline, staged, by descriptor; what is left when something goes wrong."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from msgstore.access import sync
from msgstore.access.aio import AccessClient
from msgstore.access.codes import AccessError
from msgstore.access.frames import Request, encode
from tests.accessd.mailroom import KINDS, TEXT, Mailroom, code_from, mailroom
from tests.accessd_room import ALICE

INLINE = 128 * 1024


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def text_of(octets: int) -> bytes:
    return (b"0123456789abcde\n" * (octets // 16 + 1))[:octets]


async def stored(box: Mailroom, uid: int, folder: str = "INBOX") -> bytes:
    async with await box.session.retrieve(uid, folder, way="handle") as body:
        return await body.read()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("octets", [0, 1, INLINE, INLINE + 1, 5 << 20])
async def test_a_message_is_appended_the_same_in_all_ways(tmp_path: Path, kind: str, octets: int) -> None:
    text = text_of(octets)
    place = tmp_path / "message"
    place.write_bytes(text)
    async with mailroom(tmp_path, kind) as box:
        uids: list[int] = []
        counts: list[int] = []
        for _ in range(3):
            await box.session.client.hello("whole", features=("fd", "fd-upload"))
            uids.append((await box.session.append(text)).uid)
            with place.open("rb") as file:
                file.seek(3)
                uids.append((await box.session.append(file)).uid)
                await box.session.client.hello("plain", features=("fd",))
                uids.append((await box.session.append(file)).uid)
            counts.append(descriptors())
        found = [await stored(box, uid) for uid in uids[:3]]

        # What the store keeps open for its own use is open after the first round; uploads are freed behind the answer.
        async with asyncio.timeout(10):
            while descriptors() > counts[0]:
                await box.session.client.call("rpc.ping")

    assert uids == list(range(1, 10))
    assert found == [text] * 3


@pytest.mark.parametrize("kind", KINDS)
async def test_an_appended_message_has_its_flags_keywords_and_date_also_when_it_moves_on(
    tmp_path: Path, kind: str
) -> None:
    async with mailroom(tmp_path, kind) as box:
        done = await box.session.append(
            TEXT, "Work", flags=["\\SEEN"], keywords=["$Important"], internal_date=1_000_000_000
        )
        counts = await box.session.stat("Work")
        await box.session.copy(1, to="INBOX", folder="Work")
        await box.session.move(1, to="Trash", folder="Work")
        rows = [
            row
            for folder in ("INBOX", "Trash")
            for row in await box.session.list(folder, fields=("uid", "flags", "keywords", "internal_date"))
        ]

    assert (done.uidvalidity, done.modseq) == (counts.uidvalidity, counts.modseq)
    assert [row[1:] for row in rows] == [rows[0][1:]] * 2
    assert (rows[0].flags, rows[0].keywords, rows[0].internal_date) == (("\\Seen",), ("$Important",), 1_000_000_000)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("date", [-2_145_916_800, -1, 0, 2**32])
async def test_a_message_may_be_older_than_1970_and_stays_so_when_it_is_copied(
    tmp_path: Path, kind: str, date: int
) -> None:
    async with mailroom(tmp_path, kind) as box:
        await box.session.append(TEXT, "Work", internal_date=date)
        await box.session.copy(1, to="INBOX", folder="Work")
        rows = [
            row
            for folder in ("INBOX", "Work")
            for row in await box.session.list(folder, fields=("uid", "internal_date"))
        ]

    assert [row.internal_date for row in rows] == [date, date]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_uid_of_an_append_is_that_of_its_message_while_others_come_and_go(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        sessions = [await box.another() for _ in range(3)]
        texts = [b"Subject: %d\r\n\r\n" % number for number in range(30)]

        async def add(number: int) -> int:
            return (await sessions[number % 3].append(texts[number])).uid

        async def disturb() -> None:
            for _ in range(10):
                await asyncio.to_thread(box.put, b"delivered")
                await box.session.append(b"to be copied", "Work")
                await box.session.copy((1, None), to="INBOX", folder="Work")

        *uids, _ = await asyncio.gather(*[add(number) for number in range(30)], disturb())
        found = [await stored(box, uid) for uid in uids if uid is not None]

    assert found == texts


@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_folder_is_worth_making_and_the_upload_waits_for_it(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        client, where = box.session.client, {"session": box.session.token, "mailbox": box.session.mailbox}
        staged: Any = await client.call("message.stage")
        await client.call("message.write", handle=staged["handle"], offset=0, data=TEXT)
        asked = {**where, "folder": "New", "staged": staged["handle"]}
        with pytest.raises(AccessError) as missing:
            await client.call("message.append", **asked)
        await box.session.create_folder("New")
        await client.call("message.append", **asked)
        with pytest.raises(AccessError) as used:
            await client.call("message.append", **asked)
        text = await stored(box, 1, "New")

    assert code_from(missing) == ("NO_FOLDER", "TRYCREATE")
    assert text == TEXT
    assert used.value.data["key"] == "staged"


@pytest.mark.parametrize("kind", KINDS)
async def test_staged_octets_come_in_order_are_invisible_and_go_with_the_connection(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        # What the store keeps open for its own use is open from here on.
        await box.session.append(text_of(INLINE * 3), "Work")
        await box.uids()
        before = descriptors()
        async with AccessClient.connect(box.path) as client:
            handles = [(await ask(client, "message.stage", octets=10))["handle"] for _ in range(32)]
            with pytest.raises(AccessError) as busy:
                await client.call("message.stage")
            writes = await asyncio.gather(
                *[client.call("message.write", handle=handles[0], offset=n * 4, data=b"abcd") for n in range(9)]
            )
            with pytest.raises(AccessError) as wrong:
                await client.call("message.write", handle=handles[0], offset=1, data=b"x")
            await client.call("message.discard", handle=handles[1])
            await client.call("message.discard", handle=handles[1])
            with pytest.raises(AccessError) as gone:
                await client.call("message.write", handle=handles[1], offset=0, data=b"x")
            uids = await box.uids()
        # An answer behind its end says that the server has seen it.
        while descriptors() > before:
            await box.session.client.call("rpc.ping")

    assert busy.value.code == "BUSY"
    assert [write["octets"] for write in writes if isinstance(write, dict)] == list(range(4, 40, 4))
    assert (wrong.value.code, wrong.value.data["key"], wrong.value.data["octets"]) == ("INVALID", "offset", 36)
    assert gone.value.data["key"] == "handle"
    assert uids == []


async def ask(client: AccessClient, method: str, **args: object) -> Any:
    return await client.call(method, **args)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_over_the_limit_is_too_large_in_every_way(tmp_path: Path, kind: str) -> None:
    limit = 52_428_800
    place = tmp_path / "large"
    with place.open("wb") as file:
        file.truncate(limit + 1)
    async with mailroom(tmp_path, kind) as box:
        with pytest.raises(AccessError) as staged:
            await box.session.client.call("message.stage", octets=limit + 1)
        with place.open("rb") as file, pytest.raises(AccessError) as by_descriptor:
            await box.session.append(file)
        uids = await box.uids()

    assert [(one.value.code, one.value.data["limit_octets"]) for one in (staged, by_descriptor)] == [
        ("TOO_LARGE", limit)
    ] * 2
    assert uids == []


@pytest.mark.parametrize("more", [{}, {"body": b"x", "staged": 1}, {"staged": 77}, {"as": "fd"}])
async def test_a_message_comes_in_exactly_one_way(tmp_path: Path, more: dict[str, object]) -> None:
    async with mailroom(tmp_path, "memory") as box:
        where = {"session": box.session.token, "mailbox": box.session.mailbox, "folder": "INBOX"}
        with pytest.raises(AccessError) as refused:
            await box.session.client.call("message.append", **where, **more)

    assert refused.value.code == "INVALID"


async def test_what_is_no_regular_file_is_refused_without_being_read(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "memory") as box:
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb"), pytest.raises(AccessError) as refused:
            await box.session.append(file)

    assert (refused.value.code, refused.value.data["key"]) == ("INVALID", "as")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_its_owner_changes_later_is_stored_as_it_was(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "message"
    place.write_bytes(TEXT)
    async with mailroom(tmp_path, kind) as box:
        with place.open("r+b") as file:
            await box.session.append(file)
            file.write(b"changed!")
            file.flush()
        text = await stored(box, 1)

    assert text == TEXT


def _talk(path: str, octets: bytes, descriptors: list[int]) -> bytes:
    """Send octets with descriptors on a new connection and read until the server closes it or is silent."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.settimeout(10)
        socket.send_fds(peer, [octets], descriptors)
        peer.shutdown(socket.SHUT_WR)
        found = b""
        while piece := peer.recv(65536):
            found += piece
        return found


@pytest.mark.parametrize("count", [1, 2])
async def test_descriptors_nobody_agreed_on_end_the_connection_and_none_is_left_open(
    tmp_path: Path, count: int
) -> None:
    async with mailroom(tmp_path, "memory") as box:
        with (tmp_path / "file").open("wb") as file:
            before = descriptors()
            octets = encode(Request(id=1, method="rpc.ping"))
            answer = await asyncio.to_thread(_talk, box.path, octets, [file.fileno()] * count)
            after = descriptors()

    assert b"rpc.fatal" in answer
    assert after == before


async def test_a_descriptor_that_no_request_names_ends_the_connection(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "memory") as box:
        with (tmp_path / "file").open("wb") as file, socket.socket(socket.AF_UNIX) as peer:
            before = descriptors()
            peer.connect(box.path)
            peer.setblocking(False)
            loop = asyncio.get_running_loop()
            hello = {"features": ["fd-upload"]}
            await loop.sock_sendall(peer, encode(Request(id=1, method="rpc.hello", args=(hello,))))
            greeting = await loop.sock_recv(peer, 65536)
            socket.send_fds(peer, [encode(Request(id=2, method="rpc.ping"))], [file.fileno()])
            rest = b""
            while piece := await loop.sock_recv(peer, 65536):
                rest += piece
            after = descriptors()

    assert b"fd-upload" in greeting
    assert b"rpc.fatal" in rest
    assert after == before


@pytest.mark.parametrize("kind", KINDS)
async def test_an_append_whose_body_has_come_is_done_though_nobody_waits_for_it(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        other = await box.another()
        where = {"session": other.token, "mailbox": other.mailbox, "folder": "INBOX"}
        asking = asyncio.create_task(other.client.call("message.append", **where, body=TEXT))
        # In this turn of the loop the request is sent.
        await asyncio.sleep(0)
        other.client.close()
        await asyncio.wait([asking])
        async with asyncio.timeout(10):
            while not (uids := await box.uids()):
                await box.session.client.call("rpc.ping")
        assert uids == [1]
        text = await stored(box, 1)

    assert text == TEXT


@pytest.mark.parametrize("kind", KINDS)
async def test_the_blocking_client_uploads_in_all_ways(tmp_path: Path, kind: str) -> None:
    text = text_of(INLINE * 3 + 5)
    place = tmp_path / "message"
    place.write_bytes(text)

    def play(path: str) -> list[bytes]:
        with sync.AccessClient.connect(path) as client, place.open("rb") as file:
            session = client.login(str(ALICE), "secret", service="imap")
            uids = [session.append(text).uid, session.append(file).uid, session.append(TEXT).uid]
            found: list[bytes] = []
            for uid in uids:
                with session.retrieve(uid) as body:
                    found.append(body.read())
            with pytest.raises(AccessError):
                session.append(text, "Nowhere")
            return found

    async with mailroom(tmp_path, kind) as box:
        found = await asyncio.to_thread(play, box.path)

    assert found == [text, text, TEXT]
