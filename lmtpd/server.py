"""The server: sockets, limits, the sweep over deadlines, health of the store, shutdown."""

import asyncio
import contextlib
import ipaddress
import itertools
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final

from lmtpd import replies
from lmtpd.commands import RcptCommand
from lmtpd.house import Guest, SessionCounters, SessionEvent
from lmtpd.intake import Intake
from lmtpd.receiving import Receiving
from lmtpd.session import LmtpSession
from lmtpd.slots import MailboxSlots
from lmtpd.transaction import Statement
from msgstore.config.schema import LmtpSettings
from msgstore.model.address import MailboxId
from msgstore.model.envelope import Recipient
from msgstore.model.errors import ConfigError, MsgstoreError
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import DeliveryAgent
from msgstore.model.result import Filed
from msgstore.service.offload import Offload
from msgstore.service.together import Together
from msgstore.telemetry.log import logger

__all__ = ["LmtpServer", "NoCounters", "SessionCounters"]

log = logger(__name__)

KEYWORDS: Final = ("PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME")
TRUSTED_KEYWORDS: Final = (
    "XFORWARD NAME ADDR PROTO HELO IDENT",
    "XSEALED",
    "XCLIENT ADDR HELO NAME PROTO SESSION IDENT",
    "XSPAM",
)
"""The most wanted first: a long host name leaves no room for the last, which are understood all the same."""

FAILURES_TO_UNHEALTHY: Final = 3
"""Failed writes in a row; a failed fsync is final and must not be tried for ever."""

SLOT_WAIT_SECONDS: Final = 10.0
"""How long RCPT waits for a busy mailbox: far below every client's patience."""

ACCEPT_PAUSE_SECONDS: Final = 1.0
"""After an accept that failed for want of descriptors or memory."""

ABORT_SECONDS: Final = 0.5
"""How often, after the grace, connections without a delivery are cut until all deliveries are over."""

_UCRED: Final = struct.Struct("3i")


class NoCounters:
    """Counts nothing."""

    def count(self, event: SessionEvent) -> None:
        """Count nothing."""

    def set_connections(self, connections: int) -> None:
        """Remember nothing."""


