"""Changing what lies in a folder: flags and keywords, and removing for good.

Every change is made on the disk first and in the index then, in one turn of the index: what the disk says is the truth,
and an index that fails after it is brought in line by the next look.  Own changes are not listed again, unless somebody
may have changed something in the same moment; that is made sure of some time later.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from msgstore.model.message import Uid
from msgstore.model.outcomes import FlagChange, FlagsOutcome
from msgstore.store.maildir.cells import keywords_of
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.keywordfile import Spelling, spell, write_extra
from msgstore.store.maildir.names import base_of, flags_of, keyword_letters_of, with_flags
from msgstore.store.maildir.quotafile import QuotaFile
from msgstore.store.maildir.reading import TRIES, Reading, removed_place
from msgstore.store.maildir.rows import CUR, NEW, NOWHERE, FolderRow, MessageRow
from msgstore.store.maildir.stamps import Stamps
from msgstore.store.rows import changed_set

__all__ = ["Changing", "note_own_change"]

_SURE_SECONDS: Final = 1.0
_SURE_SECONDS_A_MESSAGE: Final = 60e-6
"""Twenty times what listing a message costs: making sure takes at most a twentieth of the time."""


def note_own_change(reading: Reading, fd: int, row: FolderRow, *, has_listed: bool = False) -> None:
    """Note the times that an own change gave the directories, and that others may have hidden one behind it.

    Only with ``has_listed``, which says that the lock is held and the UID list was read to its end, the list counts as
    known: otherwise somebody may have given out UIDs meanwhile, and what is not read would be given out again.
    """
    now = Stamps.of(reading.house.disk, fd)
    if not has_listed:
        now = replace(now, list_inode=row.list_inode, list_octets=row.list_octets, list_time=row.list_time)
    now.put_into(row)
    wait = max(_SURE_SECONDS, row.messages * _SURE_SECONDS_A_MESSAGE)
    row.relist_at = row.relist_at or reading.house.disk.wall_seconds() + wait


_HUNTS: Final = 5
"""Listings in which a removal looks for a file that others renamed."""


class Changing:
    """Changes of one folder."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._disk = reading.house.disk

    # Flags.

    def set_flags(
        self,
        uids: Sequence[Uid],
        change: FlagChange,
        *,
        flags: frozenset[str],
        keywords: frozenset[str],
        unchanged_since: int | None,
    ) -> FlagsOutcome:
        """Change flags and keywords; see the interface."""
        wanted = sorted(set(uids))

        def act(index: Index, row: FolderRow) -> FlagsOutcome:
            with index.writing():
                row = self._reading.ledger.bring_up(index, self._reading.name)
                found = [one for uid in wanted if (one := index.message(row.id, uid)) and one.place != NOWHERE]
                fit = [one for one in found if unchanged_since is None or one.modseq <= unchanged_since]
                row = self._apply(index, row, fit, change=change, flags=flags, keywords=keywords)
            fitting = {one.uid for one in fit}
            marks = ", ".join(str(int(uid)) for uid in fitting)
            row, infos = self._reading.infos(index, row, f"uid in ({marks}) and place < 2")
            return FlagsOutcome(
                changed=infos,
                modified=tuple(Uid(one.uid) for one in found if one.uid not in fitting),
                modseq=row.modseq,
            )

        return self._reading.run(act)

    def _apply(
        self,
        index: Index,
        row: FolderRow,
        messages: Sequence[MessageRow],
        *,
        change: FlagChange,
        flags: frozenset[str],
        keywords: frozenset[str],
    ) -> FolderRow:
        """Change all of them, looking again for those that others rename meanwhile."""
        left: list[MessageRow] = list(messages)
        modseq = row.modseq + 1
        for _ in range(TRIES):
            with self._reading.house.directories.lease(self._folder()) as fd:
                spelling = self._spell(fd, change, keywords)
                known = self._reading.ledger.keywords_at(fd)
                changed = [
                    new
                    for one in left
                    if (new := _changed(one, change, flags=flags, spelling=spelling, known=known)) is not None
                ]
                before = {one.uid: one for one in left}
                self._write_extra(fd, before, changed)
                moved = {one.uid for one in changed if self._rename(before[one.uid], one)}
                row = self._note(index, row, fd, [one for one in changed if one.uid in moved], modseq=modseq)
            away = [one.uid for one in changed if one.uid not in moved]
            if not away:
                break
            row.relist_at = 1.0
            index.save_folder(row)
            row = self._reading.ledger.bring_up(index, self._reading.name)
            left = [one for uid in away if (one := index.message(row.id, uid)) and one.place != NOWHERE]
            modseq = max(modseq, row.modseq)
        return row

    def _spell(self, fd: int, change: FlagChange, keywords: frozenset[str]) -> Spelling:
        if not keywords:
            return Spelling("", frozenset())
        may_name = change is not FlagChange.REMOVE
        with self._reading.house.lock.hold(fd):
            return spell(self._disk, fd, keywords, may_name=may_name)

    def _write_extra(self, fd: int, before: Mapping[int, MessageRow], after: Iterable[MessageRow]) -> None:
        lines = {one.base: (one.extra or "").split() for one in after if one.extra != before[one.uid].extra}
        if lines:
            with self._reading.house.lock.hold(fd):
                write_extra(self._disk, fd, lines)

    def _rename(self, old: MessageRow, after: MessageRow) -> bool:
        if (old.place, old.info) == (after.place, after.info):
            return True
        directories = self._reading.house.directories
        with (
            directories.lease(self._reading.inner(old.place)) as source,
            directories.lease(self._reading.inner(CUR)) as target,
        ):
            try:
                self._disk.rename((source, old.name), (target, after.name))
            except FileNotFoundError:
                return False
        return True

    def _note(self, index: Index, row: FolderRow, fd: int, changed: Sequence[MessageRow], *, modseq: int) -> FolderRow:
        if not changed:
            return row
        row.modseq = max(row.modseq, modseq)
        for one in changed:
            one.modseq = row.modseq
        before = [old for one in changed if (old := index.message(row.id, one.uid)) is not None]
        index.update(row.id, changed)
        row.count(before, -1)
        row.count(changed, 1)
        note_own_change(self._reading, fd, row)
        index.save_folder(row)
        return row

    # Removing.

    def expunge(self, uids: Sequence[Uid], *, sets_aside: bool) -> tuple[Uid, ...]:
        """Remove exactly these messages, durably; see the interface.

        With ``sets_aside`` they can be brought back for a while, where the store keeps what was removed.
        """
        wanted = sorted(set(uids))
        gone: set[int] = set()

        def act(index: Index, row: FolderRow) -> tuple[Uid, ...]:
            with index.writing():
                row = self._reading.ledger.bring_up(index, self._reading.name)
                there = {uid for uid in wanted if (one := index.message(row.id, uid)) and one.place != NOWHERE}
                for _ in range(TRIES):
                    removed = self._unlink(index, row, sorted(there - gone), sets_aside=sets_aside)
                    gone.update(one.uid for one in removed)
                    row = self._bury(index, row, removed)
                    if gone >= there:
                        break
                    row.relist_at = 1.0
                    index.save_folder(row)
                    row = self._reading.ledger.bring_up(index, self._reading.name)
                    gone.update(uid for uid in there if index.message(row.id, uid) is None)
            return tuple(Uid(uid) for uid in sorted(gone))

        return self._reading.run(act)

    def _unlink(self, index: Index, row: FolderRow, uids: Sequence[int], *, sets_aside: bool) -> list[MessageRow]:
        removed: list[MessageRow] = []
        renamed: dict[str, MessageRow] = {}
        touched: set[int] = set()
        directories = self._reading.house.directories
        for uid in uids:
            message = index.message(row.id, uid)
            assert message is not None
            with directories.lease(self._reading.inner(message.place)) as fd:
                try:
                    self._take_away(fd, message.name, sets_aside=sets_aside)
                except FileNotFoundError:
                    renamed[message.base] = message
                    continue
            removed.append(message)
            touched.add(message.place)
        for _ in range(_HUNTS):
            if renamed:
                touched |= self._hunt(renamed, removed, sets_aside=sets_aside)
        # Removals are durable before anybody is told: mail that a user deleted must not come back.
        for place in (NEW, CUR):
            if place in touched:
                with directories.lease(self._reading.inner(place)) as fd:
                    self._disk.sync_directory(fd)
        return removed

    def _hunt(self, wanted: dict[str, MessageRow], removed: list[MessageRow], *, sets_aside: bool) -> set[int]:
        """Take away what others rename, right where it is seen; gives the places where something was."""
        touched: set[int] = set()
        for place in (NEW, CUR):
            with self._reading.house.directories.lease(self._reading.inner(place)) as fd:
                for name in self._disk.names(fd):
                    message = wanted.get(base_of(name))
                    if message is None:
                        continue
                    try:
                        self._take_away(fd, name, sets_aside=sets_aside)
                    except FileNotFoundError:
                        continue
                    del wanted[message.base]
                    removed.append(message)
                    touched.add(place)
        return touched

    def _take_away(self, fd: int, name: str, *, sets_aside: bool) -> None:
        """Unlink a file, or set it aside where it can still be brought back."""
        house = self._reading.house
        if not (sets_aside and house.keeps_removed):
            self._disk.unlink(fd, name)
            return
        place = removed_place(house.box_of(self._reading.mailbox), self._reading.name)
        with house.directories.lease(place, create=True) as aside:
            self._disk.rename((fd, name), (aside, name))

    def _bury(self, index: Index, row: FolderRow, removed: Sequence[MessageRow]) -> FolderRow:
        if removed:
            row.modseq += 1
            at = int(self._disk.wall_seconds())
            index.bury(row.id, [(one.uid, one.base) for one in removed], modseq=row.modseq, at=at)
            row.count(removed, -1)
            with self._reading.house.directories.lease(self._folder()) as fd:
                note_own_change(self._reading, fd, row)
            index.save_folder(row)
            self._count(removed)
        return row

    def _count(self, removed: Sequence[MessageRow]) -> None:
        file = QuotaFile(self._reading.house, self._reading.house.box_of(self._reading.mailbox))
        file.count([one.wire_octets for one in removed], -1)

    def _folder(self) -> tuple[str, tuple[str, ...]]:
        return self._reading.house.place_of(self._reading.mailbox, self._reading.name)


