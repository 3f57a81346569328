"""Locks between the processes of one machine: the gate before writers, and folders held by sessions."""

import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from msgstore.model.errors import store_error_from
from msgstore.store.disk import Disk
from msgstore.store.sql.schema import Place

__all__ = ["FolderHold", "Gate", "hold_folder"]

GATE_NAME: Final = "gate"
HOLDS_NAME: Final = "holds"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_LOCK: Final = "hhqqi4x"
"""``struct flock`` of fcntl(2) with 64-bit offsets."""


class Gate:
    """Lets one writer through at a time: threads by a lock, processes by flock(2) on a file in ``directory``.

    Waiting at SQLite itself means looking again and again, and those who look most often starve the others.
    """

    def __init__(self, directory: str | None, *, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._turn = threading.Lock()
        self._fd = -1

    @contextmanager
    def passed(self) -> Generator[None]:
        """Wait for the turn and have it for a while.

        Raises:
            StoreError: the directory cannot be used.
        """
        with self._turn:
            if self._directory is None:
                yield
                return
            try:
                if self._fd < 0:
                    self._fd = _open(self._disk, self._directory, GATE_NAME)
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            except OSError as error:
                raise store_error_from(error) from error
            try:
                yield
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back; the next one who passes opens it again."""
        with self._turn:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


class FolderHold:
    """A folder held; closing the descriptor gives it back."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Give the folder back; harmless to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.release()


def hold_folder(disk: Disk, directory: str, place: Place, *, shared: bool) -> FolderHold | None:
    """Lock one octet of a file, which no file has to be that long for; None where somebody is in the way.

    Raises:
        StoreError: the directory cannot be used.
    """
    digest = hashlib.blake2b(place.mailbox_id.bytes + place.folder_id.to_bytes(8), digest_size=8).digest()
    offset = int.from_bytes(digest) >> 2
    try:
        fd = _open(disk, directory, HOLDS_NAME)
        try:
            wanted = struct.pack(_LOCK, fcntl.F_RDLCK if shared else fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            os.close(fd)
            if isinstance(error, BlockingIOError | PermissionError):
                return None
            raise
    except OSError as error:
        raise store_error_from(error) from error
    return FolderHold(fd)


def _open(disk: Disk, directory: str, name: str) -> int:
    directory_fd = disk.open_root(directory, create=True)
    try:
        return os.open(name, _FLAGS, 0o600, dir_fd=directory_fd)
    finally:
        os.close(directory_fd)
