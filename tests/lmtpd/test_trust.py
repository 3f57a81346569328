"""What a trusted peer may say of its client, and what anybody else may not."""

import asyncio
import os
import socket

import pytest

from lmtpd import replies
from lmtpd.server import LmtpServer
from msgstore.config.schema import LmtpSettings
from msgstore.model.envelope import SpamVerdict
from msgstore.model.errors import ConfigError
from msgstore.service.offload import Offload
from tests.lmtpd.house_double import MemoryAgent, Rig, rig

OURS = LmtpSettings(trusted_uids=(os.getuid(),), grace_seconds=5)
MESSAGE = b"MAIL FROM:<>\r\nRCPT TO:<u1@d.example>\r\nDATA\r\nx\r\n.\r\n"


async def deliver(made: Rig, before: bytes) -> list[tuple[str | None, str | None, str | None, str | None]]:
    """Say ``before`` and deliver two messages; give what each envelope says of the client."""
    client = await (await made.connect()).greeted()
    client.send(before + MESSAGE * 2 + b"QUIT\r\n")
    await client.everything()
    return [
        (envelope.client.helo, envelope.client.address, envelope.client.name, envelope.transaction)
        for envelope, _ in made.agent.delivered
    ]


async def test_xforward_of_a_trusted_peer_holds_for_one_message() -> None:
    async with rig(OURS) as made:
        said = await deliver(
            made, b"XFORWARD NAME=mx.example.net ADDR=IPv6:2001:DB8::1 PORT=25\r\nXFORWARD HELO=hi IDENT=Q1\r\n"
        )

    assert said == [("hi", "2001:db8::1", "mx.example.net", "Q1"), ("me", None, None, None)]


async def test_xclient_of_a_trusted_peer_holds_for_the_connection_and_asks_for_lhlo_again() -> None:
    async with rig(OURS) as made:
        client = await (await made.connect()).greeted()
        client.send(b"XCLIENT ADDR=192.0.2.1 HELO=[UNAVAILABLE] SESSION=S1\r\nMAIL FROM:<>\r\nLHLO again\r\n")
        client.send(MESSAGE * 2)

        codes = await client.codes(11)

    assert codes[:3] == ["220", "503 5.5.1", "250"]
    assert [(e.client.address, e.client.helo, e.client.session_id) for e, _ in made.agent.delivered] == [
        ("192.0.2.1", None, "S1")
    ] * 2


async def test_a_trusted_peer_says_nothing_of_its_client_inside_a_transaction() -> None:
    async with rig(OURS) as made:
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<>\r\nXFORWARD NAME=x\r\nXCLIENT NAME=x\r\n")

        assert await client.codes(3) == ["250 2.1.0", "503 5.5.1", "503 5.5.1"]


async def test_another_user_is_not_trusted_and_is_offered_nothing() -> None:
    async with rig(LmtpSettings(trusted_uids=(os.getuid() + 1,), grace_seconds=5)) as made:
        client = await made.connect()
        client.send(b"LHLO me\r\nXFORWARD NAME=x\r\nXCLIENT NAME=x\r\nMAIL FROM:<>\r\n")
        client.send(b"RCPT TO:<u@d.example> IGNOREQUOTA\r\nQUIT\r\n")

        text = await client.everything()

    assert "XCLIENT" not in text
    assert [line[:10] for line in text.splitlines()[-5:]] == [
        "550 5.7.14", "550 5.7.14", "250 2.1.0 ", "555 5.5.4 ", "221 2.0.0 ",
    ]  # fmt: skip


async def test_a_scanners_verdict_is_believed_from_a_trusted_peer() -> None:
    async with rig(OURS) as made:
        client = await (await made.connect()).greeted()
        client.send(MESSAGE.replace(b"<>", b"<> XSPAM=yes,15.25,rspamd,flag"))
        client.send(MESSAGE.replace(b"<>", b"<a@b> XSPAM=NO,-1"))
        client.send(MESSAGE)
        client.send(b"MAIL FROM:<> XSPAM=maybe\r\nQUIT\r\n")
        text = await client.everything()

    assert [envelope.spam for envelope, _ in made.agent.delivered] == [
        SpamVerdict(is_spam=True, score=15.25, checker="rspamd", action="flag"),
        SpamVerdict(is_spam=False, score=-1.0),
        None,
    ]
    assert text.splitlines()[-2].startswith("501 5.5.4")


async def test_a_scanners_verdict_is_refused_from_anybody_else_and_a_header_is_none() -> None:
    async with rig(LmtpSettings(trusted_uids=(os.getuid() + 1,), grace_seconds=5)) as made:
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<> XSPAM=NO,0\r\n" + MESSAGE.replace(b"\r\nx\r\n", b"\r\nX-Spam-Flag: NO\r\n\r\nx\r\n"))
        codes = await client.codes(5)

    assert codes[0] == "555 5.5.4"
    assert [envelope.spam for envelope, _ in made.agent.delivered] == [None]


@pytest.mark.parametrize(("host", "networks"), [("127.0.0.1", "127.0.0.0/8"), ("::ffff:127.0.0.1", "127.0.0.0/8")])
async def test_a_tcp_peer_is_known_by_its_address_however_the_socket_shows_it(host: str, networks: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    async with rig(LmtpSettings(trusted_networks=(networks,), grace_seconds=5)) as made:
        with socket.socket(family) as listening, socket.socket(family) as mine:
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listening.bind((host, 0))
            listening.listen(1)
            mine.connect(listening.getsockname())
            made.server.serve_connection(listening.accept()[0])
            mine.sendall(b"LHLO me\r\n" + MESSAGE + b"XFORWARD NAME=x\r\nQUIT\r\n")
            text = b""
            mine.setblocking(False)
            while chunk := await asyncio.get_running_loop().sock_recv(mine, 4096):
                text += chunk

    assert text.endswith(b"250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n")
    assert [envelope.client.address for envelope, _ in made.agent.delivered] == ["127.0.0.1"]


def longest_host_name(settings: LmtpSettings, offload: Offload) -> LmtpServer:
    for octets in range(200, 0, -1):
        try:
            return LmtpServer(settings, MemoryAgent(), hostname="x" * octets, offload=offload)
        except ConfigError:
            continue
    raise AssertionError("no host name is short enough")


@pytest.mark.parametrize("settings", [OURS, LmtpSettings(announce_dsn=True, max_message_octets=10**12)])
async def test_greeting_and_lhlo_fit_into_what_exim_reads_with_the_longest_host_name(settings: LmtpSettings) -> None:
    offload = Offload(1, 1)
    server = longest_host_name(settings, offload)

    answers = [server.greeting, server.lhlo_for(is_trusted=False), server.lhlo_for(is_trusted=True)]

    assert max(len(answer) for answer in answers) <= replies.LHLO_LIMIT_OCTETS < 246
    await server.close()
    offload.close()
