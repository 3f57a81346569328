"""Abuse, flow, order, deadlines and cancelling, on the wire."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest

from accessd.calls import LoginRules
from accessd.methods import SERVED
from accessd.peers import Peers
from msgstore.access.contract import METHODS
from msgstore.access.frames import AT_CLIENT, Frame, FrameDecoder, Notification, Request, Response, encode
from msgstore.config.schema import AccessSettings
from msgstore.model.folder import FolderName
from tests.accessd_room import IMAP_ONLY, NOBODY, POP3_ONLY, SMTP_ONLY, Room, room

SMALL = b"Subject: one\r\n\r\nfirst\r\n"


class Wire:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._decoder = FrameDecoder(AT_CLIENT)
        self._last_id = 1000

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def next(self) -> Frame | None:
        """Give the next frame; None at the end."""
        while (frame := self._decoder.next_frame()) is None:
            octets = await self._reader.read(16384)
            if not octets:
                return None
            self._decoder.feed(octets)
        return frame

    async def answers(self, count: int) -> dict[int, Response]:
        found: dict[int, Response] = {}
        while len(found) < count:
            frame = await self.next()
            assert isinstance(frame, Response)
            assert frame.id not in found
            found[frame.id] = frame
        return found

    async def ask(self, method: str, *params: object) -> Response:
        self._last_id += 1
        await self.send(encode(Request(id=self._last_id, method=method, args=params)))
        frame = await self.next()
        assert isinstance(frame, Response)
        return frame

    async def log_in(self, user: str = "alice", password: str = "secret") -> dict[str, object]:
        """Log in and give the arguments that name the inbox."""
        found = await self.ask("auth.login", {"user": f"{user}@example.org", "password": password, "service": "pop3"})
        result = cast("dict[str, object]", found.result)
        return {"session": result["session"], "mailbox": result["mailbox"], "folder": "INBOX"}


@asynccontextmanager
async def wire(place: Room) -> AsyncGenerator[Wire, None]:
    reader, writer = await asyncio.open_unix_connection(place.path)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def code_of(response: Response) -> str:
    return str(cast("list[object]", response.error)[0])


async def reached(place: Room, verb: str) -> None:
    await asyncio.to_thread(place.shelf.reached[verb].wait, 10)


def test_every_request_of_the_contract_is_served_and_nothing_else() -> None:
    assert set(SERVED) == {method.name for method in METHODS.values() if method.kind == "request"}


@pytest.mark.parametrize(
    "octets",
    [
        b"\xc1",
        msgpack.packb([3, 1, None, None]),
        b"\x91" * 2000,
        b"\xdd\xff\xff\xff\xff",
        b"\x94\x00\x01\xa1x\x91\xd4\x05\x00",
        encode(Response(id=1)),
        b"\x94\x00\x01\xa1x\x91\xc6\x00\x01\x00\x00" + b"a" * 66_000,
    ],
)
async def test_abuse_is_told_closed_and_counted_and_others_are_served(tmp_path: Path, octets: bytes) -> None:
    async with room(tmp_path, peers=POP3_ONLY) as place, wire(place) as bad, wire(place) as good:
        await bad.send(octets)
        told = await bad.next()
        end = await bad.next()
        other = await good.ask("rpc.ping")

    assert isinstance(told, Notification)
    assert (told.method, told.args[0]) == ("rpc.fatal", "INVALID")
    assert end is None
    assert other.error is None
    assert place.tally.events.count("refused") == 1


async def test_an_id_used_twice_at_once_ends_the_connection(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        place.shelf.inbox().add(SMALL)
        inbox = await peer.log_in()
        gate = place.shelf.shut("stat")
        request = encode(Request(id=5, method="folder.stat", args=(inbox,)))
        await peer.send(request + request)
        gate_frame = await peer.next()
        gate.set()

    assert isinstance(gate_frame, Response | Notification)
    assert "refused" in place.tally.events


async def test_a_request_is_answered_the_same_at_every_cut(tmp_path: Path) -> None:
    octets = encode(Request(id=9, method="rpc.ping", args=({"_trace": "t"},)))

    async with room(tmp_path) as place:
        for cut in range(len(octets)):
            async with wire(place) as peer:
                await peer.send(octets[:cut])
                await asyncio.sleep(0)
                await peer.send(octets[cut:])
                answer = await peer.next()

                assert isinstance(answer, Response)
                assert (answer.id, answer.error) == (9, None)


async def test_sixty_five_requests_at_once_are_all_answered_and_one_waits(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        inbox = await peer.log_in()
        gate = place.shelf.shut("stat")
        await peer.send(
            b"".join(encode(Request(id=number, method="folder.stat", args=(inbox,))) for number in range(65))
        )
        await reached(place, "stat")
        async with wire(place) as other:
            while True:
                found = await other.ask("rpc.stats")
                inflight = cast("dict[str, int]", found.result)["inflight"]
                if inflight >= 65:
                    break
        gate.set()
        answers = await peer.answers(65)

    # 64 of the first connection and the question itself.
    assert inflight == 65
    assert all(answer.error is None for answer in answers.values())


async def test_a_peer_that_does_not_read_is_not_read_from(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"x" * 120_000)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
            async with wire(place) as helper:
                await helper.log_in()
            loop = asyncio.get_running_loop()
            raw.setblocking(False)
            await loop.sock_connect(raw, place.path)
            login = {"user": "alice@example.org", "password": "secret", "service": "pop3"}
            await loop.sock_sendall(raw, encode(Request(id=0, method="auth.login", args=(login,))))
            decoder = FrameDecoder(AT_CLIENT)
            decoder.feed(await loop.sock_recv(raw, 16384))
            assert decoder.next_frame() is not None
            sent = await _send_until_stuck(raw)
            answered = sum(event.startswith("message.retrieve") for event in place.tally.events)

    assert answered < 100 < sent


async def _send_until_stuck(raw: socket.socket) -> int:
    """Ask for bodies and read none until the server takes no more; gives how many were asked for."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            ask = Request(id=sent, method="message.retrieve", args=("alice@example.org", 1))
            async with asyncio.timeout(0.5):
                await asyncio.get_running_loop().sock_sendall(raw, encode(ask))
            sent += 1
    return sent


