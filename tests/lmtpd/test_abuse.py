"""What peers do that no standard knows: smuggling, crowds, endless lines, hostile addresses, odd chunks."""

import asyncio
import socket
from pathlib import Path

import pytest

from lmtpd.server import LmtpServer
from msgstore.config.schema import LmtpSettings
from msgstore.service.offload import Offload
from tests.lmtpd.house_double import Client, MemoryAgent, rig

HEADER = b"MAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"
EVIL = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nevil\r\n.\r\n"


@pytest.mark.parametrize(
    "false_end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n. \r\n",
        b"\r\r\n.\r\r\n",
    ],
)
async def test_a_false_end_smuggles_no_second_message(false_end: bytes) -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(HEADER + b"Subject: x\r\n\r\nbody" + false_end + EVIL + b"QUIT\r\n")

        codes = await client.codes(5)

    assert codes == ["250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "221 2.0.0"]
    assert [len(envelope.recipients) for envelope, _ in made.agent.delivered] == [1]
    assert str(made.agent.delivered[0][0].recipients[0].forward_path) == "alice@example.com"
    assert b"evil@example.net" in made.agent.delivered[0][1]


@pytest.mark.parametrize(
    "address",
    [
        b"=?utf-8?q?alice?=@example.com",
        b"../../etc/passwd@example.com",
        b"alice@../../etc",
        b"al\0ice@example.com",
        b"al\rice@example.com",
        b'"alice/../bob"@example.com',
        b"alice@example.com> NOTIFY=<x",
        b"@relay.example,@b:alice@example.com",
        b"",
        b"\xff\xfe@example.com",
    ],
)
async def test_a_hostile_address_is_refused_or_taken_literally(address: bytes) -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<" + address + b">\r\n")

        reply = (await client.codes(2))[1]

    if reply == "250 2.1.5":
        # The double hosts everything: what was taken must be the very text, as one literal local-part.
        assert address in (b"=?utf-8?q?alice?=@example.com", b"@relay.example,@b:alice@example.com")
    else:
        assert reply.startswith(("501 5", "500 5", "550 5", "553 5"))


async def test_connections_above_the_limit_wait_unrefused_and_are_served_in_turn(tmp_path: Path) -> None:
    offload = Offload(1, 10)
    server = LmtpServer(LmtpSettings(max_connections=2), MemoryAgent(), hostname="mx", offload=offload)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))
        listening.listen(8)
        server.serve([listening])
        clients = [Client(*await asyncio.open_unix_connection(str(tmp_path / "sock"))) for _ in range(3)]
        first = [await client.codes(1) for client in clients[:2]]
        third = asyncio.ensure_future(clients[2].codes(1))
        await asyncio.sleep(0)
        waited = not third.done() and server.connections == 2

        clients[0].send(b"QUIT\r\n")
        await clients[0].everything()

        assert first == [["220"], ["220"]]
        assert waited
        assert await third == ["220"]
        for client in clients:
            client.writer.close()
        await server.close()
    offload.close()


async def test_a_line_without_end_is_refused_once_and_ends_the_connection_when_it_goes_on() -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(b"NOOP " + b"x" * 5000)
        first = await client.codes(1)
        client.send(b"x" * 70_000 + b"\r\n")

        last = await client.everything()

    assert first[0].startswith("500 5")
    assert last.startswith("421 4.7.0")


async def test_long_lines_of_one_connection_change_nothing_for_another() -> None:
    async with rig() as made:
        one, two = [await (await made.connect()).greeted() for _ in range(2)]
        long = b"RCPT TO:<alice@example.com> ORCPT=rfc822;" + b"x" * 400 + b"@example.com\r\n"
        one.send(b"MAIL FROM:<>\r\n" + long)
        two.send(b"NOOP " + b"y" * 4200 + b"\r\nNOOP\r\n")

        codes = [await one.codes(2), await two.codes(2)]

    assert codes[0] == ["250 2.1.0", "250 2.1.5"]
    assert codes[1][0].startswith("500 5")
    assert codes[1][1] == "250 2.0.0"


async def test_the_last_chunk_for_nobody_gets_no_reply_and_its_octets_are_no_commands() -> None:
    async with rig() as made:
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<nobody@example.com>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")

        codes = await client.codes(3)

    assert codes == ["250 2.1.0", "550 5.1.1", "250 2.0.0"]
    assert made.agent.delivered == []


async def test_chunks_make_one_message_whatever_octets_they_hold() -> None:
    parts = [b"Subject: x\r\n", b"\r\n.\r\n\0", b"", b"bare\nlf\r"]
    async with rig() as made:
        client = await (await made.connect()).greeted()
        wire = b"MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\n"
        for part in parts[:-1]:
            wire += b"BDAT %d\r\n" % len(part) + part
        client.send(wire + b"BDAT %d LAST\r\n" % len(parts[-1]) + parts[-1])

        codes = await client.codes(8)

    assert codes == ["250 2.1.0", "250 2.1.5", "250 2.1.5", *["250 2.0.0"] * 3, "250 2.0.0", "250 2.0.0"]
    assert made.agent.delivered[0][1] == b"".join(parts)


async def test_every_reply_fits_what_exim_reads_whatever_a_peer_sends() -> None:
    async with rig() as made:
        client = await made.connect()
        client.send(
            b"LHLO " + b"h" * 1000 + b"\r\nMAIL FROM:<" + b"a" * 300 + b"@example.net>\r\nMAIL FROM:<>\r\n"
            b"RCPT TO:<no" + b"x" * 100 + b"@" + b"d" * 60 + b"." + b"e" * 60 + b".example>\r\n"
            b"VRFY " + b"v" * 2000 + b"\r\nXYZ" + b"z" * 1000 + b"\r\nQUIT\r\n"
        )

        lines = (await client.everything()).splitlines(keepends=True)

    assert len(lines) > 7
    assert max(len(line) for line in lines) <= 246
