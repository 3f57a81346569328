"""Bodies by all three ways, descriptors, and the foreign client."""

import asyncio
import fcntl
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from msgstore.access import sync
from msgstore.access.aio import AccessClient
from msgstore.access.codes import AccessError
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.accessd.test_real_stores import deliver, served
from tests.accessd_room import Shelf, room

INLINE = 128 * 1024


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("octets", [0, 1, INLINE, INLINE + 1, 5 << 20])
async def test_a_body_is_the_same_by_all_three_ways(tmp_path: Path, octets: int, *, on_disk: bool) -> None:
    text = (b"0123456789abcde\n" * (octets // 16 + 1))[:octets]
    async with room(tmp_path, shelf=Shelf(tmp_path if on_disk else None)) as place:
        uid = place.shelf.inbox().add(text)
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            before = descriptors()
            found: dict[str, bytes | str] = {}
            for way in ("auto", "inline", "handle", "fd"):
                try:
                    async with await session.retrieve(uid, way=way) as body:
                        found[way] = await body.read()
                except AccessError as error:
                    found[way] = error.code
            after = descriptors()

    assert found == {
        "auto": text,
        "inline": text if octets <= INLINE else "TOO_LARGE",
        "handle": text,
        "fd": text,
    }
    assert after == before
    assert all(body.closed for body in place.shelf.bodies)


@pytest.mark.parametrize("on_disk", [False, True])
async def test_nobody_can_write_through_a_descriptor(tmp_path: Path, *, on_disk: bool) -> None:
    async with room(tmp_path, shelf=Shelf(tmp_path if on_disk else None)) as place:
        uid = place.shelf.inbox().add(b"Subject: x\r\n\r\n")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            async with await session.retrieve(uid) as body:
                descriptor = body.fileno()
                assert descriptor is not None
                with pytest.raises(OSError, match=r"Bad file descriptor|not permitted"):
                    os.write(descriptor, b"x")
                inherited = fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC

    assert inherited


async def test_an_expunged_message_stays_readable_by_its_handle(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        uid = place.shelf.inbox().add(b"x" * (INLINE + 5))
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            body = await session.retrieve(uid, way="handle")
            await session.delete(uid)
            await session.expunge()
            octets = await body.read()
            await body.close()
            with pytest.raises(AccessError) as gone:
                await session.retrieve(uid)

    assert len(octets) == INLINE + 5
    assert gone.value.code == "EXPUNGED"


async def test_slices_end_where_the_message_ends(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"0123456789")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            where = {"session": session.token, "mailbox": session.mailbox, "folder": "", "uid": 1}
            found: list[bytes] = []
            for offset, octets in ((0, 0), (0, 4), (8, 4), (10, 1), (99, 1), (3, None)):
                result: Any = await client.call("message.retrieve", **where, offset=offset, octets=octets)
                found.append(result["body"])

    assert found == [b"", b"0123", b"89", b"", b"", b"3456789"]


@pytest.mark.parametrize("offset", [10, 11, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
async def test_a_read_above_the_end_of_a_body_is_empty(tmp_path: Path, offset: int) -> None:
    store = MaildirStore(str(tmp_path / "mail"), layout_for=lambda _: Layout(), hostname="test.example")
    deliver(store, b"Subject: x")

    async with served(store, tmp_path / "sock") as path, AccessClient.connect(path) as client:
        session = await client.login("alice@example.org", "secret", service="imap")
        async with await session.retrieve(1, way="handle") as body:
            end = body.opened.stored_octets
            asked = {"handle": body.opened.handle, "octets": 5}
            empty = await client.call("message.read", **asked, offset=max(offset, end))
            rest = await client.call("message.read", **asked, offset=end - 1)

    store.close()
    assert empty == b""
    assert rest == b"x"


async def test_a_message_its_holder_expunged_is_told_from_one_that_never_was(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"x")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="pop3")
            await session.open()
            later = place.shelf.inbox().add(b"y")
            await session.delete(1)
            await session.expunge()
            codes: list[str] = []
            for uid in (1, later):
                with pytest.raises(AccessError) as refused:
                    await session.headers(uid)
                codes.append(refused.value.code)

    assert codes == ["EXPUNGED", "NO_MESSAGE"]


async def test_scattered_uids_cost_what_they_name(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        for _ in range(2000):
            place.shelf.inbox().add(b"x")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            place.shelf.rows_read = 0
            marked = (await session.delete(*range(1, 400, 2))).marked
            rows_read = place.shelf.rows_read

    assert len(marked) == 200
    assert rows_read == 200


async def test_marks_cannot_be_taken_from_a_folder_that_is_not_there(tmp_path: Path) -> None:
    store = MaildirStore(str(tmp_path / "mail"), layout_for=lambda _: Layout(), hostname="test.example")

    async with served(store, tmp_path / "sock") as path, AccessClient.connect(path) as client:
        session = await client.login("alice@example.org", "secret", service="imap")
        with pytest.raises(AccessError) as refused:
            await session.undelete(folder="Nowhere")

    store.close()
    assert refused.value.code == "NO_FOLDER"


async def test_more_handles_than_allowed_are_busy_and_unknown_ones_invalid(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"x")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            bodies = [await session.retrieve(1, way="handle") for _ in range(32)]
            with pytest.raises(AccessError) as busy:
                await session.retrieve(1, way="handle")
            await bodies[0].close()
            with pytest.raises(AccessError) as unknown:
                await bodies[0].read()
            await session.logout()

            assert busy.value.code == "BUSY"
            assert unknown.value.code == "INVALID"
            assert all(body.closed for body in place.shelf.bodies)


async def test_line_ends_dots_and_sealing_are_told(tmp_path: Path) -> None:
    texts = (b"a\r\nb\r\n", b"a\nb\n", b"a\r\n.b\r\n", b".a\r\n")

    async with room(tmp_path) as place:
        for text in texts:
            place.shelf.inbox().add(text)
        place.shelf.inbox().add(b"\x00" * 90, sealed=True)
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            found = [(await session.retrieve(uid, way="inline")).opened for uid in range(1, 6)]
            with pytest.raises(AccessError) as sealed:
                await session.headers(5)

    assert [(each.crlf, each.dots) for each in found[:4]] == [(True, False), (False, False), (True, True), (True, True)]
    assert found[4].sealed is not None
    assert sealed.value.code == "SEALED"


async def test_a_descriptor_needs_the_feature(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"x")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            await client.hello("plain", features=())
            with pytest.raises(AccessError) as refused:
                await session.retrieve(1, way="fd")

    assert refused.value.code == "UNSUPPORTED"


async def test_a_folder_is_listed_page_by_page(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        for _ in range(2500):
            place.shelf.inbox().add(b"x")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            rows = await session.list()
            where = {"session": session.token, "mailbox": session.mailbox, "folder": "INBOX"}
            some: Any = await client.call("message.list", **where, uids=[3, [2490, None]], limit=4, fields=["uid"])

    assert [row.uid for row in rows] == list(range(1, 2501))
    assert some["messages"] == [[3], [2490], [2491], [2492]]
    assert some["next_uid"] == 2492


async def test_the_blocking_client_does_the_same(tmp_path: Path) -> None:
    def play(path: str) -> tuple[bytes, bytes, tuple[int, ...], int]:
        with sync.AccessClient.connect(path) as client:
            session = client.login("alice@example.org", "secret", service="pop3")
            session.open()
            uids = tuple(row.uid for row in session.list())
            with session.retrieve(1) as body:
                text = body.read()
            with session.retrieve(1, way="handle") as body:
                pulled = body.read()
            headers = session.headers(1, lines=1).lines or b""
            session.delete(1)
            session.undelete()
            session.delete(1)
            gone = len(session.expunge().expunged)
            session.close()
            session.logout()
            return text + headers, pulled, uids, gone

    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"A: b\n\none\ntwo\n")
        found = await asyncio.to_thread(play, place.path)

    assert found == (b"A: b\n\none\ntwo\none\n", b"A: b\n\none\ntwo\n", (1,), 1)


@pytest.mark.scenario
async def test_a_foreign_client_of_messagepack_rpc_is_served(tmp_path: Path) -> None:
    if importlib.util.find_spec("pynvim") is None:
        if os.environ.get("MSGSTORE_REQUIRE_SERVICES") == "1":
            pytest.fail("pynvim is not installed")
        pytest.skip("pynvim is not installed")

    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"A: b\r\n\r\n")
        program = (
            "import sys\n"
            "from pynvim.msgpack_rpc import socket_session\n"
            "s = socket_session(sys.argv[1])\n"
            "l = {'user': 'alice@example.org', 'password': 'secret', 'service': 'pop3'}\n"
            "s.request('auth.login', l)\n"
            "print(s.request('folder.stat', 'alice@example.org')['messages'])\n"
            "try:\n    s.request('rpc.nothing')\n"
            "except Exception as error:\n    print(error)\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-c", program, place.path, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()

    assert out.decode().splitlines()[0] == "1"
    assert "no such method" in out.decode()
