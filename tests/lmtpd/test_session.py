import asyncio
import threading

import pytest

from lmtpd.server import LmtpServer
from msgstore.config.schema import LmtpSettings
from msgstore.model.errors import ConfigError, DiskFull
from msgstore.service.offload import Offload
from tests.lmtpd.house_double import MemoryAgent, rig

TWO = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<u1@d.example>\r\nRCPT TO:<u2@d.example>\r\nDATA\r\n"
ONE = b"MAIL FROM:<>\r\nRCPT TO:<u1@d.example>\r\nDATA\r\n"

SCRIPT = (
    b"LHLO me\r\n"
    + TWO
    + b"Subject: x\r\n\r\n..dot\r\nbody\r\n.\r\n"
    + b"MAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@d.example>\r\nDATA\r\nRSET\r\n"
    + b"MAIL FROM:<a@b.example> BODY=8BITMIME SIZE=100\r\nRCPT TO:<u3@d.example>\r\nBDAT 4\r\n.\r\nQ"
    + b"BDAT 6 LAST\r\nUIT\r\n\0QUIT\r\n"
)


async def test_one_delivery_is_answered_with_its_id() -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(ONE + b"hello\r\n.\r\nQUIT\r\n")

        text = await client.everything()

        assert text.splitlines()[2:] == [
            "354 Send the message, end it with <CRLF>.<CRLF>",
            "250 2.0.0 T.1 Saved",
            "221 2.0.0 Bye",
        ]
        assert [body for _, body in made.agent.delivered] == [b"hello\r\n"]


async def test_two_recipients_get_two_replies_before_221_when_the_commit_raises() -> None:
    agent = MemoryAgent(commit_error=OSError(28, "No space left on device"))
    async with rig(agent=agent) as made:
        client = await (await made.connect()).greeted()
        client.send(TWO + b"x\r\n.\r\nQUIT\r\n")

        codes = [line[:9] for line in (await client.everything()).splitlines()[4:]]

        assert codes == ["451 4.3.0", "451 4.3.0", "221 2.0.0"]


@pytest.mark.parametrize("remembers", [True, False])
async def test_a_pipelined_session_is_the_same_at_every_cut(*, remembers: bool) -> None:
    answers: set[str] = set()
    bodies: set[tuple[bytes, ...]] = set()
    for cut in range(1, len(SCRIPT)):
        async with rig(agent=MemoryAgent(remembers=remembers)) as made:
            client = await made.connect()
            client.send(SCRIPT[:cut])
            await client.reader.readuntil(b"\r\n")
            client.send(SCRIPT[cut:])
            answers.add(await client.everything())
            bodies.add(tuple(body for _, body in made.agent.delivered))

    (answer,) = answers
    codes = [line[:9] for line in answer.splitlines() if line[3:4] == " "]
    assert bodies == {(b"Subject: x\r\n\r\n.dot\r\nbody\r\n", b".\r\nQUIT\r\n\0")}
    assert codes[1:] == [
        "250 2.1.0", "250 2.1.5", "250 2.1.5", "354 Send ", "250 2.0.0", "250 2.0.0",
        "250 2.1.0", "550 5.1.1", "503 5.5.1", "250 2.0.0",
        "250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0", "221 2.0.0",
    ]  # fmt: skip


async def test_replies_come_in_order_and_as_soon_as_they_are_certain() -> None:
    second = threading.Event()
    agent = MemoryAgent(between=lambda: (second.wait(10), None)[1])
    async with rig(agent=agent) as made:
        client = await (await made.connect()).greeted()
        client.send(TWO + b"x\r\n.\r\n")
        await client.codes(4)

        first = await client.lines(1)
        second.set()
        last = await client.lines(1)

        assert (first, last) == (["250 2.0.0 T.1 Saved"], ["250 2.0.0 T.2 Saved"])


