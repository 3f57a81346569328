"""One folder of a Maildir, as the interface has it: what reads stands here, what changes in ``changing``."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgstore.model.address import MailboxId
from msgstore.model.errors import (
    FolderNotFound,
    MessageExpunged,
    MessageNotFound,
    StoreUnavailable,
    store_error_from,
)
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Body, Hold, StagedMessage
from msgstore.model.message import UID_LIMIT, MessageInfo, Uid
from msgstore.model.outcomes import Appended, Cell, Changes, Column, Copied, FlagChange, FlagsOutcome, Restored
from msgstore.store.body import FileBody
from msgstore.store.maildir.aligning import align_folder
from msgstore.store.maildir.appending import Appending
from msgstore.store.maildir.cells import cells, facts_of, needed_columns
from msgstore.store.maildir.changing import Changing
from msgstore.store.maildir.columns import gather
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.reading import TRIES, FolderHouse, Reading
from msgstore.store.maildir.restoring import restore_messages
from msgstore.store.maildir.rows import NOWHERE, FolderRow, MessageRow
from msgstore.store.maildir.sealing import Sealing
from msgstore.store.staging import StagedFile

__all__ = ["MaildirFolder"]

_SIZES: Final = frozenset({"octets", "wire_octets"})


class _DirectoryHold:
    """A lock on the directory of a folder; the kernel gives it back when the process ends."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Give the folder back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class MaildirFolder:
    """See :class:`msgstore.model.mailbox.Folder`."""

    _house: FolderHouse
    mailbox: MailboxId
    name: FolderName

    def try_hold(self, *, shared: bool = False) -> Hold | None:
        """Hold the folder on this machine; see the interface."""
        try:
            with self._house.directories.lease(self._house.place_of(self.mailbox, self.name)) as folder_fd:
                fd = self._house.disk.try_lock(folder_fd, shared=shared)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FolderNotFound(f"{self.mailbox} has no folder {self.name}") from error
        except OSError as error:
            raise store_error_from(error) from error
        return None if fd is None else _DirectoryHold(fd)

    def stat(self) -> FolderStatus:
        """Count messages and octets; moves nothing."""
        row = self._reading.ledger.current(self.name)
        return _status(row if not row.unsized else self._reading.sized())

    def list(self, *, after_uid: int = 0, limit: int | None = None) -> tuple[MessageInfo, ...]:
        """Give messages above a UID, ascending."""
        reading = self._reading
        where, values = "uid > ? and place < 2 order by uid limit ?", (after_uid, -1 if limit is None else limit)
        return reading.run(lambda index, row: reading.infos(index, row, where, values))[1]

    def rows(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[tuple[Cell, ...]]:
        """Give columns of messages, message by message."""
        return list(zip(*self.table(columns, after_uid=after_uid, last_uid=last_uid, limit=limit), strict=True))

    def table(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[Sequence[Cell]]:
        """Give columns of messages."""
        reading, needed = self._reading, needed_columns(columns)
        last = UID_LIMIT if last_uid is None else last_uid

        def look(index: Index, row: FolderRow) -> list[Sequence[Cell]]:
            if row.unsized and not _SIZES.isdisjoint(needed):
                row = reading.learn_sizes(index, row)
            if row.undated and "internal_date" in needed:
                where = "uid > ? and uid <= ? and place < 2 order by uid limit ?"
                row = reading.learn_dates(index, row, where, (after_uid, last, -1 if limit is None else limit))
            found = gather(index, row, needed, after_uid=after_uid, last_uid=last, limit=limit)
            return cells(columns, found, row, reading.ledger.keywords(self.name, row))

        return reading.run(look)

    def retrieve(self, uid: Uid) -> Body:
        """Open one message."""
        reading = self._reading
        message = reading.recalled(uid)
        for _ in range(TRIES):
            if message is not None and message.place != NOWHERE:
                body = self._open(message)
                if body is not None:
                    return body
                reading.doubt()
            row, message = reading.run(lambda index, row: (row, index.message(row.id, uid)))
            if message is None or message.place == NOWHERE:
                kind = MessageExpunged if uid < row.uidnext else MessageNotFound
                raise kind(f"{self.mailbox} has no message {uid} in {self.name}")
        raise StoreUnavailable(f"message {uid} is renamed all the time")

    def _open(self, message: MessageRow) -> Body | None:
        """Open the file of a message; None where it has another name now or is gone."""
        try:
            return FileBody(self._reading.open(message), facts_of(message))
        except FileNotFoundError:
            return None
        except OSError as error:
            if self._reading.is_no_file(error):
                raise MessageNotFound(f"message {message.uid} is no regular file") from error
            raise store_error_from(error) from error

    def changes(self, since_modseq: int) -> Changes:
        """Say what happened after a modseq."""
        reading = self._reading

        def look(index: Index, row: FolderRow) -> Changes:
            is_complete = since_modseq >= row.min_modseq
            where = "modseq > ? and place < 2"
            row, changed = reading.infos(index, row, where, (since_modseq if is_complete else 0,))
            gone = index.vanished(row.id, since_modseq) if is_complete else []
            return Changes(
                status=_status(row),
                changed=changed,
                vanished=tuple((Uid(uid), modseq) for uid, modseq in gone),
                is_complete=is_complete,
            )

        return reading.run(look)

    def append(
        self,
        staged: StagedMessage,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        internal_date: float | None = None,
    ) -> Appended:
        """Put a staged message here, durably."""
        assert isinstance(staged, StagedFile), "a message is stored by the store that staged it"
        date = self._house.clock.time() if internal_date is None else internal_date
        return Appending(self._reading).append(staged, flags=flags, keywords=keywords, date=date)

    def set_flags(
        self,
        uids: Sequence[Uid],
        change: FlagChange,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        unchanged_since: int | None = None,
    ) -> FlagsOutcome:
        """Change flags and keywords under one new modseq."""
        changing = Changing(self._reading)
        return changing.set_flags(uids, change, flags=flags, keywords=keywords, unchanged_since=unchanged_since)

    def seal(self, blobs: Mapping[Uid, StagedMessage], *, again: bool = False) -> tuple[Uid, ...]:
        """Put blobs into the places of the messages they were made of, durably."""
        staged: dict[Uid, StagedFile] = {}
        for uid, one in blobs.items():
            assert isinstance(one, StagedFile), "a message is stored by the store that staged it"
            assert one.is_sealed, "only blobs take the places of messages"
            staged[uid] = one
        return Sealing(self._reading).seal(staged, again=again)

    def restore(self, messages: Sequence[Restored], *, uidnext: int = 1) -> None:
        """Put messages of another store here under the UIDs they had."""
        restore_messages(self._reading, messages, uidnext=uidnext)

    def align(self, messages: Sequence[MessageInfo], *, vanished: Sequence[Uid] = (), modseq: int = 0) -> None:
        """Bring what is here in line with the folder it came from."""
        align_folder(self._reading, messages, vanished=vanished, modseq=modseq)

    def copy(self, uids: Sequence[Uid], to: FolderName) -> Copied:
        """Put messages into another folder too, durably."""
        target = Reading(self._house, self.mailbox, to)
        return Appending(target).copy_from(self._reading, uids, keeps_names=False)

    def move(self, uids: Sequence[Uid], to: FolderName) -> Copied:
        """Put messages into another folder, durably, and take them out here."""
        target = Reading(self._house, self.mailbox, to)
        copied = Appending(target).copy_from(self._reading, uids, keeps_names=to != self.name)
        Changing(self._reading).expunge(copied.from_uids, sets_aside=False)
        return copied

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        """Remove exactly these messages, durably."""
        return Changing(self._reading).expunge(uids, sets_aside=True)

    @property
    def _reading(self) -> Reading:
        return Reading(self._house, self.mailbox, self.name)


def _status(row: FolderRow) -> FolderStatus:
    return FolderStatus(
        messages=row.messages,
        octets=row.octets,
        unseen=row.unseen,
        uidvalidity=row.uidvalidity,
        uidnext=row.uidnext,
        modseq=row.modseq,
    )
