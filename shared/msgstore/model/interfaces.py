"""The interfaces the programs and the library meet at; every backend and every double satisfies one of these.

All of them block.  They may be called from any thread; one object's methods may run in several threads at once unless
its docstring says otherwise.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from msgstore.model.address import Address, MailboxId
from msgstore.model.envelope import ClientIdentity, Envelope, Recipient
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import FolderInfo, FolderName, FolderStatus, SpecialUse
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.result import DeliveryResult, Filed
from msgstore.model.user import User

__all__ = [
    "AuthProvider",
    "Body",
    "Clock",
    "DeliveryAgent",
    "Filing",
    "Folder",
    "FolderTree",
    "Hold",
    "IncomingMessage",
    "MessageStore",
    "StagedMessage",
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


class Body(Protocol):
    """An opened message; stays readable after the message is expunged, until closed.  Use as a context manager."""

    @property
    def stored_octets(self) -> int:
        """Size of what is handed out."""
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


class Hold(Protocol):
    """A folder held; it is given back by :meth:`release`, or by the end of the process whatever end that is."""

    def release(self) -> None:
        """Give the folder back; never waits; harmless to repeat."""
        ...


class Folder(Protocol):
    """Handle for one folder; cheap to make, keeps no state of a session."""

    @property
    def mailbox(self) -> MailboxId: ...

    @property
    def name(self) -> FolderName: ...

    def stat(self) -> FolderStatus:
        """Count messages and octets; moves nothing, sets nothing.

        Raises:
            FolderNotFound: it does not exist or is gone.
        """
        ...

    def list(self, *, after_uid: int = 0, limit: int | None = None) -> tuple[MessageInfo, ...]:
        """Give messages with UIDs above ``after_uid``, ascending, at most ``limit`` of them.

        Every UID in the answer is durable before it is given out.

        Raises:
            FolderNotFound: it does not exist or is gone.
        """
        ...

    def retrieve(self, uid: Uid) -> Body:
        """Open one message.  The caller closes the Body.

        Raises:
            MessageExpunged: it existed and is gone.
            MessageNotFound: it never existed.
            FolderNotFound: the folder does not exist.
        """
        ...

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        """Remove exactly these messages for good, durably; unknown UIDs are ignored.

        Returns the UIDs that are gone now and were there before, ascending.  Those asked for, listed before and not
        in the answer could not be removed.

        Raises:
            FolderNotFound: it does not exist or is gone.
        """
        ...

    def try_hold(self, *, shared: bool = False) -> Hold | None:
        """Hold the folder against every other holder on this machine, or only against those who want it alone.

        Gives None at once where another one is in the way.  Asks nothing of deliveries, reads and :meth:`expunge`:
        who holds what is a matter of sessions.

        Raises:
            FolderNotFound: it does not exist or is gone.
        """
        ...


class FolderTree(Protocol):
    """The folders of one mailbox."""

    def list(self) -> tuple[FolderInfo, ...]:
        """Give all folders, INBOX first, the others by name."""
        ...

    def create(self, name: FolderName, *, special_use: SpecialUse | None = None) -> None:
        """Make a folder, durably; missing levels above it are made as well.

        Raises:
            FolderExists: it is there.
            InvalidFolderName: the backend cannot keep such a name.
            ReservedFolderName: the name belongs to the store.
        """
        ...

    def exists(self, name: FolderName) -> bool:
        """Whether such a folder is there now."""
        ...


class MessageStore(Protocol):
    """Keeps mail.  No session state: marks, locks and keys belong to whoever holds the session."""

    def create_mailbox(self, mailbox: MailboxId) -> None:
        """Make the mailbox and its default folders, durably; harmless when it is there."""
        ...

    def mailbox_exists(self, mailbox: MailboxId) -> bool:
        """Whether the mailbox has a place in the store."""
        ...

    def remove_mailbox(self, mailbox: MailboxId) -> None:
        """Remove the mailbox with all its mail; harmless when it is not there."""
        ...

    def folder(self, mailbox: MailboxId, name: FolderName) -> Folder:
        """Give a handle; whether the folder exists shows when it is used.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def folders(self, mailbox: MailboxId) -> FolderTree:
        """Give the folder tree of a mailbox.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def stage(self, *, expected_octets: int | None = None) -> StagedMessage:
        """Begin a message that may be delivered to any mailbox of this store.

        Raises:
            StoreError: the disk refuses.
        """
        ...

    def deliver(self, staged: StagedMessage, filings: Sequence[Filing]) -> Iterator[Filed | MsgstoreError]:
        """Put a staged message into every place, durably; one answer for each filing, in order.

        An answer that is a Filed is durable when it is given.  An error of one filing changes no other.  A mailbox
        that does not exist yet is made; a folder that does not exist is an error of its filing.  The staged message
        stays usable for a further call until discarded.
        """
        ...

    def deliver_in_steps(
        self, staged: StagedMessage, filings: Sequence[Filing]
    ) -> Iterator[Filed | MsgstoreError | Wait]:
        """Like :meth:`deliver`, stopping where the disk must be waited for.

        After each Wait the caller passes it to :meth:`settle`, alone or with those of other deliveries, before it asks
        for more.
        """
        ...

    def settle(self, waits: Sequence[Wait]) -> None:
        """Do what deliveries wait for, all of it together; errors are found by the deliveries when they go on."""
        ...

    def check_health(self) -> None:
        """Write, sync and remove something small where mail is kept.

        Raises:
            StoreError: mail cannot be kept now.
        """
        ...

    def close(self) -> None:
        """Give back descriptors and files."""
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

    def accept(self, forward_path: Address, *, orcpt: str | None = None, notify: tuple[str, ...] = ()) -> Recipient:
        """Resolve one recipient.

        Raises:
            DomainNotHosted, UserNotFound, MailboxDisabled: it cannot be served.
            DirectoryUnavailable: it cannot be looked up now.
            InvalidAddress: it cannot name a mailbox.
        """
        ...

    def recall(
        self, forward_path: Address, *, orcpt: str | None = None, notify: tuple[str, ...] = ()
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