async def test_a_duplicate_recipient_is_answered_twice() -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<a@b.example>\r\n" + b"RCPT TO:<u@d.example>\r\n" * 2 + b"DATA\r\nx\r\n.\r\n")

        codes = await client.codes(6)

        assert codes[4:] == ["250 2.0.0", "250 2.0.0"]


THREE = b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%s@d.example>\r\n" % name for name in (b"u1", b"u2", b"U1"))


@pytest.mark.parametrize(
    ("agent", "octets", "code"),
    [
        (MemoryAgent(), 10, "250 2.0.0"),
        (MemoryAgent(), 3_000_001, "552 5.3.4"),
        (MemoryAgent(write_error=DiskFull("full")), 10, "452 4.3.1"),
        (MemoryAgent(write_error=DiskFull("full")), 1_000_000, "452 4.3.1"),
        (MemoryAgent(commit_error=ValueError("bug")), 10, "451 4.3.0"),
        (MemoryAgent(commit_error=ValueError("bug")), 1_000_000, "451 4.3.0"),
    ],
)
@pytest.mark.parametrize("has_chunks", [False, True])
async def test_replies_are_as_many_as_accepted_recipients_on_every_path(
    agent: MemoryAgent, octets: int, code: str, *, has_chunks: bool
) -> None:
    body = b"y" * (octets - 2) + b"\r\n"
    wire = b"BDAT %d LAST\r\n%b" % (octets, body) if has_chunks else b"DATA\r\n" + body + b".\r\n"
    async with rig(LmtpSettings(max_message_octets=3_000_000, grace_seconds=5), agent) as made:
        client = await (await made.connect()).greeted()
        client.send(THREE + wire + b"QUIT\r\n")

        codes = [line[:9] for line in (await client.everything()).splitlines()]

    assert [found for found in codes[4:] if found[:3] != "354"] == [code] * 3 + ["221 2.0.0"]


async def test_replies_are_as_many_as_accepted_recipients_when_the_server_ends_or_the_deadline_passes() -> None:
    now = [0.0]
    agent = MemoryAgent(gate=threading.Event())
    async with rig(agent=agent, clock=lambda: now[0]) as made:
        late, ended = [await (await made.connect()).greeted() for _ in range(2)]
        late.send(THREE + b"DATA\r\nx\r\n.\r\n")
        await late.codes(5)
        await asyncio.to_thread(agent.began.wait, 10)
        now[0] = 240.0
        made.server.sweep()
        told_late = await late.codes(3)
        ended.send(THREE + b"DATA\r\nx\r\n.\r\n")
        await ended.codes(5)
        closing = asyncio.create_task(made.server.close())
        assert agent.gate is not None
        agent.gate.set()

        told_at_the_end = await ended.codes(4)
        await closing

    assert told_late == ["451 4.3.0"] * 3
    assert told_at_the_end == ["250 2.0.0"] * 3 + ["421 4.3.2"]


async def test_a_full_disk_while_a_large_message_arrives_is_said_after_its_end() -> None:
    agent = MemoryAgent(write_error=DiskFull("full"))
    async with rig(agent=agent) as made:
        client = await (await made.connect()).greeted()
        client.send(TWO + b"x" * 1_000_000 + b"\r\n.\r\n")

        codes = await client.codes(6)

        assert codes[4:] == ["452 4.3.1", "452 4.3.1"]


async def test_a_message_that_is_too_big_gets_one_reply_for_each_recipient() -> None:
    async with rig(LmtpSettings(max_message_octets=1000, grace_seconds=5)) as made:
        client = await (await made.connect()).greeted()
        client.send(TWO + b"x" * 2000 + b"\r\n.\r\nMAIL FROM:<a@b.example> SIZE=1001\r\n")

        codes = await client.codes(7)

        assert codes[4:] == ["552 5.3.4", "552 5.3.4", "552 5.3.4"]
        assert made.agent.delivered == []


async def test_a_large_message_arrives_whole() -> None:
    body = b"".join(b"%06d line\r\n" % number for number in range(60_000))
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(TWO + body + b".\r\n")

        await client.codes(6)

        assert [octets for _, octets in made.agent.delivered] == [body]


