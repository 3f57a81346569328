"""Where bodies lie that are too large for a row.

Body before row, row before removal: a body is durable before the row that names it is committed, and goes only after
no row names it any more.  What a crash or a lost connection leaves between the two is a body without a row, never a row
without a body; :func:`sweep_orphans` takes it away once no delivery can be under way that long.

A reference is relative to its place, so that a place may move as a whole.  It is read back from a database, so it is
checked before anything is made of it.
"""

import contextlib
import errno
import itertools
import os
import re
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final, Protocol
from uuid import UUID

from msgstore.model.errors import StoreCorrupt, store_error_from
from msgstore.model.interfaces import Body, BodyFacts
from msgstore.store.body import FileBody
from msgstore.store.disk import Disk
from msgstore.store.spool import Spool
from msgstore.store.staging import StagedFile

__all__ = ["ORPHAN_SECONDS", "FileBodies", "LargeBodies", "sweep_orphans"]

ORPHAN_SECONDS: Final = 48 * 3600
"""Age from which a body that no row names belongs to nobody; no transaction and no retry of one lasts as long."""

_BATCH: Final = 500
"""References asked about in one query; SQLite takes at most 999 parameters where it is old."""

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_FAN_OUT: Final = re.compile(r"[0-9a-f]{2}")

_NEEDS_COPY: Final = frozenset((errno.ENOENT, errno.EXDEV, errno.EMLINK))
"""The last of the staged file's names is gone, it lies on another file system, it has all the names it can have."""


class LargeBodies(Protocol):
    """A place for bodies; safe to use from any thread."""

    def keep(self, blob_id: UUID, staged: StagedFile) -> str:
        """Keep a body of at least one octet and give the reference that its row keeps; durable when it returns.

        May be called again for the same staged file, each time with another id: once for every mailbox.  An id is used
        once.  When it raises, nothing is there, or what is there is an orphan.

        Raises:
            StoreError: the place refuses or cannot be reached.
        """
        ...

    def open(self, ref: str, facts: BodyFacts | None = None) -> Body:
        """Open a body.

        Raises:
            StoreCorrupt: it is gone although a row names it, or the reference has no form of this place.
            StoreUnavailable: the place cannot be reached.
        """
        ...

    def remove(self, ref: str) -> None:
        """Take a body away, after its row; harmless when it is gone.

        That need not be durable: one that comes back is an orphan.

        Raises:
            StoreCorrupt: the reference has no form of this place.
            StoreError: the place refuses or cannot be reached.
        """
        ...

    def refs(self, *, older_than: float) -> Iterator[str]:
        """Give every body that was kept before ``older_than``, seconds since 1970 UTC; each may be removed meanwhile.

        What is there and is no body is left out.

        Raises:
            StoreError: the place cannot be read.
        """
        ...

    def check_health(self) -> None:
        """Write something small where bodies are kept.

        Raises:
            StoreError: that cannot be done.
        """
        ...

    def close(self) -> None:
        """Give back what is open; harmless to repeat.  Opened bodies stay open."""
        ...


