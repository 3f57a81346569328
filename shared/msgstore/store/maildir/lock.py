"""The lock that Dovecot understands: ``dovecot-uidlist.lock``, made exclusively, holding ``<pid>:<host>``.

Rules of overriding are Dovecot's (``file-dotlock.c``): a lock of this host whose process is dead, once it is 2 s old;
with a living process never; without a readable local process when neither the lock nor the list changed for 120 s.
"""

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from msgstore.model.errors import MailboxLocked
from msgstore.store.disk import Disk

__all__ = ["LOCK_NAME", "UIDLIST_NAME", "DotLock"]

UIDLIST_NAME: Final = "dovecot-uidlist"
LOCK_NAME: Final = "dovecot-uidlist.lock"

WAIT_LIMIT_SECONDS: Final = 30.0
"""A holder needs milliseconds; whoever waits this long answers that the mailbox is locked."""

DEAD_OWNER_SECONDS: Final = 2.0
UNCHANGED_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.005
POLL_LIMIT_SECONDS: Final = 0.1

_held_lock: Final = threading.Lock()
_held: Final[set[tuple[int, int]]] = set()
"""Device and inode of locks this process holds: a lock with our process number that is not here was left by an
earlier process of the same number, as happens in containers."""


class DotLock:
    """Takes the lock of one folder at a time; safe to use from any thread."""

    def __init__(self, disk: Disk, *, hostname: str, process: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self._disk = disk
        self._host = hostname
        self._process = process
        self._sleep = sleep
        self._booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    @contextmanager
    def hold(self, folder_fd: int) -> Generator[None]:
        """Hold the lock of a folder while the block runs.

        Raises:
            MailboxLocked: it did not come free in time.
            OSError: the lock cannot be made.
        """
        identity = self._acquire(folder_fd)
        try:
            yield
        finally:
            self._release(folder_fd, identity)

    def _acquire(self, folder_fd: int) -> tuple[int, int]:
        waited, pause = 0.0, POLL_SECONDS
        while True:
            identity = self._try(folder_fd)
            if identity is not None:
                return identity
            if self._is_stale(folder_fd) and self._override(folder_fd):
                continue
            if waited >= WAIT_LIMIT_SECONDS:
                raise MailboxLocked(f"{LOCK_NAME} did not come free in {WAIT_LIMIT_SECONDS:.0f} s")
            self._sleep(pause)
            waited += pause
            pause = min(pause * 1.5, POLL_LIMIT_SECONDS)

    def _try(self, folder_fd: int) -> tuple[int, int] | None:
        with _held_lock:
            try:
                fd = self._disk.create_named(folder_fd, LOCK_NAME)
            except FileExistsError:
                return None
            status = os.fstat(fd)
            identity = (status.st_dev, status.st_ino)
            _held.add(identity)
        try:
            self._disk.write(fd, f"{self._process}:{self._host}".encode())
        except BaseException:
            self._release(folder_fd, identity)
            raise
        finally:
            os.close(fd)
        return identity

    def _release(self, folder_fd: int, identity: tuple[int, int]) -> None:
        with _held_lock:
            _held.discard(identity)
            try:
                status = self._disk.stat(folder_fd, LOCK_NAME)
                # Somebody who thought us dead may have taken it: his lock is not ours to remove.
                if (status.st_dev, status.st_ino) == identity:
                    self._disk.unlink(folder_fd, LOCK_NAME)
            except FileNotFoundError:
                return

    def _is_stale(self, folder_fd: int) -> bool:
        try:
            content, status = self._disk.read_file(folder_fd, LOCK_NAME)
        except OSError:
            return False
        age = self._disk.wall_seconds() - status.st_mtime
        number, _, host = content.decode("ascii", "replace").partition(":")
        if host == self._host and number.isascii() and number.isdigit() and len(number) < 10:
            return age >= DEAD_OWNER_SECONDS and not self._is_alive(int(number), (status.st_dev, status.st_ino))
        if not host and status.st_mtime < self._booted_at:
            # A power cut kept the name and lost the content: whoever made it is gone with the machine's last life.
            return True
        try:
            listed = self._disk.stat(folder_fd, UIDLIST_NAME).st_mtime
        except FileNotFoundError:
            listed = 0.0
        return age >= UNCHANGED_SECONDS and self._disk.wall_seconds() - listed >= UNCHANGED_SECONDS

    def _is_alive(self, process: int, identity: tuple[int, int]) -> bool:
        if process == self._process:
            with _held_lock:
                return identity in _held
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True

    def _override(self, folder_fd: int) -> bool:
        """Remove a stale lock; look again first, because another may have overridden it and hold a fresh one."""
        if not self._is_stale(folder_fd):
            return False
        try:
            self._disk.unlink(folder_fd, LOCK_NAME)
        except FileNotFoundError:
            return True
        # Another who saw the same stale lock may be about to remove what he takes for it: give him time to see ours.
        self._sleep(0.1)
        return True
