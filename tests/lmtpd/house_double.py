"""An agent in memory and a client on a socket pair, for the tests of lmtpd."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from lmtpd.server import LmtpServer, SessionCounters
from lmtpd.session import LmtpSession
from msgstore.config.schema import LmtpSettings
from msgstore.model.address import Address, MailboxId
from msgstore.model.envelope import Envelope, Recipient
from msgstore.model.errors import MsgstoreError, StoreUnavailable, UserNotFound
from msgstore.model.interfaces import IncomingMessage, Wait
from msgstore.model.result import OK, DeliveryId, DeliveryResult, Outcome
from msgstore.service.offload import Offload

__all__ = ["Client", "MemoryAgent", "Rig", "rig"]


class Pause(Wait):
    """What a commit waits for between two results."""

    __slots__ = ()


@dataclass
class MemoryAgent:
    """Keeps messages in a list; what it does wrong is set by the test."""

    remembers: bool = True
    """Whether recall answers."""

    delivered: list[tuple[Envelope, bytes]] = field(default_factory=list[tuple[Envelope, bytes]])
    aborted: int = 0
    commit_error: BaseException | None = None
    write_error: MsgstoreError | None = None
    accept_error: BaseException | None = None
    gate: threading.Event | None = None
    """Commits wait for it."""

    began: threading.Event = field(default_factory=threading.Event)
    """Set when a commit has begun."""

    between: Callable[[], None] | None = None
    """Waited for after each result."""

    keeps: bool = True
    asked: list[tuple[int | None, bool]] = field(default_factory=list[tuple[int | None, bool]])
    """Size and IGNOREQUOTA of each recipient."""

    def recall(
        self,
        forward_path: Address,
        *,
        orcpt: str | None = None,
        notify: tuple[str, ...] = (),
        ignores_quota: bool = False,
    ) -> Recipient | None:
        if not self.remembers:
            return None
        return self.accept(forward_path, orcpt=orcpt, notify=notify, ignores_quota=ignores_quota)

    def accept(
        self,
        forward_path: Address,
        *,
        orcpt: str | None = None,
        notify: tuple[str, ...] = (),
        octets: int | None = None,
        ignores_quota: bool = False,
    ) -> Recipient:
        self.asked.append((octets, ignores_quota))
        if self.accept_error is not None:
            raise self.accept_error
        if forward_path.local_part.startswith("no"):
            raise UserNotFound(str(forward_path))
        mailbox = MailboxId(forward_path.local_part.lower(), forward_path.domain or "example.com")
        return Recipient(forward_path=forward_path, mailbox=mailbox, orcpt=orcpt, notify=notify)

    def open(self, envelope: Envelope) -> IncomingMessage:
        return _Incoming(self, envelope)

    def deliver(self, envelope: Envelope, message: Iterator[bytes]) -> tuple[DeliveryResult, ...]:
        incoming = self.open(envelope)
        for chunk in message:
            incoming.write(chunk)
        return incoming.commit()

    def settle(self, waits: Sequence[Wait]) -> None:
        for wait in waits:
            assert isinstance(wait, Pause)
            assert self.between is not None
            self.between()


class _Incoming:
    def __init__(self, agent: MemoryAgent, envelope: Envelope) -> None:
        self._agent = agent
        self._envelope = envelope
        self._octets = bytearray()
        self.delivery_ids = tuple(f"T.{index}" for index, _ in enumerate(envelope.recipients, 1))

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if self._agent.write_error is not None:
            raise self._agent.write_error
        if self._agent.keeps:
            self._octets += chunk

    def commit(self, report: Callable[[DeliveryResult], None] | None = None) -> tuple[DeliveryResult, ...]:
        steps = self.commit_in_steps(report)
        while True:
            try:
                self._agent.settle([next(steps)])
            except StopIteration as end:
                results: tuple[DeliveryResult, ...] = end.value
                return results

    def commit_in_steps(
        self, report: Callable[[DeliveryResult], None] | None = None
    ) -> Generator[Wait, None, tuple[DeliveryResult, ...]]:
        agent = self._agent
        agent.began.set()
        if agent.gate is not None:
            agent.gate.wait()
        if agent.commit_error is not None:
            raise agent.commit_error
        if agent.keeps:
            agent.delivered.append((self._envelope, bytes(self._octets)))
        results: list[DeliveryResult] = []
        for index, recipient in enumerate(self._envelope.recipients):
            result = self._result(index, recipient)
            results.append(result)
            if report is not None:
                report(result)
            if agent.between is not None:
                yield Pause()
        return tuple(results)

    def _result(self, index: int, recipient: Recipient) -> DeliveryResult:
        if recipient.mailbox.local_part.startswith("full"):
            return self._failed(index, StoreUnavailable("full"))
        return DeliveryResult(
            forward_path=recipient.forward_path,
            outcome=Outcome.STORED,
            reply_code=250,
            status=OK,
            text="Saved",
            delivery_id=DeliveryId(self.delivery_ids[index]),
        )

    def _failed(self, index: int, error: BaseException) -> DeliveryResult:
        known = error if isinstance(error, MsgstoreError) else MsgstoreError(str(error))
        return DeliveryResult(
            forward_path=self._envelope.recipients[index].forward_path,
            outcome=Outcome.REJECTED if known.reply_code >= 500 else Outcome.FAILED,
            reply_code=known.reply_code,
            status=known.status,
            text=known.reply_text,
            delivery_id=DeliveryId(self.delivery_ids[index]),
        )

    def fail(self, error: BaseException) -> tuple[DeliveryResult, ...]:
        return tuple(self._failed(index, error) for index in range(len(self._envelope.recipients)))

    def abort(self) -> None:
        self._agent.aborted += 1


@dataclass
class Client:
    """The other end of a session."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def lines(self, count: int) -> list[str]:
        """Read that many reply lines."""
        return [(await self.reader.readuntil(b"\r\n")).decode().rstrip("\r\n") for _ in range(count)]

    async def codes(self, count: int) -> list[str]:
        """Read that many final reply lines and give their code and status."""
        found: list[str] = []
        while len(found) < count:
            (line,) = await self.lines(1)
            if line[3] == " ":
                found.append(line[:9].rstrip() if line[4:5].isdigit() else line[:3])
        return found

    async def everything(self) -> str:
        """Read until the server closes."""
        return (await self.reader.read()).decode()

    def send(self, octets: bytes) -> None:
        """Write."""
        self.writer.write(octets)

    async def greeted(self, lhlo: bytes = b"LHLO me\r\n") -> "Client":
        """Get over greeting and LHLO."""
        self.send(lhlo)
        await self.codes(2)
        return self


