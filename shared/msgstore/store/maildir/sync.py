"""Bringing the index of one folder in line with its directories and its UID list.

A few looks at the disk say whether anything changed at all.  What did is read under Dovecot's lock: only the
directories that changed are listed, only the new end of the UID list is read.
"""

from collections.abc import Callable
from typing import Final, Protocol

from msgstore.store.directories import Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.comparing import Comparison
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.lock import DotLock
from msgstore.store.maildir.rows import FolderRow
from msgstore.store.maildir.stamps import Stamps
from msgstore.store.maildir.uidfile import UidFile

__all__ = ["FolderSync", "SyncHouse"]


class SyncHouse(Protocol):
    """The store, seen from here."""

    @property
    def disk(self) -> Disk:
        """The disk."""
        ...

    @property
    def directories(self) -> Directories:
        """Open directories."""
        ...

    @property
    def lock(self) -> DotLock:
        """Dovecot's lock."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        ...


class FolderSync:
    """Looks at one folder; one thread at a time."""

    def __init__(
        self,
        house: SyncHouse,
        *,
        root: Place,
        folder: Place,
        directory: str,
        first_uidvalidity: Callable[[], int],
    ) -> None:
        self._house = house
        self._root = root
        self._first_uidvalidity = first_uidvalidity
        self.folder: Final = folder
        self.directory: Final = directory
        """Key of the folder in the index."""

    def is_fresh(self, row: FolderRow) -> bool:
        """Whether a row that somebody remembers is true now.

        Raises:
            FileNotFoundError: there is no such folder.
            OSError: the disk answers with an error.
        """
        directories = self._house.directories
        folder = directories.take(self.folder, is_certain=True)
        try:
            return self._fits(row, folder.fd)
        finally:
            directories.give_back(folder)

    def current(self, index: Index) -> FolderRow:
        """Give a row that is true now; every UID of its messages is durable.

        Raises:
            FileNotFoundError: there is no such folder.
            MailboxLocked: the lock did not come free.
            OSError: the disk answers with an error.
        """
        with self._house.directories.lease(self.folder, is_certain=True) as fd:
            row = index.folder(self.directory)
            if row is not None and self._fits(row, fd):
                return row
            with index.writing(), self._house.lock.hold(fd):
                comparison = Comparison(
                    self._house.disk,
                    index,
                    fd,
                    uid_file=self.uid_file(fd),
                    directory=self.directory,
                    first_uidvalidity=self._first_uidvalidity,
                    now_ms=self._house.now_ms(),
                )
                return comparison.run()

    def _fits(self, row: FolderRow, fd: int) -> bool:
        if not Stamps.of(self._house.disk, fd).fit(row) or row.is_unsure:
            return False
        return not row.relist_at or self._house.disk.wall_seconds() < row.relist_at

    def uid_file(self, fd: int) -> UidFile:
        """Give the UID list of the folder, whose directory is open."""
        return UidFile(self._house.disk, self._house.directories, fd, root=self._root)
