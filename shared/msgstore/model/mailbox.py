"""The interfaces of one mailbox: folders and the folder tree.

All of them block.  They may be called from any thread; one object's methods may run in several threads at once unless
its docstring says otherwise.  Nothing here keeps the state of a session.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgstore.model.address import MailboxId
from msgstore.model.bodies import Body, StagedMessage
from msgstore.model.folder import FolderInfo, FolderName, FolderStatus, SpecialUse
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import (
    Appended,
    Cell,
    Changes,
    Column,
    Copied,
    FlagChange,
    FlagsOutcome,
    Restored,
)

__all__ = ["ChangeSource", "ChangedPlace", "Folder", "FolderTree", "Hold"]

ChangedPlace = tuple[MailboxId, FolderName | None]
"""A folder whose messages changed; without a folder it is the folders of the mailbox that did."""


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

    def rows(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[tuple[Cell, ...]]:
        """Give the named columns of messages with UIDs above ``after_uid`` and up to ``last_uid``, ascending.

        The fast way for many messages: what is not asked for is not looked up.

        Raises:
            FolderNotFound: it does not exist or is gone.
        """
        ...

    def table(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[Sequence[Cell]]:
        """Give the same by columns, one sequence for each: faster still, for whoever wants few things of many messages.

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

    def append(
        self,
        staged: StagedMessage,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        internal_date: float | None = None,
    ) -> Appended:
        """Put a staged message into the folder, durably, and give its UID; the date is now where none is given.

        Raises:
            FolderNotFound: it does not exist or is gone.
            StoreError: it could not be stored, and nothing of it is visible.

        RFC 9051 §6.3.12.
        """
        ...

    def set_flags(
        self,
        uids: Sequence[Uid],
        change: FlagChange,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        unchanged_since: int | None = None,
    ) -> FlagsOutcome:
        """Change system flags and keywords of messages under one new modseq; what is not known here stays as it is.

        A message whose modseq is above ``unchanged_since`` is left alone.  The folder's modseq does not move when
        nothing changes.  A change of flags is not synced: losing one to a power cut does no harm.

        Raises:
            FolderNotFound: it does not exist or is gone.

        RFC 9051 §6.4.6, RFC 7162 §3.1.3.
        """
        ...

    def seal(self, blobs: Mapping[Uid, StagedMessage], *, again: bool = False) -> tuple[Uid, ...]:
        """Put sealed staged messages into the places of the messages they were made of, durably; gives those done.

        A message stays what it is, with its UID, flags, keywords, date, GUID, POP3 unique-id and size; one that was
        plain gets a new modseq.  Whoever has it open goes on reading what it was.  With ``again`` only what is sealed
        already is taken, else only what is plain.  Left alone is what is gone, what is not as large as the message in
        the blob, and what the backend cannot keep under another name.

        After a crash every message is there once, as it was or sealed.  The octets it had may stay on the medium.

        Raises:
            FolderNotFound: it does not exist or is gone.
            StoreError: it could not be done for some; what was done stays.
        """
        ...

    def restore(self, messages: Sequence[Restored], *, uidnext: int = 1) -> None:
        """Put messages of another store here under the UIDs they had, durably; those already here are left alone.

        The next UID given out here is ``uidnext`` at least: UIDs of messages that are gone over there stay gone.  After
        a crash all of them are here or none, at the latest when this was called again, with no messages perhaps.

        A message keeps the GUID and the modseq it comes with; the folder's modseq is then at least as high.  Where it
        is the lower of the two, whoever has looked at the folder before learns of the message by listing it anew, not
        by :meth:`changes`.  A backend may give a GUID or a modseq of its own for one that it cannot keep.

        Raises:
            FolderNotFound: it does not exist or is gone.
            UidTaken: the UIDs do not ascend above every UID that was given out here, or ``uidnext`` is none; nothing
                was put.
            StoreError: it could not be done.
        """
        ...

    def align(self, messages: Sequence[MessageInfo], *, vanished: Sequence[Uid] = (), modseq: int = 0) -> None:
        """Bring what is here in line with the folder of another store that it came from, described by ``messages``.

        Of those that are here, flags, keywords and modseq become what they are there, whatever they were; the rest of
        each description is not looked at, and UIDs that are not here are passed over.  ``vanished`` is expunged as by
        :meth:`expunge`.  Then ``modseq`` is what the folder over there had when it was read: here it becomes as high at
        least, and :meth:`changes` is complete from it on and no earlier, for what vanished over there before it is not
        known here.

        Modseqs may become lower by it: it is meant for folders that nobody has looked at since they came.  Harmless to
        repeat; after a crash some of it is done.  Flags are not synced.  A backend may keep modseqs of its own where
        it cannot keep those given, and then says less than complete.

        Raises:
            FolderNotFound: it does not exist or is gone.
            StoreError: it could not be done for some; what was done stays.

        RFC 7162 §3.
        """
        ...

    def copy(self, uids: Sequence[Uid], to: FolderName) -> Copied:
        """Put the messages into another folder of the mailbox too, durably: all that exist, or none.

        Flags, keywords and date go along.

        Raises:
            FolderNotFound: one of the folders does not exist.
            StoreError: it could not be done, and nothing of it is visible.

        RFC 9051 §6.4.7.
        """
        ...

    def move(self, uids: Sequence[Uid], to: FolderName) -> Copied:
        """Like :meth:`copy`, and then they are gone here; a crash in between leaves doubles and never loses one.

        Raises:
            FolderNotFound, StoreError: as for :meth:`copy`.

        RFC 9051 §6.4.8.
        """
        ...

    def changes(self, since_modseq: int) -> Changes:
        """Say what is new, changed and gone after a modseq.

        Raises:
            FolderNotFound: it does not exist or is gone.

        RFC 7162 §3.
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

    def guid(self, name: FolderName) -> str | None:
        """Give what names a folder for ever, whatever it is called; another folder of its name has another one.

        None where none was given yet: the first look into a folder gives it one.  RFC 8474 §4.

        Raises:
            FolderNotFound: it is not there.
        """
        ...

    def delete(self, name: FolderName) -> None:
        """Remove a folder with its messages, durably; made anew it has a higher UIDVALIDITY.

        Raises:
            FolderNotFound: it is not there.
            FolderHasChildren: there are folders below it.
            ReservedFolderName: it is INBOX.
        """
        ...

    def rename(self, name: FolderName, to: FolderName) -> None:
        """Give a folder, and all folders below it, another name; UIDs stay.

        INBOX itself stays and is emptied: its messages go into a new folder, those below it stay where they are.

        Raises:
            FolderNotFound: it is not there.
            FolderExists: the new name is taken.
            InvalidFolderName: the new name lies below the old one, or the backend cannot keep it.
            ReservedFolderName: the new name belongs to the store.

        RFC 9051 §6.3.6.
        """
        ...

    def restore(
        self,
        name: FolderName,
        *,
        uidvalidity: int,
        uidnext: int,
        guid: str | None = None,
        special_use: SpecialUse | None = None,
    ) -> None:
        """Make a folder as another store had it; one that is there must be without messages and takes the values over.

        Without ``guid`` the folder gets a new one, as it does where the backend cannot keep it: every backend keeps 32
        hexadecimal digits in lower case.  With ``special_use`` it is for that; without, one that is there is for what
        it was for, and a new one for nothing.

        Raises:
            FolderExists: it is there and has messages, or its UIDs were given out already.
            InvalidFolderName, ReservedFolderName: the backend cannot keep such a name.
        """
        ...

    def subscribe(self, name: FolderName, *, wanted: bool = True) -> None:
        """Note that the user wants to see a folder, or not; the folder need not exist. RFC 9051 §6.3.7."""
        ...


class ChangeSource(Protocol):
    """Tells that something changed in watched places, whoever changed it; what it was, the store is asked.

    It may tell of a place where nothing changed.  Where it cannot tell, the asker has to look from time to time.
    """

    def fileno(self) -> int:
        """Give a descriptor that is readable when :meth:`read` has something."""
        ...

    def watch(self, mailbox: MailboxId, folder: FolderName | None) -> bool:
        """Tell of a place from now on; harmless to repeat, and needed where the folder was made anew.

        False means that its changes are not told.  Blocks where it looks at the disk.

        Raises:
            MsgstoreError: there can be no such place.
        """
        ...

    def unwatch(self, mailbox: MailboxId, folder: FolderName | None) -> None:
        """Tell no more of a place; does not block."""
        ...

    def read(self) -> tuple[ChangedPlace, ...]:
        """Give the places that changed since the last call, each once; does not block."""
        ...

    def close(self) -> None:
        """Give the descriptor back."""
        ...
