"""Reading and replacing small files whose loss or half would lock users out.

Every path is a trusted directory plus names walked with O_NOFOLLOW; a file with several links is refused, because
nobody links these on purpose.
"""

import errno
import fcntl
import operator
import os
import stat
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

__all__ = [
    "FileStamp",
    "are_same",
    "locked",
    "move_file",
    "open_directory",
    "open_made_directory",
    "read_small",
    "remove_file",
    "replace_file",
    "stamp_of",
]

_SMALL_FILE_LIMIT_OCTETS: Final = 64 << 20
"""Half a million users in one password file."""

_SETTLED_NS: Final = 50_000_000
"""Five ticks of the slowest kernel (HZ=100)."""

_OPEN: Final = os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What changes when a file does."""

    inode: int
    octets: int
    modified_ns: int
    changed_ns: int
    """Of the inode: no tool can set it, while a copy may bring the old time of modification along."""

    @classmethod
    def of(cls, status: os.stat_result) -> "FileStamp":
        """Take the stamp from a stat."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def is_settled(self) -> bool:
        """Whether a change from now on gets another stamp; the clock of file times ticks only every few ms."""
        return abs(time.time_ns() - self.changed_ns) > _SETTLED_NS


def are_same(some: Sequence[object], others: Sequence[object]) -> bool:
    """Whether what files said then is what is held of them now: the very objects, as each reading makes others."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def open_directory(root: str, *names: str) -> int:
    """Open a directory below ``root``, one component at a time; the caller closes it.

    Raises:
        OSError: as the kernel says; ELOOP or ENOTDIR for a symlink on the way.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in names:
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _OPEN, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def stamp_of(directory: int, name: str) -> FileStamp | None:
    """Give the stamp of a file, None when it is not there.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        return FileStamp.of(os.stat(name, dir_fd=directory, follow_symlinks=False))
    except FileNotFoundError:
        return None


def read_small(directory: int, name: str) -> tuple[bytes, FileStamp] | None:
    """Read a whole file and the stamp of what was read; None when it is not there.

    Raises:
        OSError: it cannot be read, is no regular file, has several links or changes all the time.
    """
    for _ in range(5):
        try:
            # O_NONBLOCK: a FIFO planted under this name must not hang a login.
            descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _OPEN, dir_fd=directory)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode) or before.st_nlink != 1 or before.st_size > _SMALL_FILE_LIMIT_OCTETS:
                raise OSError(errno.EINVAL, "is not a regular file of its own and bounded size")
            content = file.read(_SMALL_FILE_LIMIT_OCTETS)
            after = FileStamp.of(os.fstat(descriptor))
        if after == FileStamp.of(before) and len(content) == after.octets:
            return content, after
    raise OSError(errno.EAGAIN, "is being written to")


def replace_file(directory: int, name: str, content: bytes, *, mode: int) -> None:
    """Put a new file in place of an old one: whole or not at all, durable on return.

    Owner, group and mode stay what they were; a file that was not there gets ``mode``.

    Raises:
        OSError: the old file is untouched; EPERM where its owner or group could not be kept.
    """
    staged = f".{name}.{os.getpid()}.tmp"
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _OPEN, mode, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _keep_rights(directory, name, descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(staged, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(staged, dir_fd=directory)
        raise
    # The new name must survive a power cut before anybody is told that the password changed.
    os.fsync(directory)


def move_file(directory: int, name: str, to: str) -> None:
    """Put one file of a directory in the place of another, durable on return.

    Raises:
        OSError: nothing was changed, or the directory cannot be synced.
    """
    os.rename(name, to, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def remove_file(directory: int, name: str) -> None:
    """Take a file away, durable on return; it may be gone already.

    Raises:
        OSError: it cannot be taken away.
    """
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    os.fsync(directory)


def open_made_directory(directory: int, name: str, *, mode: int) -> int:
    """Open a directory below another one, and make it where it is missing; the caller closes it.

    Raises:
        OSError: as the kernel says; ELOOP or ENOTDIR where something else has the name.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | _OPEN
    try:
        return os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        pass
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=directory)
    made = os.open(name, flags, dir_fd=directory)
    _hand_over(made, os.fstat(directory), must=False)
    os.fsync(directory)
    return made


def _keep_rights(directory: int, name: str, descriptor: int, mode: int) -> None:
    """Give the new file what the old one has, or whoever read it until now could not any more."""
    try:
        old = os.stat(name, dir_fd=directory, follow_symlinks=False)
        mode = stat.S_IMODE(old.st_mode)
    except FileNotFoundError:
        old = None
    _hand_over(descriptor, old or os.fstat(directory), must=old is not None)
    os.fchmod(descriptor, mode)


def _hand_over(descriptor: int, like: os.stat_result, *, must: bool) -> None:
    """Set owner and group: root may write what the service user reads."""
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) == (like.st_uid, like.st_gid):
        return
    try:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    except PermissionError:
        if must:
            raise


@contextmanager
def locked(directory: int) -> Generator[None]:
    """Hold the lock that the older suite's tools take for edits in a domain directory (``.lock``, flock)."""
    descriptor = os.open(".lock", os.O_RDWR | os.O_CREAT | _OPEN, 0o640, dir_fd=directory)
    try:
        if os.geteuid() == 0 and os.fstat(descriptor).st_uid == 0:
            # Made by root, perhaps just now: whoever owns the directory has to be able to take it too.
            _hand_over(descriptor, os.fstat(directory), must=False)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
