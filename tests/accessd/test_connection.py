"""Abuse, flow, order, deadlines and cancelling, on the wire."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import cast

import msgpack
import pytest

from accessd import connection
from accessd.methods import SERVED
from msgstore.access.contract import METHODS
from msgstore.access.frames import AT_CLIENT, FrameDecoder, Notification, Request, Response, encode
from tests.accessd_room import POP3_ONLY, room
from tests.accessd_wire import SMALL, code_of, reached, wire


def test_every_request_of_the_contract_is_served_and_nothing_else() -> None:
    assert set(SERVED) == {method.name for method in METHODS.values() if method.kind == "request"}


async def test_an_object_that_is_never_finished_is_told_closed_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_PART_SECONDS", 0.05)
    async with room(tmp_path, peers=POP3_ONLY) as place, wire(place) as slow:
        await slow.send(encode(Request(id=1, method="rpc.ping", args=()))[:-1])
        told = await slow.next()
        end = await slow.next()

    assert isinstance(told, Notification)
    assert told.method == "rpc.fatal"
    assert end is None
    assert "refused" in place.tally.events


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


@pytest.mark.parametrize("method", ["rpc.ping", "folder.stat", "message.expunge"])
async def test_a_request_and_its_cancelling_in_one_write_give_one_answer_and_leave_nothing(
    tmp_path: Path, method: str
) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        inbox = {} if method == "rpc.ping" else await peer.log_in()
        request = encode(Request(id=7, method=method, args=(inbox,)))
        await peer.send(request + encode(Notification(method="rpc.cancel", args=({"id": 7},))))
        async with asyncio.timeout(5):
            answer = await peer.next()
        stats = await peer.ask("rpc.stats")
        later = await peer.ask("rpc.ping") if method == "rpc.ping" else await peer.ask(method, inbox)

    assert isinstance(answer, Response)
    assert (answer.id, code_of(answer)) == (7, "CANCELLED")
    assert cast("dict[str, int]", stats.result)["inflight"] == 1
    assert later.error is None


async def test_a_change_waits_for_a_removal_that_runs_though_one_between_was_cancelled(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        place.shelf.inbox().add(SMALL)
        place.shelf.inbox().add(SMALL)
        inbox = await peer.log_in()
        await peer.ask("message.delete", {**inbox, "uids": [1]})
        gate = place.shelf.shut("expunge")
        await peer.send(encode(Request(id=1, method="message.expunge", args=(inbox,))))
        await reached(place, "expunge")
        await peer.send(encode(Request(id=2, method="message.undelete", args=(inbox,))))
        await peer.send(encode(Request(id=3, method="message.delete", args=({**inbox, "uids": [2]},))))
        await peer.send(encode(Notification(method="rpc.cancel", args=({"id": 2},))))
        first = await peer.next()
        # Answered after request 3 has had every chance to run.
        for _ in range(20):
            await peer.send(encode(Request(id=4, method="rpc.ping", args=())))
            assert await peer.next() == Response(id=4, result={"t": 1_700_000_000_000})
        gate.set()
        answers = await peer.answers(2)

    assert isinstance(first, Response)
    assert (first.id, code_of(first)) == (2, "CANCELLED")
    assert list(answers) == [1, 3]


async def test_a_peer_that_never_stops_writing_does_not_hold_up_another(tmp_path: Path) -> None:
    async with room(tmp_path, peers=POP3_ONLY) as place, wire(place) as quiet:
        await quiet.ask("rpc.ping")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as flood:
            flood.setblocking(False)
            await asyncio.get_running_loop().sock_connect(flood, place.path)
            flood.send(encode(Request(id=0, method="rpc.ping")))
            await asyncio.get_running_loop().sock_recv(flood, 100)
            place.tally.events.clear()
            flood.send(encode(Request(id=1, method="x" * 1000)) * 150)
            found = await quiet.ask("rpc.ping")
            before = place.tally.events.index("rpc.ping ok")

    assert found.error is None
    assert before < 100


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