class LmtpServer:
    """Serves LMTP on sockets that are given to it; made and used in the thread of one running event loop.

    ``probe`` is asked, in a worker thread, whether the store is really broken when three deliveries in a row failed;
    without one the failures themselves decide.  A store found broken is refused at MAIL until :meth:`clear_health`.
    ``tell`` is told in the loop where mail was put, after it was; it does not wait and does not fail.

    Raises:
        ConfigError: the host name is too long, or a trusted network cannot be read.
    """

    def __init__(
        self,
        settings: LmtpSettings,
        agent: DeliveryAgent,
        *,
        hostname: str,
        offload: Offload,
        counters: SessionCounters | None = None,
        probe: Callable[[], None] | None = None,
        tell: Callable[[Sequence[tuple[MailboxId, FolderName]]], None] | None = None,
        clock: Callable[[], float] | None = None,
        now: Callable[[], float] = time.time,
        slot_wait_seconds: float = SLOT_WAIT_SECONDS,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.settings: Final = settings
        self.agent: Final = agent
        self.hostname: Final = hostname
        self.offload: Final = offload
        self.commits: Final = Together(offload, agent.settle)
        self.counters: Final[SessionCounters] = counters or NoCounters()
        self.clock: Final = clock or self._loop.time
        self.now: Final = now
        self.max_message_octets: Final = settings.max_message_octets
        self.greeting: Final = replies.reply(220, hostname, "LMTP ready")
        self.slots: Final = MailboxSlots(settings.max_concurrent_per_mailbox, wait_seconds=slot_wait_seconds)
        self.is_draining = False
        self._probe = probe
        self._tell = tell
        self._filed: list[tuple[MailboxId, FolderName]] = []
        keywords = [*KEYWORDS, *(["DSN"] if settings.announce_dsn else []), f"SIZE {settings.max_message_octets}"]
        self._lhlo = replies.lhlo_reply(hostname, keywords)
        self._trusted_lhlo = self._lhlo
        for keyword in TRUSTED_KEYWORDS:
            with contextlib.suppress(ConfigError):
                self._trusted_lhlo = replies.lhlo_reply(hostname, [*keywords[:-1], keyword, keywords[-1]])
                keywords.insert(-1, keyword)
        self._networks = tuple(_network(text) for text in settings.trusted_networks)
        self._sessions: set[Guest] = set()
        self._intakes: set[Intake] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._listening: list[socket.socket] = []
        self._is_accepting = False
        self._opening: set[asyncio.Task[None]] = set()
        self._ids = itertools.count(1)
        self._id_prefix = f"{os.getpid():x}.{int(now()):x}."
        self._failures = 0
        self._is_unhealthy = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_seconds = max(0.01, min(5.0, settings.idle_seconds / 4, settings.delivery_seconds / 4))
        self._sweep_later()

    # For whoever runs the server.

    def serve(self, listening: Sequence[socket.socket]) -> None:
        """Accept connections from these sockets from now on; they stay their owner's."""
        for one in listening:
            one.setblocking(False)
        self._listening.extend(listening)
        self._accept_or_not()

    def serve_connection(self, connection: socket.socket) -> None:
        """Serve one connected socket, which is ours from now on."""
        connection.setblocking(False)
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._sessions)

    @property
    def is_unhealthy(self) -> bool:
        """Whether mail is refused because the store fails."""
        return self._is_unhealthy

    def clear_health(self) -> None:
        """Try the store again: an operator says that it is mended."""
        self._failures = 0
        self._is_unhealthy = False

    def sweep(self) -> None:
        """Look at every deadline now."""
        now = self.clock()
        for session in tuple(self._sessions):
            session.check(now)

    async def close(self) -> None:
        """Stop accepting, let what is going on finish within the grace, cut the rest, wait for every delivery.

        When this returns no worker thread works for the server any more.
        """
        self.is_draining = True
        self._accept_or_not()
        for session in tuple(self._sessions):
            session.drain()
        wait_seconds = self.settings.grace_seconds
        while not self._is_empty.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._is_empty.wait()
            wait_seconds = ABORT_SECONDS
            for session in tuple(self._sessions):
                if not session.is_delivering:
                    session.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    # For the sessions.

    def next_session_id(self) -> str:
        """Name a new connection."""
        return f"{self._id_prefix}{next(self._ids):x}"

    def lhlo_for(self, *, is_trusted: bool) -> bytes:
        """Give the answer to LHLO."""
        return self._trusted_lhlo if is_trusted else self._lhlo

    def statement_about(self, transport: asyncio.BaseTransport) -> Statement:
        """Say who is at the other end, by address or by the user id that the kernel vouches for. unix(7)."""
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and peer:
            address = _ip_address(str(peer[0]))  # pyright: ignore[reportUnknownArgumentType]
            trusted = any(address in network for network in self._networks)
            return Statement(is_trusted=trusted, address=str(address))
        if not self.settings.trusted_uids:
            return Statement()
        end = transport.get_extra_info("socket")
        credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return Statement(is_trusted=_UCRED.unpack(credentials)[1] in self.settings.trusted_uids)

    def refusal(self) -> bytes | None:
        """Give the reply to MAIL while no mail can be taken; a refusing greeting would hold back everything."""
        if self._is_unhealthy:
            self.counters.count("unhealthy")
            return replies.UNHEALTHY
        if self.offload.is_full:
            self.counters.count("overloaded")
            return replies.OVERLOADED
        return None

    def lookup(self, command: RcptCommand, octets: int | None) -> Recipient:
        """Resolve a recipient of a message that is perhaps this large; in a worker thread."""
        return self.agent.accept(
            command.forward_path,
            orcpt=command.orcpt,
            notify=command.notify,
            octets=octets,
            ignores_quota=command.ignores_quota,
        )

    def session_began(self, session: Guest) -> None:
        """A connection is open."""
        self._sessions.add(session)
        self._is_empty.clear()
        self.counters.count("connection")
        self.counters.set_connections(len(self._sessions))

    def session_ended(self, session: Guest, error: Exception | None) -> None:
        """A connection is gone; the next one may be accepted."""
        self._sessions.discard(session)
        self.counters.set_connections(len(self._sessions))
        if error is not None:
            log.debug("lmtp.connection_lost", reason=str(error))
        self._note_empty()
        self._accept_or_not()

    def intake_began(self, intake: Intake) -> None:
        """Own a delivery."""
        self._intakes.add(intake)
        self._is_empty.clear()

    def intake_ended(self, intake: Intake, mailboxes: Sequence[MailboxId]) -> None:
        """Let go of a delivery."""
        self._intakes.discard(intake)
        for mailbox in mailboxes:
            self.slots.release(mailbox)
        self._note_empty()

    def filed(self, places: Sequence[Filed]) -> None:
        """Tell whoever watches, once for all messages that end in this turn of the loop."""
        if self._tell is None or not places:
            return
        if not self._filed:
            self._loop.call_soon(self._tell_filed)
        self._filed.extend((place.mailbox, place.folder) for place in places)

    def _tell_filed(self) -> None:
        filed, self._filed = self._filed, []
        if self._tell is not None:
            self._tell(filed)

    def store_answered(self, *, is_unavailable: bool) -> None:
        """Count failures in a row."""
        if not is_unavailable:
            self._failures = 0
            return
        self._failures += 1
        if self._failures < FAILURES_TO_UNHEALTHY or self._is_unhealthy:
            return
        if self._probe is None:
            self._set_unhealthy(None)
            return
        try:
            self.offload.submit(self._probe).add_done_callback(self._probed)
        except MsgstoreError as error:
            log.warning("lmtp.probe_delayed", reason=str(error))

    def _probed(self, job: asyncio.Future[None]) -> None:
        error = job.exception()
        if error is None:
            self._failures = 0
        else:
            self._set_unhealthy(error)

    def _set_unhealthy(self, error: BaseException | None) -> None:
        self._is_unhealthy = True
        log.error("lmtp.store_unhealthy", error=error, failures=self._failures)

    # Accepting: connections above the limit stay in the listen queue, where clients wait without being refused.

    def _accept_or_not(self) -> None:
        in_use = len(self._sessions) + len(self._opening)
        wanted = not self.is_draining and in_use < self.settings.max_connections and bool(self._listening)
        if wanted == self._is_accepting:
            return
        self._is_accepting = wanted
        for one in self._listening:
            if wanted:
                self._loop.add_reader(one, self._accept, one)
            else:
                self._loop.remove_reader(one)

    def _accept(self, listening: socket.socket) -> None:
        """Take one connection at a time, so that the workers share them out evenly."""
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.error("lmtp.accept_failed", error=error)  # noqa: TRY400 - the event logger adds the trace
            self._loop.remove_reader(listening)
            self._loop.call_later(ACCEPT_PAUSE_SECONDS, self._accept_again, listening)
            return
        self.serve_connection(connection)
        self._accept_or_not()

    def _accept_again(self, listening: socket.socket) -> None:
        if self._is_accepting:
            self._loop.add_reader(listening, self._accept, listening)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: Receiving(LmtpSession(self, self._loop)), connection)
        except OSError as error:
            connection.close()
            log.debug("lmtp.connection_lost", reason=str(error))

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("lmtp.session_crashed", error=error)
        self._note_empty()
        self._accept_or_not()

    def _note_empty(self) -> None:
        if not (self._sessions or self._intakes or self._opening):
            self._is_empty.set()

    def _sweep_later(self) -> None:
        self._sweeper = self._loop.call_later(self._sweep_seconds, self._sweep_and_go_on)

    def _sweep_and_go_on(self) -> None:
        self.sweep()
        self._sweep_later()


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read a peer's address; a socket for both families shows IPv4 in the clothes of IPv6. RFC 4291 §2.5.5.2."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return address if address.version == 4 else address.ipv4_mapped or address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError((f"lmtp.trusted_networks: {text!r} is not a network",)) from error
