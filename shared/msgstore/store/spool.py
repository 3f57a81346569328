"""The directory in which messages are staged, on the file system where they are kept."""

import os
import secrets
import threading
import time
from typing import Final

from msgstore.store.disk import Disk
from msgstore.store.staging import StagingArea, sweep

__all__ = ["Spool", "area_at"]

_NAME: Final = ".staging"
"""Begins with a dot, so that it is never taken for the directory of a domain."""


def area_at(disk: Disk, directory_fd: int) -> StagingArea:
    """Give a staging area on the file system of a directory; the directory stays its owner's."""
    return StagingArea(
        disk=disk,
        directory_fd=directory_fd,
        is_anonymous=disk.supports_anonymous(directory_fd),
        unique=f"{os.getpid()}.{secrets.token_hex(4)}",
    )


class Spool:
    """Opened at its first use, which clears what a crash left; safe in every thread."""

    def __init__(self, disk: Disk, data_dir: str) -> None:
        self._disk = disk
        self._data_dir = data_dir
        self._guard = threading.Lock()
        self._area: StagingArea | None = None

    def area(self) -> StagingArea:
        """Give the area.

        Raises:
            OSError: it cannot be used.
        """
        with self._guard:
            if self._area is None:
                root_fd = self._disk.open_root(self._data_dir, create=True)
                try:
                    staging_fd = self._disk.open_directory(root_fd, [_NAME], create=True)
                finally:
                    os.close(root_fd)
                self._area = area_at(self._disk, staging_fd)
                booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
                sweep(self._disk, staging_fd, booted_at=booted_at)
            return self._area

    def check(self) -> None:
        """Write, sync and remove something small.

        Raises:
            OSError: that cannot be done.
        """
        area = self.area()
        name = f"health.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = self._disk.create_named(area.directory_fd, name)
        try:
            self._disk.write(descriptor, b"ok")
            self._disk.sync_file(descriptor)
        finally:
            os.close(descriptor)
            self._disk.unlink(area.directory_fd, name)

    def close(self) -> None:
        """Give the directory back; the next use opens it again."""
        with self._guard:
            area, self._area = self._area, None
        if area is not None:
            os.close(area.directory_fd)
