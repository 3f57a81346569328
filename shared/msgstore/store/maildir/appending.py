"""Putting messages into a folder under UIDs that are known at once: append, copy and move.

The files get their names in ``cur/`` and are durable there before their UIDs are written down; whoever appends knows
his own file names and never looks for them.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from msgstore.model.errors import StoreCorrupt
from msgstore.model.message import UID_LIMIT, Uid
from msgstore.model.outcomes import Appended, Copied
from msgstore.store.maildir.cells import keywords_of
from msgstore.store.maildir.changing import note_own_change
from msgstore.store.maildir.deliver import NAME_TRIES, give_name, needs_copy
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.keywordfile import Spelling, spell, write_extra
from msgstore.store.maildir.names import flags_of, with_flags
from msgstore.store.maildir.quotafile import QuotaFile
from msgstore.store.maildir.reading import TRIES, Reading
from msgstore.store.maildir.rows import CUR, NOWHERE, FolderRow, MessageRow
from msgstore.store.maildir.uidlist import UidRecord
from msgstore.store.staging import StagedFile

__all__ = ["Appending"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    """A file that has its name."""

    base: str
    info: str
    octets: int | None
    wire_octets: int | None
    internal_date: int | None
    extra: frozenset[str]
    guid: str | None = None
    """What the UID list is to say of it; None where its base does."""


class Appending:
    """Puts messages into one folder."""

    def __init__(self, target: Reading) -> None:
        self._target = target
        self._house = target.house
        self._disk = target.house.disk

    def append(self, staged: StagedFile, *, flags: frozenset[str], keywords: frozenset[str], date: float) -> Appended:
        """Put a staged message here, durably; see the interface."""
        staged.finish(modified_seconds=date)
        linked: list[_Arrival] = []

        def act(index: Index, row: FolderRow) -> Appended:
            with index.writing(), self._house.directories.lease(self._folder()) as fd:
                row = self._bring_up(index)
                if not linked:
                    linked.append(self._link(fd, staged, flags=flags, keywords=keywords, date=date))
                (uid,), row = self._adopt(index, row, fd, linked)
                return Appended(uid=uid, uidvalidity=row.uidvalidity, modseq=row.modseq)

        result = self._undoing(linked, lambda: self._target.run(act))
        self._count(linked)
        return result

    def copy_from(self, source: Reading, uids: Sequence[Uid], *, keeps_names: bool) -> Copied:
        """Give messages of another folder a name here too, all or none; see the interface.

        With ``keeps_names`` a copy has the base of the original, and so its GUID, unless that is taken here.
        """
        wanted = sorted(set(uids))
        if not wanted:
            # No message asks whether its folder is there.
            source.run(lambda _index, _row: None)
        linked: list[_Arrival] = []
        origins: list[int] = []

        def act(index: Index, row: FolderRow) -> Copied:
            with index.writing(), self._house.directories.lease(self._folder()) as fd:
                if not linked:
                    origins.clear()
                    # Where a folder is copied into itself, copies turn up while it goes on: they were not asked for.
                    first_new = source.ledger.bring_up(index, source.name).uidnext
                    for uid in (uid for uid in wanted if uid < first_new):
                        self._copy_one(index, source, uid, fd, keeps_names=keeps_names, done=(origins, linked))
                    if linked:
                        self._sync(fd)
                row = self._bring_up(index)
                new, row = self._adopt(index, row, fd, linked)
                self._keep_guids(index, row, fd, {one.base: one.guid for one in linked if one.guid is not None})
                from_uids = tuple(Uid(uid) for uid in origins)
                return Copied(uidvalidity=row.uidvalidity, from_uids=from_uids, to_uids=new)

        result = self._undoing(linked, lambda: self._target.run(act))
        self._count(linked)
        return result

    def _count(self, arrivals: Sequence[_Arrival]) -> None:
        file = QuotaFile(self._house, self._house.box_of(self._target.mailbox))
        file.count([one.wire_octets for one in arrivals], 1)

    def _bring_up(self, index: Index) -> FolderRow:
        return self._target.ledger.bring_up(index, self._target.name)

    # Files.

    def _link(
        self, fd: int, staged: StagedFile, *, flags: frozenset[str], keywords: frozenset[str], date: float
    ) -> _Arrival:
        spelling = self._spell(fd, keywords)
        with self._house.directories.lease(self._target.inner(CUR)) as cur:
            for _ in range(NAME_TRIES):
                base = self._new_base(staged.stored_octets, staged.wire_octets, is_sealed=staged.is_sealed)
                name = with_flags(base, flags, keyword_letters=spelling.letters)
                self._note_extra(fd, base, spelling)
                try:
                    give_name(self._house, staged, cur, name, staged_date=date, date=date)
                except FileExistsError:
                    continue
                self._disk.sync_directory(cur)
                return _Arrival(
                    base=base,
                    info=name[len(base) :],
                    octets=staged.stored_octets,
                    wire_octets=staged.wire_octets,
                    internal_date=int(date),
                    extra=spelling.extra,
                )
        raise FileExistsError("no free file name was found")

    def _copy_one(
        self,
        index: Index,
        source: Reading,
        uid: int,
        fd: int,
        *,
        keeps_names: bool,
        done: tuple[list[int], list[_Arrival]],
    ) -> None:
        """Give one message a name here; nothing where it is not there any more."""
        for _ in range(TRIES):
            row = source.ledger.bring_up(index, source.name)
            message = index.message(row.id, uid)
            if message is None or message.place == NOWHERE:
                return
            keywords = keywords_of(message.info, message.extra, source.ledger.keywords(source.name, row))
            spelling = self._spell(fd, keywords)
            base = message.base
            if not keeps_names or self._is_taken(index, base):
                base = self._new_base_of(message)
            info = with_flags(base, flags_of(message.info), keyword_letters=spelling.letters)[len(base) :]
            self._note_extra(fd, base, spelling)
            try:
                self._link_from(source, message, base + info)
            except FileNotFoundError:
                row.relist_at = 1.0
                index.save_folder(row)
                continue
            done[0].append(uid)
            done[1].append(
                _Arrival(
                    base=base,
                    info=info,
                    octets=message.octets,
                    wire_octets=message.wire_octets,
                    internal_date=message.internal_date,
                    extra=spelling.extra,
                    # Moved, it stays the same message: its GUID is in its name, unless the list gave it another one.
                    guid=_guid_of(message) if base == message.base else None,
                )
            )
            return

    def _link_from(self, source: Reading, message: MessageRow, name: str) -> None:
        directories = self._house.directories
        with (
            directories.lease(source.inner(message.place)) as from_fd,
            directories.lease(self._target.inner(CUR)) as cur,
        ):
            try:
                self._disk.link((from_fd, message.name), (cur, name))
            except OSError as error:
                if not needs_copy(error) or isinstance(error, FileNotFoundError):
                    raise
                self._write_copy(source, message, cur, name)

    def _write_copy(self, source: Reading, message: MessageRow, cur: int, name: str) -> None:
        """Write the octets once more: there are too many links, or it is another file system."""
        fd = source.open(message)
        try:
            staged = StagedFile(self._house.area_at(cur), name=name)
            try:
                offset = 0
                while piece := os.pread(fd, 1 << 20, offset):
                    staged.write(piece)
                    offset += len(piece)
                staged.finish(modified_seconds=os.fstat(fd).st_mtime)
                staged.move(cur, name)
            finally:
                staged.discard()
        finally:
            os.close(fd)

    def _new_base(self, octets: int, wire_octets: int, *, is_sealed: bool = False) -> str:
        now = self._house.clock.time()
        return self._house.names.unique(seconds=now, octets=octets, wire_octets=wire_octets, is_sealed=is_sealed)

    def _new_base_of(self, message: MessageRow) -> str:
        """Name a copy: its time is now, and whatever else the name of the original says goes along."""
        fresh = self._new_base(message.octets or 0, message.wire_octets or 0)
        _, comma, rest = message.base.partition(",")
        return fresh.partition(",")[0] + comma + rest

    def _is_taken(self, index: Index, base: str) -> bool:
        row = self._bring_up(index)
        return index.by_base(row.id, base) is not None

    def _spell(self, fd: int, keywords: Iterable[str]) -> Spelling:
        wanted = frozenset(keywords)
        if not wanted:
            return Spelling("", frozenset())
        with self._house.lock.hold(fd):
            return spell(self._disk, fd, wanted)

    def _note_extra(self, fd: int, base: str, spelling: Spelling) -> None:
        if spelling.extra:
            with self._house.lock.hold(fd):
                write_extra(self._disk, fd, {base: spelling.extra})

    def _sync(self, fd: int) -> None:
        del fd
        with self._house.directories.lease(self._target.inner(CUR)) as cur:
            self._disk.sync_directory(cur)

    # UIDs.

    def _adopt(
        self, index: Index, row: FolderRow, fd: int, arrivals: Sequence[_Arrival]
    ) -> tuple[tuple[Uid, ...], FolderRow]:
        """Write down UIDs for files that have their names, and give them in order."""
        known = [index.by_base(row.id, one.base) for one in arrivals]
        if all(one is not None for one in known):
            # A look that came in between has numbered them.
            return tuple(Uid(one.uid) for one in known if one is not None), row
        sync = self._target.ledger.sync_of(self._target.name)
        with self._house.lock.hold(fd):
            uid_file = sync.uid_file(fd)
            news = uid_file.news(row)
            if news is not None and not news.is_whole and not news.records and not any(known):
                first = row.uidnext
                if first + len(arrivals) - 1 > UID_LIMIT:
                    raise StoreCorrupt("no UID is left in the folder")
                records = [UidRecord(uid, one.base) for uid, one in enumerate(arrivals, first)]
                uid_file.append(news, records)
                self._insert(index, row, fd, tuple(zip(records, arrivals, strict=True)))
                return tuple(Uid(record.uid) for record in records), row
        row.relist_at = 1.0
        index.save_folder(row)
        row = self._bring_up(index)
        numbered = [index.by_base(row.id, one.base) for one in arrivals]
        # Somebody may have removed one already: it had a UID all the same, which nobody will see.
        return tuple(Uid(one.uid if one is not None else row.uidnext) for one in numbered), row

    def _keep_guids(self, index: Index, row: FolderRow, fd: int, guids: Mapping[str, str]) -> None:
        """Let messages that were moved keep GUIDs that are not in their names."""
        if not guids:
            return
        uid_file = self._target.ledger.sync_of(self._target.name).uid_file(fd)
        with self._house.lock.hold(fd):
            uid_file.name_guids(guids)
            for base, guid in guids.items():
                message = index.by_base(row.id, base)
                if message is not None:
                    index.rebase(row.id, message.uid, base, f"G{guid}")
        self._bring_up(index)

    def _insert(
        self,
        index: Index,
        row: FolderRow,
        fd: int,
        numbered: Sequence[tuple[UidRecord, _Arrival]],
    ) -> None:
        row.modseq += 1
        made = [
            MessageRow(
                uid=record.uid,
                base=one.base,
                info=one.info,
                place=CUR,
                octets=one.octets,
                wire_octets=one.wire_octets,
                internal_date=one.internal_date,
                modseq=row.modseq,
                fields=None,
                extra=" ".join(sorted(one.extra)) or None,
            )
            for record, one in numbered
        ]
        index.insert(row.id, made)
        row.count(made, 1)
        row.uidnext = numbered[-1][0].uid + 1
        row.listed_records += len(numbered)
        note_own_change(self._target, fd, row, has_listed=True)
        index.save_folder(row)

    def _undoing(self, linked: Sequence[_Arrival], action: Callable[[], T]) -> T:
        """Run it; where it fails take back the names that were given, so that nothing of it is visible."""
        try:
            return action()
        except BaseException:
            with suppress(OSError), self._house.directories.lease(self._target.inner(CUR)) as cur:
                for one in linked:
                    with suppress(FileNotFoundError):
                        self._disk.unlink(cur, one.base + one.info)
            raise

    def _folder(self) -> tuple[str, tuple[str, ...]]:
        return self._house.place_of(self._target.mailbox, self._target.name)


def _guid_of(message: MessageRow) -> str | None:
    return next((word[1:] for word in (message.fields or "").split() if word.startswith("G")), None)
