"""The gate's bounds: on work, on memory and on the time that a peer may take."""

import asyncio
import threading
import time
import tracemalloc

import pytest

from lmtpd.house import SessionEvent
from msgstore.config.schema import LmtpSettings
from tests.lmtpd.house_double import MemoryAgent, Rig, rig

ONE = b"MAIL FROM:<>\r\nRCPT TO:<u1@d.example>\r\n"


async def cpu_seconds(made: Rig, octets: bytes) -> float:
    """Give a new session all octets at once and say how long that took."""
    session, client = await made.session()
    began = time.process_time()
    session.data_received(octets)
    took = time.process_time() - began
    session.abort()
    await client.everything()
    return took


@pytest.mark.parametrize("line", [b"NOOP\n", b"BDAT 1 LAST\r\nx"])
async def test_many_commands_in_one_write_cost_no_more_than_each_alone(line: bytes) -> None:
    async with rig() as made:
        few = min([await cpu_seconds(made, line * 10_000) for _ in range(3)])

        many = min([await cpu_seconds(made, line * 80_000) for _ in range(2)])

    assert many < 20 * few


@pytest.mark.parametrize("line", [b"NOOP " + b"x" * 70_000 + b"\r\n", b"NOOP " + b"x" * 5_000 + b"\r\nNOOP\r\n"])
async def test_a_line_that_is_too_long_is_answered_the_same_at_every_cut(line: bytes) -> None:
    answers: set[str] = set()
    for cut in (1, 4095, 4096, 4097, 4999, len(line) - 1, len(line)):
        async with rig() as made:
            session, client = await made.session()
            session.data_received(line[:cut])
            session.data_received(line[cut:])
            session.eof_received()
            answers.add(await client.everything())

    assert len(answers) == 1


@pytest.mark.parametrize("end", [b"", b"QUIT\r\n"])
async def test_a_peer_that_reads_no_replies_is_cut_after_the_idle_time(end: bytes) -> None:
    now = [0.0]
    async with rig(LmtpSettings(idle_seconds=10, grace_seconds=5), clock=lambda: now[0]) as made:
        session, _ = await made.session()
        session.data_received(b"NOOP\r\n" * 50_000 + end)
        now[0] = 9.0
        made.server.sweep()
        before = made.server.connections
        now[0] = 10.0
        made.server.sweep()
        for _ in range(3):
            await asyncio.sleep(0)

        assert (before, made.server.connections) == (1, 0)


async def test_a_steady_message_longer_than_the_idle_time_is_taken_and_a_trickle_is_not() -> None:
    now = [0.0]
    async with rig(LmtpSettings(idle_seconds=20, grace_seconds=5), clock=lambda: now[0]) as made:
        (steady, steady_client), (trickle, trickle_client) = [await made.session() for _ in range(2)]
        for session in (steady, trickle):
            session.data_received(ONE + b"DATA\r\n")
        for _ in range(12):
            now[0] += 11.0
            made.server.sweep()
            steady.data_received(b"x" * 1024 + b"\r\n")
            trickle.data_received(b"x\r\n")
        steady.data_received(b".\r\n")
        steady.eof_received()

        texts = [await client.everything() for client in (steady_client, trickle_client)]

        assert [text.splitlines()[-1][:9] for text in texts] == ["250 2.0.0", "421 4.4.2"]


async def test_memory_does_not_grow_with_the_messages() -> None:
    async with rig(agent=MemoryAgent(keeps=False)) as made:
        clients = [await (await made.connect()).greeted() for _ in range(4)]
        piece = (b"y" * 70 + b"\r\n") * 2000
        for client in clients:
            client.send(ONE + b"DATA\r\n")
            await client.codes(3)
        tracemalloc.start()
        try:
            for _ in range(60):
                for client in clients:
                    client.send(piece)
                    await client.writer.drain()
            for client in clients:
                client.send(b".\r\n")
            codes = [await client.codes(1) for client in clients]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert codes == [["250 2.0.0"]] * 4
    assert peak < 4 * (2 << 20)


async def test_a_message_in_tiny_pieces_takes_no_more_memory_than_its_octets() -> None:
    async with rig() as made:
        session, _ = await made.session()
        session.data_received(ONE + b"DATA\r\n")
        tracemalloc.start()
        try:
            for number in range(60_000):
                session.data_received(b"%02d" % (number % 100))
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert taken < 3 * 120_000


class Counted:
    def __init__(self) -> None:
        self.events: list[SessionEvent] = []

    def count(self, event: SessionEvent) -> None:
        self.events.append(event)

    def set_connections(self, connections: int) -> None:
        assert connections >= 0


async def test_work_that_finds_no_thread_is_temporary_for_each_recipient_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent, counted = MemoryAgent(remembers=False, gate=threading.Event()), Counted()
    two = ONE + b"RCPT TO:<u2@d.example>\r\n"
    async with rig(agent=agent, threads=1, queue_limit=0, counters=counted) as made:
        asks, sends, busy = [await (await made.connect()).greeted() for _ in range(3)]
        asks.send(b"MAIL FROM:<>\r\n")
        before = await asks.codes(1)
        sends.send(two + b"DATA\r\n")
        before += await sends.codes(4)
        busy.send(ONE + b"DATA\r\nx\r\n.\r\n")
        before += await busy.codes(3)
        await asyncio.to_thread(agent.began.wait, 10)

        asks.send(b"RCPT TO:<u1@d.example>\r\n")
        sends.send(b"x" * 600_000 + b"\r\n.\r\nNOOP\r\n")
        after = [await asks.codes(1), await sends.codes(3)]

    assert [code for code in before if not code.startswith("250")] == ["354", "354"]
    assert after == [["451 4.3.2"], ["451 4.3.2", "451 4.3.2", "250 2.0.0"]]
    assert counted.events.count("overloaded") == 1
    assert "lmtp.delivery_not_begun" in capsys.readouterr().err


async def test_a_peer_that_reads_nothing_does_not_keep_the_server_from_ending() -> None:
    agent = MemoryAgent(gate=threading.Event())
    async with rig(LmtpSettings(grace_seconds=0.01), agent) as made:
        session, _ = await made.session()
        session.data_received(b"NOOP\r\n" * 50_000 + ONE + b"DATA\r\nx\r\n.\r\n")
        await asyncio.to_thread(agent.began.wait, 10)
        closing = asyncio.create_task(made.server.close())
        # Longer than the grace: the delivery is waited for, then nobody is left who reads.
        await asyncio.wait([closing], timeout=0.1)
        assert agent.gate is not None
        agent.gate.set()

        async with asyncio.timeout(10):
            await closing

        assert len(agent.delivered) == 1