async def test_delete_expunge_and_list_in_one_write_are_done_in_that_order(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        for _ in range(3):
            place.shelf.inbox().add(SMALL)
        inbox = await peer.log_in()
        await peer.send(
            encode(Request(id=1, method="message.delete", args=({**inbox, "uids": [2]},)))
            + encode(Request(id=2, method="message.expunge", args=(inbox,)))
            + encode(Request(id=3, method="message.list", args=({**inbox, "fields": ["uid"]},)))
        )
        answers = await peer.answers(3)

    listed = cast("dict[str, object]", answers[3].result)
    assert listed["messages"] == [[1], [3]]


async def test_cancelling_before_during_and_after_gives_exactly_one_answer(tmp_path: Path) -> None:
    def cancel(number: int) -> bytes:
        return encode(Notification(method="rpc.cancel", args=({"id": number},)))

    async with room(tmp_path) as place, wire(place) as peer:
        inbox = await peer.log_in()
        gate = place.shelf.shut("stat")
        await peer.send(cancel(7) + encode(Request(id=7, method="folder.stat", args=(inbox,))))
        await reached(place, "stat")
        await peer.send(cancel(7))
        during = await peer.next()
        gate.set()
        await peer.send(cancel(7))
        after = await peer.ask("rpc.ping")

    assert isinstance(during, Response)
    assert (during.id, code_of(during)) == (7, "CANCELLED")
    assert after.error is None


async def test_a_deadline_ends_a_read_and_not_a_removal_that_has_begun(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        place.shelf.inbox().add(SMALL)
        inbox = await peer.log_in()
        gate = place.shelf.shut("stat")
        late = await peer.ask("folder.stat", {**inbox, "_timeout_ms": 1})
        gate.set()
        await peer.ask("message.delete", {**inbox, "uids": [1]})
        gate = place.shelf.shut("expunge")
        await peer.send(encode(Request(id=1, method="message.expunge", args=({**inbox, "_timeout_ms": 200},))))
        await peer.send(encode(Request(id=2, method="message.list", args=({**inbox, "_timeout_ms": 300},))))
        waited = await peer.next()
        gate.set()
        removed = await peer.next()

    assert code_of(late) == "DEADLINE"
    assert isinstance(waited, Response)
    assert (waited.id, code_of(waited)) == (2, "DEADLINE")
    assert isinstance(removed, Response)
    assert cast("dict[str, object]", removed.result)["expunged"] == [1]


@pytest.mark.parametrize("form", ["array", "string"])
async def test_an_exception_in_a_method_is_internal_and_the_daemon_lives(tmp_path: Path, form: str) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        await peer.ask("rpc.hello", {"errors": form})
        inbox = await peer.log_in()
        place.shelf.failures["stat"] = ZeroDivisionError("secret of the house")
        broken = await peer.ask("folder.stat", inbox)
        del place.shelf.failures["stat"]
        whole = await peer.ask("folder.stat", inbox)

    assert "INTERNAL" in str(broken.error)
    assert isinstance(broken.error, str) == (form == "string")
    assert "house" not in str(broken.error)
    assert whole.error is None


async def test_a_failed_login_is_answered_at_one_moment_whatever_failed(tmp_path: Path) -> None:
    rules = LoginRules(failure_seconds=0.3)
    logins = [("nobody@example.org", "x"), ("alice@example.org", "wrong"), ("alice@elsewhere.net", "secret")]

    async with room(tmp_path, login=rules) as place, wire(place) as peer:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        codes: list[str] = []
        for user, password in logins:
            began = loop.time()
            found = await peer.ask("auth.login", {"user": user, "password": password, "service": "pop3"})
            times.append(loop.time() - began)
            codes.append(code_of(found))

    assert codes == ["AUTH_FAILED", "AUTH_FAILED", "DOMAIN_NOT_HOSTED"]
    assert min(times) >= 0.29
    assert not any(any(password) for password in place.doorman.seen)


async def test_a_full_password_pool_is_busy(tmp_path: Path) -> None:
    async with room(tmp_path, password_threads=1, password_queue=0) as place, wire(place) as one, wire(place) as two:
        place.doorman.gate = threading.Event()
        login = {"user": "alice@example.org", "password": "secret", "service": "pop3"}
        await one.send(encode(Request(id=1, method="auth.login", args=(login,))))
        await asyncio.to_thread(place.doorman.asked.wait, 10)
        refused = await two.ask("auth.login", login)
        place.doorman.gate.set()
        served = await one.next()

    assert code_of(refused) == "BUSY"
    assert isinstance(served, Response)
    assert served.error is None


async def test_a_session_is_idle_when_the_clock_says_so_and_its_maildrop_is_free(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as one, wire(place) as two:
        first = await one.log_in()
        await one.ask("mailbox.open", first)
        second = await two.log_in()
        locked = await two.ask("mailbox.open", second)
        place.clock.now += 1000
        await two.ask("auth.ping", {"session": second["session"]})
        place.clock.now += 1000
        opened = await two.ask("mailbox.open", second)
        ended = await one.ask("folder.stat", first)

    assert code_of(locked) == "LOCKED"
    assert opened.error is None
    assert code_of(ended) == "NO_SESSION"


async def test_sessions_share_neither_tokens_nor_marks_nor_mailboxes(tmp_path: Path) -> None:
    async with room(tmp_path, peers=POP3_ONLY) as place, wire(place) as one, wire(place) as two:
        place.shelf.inbox().add(SMALL)
        first, second = await one.log_in(), await two.log_in()
        await one.ask("message.delete", {**first, "uids": [1]})
        foreign = await two.ask("folder.stat", first)
        other = await two.ask("message.expunge", second)
        bob = await two.ask("folder.stat", {**second, "mailbox": "bob@example.org"})
        admin = await one.ask("rpc.stats")

    assert code_of(foreign) == "NO_SESSION"
    assert cast("dict[str, object]", other.result)["expunged"] == []
    assert code_of(bob) == "DENIED"
    assert code_of(admin) == "DENIED"
    assert list(place.shelf.inbox().messages) == [1]


@pytest.mark.parametrize(
    ("peers", "method", "args"),
    [
        (SMTP_ONLY, "message.list", {"session": "s"}),
        (IMAP_ONLY, "mailbox.open", {"session": "s"}),
        (POP3_ONLY, "folder.list", {"session": "s"}),
        (POP3_ONLY, "auth.lookup", {"address": "a@example.org"}),
    ],
)
async def test_a_call_outside_the_role_is_denied(
    tmp_path: Path, peers: Peers, method: str, args: dict[str, object]
) -> None:
    async with room(tmp_path, peers=peers) as place, wire(place) as peer:
        found = await peer.ask(method, args)

    assert code_of(found) == "DENIED"


async def test_an_unknown_peer_is_closed_and_counted(tmp_path: Path) -> None:
    async with room(tmp_path, peers=NOBODY) as place, wire(place) as peer:
        end = await peer.next()

    assert end is None
    assert place.tally.events == ["denied"]


async def test_the_end_is_told_and_running_requests_finish(tmp_path: Path) -> None:
    async with room(tmp_path, settings=AccessSettings(grace_seconds=10.0)) as place, wire(place) as peer:
        inbox = await peer.log_in()
        gate = place.shelf.shut("stat")
        await peer.send(encode(Request(id=1, method="folder.stat", args=(inbox,))))
        await reached(place, "stat")
        stopping = asyncio.create_task(place.server.stop())
        told = await peer.next()
        refused = await peer.ask("rpc.ping")
        gate.set()
        finished = await peer.next()
        end = await peer.next()
        await stopping

    assert isinstance(told, Notification)
    assert told.method == "rpc.going_away"
    assert code_of(refused) == "GOING_AWAY"
    assert isinstance(finished, Response)
    assert finished.error is None
    assert end is None


async def test_folders_are_listed_by_pattern_and_their_states_told_one_by_one(tmp_path: Path) -> None:
    async with room(tmp_path, peers=IMAP_ONLY) as place, wire(place) as peer:
        inbox = await peer.log_in()
        tree = place.shelf.folders(place.shelf.inbox().mailbox)
        for name in ("Sent", "a/b"):
            tree.create(FolderName.parse(name))
        where = {"session": inbox["session"], "mailbox": inbox["mailbox"]}
        top = await peer.ask("folder.list", {**where, "pattern": "%", "counts": True})
        states = await peer.ask("folder.status", {**where, "folders": ["inbox", "None", ".."]})

    rows = cast("dict[str, list[dict[str, object]]]", top.result)["folders"]
    assert [row["name"] for row in rows] == ["INBOX", "Sent"]
    found = cast("dict[str, Any]", states.result)["folders"]
    assert found["inbox"]["messages"] == 0
    assert found["None"]["error"][0] == "NO_FOLDER"
    assert found[".."]["error"][0] == "INVALID_NAME"


async def test_sasl_plain_works_in_one_step_and_in_two(tmp_path: Path) -> None:
    message = b"\0alice@example.org\0secret"

    async with room(tmp_path) as place, wire(place) as peer:
        one = await peer.ask("auth.sasl_start", {"mech": "PLAIN", "service": "pop3", "initial": message})
        begun = await peer.ask("auth.sasl_start", {"mech": "plain", "service": "smtp"})
        step = cast("dict[str, object]", begun.result)["step"]
        two = await peer.ask("auth.sasl_step", {"step": step, "data": message})
        again = await peer.ask("auth.sasl_step", {"step": step, "data": message})
        other = await peer.ask("auth.sasl_start", {"mech": "LOGIN", "service": "pop3"})

    assert "session" in cast("dict[str, object]", one.result)
    assert cast("dict[str, object]", two.result)["done"] is True
    assert "session" not in cast("dict[str, object]", two.result)
    assert code_of(again) == "INVALID"
    assert code_of(other) == "UNSUPPORTED"


async def test_a_lookup_tells_a_foreign_domain_from_an_unknown_user(tmp_path: Path) -> None:
    async with room(tmp_path, peers=SMTP_ONLY) as place, wire(place) as peer:
        known = await peer.ask("auth.lookup", {"address": "alice+list@example.org"})
        unknown = await peer.ask("auth.lookup", {"address": "nobody@example.org"})
        foreign = await peer.ask("auth.lookup", {"address": "alice@elsewhere.net"})
        bad = await peer.ask("auth.lookup", {"address": "a@b@c"})

    one, two, three = (cast("dict[str, object]", found.result) for found in (known, unknown, foreign))
    assert (one["mailbox"], one["detail"], one["user_exists"]) == ("alice@example.org", "list", True)
    assert (two["domain_is_local"], two["user_exists"]) == (True, False)
    assert (three["domain_is_local"], three["user_exists"]) == (False, False)
    assert code_of(bad) == "INVALID_ADDRESS"
