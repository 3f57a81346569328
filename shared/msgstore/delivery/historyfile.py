"""The file of one mailbox's history, and the locks beside it.

A file that is damaged is set aside under another name, for whoever wants to look, and a new one is begun.
"""

import errno
import fcntl
import hashlib
import os
import sqlite3
import stat
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Final

from msgstore.store.disk import Disk
from msgstore.telemetry.log import logger

__all__ = ["FILE_NAME", "LOCK_NAME", "ROWS_LIMIT", "HistoryFile", "RangeLocks"]

log = logger(__name__)

FILE_NAME: Final = "msgstore-history"
LOCK_NAME: Final = "msgstore-history.lock"
_ASIDE: Final = "msgstore-history.broken"

ROWS_LIMIT: Final = 10_000
"""Of one kind; the oldest go first. RFC 5230 §4.2 asks for 1000 at least.  A row is about 100 octets."""

_SWEEP_EACH: Final = 200
"""Records between two sweeps, by each process."""

_VERSION: Final = 1
_BUSY_SECONDS: Final = 5.0
_CLOCK_SLACK_SECONDS: Final = 3600.0
"""A record from further in the future was made by a clock that was wrong, and may count for years."""

_TABLES: Final = """
create table seen(
    kind text not null, key blob not null, at real not null, until real not null, primary key (kind, key)
) without rowid;
create index seen_by_age on seen(kind, at);
create index seen_by_end on seen(until);
"""

_FLOCK: Final = struct.Struct("hhqqi0q")
"""struct flock of Linux with 64-bit offsets: type, whence, start, length, pid. fcntl(2)."""

_OFFSETS: Final = 1 << 62
_NO_LOCKS: Final = frozenset((errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP))


