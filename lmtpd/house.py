"""What every session of one server shares, seen from a session."""

import asyncio
from typing import Literal, Protocol

from lmtpd.commands import RcptCommand
from lmtpd.intake import IntakeHouse
from lmtpd.slots import MailboxSlots
from lmtpd.transaction import Statement
from msgstore.config.schema import LmtpSettings
from msgstore.model.envelope import Recipient

__all__ = ["Guest", "House", "SessionCounters", "SessionEvent"]

SessionEvent = Literal["connection", "idle", "error", "nul", "bare_lf", "overloaded", "unhealthy"]
"""What is counted about connections: a bounded set, fit for a label."""


class SessionCounters(Protocol):
    """Where events of connections are counted."""

    def count(self, event: SessionEvent) -> None:
        """Count one event."""
        ...

    def set_connections(self, connections: int) -> None:
        """Say how many connections are open now."""
        ...


class Guest(Protocol):
    """A session, seen from the server."""

    @property
    def is_delivering(self) -> bool:
        """Whether replies for a message are due."""
        ...

    def check(self, now: float) -> None:
        """Act on a deadline that has passed."""
        ...

    def drain(self) -> None:
        """End as soon as nothing is going on."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...


class House(IntakeHouse, Protocol):
    """The server, seen from a session; everything in the thread of the loop unless said otherwise."""

    @property
    def settings(self) -> LmtpSettings:
        """Limits."""
        ...

    @property
    def hostname(self) -> str:
        """Name of this machine."""
        ...

    @property
    def greeting(self) -> bytes:
        """First line of a connection."""
        ...

    @property
    def slots(self) -> MailboxSlots:
        """Deliveries to one mailbox."""
        ...

    @property
    def counters(self) -> SessionCounters:
        """Where events are counted."""
        ...

    @property
    def is_draining(self) -> bool:
        """Whether the end has begun."""
        ...

    def clock(self) -> float:
        """Seconds that never go back."""
        ...

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        ...

    def next_session_id(self) -> str:
        """Name a new connection."""
        ...

    def lhlo_for(self, *, is_trusted: bool) -> bytes:
        """Give the answer to LHLO."""
        ...

    def statement_about(self, transport: asyncio.BaseTransport) -> Statement:
        """Say who is at the other end of a socket."""
        ...

    def refusal(self) -> bytes | None:
        """Give the reply to MAIL while no mail can be taken; None otherwise."""
        ...

    def lookup(self, command: RcptCommand, octets: int | None) -> Recipient:
        """Resolve a recipient of a message that is perhaps this large; in a worker thread."""
        ...

    def session_began(self, session: Guest) -> None:
        """A connection is open."""
        ...

    def session_ended(self, session: Guest, error: Exception | None) -> None:
        """A connection is gone."""
        ...
