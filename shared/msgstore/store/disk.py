"""The only module that syncs, links, renames, unlinks and makes directories.

Every call names its file by a directory descriptor and one component, never follows a symbolic link below the store's
root, and never hands a descriptor on to a child.  Because all changes pass here, a test can record them and rebuild
what a power cut would have left.

A failed sync is final: the kernel may have dropped the pages and says so only once, so nothing here repeats one.
"""

import ctypes
import errno
import fcntl
import math
import os
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgstore.store.manysyncs import ManySyncs

__all__ = ["DIRECTORY_MODE", "FILE_MODE", "Disk"]

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK keeps a FIFO that somebody put into a mailbox from stopping a thread for ever."""

_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
"""linux/fs.h; renameat2(2)."""

_RANGE_WAIT_BEFORE: Final = 1
_RANGE_WRITE: Final = 2
_RANGE_WAIT_AFTER: Final = 4
"""linux/fs.h; sync_file_range(2)."""

_WRITE_ERRORS: Final = frozenset((errno.EIO, errno.ENOSPC, errno.EDQUOT))
"""What tells that octets are lost; all else says that there is no such call here, and the sync alone does it."""

_NO_LOCKS: Final = frozenset((errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP))
"""Network file systems that want a file open for writing, or have no lock daemon.  flock(2)."""

_NO_SUCH_SUPPORT: Final = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOSYS))
"""What kernels and file systems without O_TMPFILE, or machines without /proc, answer.  open(2)."""


class Disk:
    """Changes to files and directories, each a thin name for one system call; safe to use from any thread."""

    def __init__(self, *, many: ManySyncs | None = None) -> None:
        """``many`` syncs sets with one call; without it each file has a call of its own."""
        library = ctypes.CDLL(None, use_errno=True)
        self._many = many
        self._renameat2 = getattr(library, "renameat2", None)
        self._sync_file_range = getattr(library, "sync_file_range", None)
        if self._sync_file_range is not None:
            self._sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

    def wall_seconds(self) -> float:
        """The clock that file times are compared with; not the clock that messages are dated with."""
        return time.time()

    def open_root(self, path: str, *, create: bool = False) -> int:
        """Open a directory that the configuration names; symbolic links in it are the operator's wish."""
        try:
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            if not create:
                raise
        parent, name = os.path.split(path.rstrip("/"))
        parent_fd = self.open_root(parent or "/", create=True)
        try:
            return self.open_directory(parent_fd, [name], create=True)
        finally:
            os.close(parent_fd)

    def open_directory(self, parent_fd: int, components: Sequence[str], *, create: bool = False) -> int:
        """Walk down from a directory one component at a time and open the last.

        With ``create`` missing levels are made and each is durable on return.

        Raises:
            FileNotFoundError: a level is missing.
            OSError: a level is a symbolic link (ELOOP or ENOTDIR) or cannot be opened.
        """
        fd = os.dup(parent_fd) if not components else -1
        above = parent_fd
        for name in components:
            try:
                try:
                    fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=above)
                except FileNotFoundError:
                    if not create:
                        raise
                    self.make_directory(above, name)
                    self.sync_directory(above)
                    fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=above)
            finally:
                if above != parent_fd:
                    os.close(above)
            above = fd
        return fd

    def supports_anonymous(self, directory_fd: int) -> bool:
        """Try on one empty file whether O_TMPFILE and linking it by /proc work here."""
        name = f"msgstore-probe.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            fd = self.create_anonymous(directory_fd)
        except OSError as error:
            if error.errno in _NO_SUCH_SUPPORT:
                return False
            raise
        try:
            self.link_anonymous(fd, directory_fd, name)
        except OSError:
            return False
        finally:
            os.close(fd)
        self.unlink(directory_fd, name)
        return True

    def create_anonymous(self, directory_fd: int) -> int:
        """Open a file without a name on the file system of the directory; closing it frees it."""
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, FILE_MODE, dir_fd=directory_fd)

    def create_named(self, directory_fd: int, name: str) -> int:
        """Open a new file for reading and writing.

        Raises:
            FileExistsError: the name is taken.
        """
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, FILE_MODE, dir_fd=directory_fd)

    def open_append(self, directory_fd: int, name: str) -> int:
        """Open an existing file for appending."""
        return os.open(name, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)

    def write(self, fd: int, octets: bytes | bytearray | memoryview) -> None:
        """Write everything, however short the kernel's writes are."""
        done = os.write(fd, octets)
        if done == len(octets):
            return
        rest = memoryview(octets)[done:]
        while rest:
            done = os.write(fd, rest)
            if done == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[done:]

    def set_modified(self, fd: int, seconds: float) -> None:
        """Set the time that readers take for the internal date; before the file gets a name."""
        # In two parts: late in 2116 a second is more nanoseconds than a float tells apart, and half of one is lost.
        whole = math.floor(seconds)
        nanoseconds = whole * 1_000_000_000 + round((seconds - whole) * 1e9)
        os.utime(fd, ns=(nanoseconds, nanoseconds))

    def touch(self, fd: int) -> None:
        """Set the file's time to now."""
        os.utime(fd)

    def sync_file(self, fd: int) -> None:
        """Make content and length durable, not the name."""
        os.fdatasync(fd)

    def sync_files(self, fds: Sequence[int]) -> list[OSError | None]:
        """Make content and length of many files durable and say of each whether it went wrong.

        All are written out before the first is synced: then one commit of the journal is enough for all of them.  The
        write-out reports an error in the place of the sync that follows it, so both answers count.
        """
        done = self._many.files(fds) if self._many is not None and len(fds) > 1 else []
        rest = fds[len(done) :]
        lost = self._write_out(rest) if len(rest) > 1 else {}
        return [*done, *(_outcome(self.sync_file, fd) or lost.get(fd) for fd in rest)]

    def _write_out(self, fds: Sequence[int]) -> dict[int, OSError]:
        lost: dict[int, OSError] = {}
        if self._sync_file_range is not None:
            for flags in (_RANGE_WRITE, _RANGE_WRITE | _RANGE_WAIT_BEFORE | _RANGE_WAIT_AFTER):
                for fd in fds:
                    if self._sync_file_range(fd, 0, 0, flags) and ctypes.get_errno() in _WRITE_ERRORS:
                        lost[fd] = OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return lost

    def sync_directory(self, fd: int) -> None:
        """Make the names in a directory durable.

        The fstat is part of it: a file system that is shutting down can answer the sync with success and this with
        EIO (measured on xfs).
        """
        os.fsync(fd)
        os.fstat(fd)

    def sync_directories(self, fds: Sequence[int]) -> list[OSError | None]:
        """Make the names in many directories durable and say of each whether it went wrong."""
        done = self._many.directories(fds) if self._many is not None and len(fds) > 1 else []
        looked = [error or _outcome(os.fstat, fd) for fd, error in zip(fds, done, strict=False)]
        return [*looked, *(_outcome(self.sync_directory, fd) for fd in fds[len(done) :])]

    def link_anonymous(self, fd: int, directory_fd: int, name: str) -> None:
        """Give an open file a name.

        Raises:
            FileExistsError: the name is taken.
            FileNotFoundError: the directory is gone, or the file had names and lost the last of them.
            OSError: EXDEV or EMLINK; a copy is needed.
        """
        # With a descriptor for the target CPython calls linkat(AT_SYMLINK_FOLLOW); without one plain link(), which
        # takes the link in /proc for the thing itself and fails with EXDEV.
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory_fd, follow_symlinks=True)

    def link(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        """Give a named file one more name; both are (directory descriptor, name)."""
        os.link(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0], follow_symlinks=False)

    def rename(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        """Move a name over another; both are (directory descriptor, name)."""
        os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])

    def rename_new(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        """Move a name to one that must be free; link and unlink where the file system knows no flags.

        Raises:
            FileExistsError: the name is taken.
        """
        if self._renameat2 is not None:
            names = (source[0], os.fsencode(source[1]), target[0], os.fsencode(target[1]))
            if self._renameat2(*names, _RENAME_NOREPLACE) == 0:
                return
            number = ctypes.get_errno()
            if number not in (errno.EINVAL, errno.ENOSYS):
                raise OSError(number, os.strerror(number), target[1])
        self.link(source, target)
        self.unlink(*source)

    def exchange(self, first: tuple[int, str], second: tuple[int, str]) -> None:
        """Let two names change places in one step.

        Raises:
            OSError: EINVAL or ENOSYS where the file system cannot; a name is missing.
        """
        if self._renameat2 is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        names = (first[0], os.fsencode(first[1]), second[0], os.fsencode(second[1]))
        if self._renameat2(*names, _RENAME_EXCHANGE) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), first[1])

    def unlink(self, directory_fd: int, name: str) -> None:
        """Take a name away."""
        os.unlink(name, dir_fd=directory_fd)

    def make_directory(self, directory_fd: int, name: str) -> bool:
        """Make a directory, not yet durable; False when something of that name is there already."""
        try:
            os.mkdir(name, DIRECTORY_MODE, dir_fd=directory_fd)
        except FileExistsError:
            return False
        return True

    def remove_directory(self, directory_fd: int, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=directory_fd)

    def remove_tree(self, directory_fd: int, name: str) -> None:
        """Remove a directory with everything in it, following no symbolic link; what is gone already is fine."""
        try:
            fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=directory_fd)
        except FileNotFoundError:
            return
        try:
            with os.scandir(fd) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for inner, is_directory in found:
                if is_directory:
                    self.remove_tree(fd, inner)
                else:
                    self.unlink(fd, inner)
        finally:
            os.close(fd)
        self.remove_directory(directory_fd, name)

    def replace(self, directory_fd: int, name: str, content: bytes) -> None:
        """Put a whole new file in the place of ``name``, durably; readers see the old one or the new one."""
        temporary = f"msgstore-tmp.{os.getpid()}.{secrets.token_hex(6)}"
        fd = self.create_named(directory_fd, temporary)
        try:
            try:
                self.write(fd, content)
                self.sync_file(fd)
            finally:
                os.close(fd)
            self.rename((directory_fd, temporary), (directory_fd, name))
        except BaseException:
            self.unlink(directory_fd, temporary)
            raise
        self.sync_directory(directory_fd)

    def replace_link(self, directory_fd: int, name: str, target: str) -> None:
        """Put a symbolic link in the place of ``name``, durably; readers see what was there or the link."""
        temporary = f"msgstore-tmp.{os.getpid()}.{secrets.token_hex(6)}"
        os.symlink(target, temporary, dir_fd=directory_fd)
        try:
            self.rename((directory_fd, temporary), (directory_fd, name))
        except BaseException:
            self.unlink(directory_fd, temporary)
            raise
        self.sync_directory(directory_fd)

    def read_link(self, directory_fd: int, name: str) -> str:
        """Give what a symbolic link holds.

        Raises:
            FileNotFoundError: nothing of that name is there.
            OSError: EINVAL where it is no link.
        """
        return os.readlink(name, dir_fd=directory_fd)

    def open_for_reading(self, directory_fd: int, name: str) -> int:
        """Open a regular file.

        Raises:
            FileNotFoundError: it is not there.
            OSError: it is a symbolic link (ELOOP) or not a regular file (EINVAL).
        """
        fd = os.open(name, _READ_FLAGS, dir_fd=directory_fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file")
        return fd

    def read_file(self, directory_fd: int, name: str) -> tuple[bytes, os.stat_result]:
        """Read a small file whole, with what fstat said of the very file that was read."""
        fd = self.open_for_reading(directory_fd, name)
        try:
            pieces: list[bytes] = []
            while piece := os.read(fd, 1 << 20):
                pieces.append(piece)
            return b"".join(pieces), os.fstat(fd)
        finally:
            os.close(fd)

    def stat(self, directory_fd: int, name: str) -> os.stat_result:
        """Look at a name without following it."""
        return os.stat(name, dir_fd=directory_fd, follow_symlinks=False)

    def try_lock(self, directory_fd: int, *, shared: bool) -> int | None:
        """Lock a directory by flock(2); give the descriptor whose closing unlocks it, None while others are in the way.

        Where the file system cannot lock a directory the answer is a descriptor without a lock.
        """
        fd = os.open(".", _DIRECTORY_FLAGS, dir_fd=directory_fd)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(fd)
                raise
        return fd

    def names(self, directory_fd: int) -> list[str]:
        """All names in a directory; may skip some that are renamed meanwhile."""
        # A descriptor has one position, shared by all threads that list through it: listing needs its own.
        fd = os.open(".", _DIRECTORY_FLAGS, dir_fd=directory_fd)
        try:
            return os.listdir(fd)  # noqa: PTH208 (names of an open directory, not of a path)
        finally:
            os.close(fd)


def _outcome(call: Callable[[int], object], fd: int) -> OSError | None:
    try:
        call(fd)
    except OSError as error:
        return error
    return None