class Rig:
    """A server and its clients."""

    def __init__(self, server: LmtpServer, agent: MemoryAgent, offload: Offload) -> None:
        self.server = server
        self.agent = agent
        self.offload = offload
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        """Open one more connection."""
        mine, theirs = socket.socketpair()
        self.server.serve_connection(theirs)
        return await self._client(mine)

    async def session(self) -> tuple[LmtpSession, Client]:
        """Open a connection, LHLO said, and give both ends: octets given to the session have come in just that cut."""
        mine, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        session = LmtpSession(self.server, loop)
        await loop.connect_accepted_socket(lambda: session, theirs)
        session.data_received(b"LHLO me\r\n")
        return session, await self._client(mine)

    async def _client(self, connection: socket.socket) -> Client:
        connection.setblocking(False)
        client = Client(*await asyncio.open_connection(sock=connection))
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """End clients, then server."""
        for client in self._clients:
            client.writer.close()
        if self.agent.gate is not None:
            self.agent.gate.set()
        await self.server.close()
        self.offload.close()


@contextlib.asynccontextmanager
async def rig(
    settings: LmtpSettings | None = None,
    agent: MemoryAgent | None = None,
    *,
    clock: Callable[[], float] | None = None,
    slot_wait_seconds: float = 10.0,
    queue_limit: int = 100,
    threads: int = 2,
    counters: SessionCounters | None = None,
) -> AsyncGenerator[Rig]:
    """Make a server on socket pairs."""
    agent = agent or MemoryAgent()
    offload = Offload(threads, queue_limit)
    server = LmtpServer(
        settings or LmtpSettings(grace_seconds=5.0),
        agent,
        hostname="mx.example.com",
        offload=offload,
        clock=clock,
        counters=counters,
        slot_wait_seconds=slot_wait_seconds,
    )
    made = Rig(server, agent, offload)
    try:
        yield made
    finally:
        await made.close()
