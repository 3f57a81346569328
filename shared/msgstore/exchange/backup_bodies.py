"""The bodies of a backup: octets under the name of their SHA-256, written once and many at a time."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from msgstore.exchange.backup_place import BackupPlace
from msgstore.exchange.manifests import BackupDamaged, checked_sha256

__all__ = ["BackupBodies", "body_path"]

_BATCH: Final = 200
"""Bodies that become durable together: each is an open file until then, and a process may have 1024."""

_BATCH_OCTETS: Final = 32 << 20


def body_path(sha256: str) -> tuple[str, ...]:
    """Give the place of a body below the directory of a backup."""
    return "bodies", sha256[:2], sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    fd: int
    name: str
    octets: int


class BackupBodies:
    """Writes and reads bodies; one thread at a time."""

    def __init__(self, place: BackupPlace, *, renews: bool = False) -> None:
        """With ``renews`` a body that is there already is written anew: it may be damaged, and nobody read it."""
        self._place = place
        self._renews = renews
        self._staged: dict[str, _Staged] = {}
        self._renewed: set[str] = set()
        self._found: set[str] = set()
        self._count = 0
        self._octets = 0
        self.written: int = 0
        """Bodies that were written."""

        self.written_octets: int = 0

    def octets_of(self, sha256: str) -> int | None:
        """Say how large a body is, staged ones included; None where there is none."""
        staged = self._staged.get(sha256)
        return self._place.octets_of(body_path(sha256)) if staged is None else staged.octets

    def add(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Take octets and give their SHA-256 and how many they are; durable after :meth:`flush`.

        Raises:
            OSError: the disk refuses; whatever the octets come from may raise as well.
        """
        disk, digest, octets = self._place.disk, hashlib.sha256(), 0
        directory = disk.open_directory(self._place.fd, ["staging"], create=True)
        name = f"{self._count:08x}"
        self._count += 1
        try:
            fd = disk.create_named(directory, name)
            try:
                for chunk in chunks:
                    digest.update(chunk)
                    disk.write(fd, chunk)
                    octets += len(chunk)
                sha256 = digest.hexdigest()
                if not self._is_wanted(sha256, octets):
                    # A run that was killed may have given it its name, and not made that durable.
                    self._found.add(sha256[:2])
                    disk.unlink(directory, name)
                    os.close(fd)
                    return sha256, octets
            except BaseException:
                with suppress(OSError):
                    disk.unlink(directory, name)
                os.close(fd)
                raise
        finally:
            os.close(directory)
        self._staged[sha256] = _Staged(fd=fd, name=name, octets=octets)
        self._octets += octets
        if len(self._staged) >= _BATCH or self._octets >= _BATCH_OCTETS:
            self.flush()
        return sha256, octets

    def _is_wanted(self, sha256: str, octets: int) -> bool:
        if sha256 in self._staged or sha256 in self._renewed:
            return False
        return self._renews or self._place.octets_of(body_path(sha256)) != octets

    def flush(self) -> None:
        """Make durable what was taken, under its name.

        Raises:
            OSError: the disk refuses.
        """
        disk, staged = self._place.disk, self._staged
        for error in disk.sync_files([one.fd for one in staged.values()]):
            if error is not None:
                raise error
        staging = disk.open_directory(self._place.fd, ["staging"], create=True)
        shelves: dict[str, int] = {}
        try:
            for shelf in sorted(self._found - {sha256[:2] for sha256 in staged}):
                shelves[shelf] = disk.open_directory(self._place.fd, ["bodies", shelf], create=True)
            for sha256, one in staged.items():
                path = body_path(sha256)
                if path[1] not in shelves:
                    shelves[path[1]] = disk.open_directory(self._place.fd, path[:-1], create=True)
                disk.rename((staging, one.name), (shelves[path[1]], sha256))
                self.written += 1
                self.written_octets += one.octets
            for error in disk.sync_directories(list(shelves.values())):
                if error is not None:
                    raise error
            self._found.clear()
        finally:
            for fd in (staging, *shelves.values()):
                os.close(fd)
            self.close()

    def close(self) -> None:
        """Give up what was taken and is not durable."""
        for one in self._staged.values():
            os.close(one.fd)
        if self._renews:
            self._renewed |= self._staged.keys()
        self._staged = {}
        self._octets = 0

    def read(self, sha256: str) -> Iterator[bytes]:
        """Give the octets of a body; the last piece comes before they are known to be right.

        Raises:
            BackupDamaged: it is missing, cannot be read, or has other octets.
        """
        digest = hashlib.sha256()
        try:
            for chunk in self._place.chunks(body_path(checked_sha256(sha256))):
                digest.update(chunk)
                yield chunk
        except FileNotFoundError as error:
            raise BackupDamaged("its body is missing") from error
        except OSError as error:
            raise BackupDamaged(f"its body cannot be read: {error.strerror}") from error
        if digest.hexdigest() != sha256:
            raise BackupDamaged("its body has other octets")

    def sweep(self, named: set[bytes]) -> int:
        """Take away every body that is not among these digests, and say how many that were."""
        disk, gone = self._place.disk, 0
        try:
            bodies = disk.open_directory(self._place.fd, ["bodies"])
        except FileNotFoundError:
            return 0
        try:
            for shelf in disk.names(bodies):
                fd = disk.open_directory(bodies, [shelf])
                try:
                    for name in disk.names(fd):
                        with suppress(BackupDamaged):
                            if bytes.fromhex(checked_sha256(name)) not in named:
                                disk.unlink(fd, name)
                                gone += 1
                finally:
                    os.close(fd)
        finally:
            os.close(bodies)
        return gone
