"""Messages on their way in and out: staged ones, where they are to be put, what must be waited for, opened ones.

Everything blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName

__all__ = ["Body", "BodyFacts", "Filing", "StagedMessage", "Wait"]


class BodyFacts(NamedTuple):
    """What a reader is told of a message besides its octets."""

    octets: int
    """Size with every line end counted as CRLF."""

    sealed: bool


class Body(Protocol):
    """An opened message; stays readable after the message is expunged, until closed.  Use as a context manager."""

    @property
    def stored_octets(self) -> int:
        """Size of what is handed out."""
        ...

    @property
    def facts(self) -> BodyFacts | None:
        """What the store knew when it opened the message; None where its rows have to be asked."""
        ...

    def read(self, offset: int, octets: int) -> bytes:
        """Give at most ``octets`` octets from ``offset``; short only at the end.

        Raises:
            StoreError: the disk answers with an error.
        """
        ...

    def chunks(self) -> Iterator[bytes]:
        """Give the whole message in pieces of at most 64 KiB."""
        ...

    def fileno(self) -> int | None:
        """A read-only descriptor whose whole content is the message, owned by this object; None without one."""
        ...

    def close(self) -> None:
        """Give the file back; harmless to repeat."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class StagedMessage(Protocol):
    """A message on its way in: on disk and invisible.

    One thread at a time; a context manager that discards at its end.
    """

    @property
    def octets(self) -> int:
        """Octets written so far."""
        ...

    @property
    def header_block(self) -> bytes:
        """Header fields seen so far, at most 256 KiB, up to and with the empty line once that has come."""
        ...

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append octets, exactly as given.

        Raises:
            StoreError: :class:`DiskFull` or :class:`StoreUnavailable`; the message is then lost and only
                :meth:`discard` makes sense.
        """
        ...

    def chunks(self) -> Iterator[bytes]:
        """Give back what was written so far, as it would be stored, in pieces.

        Raises:
            StoreError: the message is lost, or the disk refuses.
        """
        ...

    def discard(self) -> None:
        """Give up what was staged and free its space; harmless to repeat, also after delivery."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Wait:
    """What a delivery has to wait for before it is durable.

    Whoever drives the delivery has the store that gave it settle it, then goes on; the waits of many deliveries settled
    at once cost little more than one.  The outcome, an error too, is for the delivery alone.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """One place where a staged message is to be put."""

    mailbox: MailboxId
    folder: FolderName
    flags: frozenset[str] = frozenset()
    """System flags with backslash."""

    keywords: frozenset[str] = frozenset()
    internal_date: float | None = None
    """Seconds since 1970 UTC; None means now."""
