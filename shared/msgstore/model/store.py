"""The interface of a backend: mailboxes, deliveries, looking after what is kept.

All of it blocks and may be called from any thread, several at once.  Nothing here keeps the state of a session.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from msgstore.model.address import MailboxId
from msgstore.model.bodies import Filing, StagedMessage, Wait
from msgstore.model.errors import MsgstoreError, StoreUnavailable
from msgstore.model.folder import FolderName
from msgstore.model.mailbox import ChangeSource, Folder, FolderTree
from msgstore.model.outcomes import Finding, Removed, Usage
from msgstore.model.result import Filed
from msgstore.model.scripts import ScriptShelf

__all__ = ["MessageStore", "Records", "Uncertain"]


class Uncertain(StoreUnavailable):
    """Whether it was done is not known: the database went away while it was committed.

    What carries a key of its own is settled by doing it again; else the one who asked is told to come again.
    """


class Records(Protocol):
    """What scripts did before, for a store without files beside its mail; safe in every thread and among processes."""

    def has(self, mailbox: MailboxId, kind: str, key: bytes, *, now: float, seconds: float) -> bool:
        """Whether there is a record that counts: by the time it was made for and by the time asked for.

        Raises:
            StoreError: it cannot be known.
        """
        ...

    def add(self, mailbox: MailboxId, records: Iterable[tuple[str, bytes, float]], *, now: float) -> None:
        """Make records of kind, key and the seconds they count, all or none.

        Raises:
            StoreError: they are not made.
        """
        ...

    def lock_directory(self) -> int:
        """Open the directory where processes of this machine keep each other away; the caller closes it.

        Raises:
            StoreError: the disk refuses.
        """
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

    def scripts(self, mailbox: MailboxId) -> ScriptShelf:
        """Give the Sieve scripts of a mailbox; whether that exists shows when they are used."""
        ...

    def stage(self, *, expected_octets: int | None = None, sealed: bool = False) -> StagedMessage:
        """Begin a message that may be delivered to any mailbox of this store.

        ``sealed`` says that its octets are a blob of :data:`msgstore.model.envelope.SEAL_ALGORITHM`: they are kept as
        they are, whatever line ends the store keeps, have no header, and count as the message that is in them.

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

    def usage(self, mailbox: MailboxId) -> Usage:
        """Say what the mailbox holds, in a time that does not depend on how much that is.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def recount(self, mailbox: MailboxId) -> Usage:
        """Count everything anew and keep the result for :meth:`usage`.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def removed(self, mailbox: MailboxId) -> tuple[Removed, ...]:
        """Give what was expunged within the window in which it can be brought back, oldest first; nothing without one.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def undelete(self, mailbox: MailboxId, removed: Sequence[Removed]) -> int:
        """Bring messages back into their folders under new UIDs, durably, and say how many.

        A folder that is gone is made; what cannot be found any more is passed over.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def purge_removed(self, mailbox: MailboxId, *, before: float) -> int:
        """Remove for good what was expunged before a time, in seconds since 1970 UTC, and say how many.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def quota_mark(self, mailbox: MailboxId) -> int:
        """Give the threshold in percent that the owner was told last; 0 where none was."""
        ...

    def set_quota_mark(self, mailbox: MailboxId, percent: int) -> None:
        """Remember a threshold.

        Raises:
            StoreError: the disk refuses.
        """
        ...

    def control_directory(self, mailbox: MailboxId) -> int | None:
        """Open the directory of a mailbox where files beside its mail are kept; the caller closes it.

        Names that begin with ``msgstore-`` are free for the library.  None where this store has no files.

        Raises:
            MailboxNotFound: there is no such mailbox, or not yet.
            StoreError: the disk refuses.
        """
        ...

    def records(self) -> Records | None:
        """Give what remembers what scripts did; None where that lies in :meth:`control_directory`, or in memory."""
        ...

    def check(self, mailbox: MailboxId, *, repair: bool = False) -> tuple[Finding, ...]:
        """Look at everything that is kept of a mailbox and say what is wrong; with ``repair`` mend what can be mended.

        No message is ever removed by it.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def reindex(self, mailbox: MailboxId) -> None:
        """Throw away what can be found out again and find it out again.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def compact(self, mailbox: MailboxId) -> None:
        """Give back the space that messages which are gone still take in directories and lists.

        Raises:
            MailboxNotFound: there is no such mailbox.
        """
        ...

    def sweep(self) -> int:
        """Take away what belongs to no mailbox any more, where that is not done at once, and say how many things.

        Raises:
            StoreError: it cannot be done now.
        """
        ...

    def watch_changes(self) -> ChangeSource | None:
        """Begin to tell of changes; the caller closes it.  None where this store, or this machine, cannot."""
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