class RangeLocks:
    """Locks of one run on a file that holds nothing: each mark is one octet of it.

    They belong to the open file and not to the process, so two runs in one process keep each other away as well, and
    the kernel takes them back from a process that dies.  Two marks that share an octet only wait for each other.
    """

    def __init__(self, directory_fd: int, *, salt: bytes = b"") -> None:
        """``salt`` tells mailboxes apart that share one file."""
        self._salt = salt
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(LOCK_NAME, flags, 0o600, dir_fd=directory_fd)

    def try_lock(self, key: bytes) -> bool:
        """Lock a mark; false while another run has it.

        Where the file system has no locks nobody has it.

        Raises:
            OSError: the disk refuses.
        """
        digest = hashlib.blake2b(key, key=self._salt[:64], digest_size=8).digest() if self._salt else key[:8]
        place = int.from_bytes(digest, "big") % _OFFSETS
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            if error.errno not in _NO_LOCKS:
                raise
        return True

    def close(self) -> None:
        """Give all of them back; harmless to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class HistoryFile:
    """One file, opened when it is needed; any thread may use it.

    ``control`` opens the directory, None for a history in memory; it may raise a MsgstoreError.
    """

    def __init__(self, control: Callable[[], int | None], disk: Disk) -> None:
        self._control = control
        self._disk = disk
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._directory: int | None = None
        self._inode = 0
        self._until_sweep = 0

    @property
    def has_place(self) -> bool:
        """Whether closing it loses nothing."""
        return self._database is None or self._directory is not None

    def has(self, kind: str, key: bytes, *, now: float, seconds: float) -> bool:
        """Whether there is a record that counts: by the time it was made for and by the time asked for.

        Raises:
            OSError, sqlite3.Error, MsgstoreError: it cannot be known.
        """

        def look(database: sqlite3.Connection) -> bool:
            found: tuple[float, float] | None = database.execute(
                "select at, until from seen where kind = ? and key = ?", (kind, key)
            ).fetchone()
            if found is None or found[0] > now + _CLOCK_SLACK_SECONDS:
                return False
            return now < min(found[1], found[0] + seconds)

        return self._use(look)

    def add(self, records: Iterable[tuple[str, bytes, float]], *, now: float) -> None:
        """Make records of kind, key and the seconds they count, all or none.

        Raises:
            OSError, sqlite3.Error, MsgstoreError: they are not made.
        """
        rows = [(kind, key, now, now + seconds) for kind, key, seconds in records]

        def write(database: sqlite3.Connection) -> bool:
            database.execute("begin immediate")
            with database:
                database.executemany("insert or replace into seen values (?, ?, ?, ?)", rows)
                self._until_sweep -= len(rows)
                if self._until_sweep <= 0:
                    self._until_sweep = _SWEEP_EACH
                    _sweep(database, now)
            return True

        self._use(write)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._shut()

    def _use(self, act: Callable[[sqlite3.Connection], bool]) -> bool:
        with self._lock:
            for last_try in (False, True):
                try:
                    return act(self._opened())
                except sqlite3.Error as error:
                    if last_try or not _is_damage(error):
                        self._shut()
                        raise
                    self._set_aside(error)
            raise AssertionError("unreachable")

    def _opened(self) -> sqlite3.Connection:
        if self._database is not None and (self._directory is None or self._is_in_place()):
            return self._database
        self._shut()
        directory = self._control()
        if directory is None:
            self._database = self._connected(":memory:")
            return self._database
        self._directory = directory
        try:
            _require_plain(directory)
            self._database = self._connected(os.path.realpath(f"/proc/self/fd/{directory}") + "/" + FILE_NAME)
            self._inode = self._disk.stat(directory, FILE_NAME).st_ino
        except sqlite3.Error:
            # The directory is needed to set the file aside.
            raise
        except BaseException:
            self._shut()
            raise
        return self._database

    def _is_in_place(self) -> bool:
        """Whether the file we have open is the one a new opening would find."""
        assert self._directory is not None
        try:
            is_there = self._disk.stat(self._directory, FILE_NAME).st_ino == self._inode
            return is_there and os.fstat(self._directory).st_nlink > 0
        except FileNotFoundError:
            return False

    def _connected(self, path: str) -> sqlite3.Connection:
        database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            database.execute("pragma journal_mode = wal").fetchone()
            # A record that a power cut takes back means one more reply; a sync for each would cost every message.
            database.execute("pragma synchronous = normal")
            database.execute("pragma cache_size = -256")
            self._prepare(database)
        except BaseException:
            database.close()
            raise
        return database

    @staticmethod
    def _prepare(database: sqlite3.Connection) -> None:
        if _version(database) == _VERSION:
            return
        database.execute("begin immediate")
        with database:
            known = _version(database)
            if known == _VERSION:
                return
            if known != 0:
                raise sqlite3.DatabaseError(f"version {known} is not a database of ours: malformed")
            for statement in filter(str.strip, _TABLES.split(";")):
                database.execute(statement)
            database.execute(f"pragma user_version = {_VERSION}")

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Give the damaged file another name; one that another process set aside meanwhile is left alone."""
        log.warning("history.set_aside", why=str(error))
        directory = self._directory
        if directory is None:
            self._shut()
            return
        inode, self._inode = self._inode, 0
        if self._database is not None:
            self._database.close()
            self._database = None
        try:
            if not inode or self._disk.stat(directory, FILE_NAME).st_ino == inode:
                self._disk.rename((directory, FILE_NAME), (directory, _ASIDE))
                for suffix in ("-wal", "-shm"):
                    self._remove(directory, FILE_NAME + suffix)
        except FileNotFoundError:
            pass
        finally:
            self._shut()

    def _remove(self, directory: int, name: str) -> None:
        try:
            self._disk.unlink(directory, name)
        except FileNotFoundError:
            return

    def _shut(self) -> None:
        database, self._database = self._database, None
        directory, self._directory = self._directory, None
        if database is not None:
            database.close()
        if directory is not None:
            os.close(directory)


def _version(database: sqlite3.Connection) -> int:
    (found,) = database.execute("pragma user_version").fetchone()
    return int(found)


def _sweep(database: sqlite3.Connection, now: float) -> None:
    database.execute("delete from seen where until < ? or at > ?", (now, now + _CLOCK_SLACK_SECONDS))
    for kind, count in database.execute("select kind, count(*) from seen group by kind").fetchall():
        if count > ROWS_LIMIT:
            database.execute(
                "delete from seen where (kind, key) in (select kind, key from seen where kind = ? order by at limit ?)",
                (kind, count - ROWS_LIMIT),
            )


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken; one that is locked or on a full disk is not."""
    text = str(error)
    return any(
        word in text for word in ("malformed", "not a database", "no such table", "no such column", "has no column")
    )


def _require_plain(directory: int) -> None:
    """Refuse a file that SQLite would follow out of the mailbox."""
    for suffix in ("", "-wal", "-shm"):
        try:
            status = os.stat(FILE_NAME + suffix, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
            raise sqlite3.DatabaseError(f"{FILE_NAME}{suffix} is not a plain file of our own: malformed")
