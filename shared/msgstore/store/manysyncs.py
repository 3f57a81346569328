"""Many syncs with one call, so that the file system works on all of them at a time and merges their flushes.

The kernel's asynchronous I/O (io_submit(2), of the kernel itself since 4.18 for every file system that can sync) hands
each sync to a thread of the kernel's own.  Where it cannot be had, and for a single file, the plain calls do the same
one after the other.
"""

import ctypes
import errno
import os
import platform
import struct
import threading
from collections.abc import Sequence
from typing import Final

__all__ = ["ManySyncs"]

LIMIT: Final = 64
"""Syncs of one call."""

_NUMBERS: Final = {"x86_64": (206, 209, 208), "aarch64": (0, 2, 4), "riscv64": (0, 2, 4)}
"""io_setup, io_submit and io_getevents; the C library has no names for them."""

_IOCB: Final = struct.Struct("=QIIHhIQQqQII")
_EVENT: Final = struct.Struct("=QQqq")
"""struct iocb and struct io_event of linux/aio_abi.h; the same on every 64-bit machine with little ends."""

_FSYNC: Final = 2
_FDSYNC: Final = 3


class ManySyncs:
    """Syncs sets of descriptors; safe to use from any thread.

    The kernel takes a set up to the first that it cannot sync this way, perhaps none: the answers are those of the
    first descriptors, and the caller syncs the others himself.
    """

    def __init__(self, *, machine: str = platform.machine()) -> None:
        """Speak to the kernel of a ``machine`` as uname(1) calls it; of one that is not known nothing is taken."""
        self._numbers = _NUMBERS.get(machine)
        self._library = ctypes.CDLL(None, use_errno=True)
        self._of_thread = threading.local()

    def files(self, fds: Sequence[int]) -> list[OSError | None]:
        """Sync contents and lengths, and say how it went."""
        return self._sync(fds[:LIMIT], _FDSYNC)

    def directories(self, fds: Sequence[int]) -> list[OSError | None]:
        """Sync names, and say how it went."""
        return self._sync(fds[:LIMIT], _FSYNC)

    def _sync(self, fds: Sequence[int], code: int) -> list[OSError | None]:
        queue = self._queue()
        outcomes: list[OSError | None] = [None] * (0 if queue is None else queue.submit(fds, code))
        if queue is not None and outcomes:
            try:
                queue.await_all(outcomes)
            except OSError as error:
                # Which of them are durable is not known, and late answers would be taken for those of the next set.
                self._of_thread.queue = None
                return [error] * len(outcomes)
        return outcomes

    def _queue(self) -> "_Queue | None":
        try:
            found: _Queue | None = self._of_thread.queue
        except AttributeError:
            found = self._of_thread.queue = self._new_queue()
        return found

    def _new_queue(self) -> "_Queue | None":
        if self._numbers is None:
            return None
        try:
            return _Queue(self._library, self._numbers)
        except OSError:
            # Not in this kernel, forbidden, or no room: fs.aio-max-nr.
            return None


class _Queue:
    """The kernel's queue of one thread.  It lasts as long as the process, as the threads that sync do."""

    def __init__(self, library: ctypes.CDLL, numbers: tuple[int, int, int]) -> None:
        self._call = library.syscall
        setup, self._submit_number, self._await_number = (ctypes.c_long(number) for number in numbers)
        self._context = ctypes.c_ulong()
        if self._call(setup, ctypes.c_uint(LIMIT), ctypes.byref(self._context)):
            raise _last_error()
        self._blocks = ctypes.create_string_buffer(LIMIT * _IOCB.size)
        self._events = ctypes.create_string_buffer(LIMIT * _EVENT.size)
        begin = ctypes.addressof(self._blocks)
        self._pointers = (ctypes.c_void_p * LIMIT)(*(begin + _IOCB.size * index for index in range(LIMIT)))

    def submit(self, fds: Sequence[int], code: int) -> int:
        """Begin syncs and say how many of them the kernel took, from the first on."""
        for index, fd in enumerate(fds):
            _IOCB.pack_into(self._blocks, index * _IOCB.size, index, 0, 0, code, 0, fd, 0, 0, 0, 0, 0, 0)
        taken = self._call(self._submit_number, self._context, ctypes.c_long(len(fds)), ctypes.byref(self._pointers))
        return max(int(taken), 0)

    def await_all(self, outcomes: list[OSError | None]) -> None:
        """Wait for the end of each and put the errors where they belong.

        Raises:
            OSError: the kernel does not tell how they end.
        """
        waiting = len(outcomes)
        while waiting:
            number = ctypes.c_long(waiting)
            came = self._call(self._await_number, self._context, number, number, ctypes.byref(self._events), None)
            if came < 0:
                if ctypes.get_errno() == errno.EINTR:
                    continue
                raise _last_error()
            for place in range(came):
                index, _, result, _ = _EVENT.unpack_from(self._events, place * _EVENT.size)
                if result < 0:
                    outcomes[index] = OSError(-result, os.strerror(-result))
            waiting -= came


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
