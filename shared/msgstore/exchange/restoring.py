"""A mailbox of a backup put into a store, with all it had; nothing that is there is ever removed or changed.

It may be stopped anywhere and run again: a mailbox that holds nothing but mail of the run is gone on with.  A message
keeps its UID where that was not given out here before, else it gets a new one.  What is there already is known by its
GUID, and where the backup keeps none by its UID under the same UIDVALIDITY.
"""

import errno
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final, cast

from msgstore.exchange.backup_bodies import BackupBodies
from msgstore.exchange.copying import Difference
from msgstore.exchange.manifests import BackupDamaged, FolderEntry, MailboxEntry, MessageEntry
from msgstore.exchange.values import Progress
from msgstore.model.errors import FolderExists, FolderHasChildren, InvalidFolderName, ReservedFolderName, StoreError
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Folder, MessageStore, StagedMessage
from msgstore.model.message import UID_LIMIT, Uid, as_uid
from msgstore.model.outcomes import Restored

__all__ = ["FolderPutBack", "PuttingBack"]

_BATCH: Final = 200
"""Messages put at once: each may be an open file until then, and a process may have 1024."""

_BATCH_OCTETS: Final = 32 << 20

_UNFIT: Final = (InvalidFolderName, ReservedFolderName, FolderExists)


@dataclass(slots=True, kw_only=True)
class FolderPutBack:
    """What became of one folder."""

    folder: FolderName
    uidvalidity: int
    """The one it has in the backup."""

    put: int = 0
    """Messages that were put, or would be."""

    present: int = 0
    """Messages that were there already."""

    renumbered: int = 0
    """Of those put: under a new UID."""

    octets: int = 0
    """Of those that were put."""


@dataclass(slots=True)
class _There:
    """What a folder of the store holds before anything is put."""

    uidvalidity: int = 0
    uidnext: int = 1
    guids: Counter[str] = field(default_factory=Counter[str])
    uids: set[int] = field(default_factory=set[int])

    def has(self, one: MessageEntry, uidvalidity: int) -> bool:
        """Whether a message is there; each that is there counts once."""
        guid = one.info.guid
        if not guid:
            return self.uidvalidity == uidvalidity and one.info.uid in self.uids
        if not self.guids[guid]:
            return False
        self.guids[guid] -= 1
        return True


