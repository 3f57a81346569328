"""What this process knows of one mailbox: its index, opened when needed, and the last row of each folder.

An index that cannot be used costs time and nothing else: a broken one is made anew, and while none can be written this
process keeps one in memory.
"""

import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol, TypeVar

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, StoreUnavailable, store_error_from
from msgstore.model.folder import FolderName
from msgstore.store.directories import Place
from msgstore.store.maildir.folders import directory_of
from msgstore.store.maildir.index import Index, is_index_safe, remove_index
from msgstore.store.maildir.keywordfile import KEYWORDS_NAME
from msgstore.store.maildir.keywords import parse_keywords
from msgstore.store.maildir.rows import FolderRow
from msgstore.store.maildir.sync import FolderSync, SyncHouse
from msgstore.telemetry.log import logger

__all__ = ["INDEX_NAME", "Ledger", "LedgerHouse", "Ledgers"]

log = logger(__name__)
T = TypeVar("T")

INDEX_NAME: Final = "msgstore-index"
"""In the directory of INBOX; begins without a dot, so that no Maildir++ reader takes it for a folder."""

_OPEN_INDEXES: Final = 64
"""Open files of this process; each has a page cache of its own."""

_LEDGERS: Final = 8192
_BROKEN: Final = ("malformed", "not a database", "file is encrypted", "no such table", "no such column", "corrupt")
_MEMORY: Final = ":memory:"


class LedgerHouse(SyncHouse, Protocol):
    """The store, seen from a ledger."""

    def place_of(self, mailbox: MailboxId, name: FolderName) -> Place:
        """Give the directory of a folder."""
        ...

    def box_of(self, mailbox: MailboxId) -> Place:
        """Give the directory of INBOX, which holds the other folders."""
        ...

    def first_uidvalidity(self, mailbox: MailboxId) -> int:
        """Give the least value for a new folder."""
        ...


class Ledger:
    """One mailbox; its lock makes threads take turns."""

    def __init__(self, house: LedgerHouse, mailbox: MailboxId, opened: "OpenIndexes") -> None:
        self.lock: Final = threading.RLock()
        self.mailbox: Final = mailbox
        self._house = house
        self._opened = opened
        self._index: Index | None = None
        self._is_fallback = False
        self._inode = 0
        self._rows: dict[str, FolderRow] = {}
        self._syncs: dict[FolderName, FolderSync] = {}
        self._keywords: dict[str, tuple[int, dict[str, str]]] = {}

    def sync_of(self, name: FolderName) -> FolderSync:
        """Give what looks at a folder."""
        place = self._house.place_of(self.mailbox, name)
        known = self._syncs.get(name)
        if known is None or known.folder != place:
            known = self._syncs[name] = FolderSync(
                self._house,
                root=self._house.box_of(self.mailbox),
                folder=place,
                directory=directory_of(name),
                first_uidvalidity=lambda: self._house.first_uidvalidity(self.mailbox),
            )
        return known

    def current(self, name: FolderName) -> FolderRow:
        """Give a row of a folder that is true now.

        Raises:
            FolderNotFound: there is no such folder.
            StoreError: it cannot be looked at.
        """
        with self.lock:
            sync = self.sync_of(name)
            known = self._rows.get(sync.directory)
            try:
                if known is not None and sync.is_fresh(known):
                    return known
                return self.run(name, lambda index: self.bring_up(index, name))
            except (FileNotFoundError, NotADirectoryError) as error:
                raise FolderNotFound(f"{self.mailbox} has no folder {name}") from error
            except OSError as error:
                raise store_error_from(error) from error

    def bring_up(self, index: Index, name: FolderName) -> FolderRow:
        """Bring the index in line with a folder and remember the row."""
        sync = self.sync_of(name)
        row = sync.current(index)
        self._rows[sync.directory] = row
        return row

    def recalled(self, index: Index, name: FolderName) -> FolderRow | None:
        """Give the last row of a folder, however old; None before the first look."""
        sync = self.sync_of(name)
        row = index.folder(sync.directory)
        if row is not None:
            self._rows[sync.directory] = row
        return row

    def run(self, name: FolderName, action: Callable[[Index], T]) -> T:
        """Do something with the index, again with another one where this one fails; the lock is held meanwhile.

        Raises:
            FolderNotFound: there is no such folder.
            StoreError: it cannot be done.
        """
        with self.lock:
            try:
                return self._run(action)
            except BaseException as error:
                # Rows that were changed and not kept are not true.
                self._rows.clear()
                if isinstance(error, FileNotFoundError | NotADirectoryError):
                    raise FolderNotFound(f"{self.mailbox} has no folder {name}") from error
                if isinstance(error, OSError):
                    raise store_error_from(error) from error
                raise

    def _run(self, action: Callable[[Index], T]) -> T:
        for _ in range(2):
            try:
                return action(self._open())
            except sqlite3.Error as error:
                self._heal(error)
        try:
            return action(self._open())
        except sqlite3.Error as error:
            raise StoreUnavailable(f"no index of {self.mailbox} can be used: {error}") from error

    def keywords(self, name: FolderName, row: FolderRow) -> dict[str, str]:
        """Give the keyword of each letter in a folder."""
        if not row.keywords_time:
            return {}
        known = self._keywords.get(row.directory)
        if known is None or known[0] != row.keywords_time:
            with self._house.directories.lease(self._house.place_of(self.mailbox, name)) as fd:
                known = row.keywords_time, parse_keywords(self._house.disk.read_file(fd, KEYWORDS_NAME)[0])
            self._keywords[row.directory] = known
        return known[1]

    def keywords_at(self, folder_fd: int) -> dict[str, str]:
        """Give the keyword of each letter as the file of an open folder says now."""
        try:
            return parse_keywords(self._house.disk.read_file(folder_fd, KEYWORDS_NAME)[0])
        except FileNotFoundError:
            return {}

    @contextmanager
    def turn(self) -> Generator[None]:
        """Keep writers of other processes from this mailbox while the block runs, as far as the index can be locked.

        Called under the lock.
        """
        with ExitStack() as held:
            self._run(lambda index: held.enter_context(index.writing()))
            yield

    def note_rename(self, directory: str, to: str) -> None:
        """Tell the index that a folder has another directory now; called within a turn."""
        self._rows.pop(to, None)
        if self._index is not None:
            self._index.rename_folder(directory, to)

    def forget(self, directory: str) -> None:
        """Forget a folder's row: the next look asks the index."""
        self._rows.pop(directory, None)

    def forget_all(self) -> None:
        """Forget everything, and close the index."""
        with self.lock:
            self._rows.clear()
            self._syncs.clear()
            self._keywords.clear()
            self.shut()

    def check_index(self) -> list[str]:
        """Say what is wrong with the index, if anything."""
        with self.lock:
            return self._run(lambda index: index.check())

    def remove_index(self) -> None:
        """Throw the index away; the next look makes another one."""
        with self.lock, self._house.directories.lease(self._house.box_of(self.mailbox)) as fd:
            self.shut()
            self._rows.clear()
            self._is_fallback = False
            remove_index(lambda one: self._house.disk.unlink(fd, one), INDEX_NAME)

    def shut(self) -> None:
        """Close the index; the next use opens it again."""
        with self.lock:
            index, self._index = self._index, None
            if index is not None:
                index.close()

    def _open(self) -> Index:
        if self._index is not None and not self._is_fallback and not self._is_in_place():
            # The mailbox was removed and perhaps made anew, or somebody removed the index.
            self.shut()
            self._rows.clear()
        if self._index is None:
            path = _MEMORY
            if not self._is_fallback:
                with self._house.directories.lease(self._house.box_of(self.mailbox)) as fd:
                    if not is_index_safe(fd, INDEX_NAME):
                        remove_index(lambda one: self._house.disk.unlink(fd, one), INDEX_NAME)
                    path = os.path.realpath(f"/proc/self/fd/{fd}") + "/" + INDEX_NAME
            booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
            self._index = Index(path, booted_at=booted_at, now_ms=self._house.now_ms)
            self._inode = 0 if self._is_fallback else self._inode_now()
        if not self._is_fallback:
            self._opened.used(self)
        return self._index

    def _is_in_place(self) -> bool:
        return self._inode_now() == self._inode

    def _inode_now(self) -> int:
        try:
            with self._house.directories.lease(self._house.box_of(self.mailbox)) as fd:
                return self._house.disk.stat(fd, INDEX_NAME).st_ino
        except FileNotFoundError:
            return 0

    def _heal(self, error: sqlite3.Error) -> None:
        """Put another index in the place of one that failed."""
        self.shut()
        self._rows.clear()
        is_broken = any(word in str(error) for word in _BROKEN)
        log.warning("store.index_failed", mailbox=str(self.mailbox), reason=str(error), is_broken=is_broken)
        if is_broken:
            with self._house.directories.lease(self._house.box_of(self.mailbox)) as fd:
                remove_index(lambda one: self._house.disk.unlink(fd, one), INDEX_NAME)
        else:
            # Locked by somebody who does not let go, or on a disk that takes nothing: read on without it.
            self._is_fallback = True


