"""The interfaces the programs and the library meet at; every backend and every double satisfies one of these.

Those of keeping mail stand in :mod:`msgstore.model.bodies`, :mod:`msgstore.model.mailbox` and
:mod:`msgstore.model.store`, and are given here too.  All of them block.  They may be called from any thread; one
object's methods may run in several threads at once unless its docstring says otherwise.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Protocol

from msgstore.model.address import Address
from msgstore.model.bodies import Body, BodyFacts, Filing, StagedMessage, Wait
from msgstore.model.envelope import ClientIdentity, Envelope, Recipient
from msgstore.model.mailbox import Folder, FolderTree, Hold
from msgstore.model.result import DeliveryResult
from msgstore.model.store import MessageStore
from msgstore.model.submission import Submission
from msgstore.model.user import User

__all__ = [
    "AuthProvider",
    "Body",
    "BodyFacts",
    "Clock",
    "DeliveryAgent",
    "Filing",
    "Folder",
    "FolderTree",
    "Hold",
    "IncomingMessage",
    "MessageStore",
    "Outbound",
    "StagedMessage",
    "Submission",
    "Wait",
]


class Clock(Protocol):
    """Where time comes from; tests pass their own."""

    def time(self) -> float:
        """Seconds since 1970 UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class IncomingMessage(Protocol):
    """One message whose recipients are known and whose octets are coming.  One thread at a time."""

    @property
    def delivery_ids(self) -> tuple[str, ...]:
        """One id per recipient, in RCPT order."""
        ...

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append octets of the message.

        Raises:
            StoreError: the message cannot be staged; :meth:`fail` then gives the results.
            Overloaded: it would have to be held in memory, and too much is held already; likewise.
        """
        ...

    def commit(self, report: Callable[[DeliveryResult], None] | None = None) -> tuple[DeliveryResult, ...]:
        """Deliver to every recipient; never raises for trouble of one of them.

        ``report`` is called from this thread with each result in RCPT order as soon as it and all before it are final.
        Successes are durable by then.
        """
        ...

    def commit_in_steps(
        self, report: Callable[[DeliveryResult], None] | None = None
    ) -> Generator[Wait, None, tuple[DeliveryResult, ...]]:
        """Like :meth:`commit`, stopping where the disk must be waited for; see ``MessageStore.deliver_in_steps``."""
        ...

    def fail(self, error: BaseException) -> tuple[DeliveryResult, ...]:
        """Discard the message and answer every recipient with ``error``; unknown errors are temporary."""
        ...

    def abort(self) -> None:
        """Discard the message without any result: the client went away before its end."""
        ...


class DeliveryAgent(Protocol):
    """Takes accepted messages to where they belong."""

    def accept(
        self,
        forward_path: Address,
        *,
        orcpt: str | None = None,
        notify: tuple[str, ...] = (),
        octets: int | None = None,
        ignores_quota: bool = False,
    ) -> Recipient:
        """Resolve one recipient of a message whose size may be known already.

        Raises:
            QuotaExceeded: the mailbox has no room for it.
            DomainNotHosted, UserNotFound, MailboxDisabled: it cannot be served.
            DirectoryUnavailable: it cannot be looked up now.
            InvalidAddress: it cannot name a mailbox.
        """
        ...

    def recall(
        self,
        forward_path: Address,
        *,
        orcpt: str | None = None,
        notify: tuple[str, ...] = (),
        ignores_quota: bool = False,
    ) -> Recipient | None:
        """Like :meth:`accept`, from memory alone and without any wait; None when that is not enough to say."""
        ...

    def open(self, envelope: Envelope) -> IncomingMessage:
        """Begin to take a message; touches no disk yet."""
        ...

    def deliver(self, envelope: Envelope, message: Iterator[bytes]) -> tuple[DeliveryResult, ...]:
        """Take a whole message: open, write, commit."""
        ...

    def settle(self, waits: Sequence[Wait]) -> None:
        """Do what commits in steps wait for."""
        ...


class Outbound(Protocol):
    """Sends mail on: redirects, forwards, replies and reports."""

    def submit(self, submission: Submission, message: Iterable[bytes]) -> None:
        """Hand a message over for every recipient of it, or for none; on return the other side answers for it.

        ``message`` is the whole message with CRLF or LF line ends, in pieces of any size.  It may be asked for more
        than once and begins anew each time.  Ends within a bounded time.

        Raises:
            OutboundUnavailable: it cannot be taken now, for one recipient or for all.
            OutboundRefused: it will never be taken for one recipient or for all.
        """
        ...


class AuthProvider(Protocol):
    """Says who somebody is."""

    def authenticate(self, username: str, password: bytearray, client: ClientIdentity) -> User:
        """Check a password.

        Raises:
            AuthFailed: unknown user or wrong password, without telling which in its text.
            DomainNotHosted: the domain is not ours.
            RateLimited: too many failures before.
            DirectoryUnavailable: users cannot be looked up now.
        """
        ...

    def lookup(self, address: Address) -> User:
        """Find the user an address belongs to, its detail ignored.

        Raises:
            DomainNotHosted, UserNotFound, DirectoryUnavailable, InvalidAddress: as the names say.
        """
        ...