async def test_a_half_closed_connection_still_gets_its_replies() -> None:
    agent = MemoryAgent(gate=threading.Event())
    async with rig(agent=agent) as made:
        client = await (await made.connect()).greeted()
        client.send(TWO + b"x\r\n.\r\n")
        client.writer.write_eof()
        await asyncio.to_thread(agent.began.wait, 10)
        assert agent.gate is not None
        agent.gate.set()

        text = await client.everything()

        assert text.splitlines()[-2:] == ["250 2.0.0 T.1 Saved", "250 2.0.0 T.2 Saved"]


async def test_a_delivery_goes_on_when_the_connection_is_cut() -> None:
    agent = MemoryAgent(gate=threading.Event())
    async with rig(agent=agent) as made:
        client = await (await made.connect()).greeted()
        client.send(ONE + b"x\r\n.\r\n")
        await asyncio.to_thread(agent.began.wait, 10)
        client.writer.transport.abort()
        assert agent.gate is not None
        agent.gate.set()

        await made.server.close()

        assert len(agent.delivered) == 1


async def test_a_message_without_an_end_is_discarded_when_the_connection_is_cut() -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(ONE + b"x" * 500_000)
        await client.codes(3)
        client.writer.transport.abort()

        await made.server.close()

        assert made.agent.delivered == []


async def test_shutdown_says_421_to_the_idle_and_lets_the_busy_finish() -> None:
    agent = MemoryAgent(gate=threading.Event())
    async with rig(agent=agent) as made:
        idle = await (await made.connect()).greeted()
        busy = await (await made.connect()).greeted()
        busy.send(ONE + b"x\r\n.\r\n")
        await asyncio.to_thread(agent.began.wait, 10)
        closing = asyncio.create_task(made.server.close())
        said_to_idle = await idle.everything()
        assert agent.gate is not None
        agent.gate.set()

        said_to_busy = await busy.everything()
        await closing

        assert said_to_idle == "421 4.3.2 Shutting down\r\n"
        assert said_to_busy.splitlines()[-2:] == ["250 2.0.0 T.1 Saved", "421 4.3.2 Shutting down"]


async def test_ten_errors_end_the_connection() -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(b"BOGUS\r\n" * 12)

        lines = (await client.everything()).splitlines()

        assert lines[-1].startswith("421 4.7.0")
        assert len(lines) == 11


async def test_a_silent_peer_is_told_so_and_a_steady_one_is_not() -> None:
    now = [0.0]
    async with rig(LmtpSettings(idle_seconds=10, grace_seconds=5), clock=lambda: now[0]) as made:
        steady = await (await made.connect()).greeted()
        silent = await (await made.connect()).greeted()
        for _ in range(4):
            now[0] += 4
            steady.send(b"NOOP\r\n")
            await steady.codes(1)

        made.server.sweep()

        assert (await silent.everything()).startswith("421 4.4.2")
        steady.send(b"NOOP\r\n")
        assert await steady.codes(1) == ["250 2.0.0"]


async def test_a_commit_outlives_the_idle_time_and_is_answered_451_at_its_deadline() -> None:
    now = [0.0]
    agent = MemoryAgent(gate=threading.Event())
    async with rig(LmtpSettings(idle_seconds=10, grace_seconds=5), agent, clock=lambda: now[0]) as made:
        client = await (await made.connect()).greeted()
        client.send(TWO + b"x\r\n.\r\nNOOP\r\n")
        await client.codes(4)
        await asyncio.to_thread(agent.began.wait, 10)
        now[0] = 239.0
        made.server.sweep()
        now[0] = 240.0
        made.server.sweep()

        codes = await client.codes(3)

        assert codes == ["451 4.3.0", "451 4.3.0", "250 2.0.0"]


async def test_bdat_in_a_wrong_state_swallows_its_octets() -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")

        codes = await client.codes(2)

        assert codes == ["503 5.5.1", "250 2.0.0"]