class OpenIndexes:
    """Closes the index that was not used for the longest time when too many are open; safe in every thread."""

    def __init__(self, limit: int = _OPEN_INDEXES) -> None:
        self._limit = limit
        self._guard = threading.Lock()
        self._open: OrderedDict[int, Ledger] = OrderedDict()

    def used(self, ledger: Ledger) -> None:
        """Note a use; called under the ledger's lock."""
        with self._guard:
            self._open[id(ledger)] = ledger
            self._open.move_to_end(id(ledger))
            if len(self._open) <= self._limit:
                return
            _, oldest = self._open.popitem(last=False)
        # Never waits for a ledger while holding another one: two threads would wait for each other.
        if oldest.lock.acquire(blocking=False):
            try:
                oldest.shut()
            finally:
                oldest.lock.release()
        else:
            with self._guard:
                self._open[id(oldest)] = oldest


class Ledgers:
    """The ledgers of one store; safe in every thread."""

    def __init__(self, house: LedgerHouse) -> None:
        self._house = house
        self._guard = threading.Lock()
        self._known: OrderedDict[MailboxId, Ledger] = OrderedDict()
        self._opened = OpenIndexes()

    def of(self, mailbox: MailboxId) -> Ledger:
        """Give the one ledger of a mailbox in this process."""
        with self._guard:
            known = self._known.get(mailbox)
            if known is None:
                known = self._known[mailbox] = Ledger(self._house, mailbox, self._opened)
            self._known.move_to_end(mailbox)
            dropped = self._known.popitem(last=False)[1] if len(self._known) > _LEDGERS else None
        if dropped is not None:
            dropped.forget_all()
        return known

    def forget(self, mailbox: MailboxId) -> None:
        """Forget a mailbox that was removed or looked at anew."""
        with self._guard:
            known = self._known.pop(mailbox, None)
        if known is not None:
            known.forget_all()

    def close(self) -> None:
        """Close everything."""
        with self._guard:
            known = list(self._known.values())
            self._known.clear()
        for ledger in known:
            ledger.forget_all()
