"""LMTP, the real agent and a real SMTP server."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from lmtpd.server import LmtpServer
from msgstore.config.loader import settings_from
from msgstore.model.address import MailboxId
from msgstore.service.offload import Offload
from msgstore.wiring import DeliveryParts, build_delivery
from tests.lmtpd.house_double import Client

__all__ = ["House", "Sink", "house_in"]

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

    @property
    def alice(self) -> MailboxId:
        """The mailbox of one user."""
        return MailboxId("alice", "example.com")

    async def client(self) -> Client:
        """Connect."""
        mine, theirs = socket.socketpair()
        self.server.serve_connection(theirs)
        mine.setblocking(False)
        return await Client(*await asyncio.open_connection(sock=mine)).greeted()

    async def say(self, *recipients: str, data: bytes = DATA) -> list[str]:
        """Deliver one message and give the replies to RCPT and to its end."""
        client = await self.client()
        client.send(b"MAIL FROM:<bob@example.net>\r\n")
        await client.codes(1)
        client.send(b"".join(b"RCPT TO:<%s>\r\n" % one.encode() for one in recipients))
        told = await client.codes(len(recipients))
        accepted = sum(code.startswith("250") for code in told)
        if accepted:
            client.send(data)
            told += (await client.codes(1 + accepted))[1:]
        client.writer.close()
        return told

    def stored(self, name: str, folder: str = "") -> int:
        """Count the unread messages of a user, in INBOX or the folder."""
        box = self.root / "example.com" / "users" / name
        new = (box / f".{folder}" if folder else box) / "new"
        return len(list(new.iterdir())) if new.is_dir() else 0


@asynccontextmanager
async def house_in(
    tmp_path: Path, *, listens: bool = True, script: str = "", **sections: object
) -> AsyncGenerator[House]:
    """Open a house; one that was closed may be opened again.  ``script`` is that of the domain for its users.

    ``sections`` are added to the settings.
    """
    domain = tmp_path / "example.com"
    domain.mkdir(exist_ok=True)
    (domain / "passwd").write_text("alice:h:alice\nbob:h:bob\n")
    (domain / "forwards").write_text(FORWARDS)
    if script:
        (domain / "system.sieve").write_text(script)
    path = str(tmp_path / "smtp.sock")
    sink = Sink()
    settings = settings_from(
        {
            "data_dir": str(tmp_path),
            "outbound": {"target": f"unix:{path}", "hostname": "store.example.com"},
            **sections,
        }
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