async def test_a_chunk_over_the_limit_fails_the_transaction_until_rset() -> None:
    async with rig(LmtpSettings(max_message_octets=10, grace_seconds=5)) as made:
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<u@d.example>\r\nBDAT 20\r\n" + b"x" * 20)
        client.send(b"BDAT 2 LAST\r\nxxRCPT TO:<u@d.example>\r\nRSET\r\nMAIL FROM:<>\r\n")

        codes = await client.codes(7)

        assert codes[2:] == ["552 5.3.4", "503 5.5.1", "503 5.5.1", "250 2.0.0", "250 2.1.0"]


async def test_a_full_queue_is_said_at_mail() -> None:
    agent = MemoryAgent(gate=threading.Event())
    async with rig(agent=agent, threads=1, queue_limit=0) as made:
        busy = await (await made.connect()).greeted()
        busy.send(ONE + b"x\r\n.\r\n")
        await asyncio.to_thread(agent.began.wait, 10)
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<>\r\n")

        assert await client.codes(1) == ["451 4.3.2"]


async def test_a_store_that_fails_three_times_is_refused_at_mail() -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<full@d.example>\r\nDATA\r\nx\r\n.\r\n" * 3 + b"MAIL FROM:<>\r\n")

        codes = await client.codes(13)

        assert codes[3::4] == ["451 4.3.0"] * 3
        assert codes[-1] == "451 4.3.0"
        assert made.server.is_unhealthy


async def test_a_busy_mailbox_makes_rcpt_wait_and_then_fail() -> None:
    agent = MemoryAgent(gate=threading.Event())
    settings = LmtpSettings(max_concurrent_per_mailbox=1, grace_seconds=5)
    async with rig(settings, agent, slot_wait_seconds=0.01) as made:
        busy = await (await made.connect()).greeted()
        busy.send(ONE + b"x\r\n.\r\n")
        await asyncio.to_thread(agent.began.wait, 10)
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<u1@d.example>\r\nNOOP\r\n")

        assert await client.codes(3) == ["250 2.1.0", "451 4.3.0", "250 2.0.0"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"EHLO me\r\n", "500 5.5.1"),
        (b"AUTH PLAIN\r\n", "502 5.5.1"),
        (b"MAIL TO:<a@b>\r\n", "501 5.5.4"),
        (b"MAIL FROM:<a b@c>\r\n", "501 5.1.7"),
        (b"MAIL FROM:<a@b> FOO=1\r\n", "555 5.5.4"),
        (b"MAIL FROM:<\xc3\xa9@b>\r\n", "553 5.6.7"),
        (b"MAIL FROM:<\xff@b> SMTPUTF8\r\n", "501 5.1.7"),
        (b"MAIL FROM:<\xc3\xa9@b> SMTPUTF8\r\n", "250 2.1.0"),
        (b"RCPT TO:<a@b>\r\n", "503 5.5.1"),
        (b"NOOP a\rb\r\n", "500 5.5.2"),
        (b"MAIL FROM:<a@b> \t\r\n", "250 2.1.0"),
        (b"MAIL FROM:<a@b>\x0b\r\n", "501 5.1.7"),
        (b"MAIL FROM:<a@b>\xc2\xa0\r\n", "501 5.1.7"),
        (b"NOOP a\0b\r\n", "500 5.5.2"),
        (b"NOOP " + b"x" * 5000 + b"\r\n", "500 5.5.6"),
        (b"VRFY x\r\n", "252 2.3.3"),
        (b"XCLIENT ADDR=192.0.2.1\r\n", "550 5.7.14"[:9]),
    ],
)
async def test_a_line_gets_its_reply(line: bytes, code: str) -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(line)

        assert await client.codes(1) == [code]


async def test_a_host_name_that_makes_lhlo_too_long_is_refused_at_start() -> None:
    offload = Offload(1, 1)

    with pytest.raises(ConfigError):
        LmtpServer(LmtpSettings(), MemoryAgent(), hostname="x" * 200, offload=offload)