def _changed(
    message: MessageRow, change: FlagChange, *, flags: frozenset[str], spelling: Spelling, known: dict[str, str]
) -> MessageRow | None:
    """Give the message as it is to be; None when it is so already."""
    there = frozenset(keyword_letters_of(message.info))
    # Letters nobody has named stay: somebody knows what they mean.
    letters = changed_set(there & known.keys(), change, frozenset(spelling.letters)) | (there - known.keys())
    wanted_flags = changed_set(flags_of(message.info), change, flags)
    extra_before = keywords_of("", message.extra, known)
    lowered = {keyword.lower() for keyword in spelling.extra}
    match change:
        case FlagChange.REMOVE:
            extra = frozenset(keyword for keyword in extra_before if keyword.lower() not in lowered)
        case FlagChange.ADD:
            before = {keyword.lower() for keyword in extra_before}
            extra = extra_before | {keyword for keyword in spelling.extra if keyword.lower() not in before}
        case FlagChange.SET:
            extra = spelling.extra
    is_same = letters == there and wanted_flags == flags_of(message.info) and extra == extra_before
    if is_same:
        return None
    name = with_flags(message.name, wanted_flags, keyword_letters="".join(letters))
    return MessageRow(
        uid=message.uid,
        base=message.base,
        info=name[len(message.base) :],
        place=CUR,
        octets=message.octets,
        wire_octets=message.wire_octets,
        internal_date=message.internal_date,
        modseq=message.modseq,
        fields=message.fields,
        extra=" ".join(sorted(extra)) or None,
    )
