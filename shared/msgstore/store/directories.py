"""Open directories, kept for the next caller: the hot path walks no path.

A descriptor somebody works with is never closed under him: it is counted, and closed when the last user is done and
the cache has let it go.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeVar

from msgstore.model.interfaces import Clock
from msgstore.store.disk import Disk

__all__ = ["Directories", "OpenDirectory", "Place"]

T = TypeVar("T")

Place = tuple[str, tuple[str, ...]]
"""A root path from the configuration and checked components below it."""

TRUSTED_SECONDS: Final = 1.0
"""How long a descriptor is used before its path is looked at again: another program may have renamed a level."""


SETTLED_SECONDS: Final = 2.0
"""Longer than any tick of a file system's clock."""


class OpenDirectory:
    """A directory held open; ``fd`` stays open until it is given back."""

    __slots__ = ("fd", "identity", "is_cached", "lacks", "users", "walked_at")

    def __init__(self, fd: int, walked_at: float) -> None:
        self.fd = fd
        status = os.fstat(fd)
        self.lacks: dict[str, int] = {}
        """Names that were not there, each with the time of change that the directory bore before the search, in ns."""

        self.identity = (status.st_dev, status.st_ino)
        self.users = 0
        self.is_cached = True
        self.walked_at = walked_at


class Directories:
    """An LRU of directory descriptors by place; safe to use from any thread."""

    def __init__(self, disk: Disk, *, clock: Clock, limit: int = 512) -> None:
        self._disk = disk
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        self._open: OrderedDict[Place, OpenDirectory] = OrderedDict()

    @contextmanager
    def lease(self, place: Place, *, create: bool = False, is_certain: bool = False) -> Generator[int]:
        """Give a descriptor that stays open until the block ends.

        ``is_certain`` looks at the path now, however short ago that was done: another process may have renamed a level.

        Raises:
            FileNotFoundError: the directory is not there and ``create`` is false.
            OSError: it cannot be opened.
        """
        entry = self.take(place, create=create, is_certain=is_certain)
        try:
            yield entry.fd
        finally:
            self.give_back(entry)

    def take(self, place: Place, *, create: bool = False, is_certain: bool = False) -> OpenDirectory:
        """Like :meth:`lease`, for callers that hold many: give each back."""
        now = self._clock.monotonic()
        with self._lock:
            entry = self._open.get(place)
            if entry is not None and not is_certain and now - entry.walked_at < TRUSTED_SECONDS:
                entry.users += 1
                self._open.move_to_end(place)
                return entry
            if entry is not None:
                entry.users += 1
        if entry is not None:
            if self._leads_to(place, entry):
                entry.walked_at = now
                return entry
            self.give_back(entry)
        fresh = OpenDirectory(self._walk(place, create=create), now)
        with self._lock:
            known = self._open.get(place)
            if known is not None and known.identity == fresh.identity:
                os.close(fresh.fd)
                known.walked_at = now
                fresh = known
            else:
                if known is not None:
                    self._drop(known)
                self._open[place] = fresh
            fresh.users += 1
            self._open.move_to_end(place)
            while len(self._open) > self._limit:
                self._drop(self._open.popitem(last=False)[1])
        return fresh

    def give_back(self, entry: OpenDirectory) -> None:
        """End one use of what :meth:`take` gave."""
        with self._lock:
            entry.users -= 1
            if entry.users == 0 and not entry.is_cached:
                os.close(entry.fd)

    def search(self, entry: OpenDirectory, name: str, look: Callable[[], T]) -> T | None:
        """Give what ``look`` finds under a name; None where it raises FileNotFoundError.

        It is not asked again before the directory changes: what most mailboxes lack costs each delivery a look at the
        directory alone.  Nothing is remembered of one that changed just now, as the next change could leave the same
        time.

        Raises:
            OSError: ``look`` raises it, or the directory cannot be looked at.
        """
        # Of the inode: no tool can set it, while a copy may bring the old time of modification along.
        changed_ns = os.fstat(entry.fd).st_ctime_ns
        if entry.lacks.get(name) == changed_ns:
            return None
        try:
            return look()
        except FileNotFoundError:
            if changed_ns < (self._disk.wall_seconds() - SETTLED_SECONDS) * 1e9:
                entry.lacks[name] = changed_ns
            return None

    def forget(self, place: Place) -> None:
        """Let go of a directory and everything below it."""
        root, components = place
        depth = len(components)
        with self._lock:
            below = [known for known in self._open if known[0] == root and known[1][:depth] == components]
            for known in below:
                self._drop(self._open.pop(known))

    def close(self) -> None:
        """Let go of everything; descriptors in use close when their users are done."""
        with self._lock:
            while self._open:
                self._drop(self._open.popitem()[1])

    @staticmethod
    def _leads_to(place: Place, entry: OpenDirectory) -> bool:
        """Whether the path still ends in the directory that was opened; for the price of one system call.

        Symbolic links are followed here: whatever the way, it is the very directory that was reached without them.
        """
        root, components = place
        try:
            status = os.stat("/".join((root, *components)))  # noqa: PTH116 - a Path costs more than the call
        except (OSError, ValueError):
            return False
        return (status.st_dev, status.st_ino) == entry.identity

    def _walk(self, place: Place, *, create: bool) -> int:
        root, components = place
        root_fd = self._disk.open_root(root, create=create)
        if not components:
            return root_fd
        try:
            return self._disk.open_directory(root_fd, components, create=create)
        finally:
            os.close(root_fd)

    @staticmethod
    def _drop(entry: OpenDirectory) -> None:
        entry.is_cached = False
        if entry.users == 0:
            os.close(entry.fd)
