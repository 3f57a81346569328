"""A run of a backup: mailboxes of any store written into a directory, reading only what no earlier run has read.

Mail may flow meanwhile: a folder is taken as one list of its messages shows it, and what is gone when its turn comes is
left out.  A message that is moved while the run goes on may be in neither folder in this run, and is in the next.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from msgstore.exchange.backup_bodies import BackupBodies
from msgstore.exchange.backup_place import BackupPlace, Listed, Summary
from msgstore.exchange.copying import Difference, Unreadable, read_chunks
from msgstore.exchange.manifests import (
    BackupDamaged,
    FolderEntry,
    MessageEntry,
    ScriptEntry,
    guid_kept,
    written_manifest,
)
from msgstore.exchange.values import Progress
from msgstore.exchange.verifying_backup import read_manifest
from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MessageExpunged, StoreError
from msgstore.model.folder import FolderInfo, FolderName
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.message import MessageInfo, Uid

__all__ = ["BackingUp", "FolderSaved", "keep_runs"]

_TRIES: Final = 3
"""How often a folder that changes while it is listed is listed anew, for a view of one moment."""

_Key = tuple[int, int, str, int, int | None, bool]


@dataclass(slots=True, kw_only=True)
class FolderSaved:
    """What became of one folder."""

    folder: FolderName
    uidvalidity: int
    messages: int = 0
    """Messages that the run holds."""

    read: int = 0
    """Of these: whose octets were read; the others an earlier run had."""

    octets: int = 0
    """Of those that were read."""


class BackingUp:
    """One run; one thread at a time."""

    def __init__(
        self, store: MessageStore, place: BackupPlace, *, now: float, progress: Progress, full: bool = False
    ) -> None:
        """Begin a run, named by ``now`` in seconds since 1970 UTC; with ``full`` every message is read.

        Raises:
            OSError: the disk refuses.
        """
        self._store = store
        self._place = place
        self._progress = progress
        self._full = full
        self._bodies = BackupBodies(place, renews=full)
        self._earlier = tuple(reversed(place.runs()))
        self._files: list[Listed] = []
        self.run: Final = place.begin_run(now)
        """Names the run."""

        self.differences: Final[list[Difference]] = []
        """What could not be read and is not in the run."""

    @property
    def written(self) -> tuple[int, int]:
        """Bodies that were written, and their octets."""
        return self._bodies.written, self._bodies.written_octets

    def add_file(self, path: Sequence[str], content: bytes) -> None:
        """Take a file as it is, under a path of safe components.

        Raises:
            OSError: the disk refuses.
        """
        whole = ("files", *path)
        self._files.append(Listed(path=whole, sha256=self._place.write_file(self.run, whole, [content])))

    def add_mailbox(self, mailbox: MailboxId) -> Iterator[FolderSaved]:
        """Take a mailbox, one answer for each folder.

        Raises:
            StoreError: it cannot be looked at now; the run may go on without it.
            OSError: the disk refuses.
        """
        known = _known(self._earlier, self._place, mailbox)
        parts: list[FolderEntry | MessageEntry | ScriptEntry] = []
        tree = self._store.folders(mailbox)
        for info in tree.list():
            try:
                entry, infos = self._listed(self._store.folder(mailbox, info.name), info)
                entry = replace(entry, guid=tree.guid(info.name))
            except FolderNotFound:
                continue
            parts.append(entry)
            saved = FolderSaved(folder=info.name, uidvalidity=entry.uidvalidity)
            self._progress.begin(f"{mailbox}: {info.name}", len(infos))
            parts.extend(self._messages(self._store.folder(mailbox, info.name), infos, known, saved))
            yield saved
        parts.extend(self._scripts(mailbox))
        self._bodies.flush()
        number = 1 + sum(one.mailbox is not None for one in self._files)
        path = (f"mailbox-{number:06d}.jsonl",)
        lines = written_manifest(mailbox, self._store.quota_mark(mailbox), parts)
        self._files.append(Listed(path=path, sha256=self._place.write_file(self.run, path, lines), mailbox=mailbox))

    def finish(self, *, everybody: bool) -> None:
        """Make the run complete, durably.

        Raises:
            OSError: the disk refuses.
        """
        self._bodies.flush()
        self._place.finish_run(Summary(run=self.run, everybody=everybody, files=self._files))

    def _listed(self, folder: Folder, info: FolderInfo) -> tuple[FolderEntry, Sequence[MessageInfo]]:
        """List a folder whole, at one moment where it holds still for that long."""
        before = status = folder.stat()
        infos: Sequence[MessageInfo] = ()
        for _ in range(_TRIES):
            before, infos = status, folder.list()
            status = folder.stat()
            if status == before:
                break
        else:
            status = before
        entry = FolderEntry(
            name=info.name,
            uidvalidity=status.uidvalidity,
            uidnext=max(status.uidnext, *(one.uid + 1 for one in infos[-1:])) if infos else status.uidnext,
            modseq=status.modseq,
            guid=None,
            special_use=info.special_use,
            subscribed=info.subscribed,
        )
        return entry, infos

    def _messages(
        self, folder: Folder, infos: Sequence[MessageInfo], known: dict[_Key, str], saved: FolderSaved
    ) -> Iterator[MessageEntry]:
        for info in infos:
            earlier = known.get(_key(saved.uidvalidity, info))
            if earlier is not None and not self._is_there(earlier, info):
                earlier = None
            sha256 = None if self._full else earlier
            try:
                sha256 = sha256 or self._read(folder, info, saved)
            except Unreadable as error:
                # What an earlier run could read stays, and must not go with that run.
                self._note(folder.name, info.uid, f"cannot be read: {error}")
                sha256 = earlier
            if sha256 is not None:
                saved.messages += 1
                yield MessageEntry(info=info, sha256=sha256)
            self._progress.step()

    def _is_there(self, sha256: str, info: MessageInfo) -> bool:
        octets = self._bodies.octets_of(sha256)
        return octets is not None and info.stored_octets in (None, octets)

    def _read(self, folder: Folder, info: MessageInfo, saved: FolderSaved) -> str | None:
        try:
            body = folder.retrieve(info.uid)
        except (MessageExpunged, FolderNotFound):
            return None
        except (StoreError, OSError) as error:
            raise Unreadable(str(error)) from error
        with body:
            sha256, octets = self._bodies.add(_whole(read_chunks(body), body.stored_octets))
        saved.read += 1
        saved.octets += octets
        return sha256

    def _scripts(self, mailbox: MailboxId) -> Iterator[ScriptEntry]:
        shelf = self._store.scripts(mailbox)
        for info in shelf.list():
            try:
                content = shelf.read(info.name)
            except StoreError as error:
                self._note(None, None, f"script {info.name} cannot be read: {error}")
                continue
            sha256, _ = self._bodies.add([content])
            yield ScriptEntry(name=info.name, is_active=info.is_active, sha256=sha256)

    def _note(self, folder: FolderName | None, uid: Uid | None, text: str) -> None:
        self.differences.append(Difference(folder=folder, uid=uid, text=text))

    def close(self) -> None:
        """Give up what is not durable."""
        self._bodies.close()


def _whole(chunks: Iterator[bytes], octets: int) -> Iterator[bytes]:
    count = 0
    for chunk in chunks:
        count += len(chunk)
        yield chunk
    if count != octets:
        raise Unreadable(f"ends after {count} of {octets} octets")


def _key(uidvalidity: int, info: MessageInfo) -> _Key:
    return uidvalidity, info.uid, guid_kept(info), info.octets, info.stored_octets, info.sealed


def _known(earlier: Iterable[str], place: BackupPlace, mailbox: MailboxId) -> dict[_Key, str]:
    """Give the bodies that the last complete run with a mailbox knows; nothing where that run is damaged."""
    for run in earlier:
        try:
            listed = place.summary(run).manifests.get(mailbox)
            if listed is None:
                continue
            entry = read_manifest(place, run, listed)
        except BackupDamaged:
            return {}
        return {_key(folder.uidvalidity, one.info): one.sha256 for folder in entry.folders for one in folder.messages}
    return {}


def keep_runs(place: BackupPlace, keep: int, *, told: Callable[[str], None]) -> int:
    """Take away runs for all of whose mailboxes there are ``keep`` newer ones, then the bodies no run names.

    Says how many bodies went; ``told`` takes the name of each run.

    Raises:
        BackupDamaged: a run that stays cannot be read, so nothing tells which bodies it names; none is taken away.
        OSError: the disk refuses.
    """
    counts: dict[MailboxId, int] = {}
    of_all = 0
    kept: list[Summary] = []
    gone: list[str] = []
    for run in reversed(place.runs()):
        summary = place.summary(run)
        mailboxes = summary.manifests.keys()
        is_followed = bool(mailboxes) and all(counts.get(one, 0) >= keep for one in mailboxes)
        if of_all >= keep or is_followed:
            gone.append(run)
            continue
        kept.append(summary)
        of_all += summary.everybody
        for one in mailboxes:
            counts[one] = counts.get(one, 0) + 1
    named = {
        bytes.fromhex(sha256)
        for summary in kept
        for listed in summary.manifests.values()
        for _, _, sha256 in read_manifest(place, summary.run, listed).bodies()
    }
    for run in reversed(gone):
        place.retire(run)
        told(run)
    return BackupBodies(place).sweep(named)