class PuttingBack:
    """Restores one mailbox; one thread at a time."""

    def __init__(
        self,
        store: MessageStore,
        entry: MailboxEntry,
        bodies: BackupBodies,
        *,
        progress: Progress,
        dry_run: bool = False,
        adds: bool = False,
    ) -> None:
        """Prepare; with ``adds`` a mailbox may hold other mail, and gets what it lacks."""
        self._store = store
        self._entry = entry
        self._mailbox = entry.mailbox
        self._bodies = bodies
        self._progress = progress
        self._dry_run = dry_run
        self._adds = adds
        self._staged = ExitStack()
        self.differences: Final[list[Difference]] = []
        """What is damaged in the backup or could not be put, by folder and UID; complete when :meth:`run` is."""

    def run(self) -> Iterator[FolderPutBack]:
        """Put back one folder after the other, then scripts and subscriptions.

        Raises:
            FileExistsError: the mailbox holds mail that the run does not, and nothing said to add to it.
            StoreError: the store takes nothing now; what was put stays, and running again goes on.
        """
        is_there = self._store.mailbox_exists(self._mailbox)
        if is_there and not self._adds:
            self._refuse_other_mail()
        if not self._dry_run:
            self._store.create_mailbox(self._mailbox)
            if not is_there:
                self._take_defaults_away()
        for folder in self._entry.folders:
            try:
                with self._staged:
                    yield self._folder(folder)
            except _UNFIT as error:
                self._note(folder.name, None, str(error))
        if self._dry_run:
            return
        self._scripts()
        if self._entry.quota_mark and not self._store.quota_mark(self._mailbox):
            self._store.set_quota_mark(self._mailbox, self._entry.quota_mark)
        self._store.recount(self._mailbox)

    def _refuse_other_mail(self) -> None:
        entries = {one.name: one for one in self._entry.folders}
        for info in self._store.folders(self._mailbox).list():
            there, entry = self._look(info.name), entries.get(info.name)
            if not there.uids:
                continue
            if entry is None or there.uidvalidity != entry.uidvalidity or not _is_part(there, entry):
                text = f"{info.name} holds mail that is not of this run; --force adds what is missing"
                raise FileExistsError(errno.EEXIST, text, str(self._mailbox))

    def _take_defaults_away(self) -> None:
        """Take away the folders a new mailbox gets and that this one did not have any more."""
        tree, names = self._store.folders(self._mailbox), {one.name for one in self._entry.folders}
        for info in sorted(tree.list(), key=lambda info: info.name, reverse=True):
            if not info.name.is_inbox and info.name not in names:
                with suppress(FolderHasChildren):
                    tree.delete(info.name)

    def _look(self, name: FolderName) -> _There:
        tree = self._store.folders(self._mailbox)
        if not tree.exists(name):
            return _There()
        handle = self._store.folder(self._mailbox, name)
        if not self._dry_run:
            # What an earlier run that died left is finished first.
            handle.restore(())
        status, rows = handle.stat(), handle.rows(["uid", "guid"])
        return _There(
            uidvalidity=status.uidvalidity,
            uidnext=status.uidnext,
            guids=Counter(cast("str", row[1]) for row in rows),
            uids={cast("int", row[0]) for row in rows},
        )

    def _folder(self, entry: FolderEntry) -> FolderPutBack:
        put_back = FolderPutBack(folder=entry.name, uidvalidity=entry.uidvalidity)
        self._progress.begin(f"{self._mailbox}: {entry.name}", len(entry.messages))
        there = self._look(entry.name) if self._store.mailbox_exists(self._mailbox) else _There()
        is_fresh = there.uidnext == 1
        if is_fresh and not self._dry_run:
            self._make(entry)
        is_same = is_fresh or there.uidvalidity == entry.uidvalidity
        is_own = is_same and _is_part(there, entry)
        kept: list[MessageEntry] = []
        moved: list[MessageEntry] = []
        for one in entry.messages:
            if there.has(one, entry.uidvalidity):
                put_back.present += 1
                self._progress.step()
            else:
                (kept if is_same and one.info.uid >= there.uidnext else moved).append(one)
        if self._dry_run:
            put_back.put, put_back.renumbered = len(kept) + len(moved), len(moved)
            put_back.octets = sum(one.info.stored_octets or one.info.octets for one in (*kept, *moved))
            return put_back
        handle = self._store.folder(self._mailbox, entry.name)
        self._put_all(handle, kept, put_back, keeps_modseq=is_own)
        if is_same:
            handle.restore((), uidnext=entry.uidnext)
        self._put_moved(handle, moved, put_back)
        if is_own:
            handle.align((), modseq=entry.modseq)
        return put_back

    def _make(self, entry: FolderEntry) -> None:
        """Make a folder, or make one that was never used what it is in the backup."""
        tree, name = self._store.folders(self._mailbox), entry.name
        known = next((one for one in tree.list() if one.name == name), None)
        if known is not None and not name.is_inbox and known.special_use is not None and entry.special_use is None:
            with suppress(FolderHasChildren):
                tree.delete(name)
        tree.restore(name, uidvalidity=entry.uidvalidity, uidnext=1, guid=entry.guid, special_use=entry.special_use)
        if (known is not None and known.subscribed) != entry.subscribed:
            tree.subscribe(name, wanted=entry.subscribed)

    def _put_all(
        self, handle: Folder, entries: Sequence[MessageEntry], put_back: FolderPutBack, *, keeps_modseq: bool
    ) -> None:
        batch: list[Restored] = []
        octets = 0
        for one in entries:
            staged = self._body(handle.name, one)
            self._progress.step()
            if staged is None:
                continue
            octets += staged.octets
            batch.append(_restored(one, staged, one.info.uid, modseq=one.info.modseq if keeps_modseq else None))
            if len(batch) >= _BATCH or octets >= _BATCH_OCTETS:
                self._flush(handle, batch, put_back)
                octets = 0
        self._flush(handle, batch, put_back)

    def _put_moved(self, handle: Folder, entries: Sequence[MessageEntry], put_back: FolderPutBack) -> None:
        """Put messages whose UIDs were given out here before under new ones."""
        for start in range(0, len(entries), _BATCH):
            uid = handle.stat().uidnext
            batch: list[Restored] = []
            for one in entries[start : start + _BATCH]:
                staged = self._body(handle.name, one)
                self._progress.step()
                if staged is None:
                    continue
                if uid > UID_LIMIT:
                    self._note(handle.name, one.info.uid, "there is no UID left for it")
                    continue
                batch.append(_restored(one, staged, as_uid(uid), modseq=None))
                uid += 1
            put_back.renumbered += len(batch)
            self._flush(handle, batch, put_back)

    def _flush(self, handle: Folder, batch: list[Restored], put_back: FolderPutBack) -> None:
        if batch:
            handle.restore(batch)
            put_back.put += len(batch)
            put_back.octets += sum(one.staged.octets for one in batch)
        batch.clear()
        self._staged.close()

    def _body(self, folder: FolderName, one: MessageEntry) -> StagedMessage | None:
        """Read a body into a staged message; None, and a note, where it is damaged."""
        staged = self._store.stage(expected_octets=self._expected(one), sealed=one.info.sealed)
        self._staged.callback(staged.discard)
        try:
            for chunk in self._bodies.read(one.sha256):
                staged.write(chunk)
        except BackupDamaged as error:
            self._note(folder, one.info.uid, str(error))
            return None
        return staged

    def _expected(self, one: MessageEntry) -> int | None:
        try:
            return self._bodies.octets_of(one.sha256)
        except OSError:
            return None

    def _scripts(self) -> None:
        shelf = self._store.scripts(self._mailbox)
        there = {info.name: info for info in shelf.list()}
        for one in self._entry.scripts:
            try:
                content = b"".join(self._bodies.read(one.sha256))
                if one.name not in there:
                    shelf.put(one.name, content)
                elif shelf.read(one.name) != content:
                    self._note(None, None, f"script {one.name} is another one here, and stays")
                    continue
            except StoreError as error:
                self._note(None, None, f"script {one.name}: {error}")
                continue
            if one.is_active and not any(info.is_active for info in there.values()):
                shelf.activate(one.name)

    def _note(self, folder: FolderName | None, uid: Uid | None, text: str) -> None:
        self.differences.append(Difference(folder=folder, uid=uid, text=text))


def _is_part(there: _There, entry: FolderEntry) -> bool:
    """Whether nothing is there that is not in the backup."""
    known = {one.info.guid for one in entry.messages}
    nameless = {one.info.uid for one in entry.messages if not one.info.guid}
    return len(there.uids - nameless) <= sum(there.guids[guid] for guid in known)


def _restored(one: MessageEntry, staged: StagedMessage, uid: Uid, *, modseq: int | None) -> Restored:
    info = one.info
    return Restored(
        staged=staged,
        uid=uid,
        internal_date=info.internal_date,
        flags=info.flags,
        keywords=info.keywords,
        uidl=info.uidl or None,
        guid=info.guid or None,
        modseq=modseq,
    )
