"""From LMTP through the real agent to a real SMTP server."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from lmtpd.server import LmtpServer
from msgstore.config.loader import settings_from
from msgstore.service.offload import Offload
from msgstore.wiring import DeliveryParts, build_delivery
from tests.lmtpd.house_double import Client

FORWARDS = "away:x@far.example\nboth:alice@example.com,x@far.example,y@far.example\nalias:alice@example.com\n"
DATA = b"DATA\r\nSubject: hi\r\n\r\n..dot\r\n.\r\n"


@dataclass
class Sink:
    """Takes mail, but not for some."""

    refused: dict[str, str] = field(default_factory=dict[str, str])
    taken: list[tuple[str | None, list[str], bytes]] = field(default_factory=list[tuple[str | None, list[str], bytes]])

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.taken.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 Queued"


@dataclass
class House:
    sink: Sink
    parts: DeliveryParts
    server: LmtpServer
    root: Path

    async def say(self, *recipients: str) -> list[str]:
        """Deliver one message and give the replies to RCPT and to its end."""
        mine, theirs = socket.socketpair()
        self.server.serve_connection(theirs)
        mine.setblocking(False)
        client = await Client(*await asyncio.open_connection(sock=mine)).greeted()
        client.send(b"MAIL FROM:<bob@example.net>\r\n")
        await client.codes(1)
        client.send(b"".join(b"RCPT TO:<%s>\r\n" % one.encode() for one in recipients))
        told = await client.codes(len(recipients))
        accepted = sum(code.startswith("250") for code in told)
        if accepted:
            client.send(DATA)
            told += (await client.codes(1 + accepted))[1:]
        client.writer.close()
        return told

    def stored(self, name: str) -> int:
        """Count the messages of a user."""
        new = self.root / "example.com" / "users" / name / "new"
        return len(list(new.iterdir())) if new.is_dir() else 0


@asynccontextmanager
async def house_in(tmp_path: Path, *, listens: bool = True) -> AsyncGenerator[House]:
    (tmp_path / "example.com").mkdir()
    (tmp_path / "example.com" / "passwd").write_text("alice:h:alice\n")
    (tmp_path / "example.com" / "forwards").write_text(FORWARDS)
    path = str(tmp_path / "smtp.sock")
    sink = Sink()
    settings = settings_from(
        {"data_dir": str(tmp_path), "outbound": {"target": f"unix:{path}", "hostname": "store.example.com"}}
    )
    loop = asyncio.get_running_loop()
    smtp = None
    if listens:
        smtp = await loop.create_unix_server(
            lambda: SMTP(sink, hostname="mx.example.net", enable_SMTPUTF8=True, loop=loop), path
        )
    parts, offload = build_delivery(settings), Offload(4, 100)
    server = LmtpServer(settings.lmtp, parts.agent, hostname="store.example.com", offload=offload)
    try:
        yield House(sink, parts, server, tmp_path)
    finally:
        await server.close()
        offload.close()
        parts.close()
        if smtp is not None:
            smtp.close()


async def test_mail_for_an_address_elsewhere_is_sent_there(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        told = await house.say("away@example.com", "alias@example.com")

        assert told == ["250 2.1.5", "250 2.1.5", "250 2.0.0", "250 2.0.0"]
        ((mail_from, rcpts, content),) = house.sink.taken
        assert (mail_from, rcpts) == ("bob@example.net", ["x@far.example"])
        assert content.startswith(b"Delivered-To: away@example.com\r\n")
        assert content.endswith(b"Subject: hi\r\n\r\n.dot\r\n")
        assert house.stored("alice") == 1
        page = house.parts.metrics.snapshot()
        assert b'"event": "sent_on"}, 1.0]' in page


async def test_a_recipient_with_several_targets_has_one_reply(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        assert await house.say("both@example.com") == ["250 2.1.5", "250 2.0.0"]

        assert [rcpts for _, rcpts, _ in house.sink.taken] == [["x@far.example", "y@far.example"]]
        assert house.stored("alice") == 1


async def test_where_one_target_is_refused_nothing_is_done(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        house.sink.refused = {"y@far.example": "451 4.7.1 Later"}
        assert await house.say("both@example.com") == ["250 2.1.5", "451 4.4.0"]
        house.sink.refused = {"y@far.example": "550 5.1.1 Never"}
        assert await house.say("both@example.com") == ["250 2.1.5", "550 5.1.1"]

        assert (house.sink.taken, house.stored("alice")) == ([], 0)


async def test_while_the_server_is_away_mail_waits_and_local_mail_does_not(tmp_path: Path) -> None:
    async with house_in(tmp_path, listens=False) as house:
        told = await house.say("both@example.com", "alice@example.com")

        assert told == ["250 2.1.5", "250 2.1.5", "451 4.4.0", "250 2.0.0"]
        assert house.stored("alice") == 1
