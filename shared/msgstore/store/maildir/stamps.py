"""The times by which a change of a folder shows."""

import os
from dataclasses import dataclass
from typing import Self

from msgstore.store.disk import Disk
from msgstore.store.maildir.keywordfile import EXTRA_NAME, KEYWORDS_NAME
from msgstore.store.maildir.lock import UIDLIST_NAME
from msgstore.store.maildir.rows import FolderRow

__all__ = ["Stamps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """Times in nanoseconds, 0 for what is not there, and inode and size of the UID list."""

    new_time: int
    cur_time: int
    list_inode: int
    list_octets: int
    list_time: int
    keywords_time: int
    extra_time: int

    def fit(self, row: FolderRow) -> bool:
        """Whether the folder is as it was when the row was written."""
        return (
            self.new_time == row.new_time
            and self.cur_time == row.cur_time
            and self.list_time == row.list_time
            and self.list_octets == row.list_octets
            and self.list_inode == row.list_inode
            and self.keywords_time == row.keywords_time
            and self.extra_time == row.extra_time
        )

    def put_into(self, row: FolderRow) -> None:
        """Say that the row is true of the folder as it is now."""
        row.new_time, row.cur_time = self.new_time, self.cur_time
        row.list_inode, row.list_octets, row.list_time = self.list_inode, self.list_octets, self.list_time
        row.keywords_time, row.extra_time = self.keywords_time, self.extra_time

    @classmethod
    def of(cls, disk: Disk, folder_fd: int) -> Self:
        """Look at an open folder.

        Raises:
            FileNotFoundError: it has no ``cur``.
        """
        cur_time = disk.stat(folder_fd, "cur").st_mtime_ns
        uidlist = _stat(disk, folder_fd, UIDLIST_NAME)
        return cls(
            new_time=_time(disk, folder_fd, "new"),
            cur_time=cur_time,
            list_inode=uidlist.st_ino if uidlist else 0,
            list_octets=uidlist.st_size if uidlist else 0,
            list_time=uidlist.st_mtime_ns if uidlist else 0,
            keywords_time=_time(disk, folder_fd, KEYWORDS_NAME),
            extra_time=_time(disk, folder_fd, EXTRA_NAME),
        )


def _stat(disk: Disk, fd: int, name: str) -> os.stat_result | None:
    try:
        return disk.stat(fd, name)
    except FileNotFoundError:
        return None


def _time(disk: Disk, fd: int, name: str) -> int:
    found = _stat(disk, fd, name)
    return found.st_mtime_ns if found else 0