class FileBodies:
    """Bodies as files ``<2 hex>/<32 hex>`` below one directory; see :class:`LargeBodies`.

    The two digits are random ones of the id, whose first tell the time.  A staged file of the same file system is
    linked, so all mailboxes share its octets; any other is copied.  Opened bodies have a descriptor and stay readable
    after they are removed.
    """

    def __init__(self, disk: Disk, root: str) -> None:
        """``root`` is made at the first use where it is missing."""
        self._disk = disk
        self._root = root
        self._spool = Spool(disk, root)
        self._copies = itertools.count()
        self._guard = threading.Lock()
        self._durable: set[str] = set()

    def keep(self, blob_id: UUID, staged: StagedFile) -> str:
        """Link or copy, and make the name durable."""
        name = blob_id.hex
        fan_out = name[-2:]
        try:
            with self._directory(fan_out) as directory_fd:
                staged.finish(modified_seconds=self._disk.wall_seconds())
                self._put(staged, directory_fd, name)
        except OSError as error:
            raise store_error_from(error) from error
        return f"{fan_out}/{name}"

    def open(self, ref: str, facts: BodyFacts | None = None) -> Body:
        """Give a body that is a file."""
        fan_out, name = _split(ref)
        try:
            with self._opened_root() as root_fd:
                try:
                    fd = self._open_below(root_fd, fan_out, name)
                except FileNotFoundError as error:
                    raise StoreCorrupt(f"the body {ref} is gone") from error
        except OSError as error:
            # Without the root not one body is missing but all: a file system that is not mounted, more likely than not.
            raise store_error_from(error) from error
        return FileBody(fd, facts)

    def remove(self, ref: str) -> None:
        """Unlink; whoever reads the body goes on reading."""
        fan_out, name = _split(ref)
        try:
            # Where not even the root is there, something is wrong; below it, all is well.
            with (
                self._opened_root() as root_fd,
                contextlib.suppress(FileNotFoundError),
                self._opened(root_fd, fan_out) as directory_fd,
            ):
                self._disk.unlink(directory_fd, name)
        except OSError as error:
            raise store_error_from(error) from error

    def refs(self, *, older_than: float) -> Iterator[str]:
        """List one fan-out directory after the other."""
        try:
            with self._opened_root() as root_fd:
                for fan_out in sorted(self._disk.names(root_fd)):
                    if _FAN_OUT.fullmatch(fan_out):
                        yield from self._old_ones(root_fd, fan_out, older_than)
        except FileNotFoundError:
            return  # nothing was kept here yet
        except OSError as error:
            raise store_error_from(error) from error

    def check_health(self) -> None:
        """Write, sync and remove a small file."""
        try:
            self._spool.check()
        except OSError as error:
            raise store_error_from(error) from error

    def close(self) -> None:
        """Give back the directory for copies."""
        self._spool.close()

    def _put(self, staged: StagedFile, directory_fd: int, name: str) -> None:
        try:
            staged.link(directory_fd, name)
        except OSError as error:
            if error.errno not in _NEEDS_COPY:
                raise
            with staged.copy_to(
                self._spool.area(), name=str(next(self._copies)), modified_seconds=self._disk.wall_seconds()
            ) as copy:
                copy.move(directory_fd, name)
        try:
            self._disk.sync_directory(directory_fd)
        except OSError:
            with contextlib.suppress(OSError):  # the error that counts is the first
                self._disk.unlink(directory_fd, name)
            raise

    @contextlib.contextmanager
    def _directory(self, fan_out: str) -> Generator[int]:
        """Open a fan-out directory whose own name is durable."""
        with self._opened_root(create=True) as root_fd, self._opened(root_fd, fan_out, create=True) as directory_fd:
            with self._guard:
                is_durable = fan_out in self._durable
            if not is_durable:
                # Another process may have made it just now and not have come to its sync yet.
                self._disk.sync_directory(root_fd)
                with self._guard:
                    self._durable.add(fan_out)
            yield directory_fd

    @contextlib.contextmanager
    def _opened_root(self, *, create: bool = False) -> Generator[int]:
        root_fd = self._disk.open_root(self._root, create=create)
        try:
            yield root_fd
        finally:
            os.close(root_fd)

    @contextlib.contextmanager
    def _opened(self, root_fd: int, fan_out: str, *, create: bool = False) -> Generator[int]:
        fd = self._disk.open_directory(root_fd, [fan_out], create=create)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_below(self, root_fd: int, fan_out: str, name: str) -> int:
        with self._opened(root_fd, fan_out) as directory_fd:
            return self._disk.open_for_reading(directory_fd, name)

    def _old_ones(self, root_fd: int, fan_out: str, older_than: float) -> Iterator[str]:
        with self._opened(root_fd, fan_out) as directory_fd:
            for name in self._disk.names(directory_fd):
                if not _NAME.fullmatch(name) or name[-2:] != fan_out:
                    continue
                try:
                    # The time of change cannot be before the link; that of modification is when the message came.
                    changed = self._disk.stat(directory_fd, name).st_ctime
                except FileNotFoundError:
                    continue
                if changed < older_than:
                    yield f"{fan_out}/{name}"


def sweep_orphans(
    bodies: LargeBodies,
    known: Callable[[Sequence[str]], set[str]],
    *,
    now: float,
    older_than_seconds: float = ORPHAN_SECONDS,
) -> int:
    """Remove bodies that nothing names, and say how many; what an error leaves is for the next sweep.

    ``known`` gives those of the references that something in the database names: rows, removed mail that can be brought
    back, bodies that wait to be removed.  It has to ask the very database that these bodies belong to.

    Raises:
        ValueError: ``older_than_seconds`` is below :data:`ORPHAN_SECONDS`.
        StoreError: the place or the database refuses.
    """
    if older_than_seconds < ORPHAN_SECONDS:
        raise ValueError(f"a body may wait for its row for {ORPHAN_SECONDS} s")
    removed = 0
    found = bodies.refs(older_than=now - older_than_seconds)
    while batch := tuple(itertools.islice(found, _BATCH)):
        named = known(batch)
        for ref in batch:
            if ref not in named:
                bodies.remove(ref)
                removed += 1
    return removed


def _split(ref: str) -> tuple[str, str]:
    """Check a reference and give directory and name.

    Raises:
        StoreCorrupt: it is none.
    """
    fan_out, _, name = ref.partition("/")
    if not _NAME.fullmatch(name) or fan_out != name[-2:]:
        raise StoreCorrupt(f"{ref[:80]!r} names no body in a file")
    return fan_out, name
