"""A message on its way in: counted and cut nowhere, invisible until it is delivered.

Small messages stay in memory until delivery, so that one of them costs one create, one write and one sync; larger
ones go to an unnamed file as they come.  Where the file system has no unnamed files the file carries a name in the
staging directory, which :func:`sweep` clears of what a crash left there.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self

from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.errors import StoreUnavailable, store_error_from
from msgstore.store.disk import Disk
from msgstore.store.lines import HeaderBlock, LineEnds, to_lf

__all__ = ["LEFTOVER_SECONDS", "StagedFile", "StagingArea", "sweep"]

BUFFER_OCTETS: Final = 65536
"""Held in memory before a file is made; most mail is smaller."""

LEFTOVER_SECONDS: Final = 36 * 3600
"""Age at which a temporary file belongs to nobody; Dovecot waits as long (MAILDIR_TMP_DELETE_SECS)."""

COPY_OCTETS: Final = 1 << 20

PREFIX: Final = "msgstore-staged."


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingArea:
    """Where staged files are made: a directory on the file system of the mailboxes."""

    disk: Disk
    directory_fd: int
    is_anonymous: bool
    """Whether files without a name work there; decided once by a probe."""

    unique: str
    """Makes names of this process unique on the machine; used by named files only."""


class StagedFile:
    """A message being staged; satisfies :class:`msgstore.model.interfaces.StagedMessage`.  One thread at a time."""

    def __init__(
        self, area: StagingArea, *, name: str, line_endings: Literal["crlf", "lf"] = "crlf", sealed: bool = False
    ) -> None:
        """Begin; ``name`` is used where files need one and must be unique in the process."""
        self._area = area
        self._name = PREFIX + area.unique + "." + name
        self._has_name = False
        self._converts = line_endings == "lf" and not sealed
        self._held_cr = False
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._came = 0
        self._stored = LineEnds()
        self._header = HeaderBlock()
        self.is_sealed: Final = sealed
        self._fd = -1
        self._is_lost = False
        self._is_synced = False

    @property
    def octets(self) -> int:
        """Octets written so far, as they came."""
        return self._came

    @property
    def header_block(self) -> bytes:
        """Header fields as they came, up to and with the empty line, at most 256 KiB."""
        return bytes(self._header)

    @property
    def stored_octets(self) -> int:
        """Size of what is kept, without what sealing adds; complete after :meth:`finish`."""
        return self._stored.octets if not self.is_sealed else max(self._stored.octets - SEAL_OVERHEAD_OCTETS, 0)

    @property
    def wire_octets(self) -> int:
        """Size with every line end counted as CRLF; complete after :meth:`finish`."""
        # What is sealed was sealed as it goes over the wire.
        return self._stored.wire_octets if not self.is_sealed else self.stored_octets

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append octets, exactly as given.

        Raises:
            StoreError: the disk refuses; the message is lost.
        """
        if self._is_lost or self._is_synced:
            raise StoreUnavailable("the staged message takes no more octets")
        octets = bytes(chunk)
        self._came += len(octets)
        if not self.is_sealed:
            self._header.feed(octets)
        if self._converts:
            octets, self._held_cr = to_lf(octets, held_cr=self._held_cr)
        self._keep(octets)

    def chunks(self) -> Iterator[bytes]:
        """Give back what was written so far, in pieces; see the interface."""
        if self._is_lost:
            raise StoreUnavailable("the staged message is lost")
        self._flush()
        offset = 0
        while piece := self._piece(offset):
            yield piece
            offset += len(piece)

    def prepare(self, *, modified_seconds: float | None) -> int:
        """Write everything and set the time, None for now; give the descriptor, which stays ours and is to be synced.

        Raises:
            StoreError: the disk refuses and the message is lost.
        """
        if self._is_lost:
            raise StoreUnavailable("the staged message is lost")
        if not self._is_synced:
            if self._held_cr:
                self._held_cr = False
                self._keep(b"\r")
            self._flush()
            # What was written last was written just now.
            if modified_seconds is not None:
                try:
                    self._area.disk.set_modified(self._fd, modified_seconds)
                except OSError as error:
                    self._lose()
                    raise store_error_from(error) from error
        return self._fd

    def synced(self, outcome: OSError | None) -> None:
        """Note how the sync of what :meth:`prepare` gave went; a failed one is final and the message is lost.

        Raises:
            StoreError: it failed.
        """
        if outcome is not None:
            self._lose()
            raise store_error_from(outcome) from outcome
        self._is_synced = True

    @property
    def is_synced(self) -> bool:
        """Whether content and times are durable."""
        return self._is_synced

    def finish(self, *, modified_seconds: float) -> int:
        """Make content and times durable and give the descriptor, which stays owned here; harmless to repeat.

        Raises:
            StoreError: the disk refuses; a failed sync is final and the message is lost.
        """
        fd = self.prepare(modified_seconds=modified_seconds)
        if not self._is_synced:
            self.synced(self._area.disk.sync_files((fd,))[0])
        return fd

    def link(self, directory_fd: int, name: str) -> None:
        """Give the finished file a name; what may go wrong is what ``linkat`` says.

        Raises:
            FileExistsError: the name is taken.
            OSError: ENOENT, EXDEV and EMLINK ask for :meth:`copy_to`.
        """
        assert self._is_synced
        if self._has_name:
            self._area.disk.link((self._area.directory_fd, self._name), (directory_fd, name))
        else:
            self._area.disk.link_anonymous(self._fd, directory_fd, name)

    def move(self, directory_fd: int, name: str) -> None:
        """Give the finished file its last name: a named file is moved, an unnamed one linked."""
        assert self._is_synced
        if not self._has_name:
            self.link(directory_fd, name)
            return
        self._area.disk.rename_new((self._area.directory_fd, self._name), (directory_fd, name))
        self._has_name = False

    def copy_to(self, area: StagingArea, *, name: str, modified_seconds: float) -> "StagedFile":
        """Stage the same octets anew, on another file system or with another date; the copy is finished.

        Raises:
            StoreError: the disk refuses.
        """
        assert self._is_synced
        copy = StagedFile(area, name=name, sealed=self.is_sealed)
        try:
            offset = 0
            while piece := os.pread(self._fd, COPY_OCTETS, offset):
                copy.write(piece)
                offset += len(piece)
            copy.finish(modified_seconds=modified_seconds)
        except OSError as error:
            copy.discard()
            raise store_error_from(error) from error
        except BaseException:
            copy.discard()
            raise
        return copy

    def discard(self) -> None:
        """Free what is held; names given by :meth:`link` stay.  Harmless to repeat."""
        self._lose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def __del__(self) -> None:
        self.discard()

    def _piece(self, offset: int) -> bytes:
        try:
            return os.pread(self._fd, COPY_OCTETS, offset)
        except OSError as error:
            raise store_error_from(error) from error

    def _keep(self, octets: bytes) -> None:
        if not octets:
            return
        self._stored.feed(octets)
        self._buffer.append(octets)
        self._buffered += len(octets)
        if self._buffered > BUFFER_OCTETS:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._fd < 0:
                self._open()
            if self._buffered:
                content = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
                self._area.disk.write(self._fd, content)
        except OSError as error:
            self._lose()
            raise store_error_from(error) from error
        self._buffer.clear()
        self._buffered = 0

    def _open(self) -> None:
        area = self._area
        if area.is_anonymous:
            self._fd = area.disk.create_anonymous(area.directory_fd)
        else:
            self._fd = area.disk.create_named(area.directory_fd, self._name)
            self._has_name = True

    def _lose(self) -> None:
        self._is_lost = True
        self._buffer.clear()
        self._buffered = 0
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        if self._has_name:
            self._has_name = False
            try:
                self._area.disk.unlink(self._area.directory_fd, self._name)
            except OSError:
                # Invisible to every reader; the sweep takes it when it is old enough.
                return


def sweep(disk: Disk, directory_fd: int, *, booted_at: float) -> int:
    """Remove staged files that a crash left, older than 36 h and than the last start of the machine; say how many."""
    removed = 0
    oldest = min(disk.wall_seconds() - LEFTOVER_SECONDS, booted_at)
    for name in disk.names(directory_fd):
        if not name.startswith(PREFIX):
            continue
        try:
            if disk.stat(directory_fd, name).st_mtime < oldest:
                disk.unlink(directory_fd, name)
                removed += 1
        except FileNotFoundError:
            continue
    return removed
