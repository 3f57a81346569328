"""What others do to the directories of a Maildir, as the kernel tells it.  inotify(7).

Own calls by ctypes and not asyncinotify: that one wants paths, and a store has descriptors and builds no path of names
from outside; it reads one event at a time, with a wait before each; and an overflow looks like any other event there.

A watched folder costs two watches, ``new`` and ``cur``; a watched mailbox one more, for directories that come and go.
"""

import ctypes
import os
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.mailbox import ChangedPlace
from msgstore.store.directories import Directories, Place

__all__ = ["Inotify", "MaildirChanges"]

_IN_MOVED: Final = 0x40 | 0x80
_IN_CREATE: Final = 0x100
_IN_DELETE: Final = 0x200
_IN_GONE: Final = 0x400 | 0x800
"""The directory itself was removed or moved."""

_IN_OVERFLOW: Final = 0x4000
_IN_IGNORED: Final = 0x8000
_IN_ONLYDIR: Final = 0x1000000
_IN_ISDIR: Final = 0x40000000
_MASK: Final = _IN_MOVED | _IN_CREATE | _IN_DELETE | _IN_GONE | _IN_ONLYDIR
_HEAD: Final = struct.Struct("iIII")
_READ_OCTETS: Final = 64 << 10
_READS: Final = 16
"""Of one call: the caller has other work, and what is left makes the descriptor readable again."""


class Inotify:
    """One inotify descriptor."""

    def __init__(self) -> None:
        """Ask the kernel for one.

        Raises:
            OSError: it has none to give.
        """
        self._library = ctypes.CDLL(None, use_errno=True)
        self.fd: Final = int(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def add(self, directory_fd: int) -> int:
        """Watch an open directory and give the number of the watch; the same one for the same directory.

        Raises:
            OSError: the kernel watches no more.
        """
        path = f"/proc/self/fd/{directory_fd}".encode()
        number = int(self._library.inotify_add_watch(self.fd, path, _MASK))
        if number < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return number

    def remove(self, number: int) -> None:
        """End a watch; harmless where the kernel has ended it."""
        self._library.inotify_rm_watch(self.fd, number)

    def read(self) -> Iterator[tuple[int, int, bytes]]:
        """Give number, mask and name of what happened; never waits."""
        for _ in range(_READS):
            try:
                octets = os.read(self.fd, _READ_OCTETS)
            except BlockingIOError:
                return
            offset = 0
            while offset < len(octets):
                number, mask, _, length = _HEAD.unpack_from(octets, offset)
                offset += _HEAD.size + length
                yield number, mask, octets[offset - length : offset].rstrip(b"\0")


class MaildirChanges:
    """See :class:`msgstore.model.mailbox.ChangeSource`."""

    def __init__(
        self, directories: Directories, place_of: Callable[[MailboxId, FolderName | None], Place], inotify: Inotify
    ) -> None:
        self._directories = directories
        self._place_of = place_of
        self._inotify = inotify
        self._guard = threading.Lock()
        self._numbers: dict[ChangedPlace, tuple[int, ...]] = {}
        self._watched: dict[int, ChangedPlace] = {}

    def fileno(self) -> int:
        """Readable when something happened."""
        return self._inotify.fd

    def watch(self, mailbox: MailboxId, folder: FolderName | None) -> bool:
        """Tell of a folder from now on; false where the kernel watches no more or there is no such folder."""
        root, components = self._place_of(mailbox, folder)
        inner = ((),) if folder is None else (("new",), ("cur",))
        numbers: list[int] = []
        try:
            for names in inner:
                with self._directories.lease((root, (*components, *names))) as fd:
                    numbers.append(self._inotify.add(fd))
        except OSError:
            self._forget(numbers)
            return False
        place = (mailbox, folder)
        with self._guard:
            left = set(self._numbers.get(place, ())) - set(numbers)
            self._numbers[place] = tuple(numbers)
            self._watched.update(dict.fromkeys(numbers, place))
            for number in left:
                self._watched.pop(number, None)
        for number in left:
            self._inotify.remove(number)
        return True

    def unwatch(self, mailbox: MailboxId, folder: FolderName | None) -> None:
        """Tell no more of a folder; touches no disk."""
        with self._guard:
            numbers = self._numbers.pop((mailbox, folder), ())
            for number in numbers:
                self._watched.pop(number, None)
        for number in numbers:
            self._inotify.remove(number)

    def read(self) -> tuple[ChangedPlace, ...]:
        """Give the places where something happened, each once; all of them after an overflow."""
        found: dict[ChangedPlace, None] = {}
        for number, mask, name in self._inotify.read():
            with self._guard:
                if mask & _IN_OVERFLOW:
                    found.update(dict.fromkeys(self._numbers))
                    continue
                place = self._watched.get(number)
                if place is None or (place[1] is None and not _is_about_folders(mask, name)):
                    continue
                if mask & _IN_IGNORED:
                    del self._watched[number]
            found[place] = None
        return tuple(found)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._inotify.fd)

    def _forget(self, numbers: list[int]) -> None:
        """Take back the half of a folder's watches, unless an earlier call made them."""
        with self._guard:
            ours = [number for number in numbers if number not in self._watched]
        for number in ours:
            self._inotify.remove(number)


def _is_about_folders(mask: int, name: bytes) -> bool:
    """Whether a folder came or went; the directory of a mailbox holds files that change all the time."""
    return bool(mask & (_IN_GONE | _IN_IGNORED)) or bool(mask & _IN_ISDIR and name.startswith(b"."))
