"""The directory of a backup, and all that is written there.

::

    msgstore-backup.json                 says what the directory is
    bodies/ab/abcd…                      octets of messages and scripts, once each, by their SHA-256
    runs/20261125T031500.000000Z/        one run, named by its time in UTC
        mailbox-000001.jsonl             a manifest for each mailbox
        files/…                          users' keys and the files of domains, as they were
        summary.json                     the SHA-256 of all of them; written last: without it there is no run
    staging/                             what is not whole yet

Files are 0600 and directories 0700.  A body has its name only when it is durable, and a run has its summary only when
all that it names is.  A lock keeps two that write away from each other and from those who read.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self, cast

from msgstore.exchange.manifests import LINE_LIMIT_OCTETS, BackupDamaged, checked_sha256, object_of
from msgstore.model.address import MailboxId
from msgstore.model.errors import InvalidAddress, StoreUnavailable
from msgstore.store.disk import Disk

__all__ = ["RUN_NAME", "BackupPlace", "Listed", "Summary"]

RUN_NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z")
"""The time a run began, in UTC, so that names ascend as runs do."""

_TIME: Final = "%Y%m%dT%H%M%S.%fZ"
_MARKER: Final = "msgstore-backup.json"
_MARKS: Final = {"kind": "msgstore backup", "version": 1}
_SUMMARY: Final = "summary.json"
_MANIFEST: Final = re.compile(r"mailbox-[0-9]{6}\.jsonl")
_CHUNK: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file of a run that its summary names."""

    path: tuple[str, ...]
    """Components below the run's directory, each safe as one."""

    sha256: str
    mailbox: MailboxId | None = None
    """Whose manifest it is; None for a file that was taken as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a complete run holds."""

    run: str
    everybody: bool
    """Whether it is of all there were."""

    files: Sequence[Listed]

    @property
    def manifests(self) -> Mapping[MailboxId, Listed]:
        """The manifest of each mailbox."""
        return {one.mailbox: one for one in self.files if one.mailbox is not None}


