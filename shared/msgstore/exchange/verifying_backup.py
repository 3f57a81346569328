"""Whether a backup is what was written: every manifest, file and body by its SHA-256."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgstore.exchange.backup_bodies import BackupBodies
from msgstore.exchange.backup_place import BackupPlace, Listed
from msgstore.exchange.manifests import BackupDamaged, MailboxEntry, parse_manifest
from msgstore.exchange.values import Progress
from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.message import Uid

__all__ = ["Damage", "VerifyingBackup", "read_manifest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something that is missing or is not what was written."""

    run: str
    mailbox: MailboxId | None = None
    folder: FolderName | None = None
    uid: Uid | None = None
    text: str


class VerifyingBackup:
    """Reads runs whole, each body once; one thread at a time."""

    def __init__(self, place: BackupPlace, *, progress: Progress) -> None:
        self._place = place
        self._bodies = BackupBodies(place)
        self._progress = progress
        self._seen: dict[bytes, str | None] = {}
        self.manifests: int = 0
        """Manifests and files that are well."""

    @property
    def bodies(self) -> int:
        """Bodies that are well."""
        return sum(text is None for text in self._seen.values())

    def run(self, runs: Sequence[str]) -> Iterator[Damage]:
        """Look at runs, and give what is wrong.

        Raises:
            OSError: the directory cannot be looked at.
        """
        for run in runs:
            yield from self._one(run)

    def _one(self, run: str) -> Iterator[Damage]:
        try:
            summary = self._place.summary(run)
        except BackupDamaged as error:
            yield Damage(run=run, text=str(error))
            return
        for listed in summary.files:
            try:
                entry = None
                if listed.mailbox is None:
                    _check_file(self._place, run, listed)
                else:
                    entry = read_manifest(self._place, run, listed)
            except BackupDamaged as error:
                yield Damage(run=run, mailbox=listed.mailbox, text=str(error))
                continue
            self.manifests += 1
            if entry is not None:
                yield from self._mailbox(run, entry)

    def _mailbox(self, run: str, entry: MailboxEntry) -> Iterator[Damage]:
        self._progress.begin(f"{run}: {entry.mailbox}", sum(1 for _ in entry.bodies()))
        for folder, uid, sha256 in entry.bodies():
            text = self._body(sha256)
            if text is not None:
                yield Damage(run=run, mailbox=entry.mailbox, folder=folder, uid=uid, text=f"{text}: {sha256}")
            self._progress.step()

    def _body(self, sha256: str) -> str | None:
        digest = bytes.fromhex(sha256)
        if digest not in self._seen:
            try:
                for _ in self._bodies.read(sha256):
                    pass
            except BackupDamaged as error:
                self._seen[digest] = str(error)
            else:
                self._seen[digest] = None
        return self._seen[digest]


def _check_file(place: BackupPlace, run: str, listed: Listed) -> None:
    """Compare a file of a run with what its summary says.

    Raises:
        BackupDamaged: it is missing, cannot be read or has other octets.
    """
    name, digest = "/".join(listed.path), hashlib.sha256()
    try:
        for chunk in place.chunks(["runs", run, *listed.path]):
            digest.update(chunk)
    except OSError as error:
        raise BackupDamaged(f"{name} cannot be read: {error.strerror}") from error
    if digest.hexdigest() != listed.sha256:
        raise BackupDamaged(f"{name} has other octets")


def read_manifest(place: BackupPlace, run: str, listed: Listed) -> MailboxEntry:
    """Read the manifest of a mailbox, and look that it is what its summary says.

    Raises:
        BackupDamaged: it is missing, cannot be read, or is not what was written.
    """
    _check_file(place, run, listed)
    name = "/".join(listed.path)
    try:
        entry = parse_manifest(place.lines(["runs", run, *listed.path]))
    except BackupDamaged as error:
        raise BackupDamaged(f"{name}: {error}") from error
    if entry.mailbox != listed.mailbox:
        raise BackupDamaged(f"{name} is of another mailbox")
    return entry
