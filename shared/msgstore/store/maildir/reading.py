"""What reading and changing a folder have in common: the row that is true now, files opened, sizes and dates learnt."""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Clock
from msgstore.model.message import MessageInfo
from msgstore.store.directories import Place
from msgstore.store.lines import LineEnds
from msgstore.store.maildir.cells import INFO_COLUMNS, infos_of
from msgstore.store.maildir.folders import directory_of
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.ledger import Ledger, LedgerHouse
from msgstore.store.maildir.names import NameSource
from msgstore.store.maildir.rows import CUR, NOWHERE, FolderRow, MessageRow
from msgstore.store.staging import StagingArea

__all__ = ["REMOVED_INBOX", "REMOVED_NAME", "TRIES", "FolderHouse", "Reading", "removed_place"]

T = TypeVar("T")

TRIES: Final = 20
"""How often a name is looked up again while others keep renaming the file."""

REMOVED_NAME: Final = "msgstore-removed"
REMOVED_INBOX: Final = "INBOX"
"""Directory of what was removed from INBOX, which has no directory name of its own."""

_CHUNK_OCTETS: Final = 1 << 20
_NO_FILE: Final = (errno.ELOOP, errno.EINVAL)


class FolderHouse(LedgerHouse, Protocol):
    """The store, seen from a folder."""

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    @property
    def names(self) -> NameSource:
        """Makes file names."""
        ...

    @property
    def keeps_removed(self) -> bool:
        """Whether expunged messages can be brought back for a while."""
        ...

    def ledger_of(self, mailbox: MailboxId) -> Ledger:
        """Give what this process knows of a mailbox."""
        ...

    def area_at(self, directory_fd: int) -> StagingArea:
        """Give a staging area on the file system of a directory."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """One folder, looked at through the ledger of its mailbox."""

    house: FolderHouse
    mailbox: MailboxId
    name: FolderName

    @property
    def ledger(self) -> Ledger:
        """What this process knows of the mailbox."""
        return self.house.ledger_of(self.mailbox)

    def run(self, action: Callable[[Index, FolderRow], T]) -> T:
        """Do something with the index and the row that is true now.

        Raises:
            FolderNotFound: there is no such folder.
            StoreError: it cannot be looked at.
        """
        ledger = self.ledger
        return ledger.run(self.name, lambda index: action(index, ledger.bring_up(index, self.name)))

    def recalled(self, uid: int) -> MessageRow | None:
        """Give what the index says of a message without a look at the directories; None where it says nothing."""
        ledger = self.ledger
        return ledger.run(self.name, lambda index: index.message_in(ledger.sync_of(self.name).directory, uid))

    def doubt(self) -> None:
        """A file was not where the index says: have everything listed again."""
        ledger = self.ledger

        def mark(index: Index) -> None:
            with index.writing():
                row = ledger.recalled(index, self.name)
                if row is not None:
                    row.relist_at = 1.0
                    index.save_folder(row)

        ledger.run(self.name, mark)

    def inner(self, place: int) -> Place:
        """Give the directory of a place."""
        root, components = self.house.place_of(self.mailbox, self.name)
        return root, (*components, "cur" if place == CUR else "new")

    def open(self, message: MessageRow) -> int:
        """Open the file of a message.

        Raises:
            FileNotFoundError: it has another name now, or is gone.
            OSError: it cannot be opened.
        """
        with self.house.directories.lease(self.inner(message.place)) as fd:
            return self.house.disk.open_for_reading(fd, message.name)

    @staticmethod
    def is_no_file(error: OSError) -> bool:
        """Whether an error of :meth:`open` says that something else than a file bears the name."""
        return error.errno in _NO_FILE

    def infos(
        self, index: Index, row: FolderRow, where: str, values: Sequence[object] = ()
    ) -> tuple[FolderRow, tuple[MessageInfo, ...]]:
        """Describe the messages that meet a condition, and give the row with what was learnt of them."""
        if row.unsized or row.undated:
            missing = [
                one
                for one in index.messages(row.id, where, values)
                if one.wire_octets is None or one.internal_date is None
            ]
            row = self._learn(index, missing)
        found = index.selected(row.id, INFO_COLUMNS, where, values)
        if row.unsized or row.undated:
            # What went away while we looked.
            found = [one for one in found if one[4] is not None and one[5] is not None]
        return row, infos_of(found, row, self.ledger.keywords(self.name, row))

    def sized(self) -> FolderRow:
        """Look at the size of every message whose name does not tell it, and give the row."""
        return self.run(self.learn_sizes)

    def learn_sizes(self, index: Index, row: FolderRow) -> FolderRow:
        """Read what has to be read to know every size; what is gone meanwhile stays unknown."""
        return self._learn(index, index.messages(row.id, "wire_octets is null and place < 2"), dates=False)

    def learn_dates(self, index: Index, row: FolderRow, where: str, values: Sequence[object]) -> FolderRow:
        """Look at the dates of messages that meet a condition."""
        missing = [one for one in index.messages(row.id, where, values) if one.internal_date is None]
        return self._learn(index, missing, sizes=False) if missing else row

    def _learn(
        self, index: Index, messages: Sequence[MessageRow], *, sizes: bool = True, dates: bool = True
    ) -> FolderRow:
        """Learn what is not known, looking again for what others rename meanwhile."""
        row, left = self._learn_once(index, messages, sizes=sizes, dates=dates)
        for _ in range(TRIES):
            if not left:
                break
            row = self.ledger.bring_up(index, self.name)
            found = [index.message(row.id, one.uid) for one in left]
            there = [one for one in found if one is not None and one.place != NOWHERE]
            row, left = self._learn_once(index, there, sizes=sizes, dates=dates)
        return row

    def _learn_once(
        self, index: Index, messages: Sequence[MessageRow], *, sizes: bool, dates: bool
    ) -> tuple[FolderRow, list[MessageRow]]:
        """Give the row and what was not where the index says."""
        left: list[MessageRow] = []
        with index.writing(), ExitStack() as held:
            row = self.ledger.recalled(index, self.name)
            assert row is not None
            row.count(messages, -1)
            inner = {place: held.enter_context(self._lease(place)) for place in {one.place for one in messages}}
            learnt: list[MessageRow] = []
            for one in messages:
                is_there = self._look_at(one, inner[one.place], sizes=sizes, dates=dates)
                (learnt if is_there else left).append(one)
            if left:
                row.relist_at = 1.0
            row.count(messages, 1)
            index.update(row.id, learnt)
            index.save_folder(row)
        return row, left

    def _lease(self, place: int) -> AbstractContextManager[int]:
        return self.house.directories.lease(self.inner(place))

    def _look_at(self, message: MessageRow, inner_fd: int, *, sizes: bool, dates: bool) -> bool:
        """Find size and date of one message; false when it is not where the index says."""
        disk = self.house.disk
        try:
            if sizes and message.wire_octets is None:
                fd = disk.open_for_reading(inner_fd, message.name)
                try:
                    message.octets, message.wire_octets = _measured(fd)
                    message.internal_date = int(os.fstat(fd).st_mtime)
                finally:
                    os.close(fd)
            elif dates and message.internal_date is None:
                message.internal_date = int(disk.stat(inner_fd, message.name).st_mtime)
        except FileNotFoundError:
            return False
        except OSError as error:
            if not self.is_no_file(error):
                raise
            # A link or a directory in the place of a message: it counts for nothing, and reading it is refused.
            message.octets = message.wire_octets = message.internal_date = 0
        return True


def removed_place(box: Place, name: FolderName) -> Place:
    """Give the directory in which the removed mail of a folder waits."""
    root, components = box
    return root, (*components, REMOVED_NAME, directory_of(name) or REMOVED_INBOX)


def _measured(fd: int) -> tuple[int, int]:
    ends = LineEnds()
    offset = 0
    while piece := os.pread(fd, _CHUNK_OCTETS, offset):
        ends.feed(piece)
        offset += len(piece)
    return ends.octets, ends.wire_octets