class BackupPlace:
    """A backup's directory, opened and locked; one thread at a time."""

    def __init__(self, disk: Disk, path: str, *, writes: bool, create: bool = False) -> None:
        """Open it; with ``create`` a missing or empty directory becomes one.

        Raises:
            FileExistsError: it holds something else.
            FileNotFoundError: it is missing, or empty.
            StoreUnavailable: a run is at work in it.
            OSError: it cannot be opened.
        """
        self.disk: Final = disk
        self.path: Final = path
        self._lock: int | None = None
        self.fd: Final = disk.open_root(path, create=create)
        try:
            self._lock = self._locked(writes=writes)
            self._look(create=create)
        except BaseException:
            self.close()
            raise

    def _locked(self, *, writes: bool) -> int:
        lock = self.disk.try_lock(self.fd, shared=not writes)
        if lock is None:
            raise StoreUnavailable(f"another run is at work in {self.path}")
        return lock

    def _look(self, *, create: bool) -> None:
        names = self.disk.names(self.fd)
        if _MARKER in names:
            if dict(object_of(self.disk.read_file(self.fd, _MARKER)[0])) != _MARKS:
                raise BackupDamaged(f"{self.path} is a backup of another version")
            return
        # What a run leaves that ended while it made the directory is its marker, not whole.
        if any(not name.startswith("msgstore-tmp.") for name in names):
            raise FileExistsError(errno.EEXIST, "holds something that is no backup", self.path)
        if not create:
            raise FileNotFoundError(errno.ENOENT, "holds no backup", self.path)
        self.disk.replace(self.fd, _MARKER, json.dumps(_MARKS).encode() + b"\n")

    def close(self) -> None:
        """Unlock and close it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        with suppress(OSError):
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Runs.

    def runs(self) -> tuple[str, ...]:
        """Name the complete runs, oldest first."""
        return tuple(name for name in self._run_names() if self._is_complete(name))

    def _run_names(self) -> Iterator[str]:
        try:
            fd = self.disk.open_directory(self.fd, ["runs"])
        except FileNotFoundError:
            return
        try:
            names = sorted(self.disk.names(fd))
        finally:
            os.close(fd)
        yield from (name for name in names if RUN_NAME.fullmatch(name))

    def _is_complete(self, name: str) -> bool:
        fd = self.disk.open_directory(self.fd, ["runs", name])
        try:
            return _SUMMARY in self.disk.names(fd)
        finally:
            os.close(fd)

    def clean(self) -> None:
        """Take away what runs left that did not come to their end."""
        self.disk.remove_tree(self.fd, "staging")
        for name in self._run_names():
            if not self._is_complete(name):
                self._remove_run(name)

    def _remove_run(self, name: str) -> None:
        fd = self.disk.open_directory(self.fd, ["runs"])
        try:
            self.disk.remove_tree(fd, name)
        finally:
            os.close(fd)

    def retire(self, name: str) -> None:
        """Take a run away; cut in between it is one that is not complete."""
        fd = self.disk.open_directory(self.fd, ["runs", name])
        try:
            self.disk.unlink(fd, _SUMMARY)
            self.disk.sync_directory(fd)
        finally:
            os.close(fd)
        self._remove_run(name)

    def begin_run(self, now: float) -> str:
        """Make the directory of a new run, and name it; its name is above every one before, whatever the clock says."""
        name = datetime.fromtimestamp(now, UTC).strftime(_TIME)
        last = max(self._run_names(), default="")
        if name <= last:
            name = (datetime.strptime(last, _TIME).replace(tzinfo=UTC) + timedelta(microseconds=1)).strftime(_TIME)
        os.close(self.disk.open_directory(self.fd, ["runs", name], create=True))
        return name

    def write_file(self, run: str, path: Sequence[str], pieces: Iterable[bytes]) -> str:
        """Write a file of a run, durably, and give the SHA-256 of what is in it."""
        digest = hashlib.sha256()
        directory = self.disk.open_directory(self.fd, ["runs", run, *path[:-1]], create=True)
        try:
            fd = self.disk.create_named(directory, path[-1])
            try:
                with open(fd, "wb", closefd=False) as file:
                    for piece in pieces:
                        digest.update(piece)
                        file.write(piece)
                self.disk.sync_file(fd)
            finally:
                os.close(fd)
            self.disk.sync_directory(directory)
        finally:
            os.close(directory)
        return digest.hexdigest()

    def finish_run(self, summary: Summary) -> None:
        """Make a run complete, durably: everything it names has to be durable before."""
        files = [
            {
                "path": list(one.path),
                "sha256": one.sha256,
                "mailbox": None if one.mailbox is None else str(one.mailbox),
            }
            for one in summary.files
        ]
        facts = {"version": 1, "run": summary.run, "everybody": summary.everybody, "files": files}
        fd = self.disk.open_directory(self.fd, ["runs", summary.run])
        try:
            self.disk.replace(fd, _SUMMARY, json.dumps(facts, indent=1).encode() + b"\n")
        finally:
            os.close(fd)

    def summary(self, run: str) -> Summary:
        """Read what a complete run holds.

        Raises:
            BackupDamaged: it cannot be read.
        """
        if not RUN_NAME.fullmatch(run) or run not in self.runs():
            raise BackupDamaged(f"there is no complete run {run!r}")
        try:
            content = b"".join(self.chunks(["runs", run, _SUMMARY]))
            facts = cast("object", json.loads(content))
            return _summary(run, facts)
        except (BackupDamaged, OSError, ValueError, RecursionError, InvalidAddress) as error:
            raise BackupDamaged(f"the summary of run {run}: {error}") from error

    # What lies there.

    def chunks(self, path: Sequence[str]) -> Iterator[bytes]:
        """Read a file in pieces.

        Raises:
            OSError: it is missing, no regular file, or cannot be read.
        """
        directory = self.disk.open_directory(self.fd, path[:-1])
        try:
            fd = self.disk.open_for_reading(directory, path[-1])
        finally:
            os.close(directory)
        try:
            while piece := os.read(fd, _CHUNK):
                yield piece
        finally:
            os.close(fd)

    def lines(self, path: Sequence[str]) -> Iterator[bytes]:
        """Read a file in lines, none of them longer than the limit and one octet."""
        directory = self.disk.open_directory(self.fd, path[:-1])
        try:
            fd = self.disk.open_for_reading(directory, path[-1])
        finally:
            os.close(directory)
        with open(fd, "rb") as file:  # noqa: PTH123 (a descriptor)
            while line := file.readline(LINE_LIMIT_OCTETS + 1):
                yield line

    def octets_of(self, path: Sequence[str]) -> int | None:
        """Say how large a file is; None where there is none."""
        try:
            directory = self.disk.open_directory(self.fd, path[:-1])
        except FileNotFoundError:
            return None
        try:
            return self.disk.stat(directory, path[-1]).st_size
        except FileNotFoundError:
            return None
        finally:
            os.close(directory)


def _summary(run: str, facts: object) -> Summary:
    row = _row(facts)
    files, everybody = row.get("files"), row.get("everybody")
    is_fit = row.get("version") == 1 and row.get("run") == run and isinstance(everybody, bool)
    if not is_fit or not isinstance(files, list):
        raise BackupDamaged("it is no summary of this version and this run")
    return Summary(run=run, everybody=everybody is True, files=[_listed(one) for one in cast("list[object]", files)])


def _listed(one: object) -> Listed:
    row = _row(one)
    path, mailbox = row.get("path"), row.get("mailbox")
    parts = cast("list[object]", path) if isinstance(path, list) else []
    components = tuple(part for part in parts if isinstance(part, str) and _is_component(part))
    if not parts or len(components) != len(parts) or not isinstance(mailbox, str | None):
        raise BackupDamaged("it names a file that cannot be one")
    is_manifest = len(components) == 1 and _MANIFEST.fullmatch(components[0]) is not None
    if is_manifest != (mailbox is not None) or not (is_manifest or components[0] == "files"):
        raise BackupDamaged("it names a file that is none of a run's")
    owner = None if mailbox is None else MailboxId.parse(mailbox)
    return Listed(path=components, sha256=checked_sha256(row.get("sha256")), mailbox=owner)


def _row(value: object) -> Mapping[str, object]:
    nothing: Mapping[str, object] = {}
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else nothing


def _is_component(text: str) -> bool:
    return text not in ("", ".", "..") and "/" not in text and "\0" not in text
