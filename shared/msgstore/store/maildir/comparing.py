"""Comparing a folder with what the index knows of it, and putting the difference into the index.

Messages without a UID get one, written to the list and synced before anybody sees it; a message is taken for gone only
when a listing lacks it during which nothing was renamed, because a listing may skip what gets another name.  Everything
here happens under Dovecot's lock and in one turn of the index.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from msgstore.model.errors import StoreCorrupt
from msgstore.model.message import UID_LIMIT
from msgstore.store.disk import Disk
from msgstore.store.maildir.extra import ExtraKeywords
from msgstore.store.maildir.following import find_sealed, take_twins_away
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.keywordfile import EXTRA_NAME
from msgstore.store.maildir.names import base_of, came_of, is_message_name, order_key, sizes_of
from msgstore.store.maildir.rows import CUR, NEW, NOWHERE, FolderRow, MessageRow
from msgstore.store.maildir.stamps import Stamps
from msgstore.store.maildir.uidfile import ListNews, UidFile
from msgstore.store.maildir.uidlist import UidRecord

__all__ = ["Comparison"]

_COARSE_SECONDS: Final = 1.0
_FINE_SECONDS: Final = 0.02
"""A directory this young when it was listed may have changed again under the same time: file systems that keep whole
seconds need the first, others change their clock every 10 ms at the latest."""

_SEARCHES: Final = 8
"""Listings that look for what is missing, a moment apart."""

_MANY_DEAD: Final = 64
"""Records of messages that are gone stay until there are this many and a quarter of the list."""

_TOMBSTONE_SECONDS: Final = 30 * 86_400

_Places = dict[str, tuple[int, str]]
"""Base to place and info of its file."""


class Comparison:
    """One look at a folder whose directory is open."""

    def __init__(
        self,
        disk: Disk,
        index: Index,
        fd: int,
        *,
        uid_file: UidFile,
        directory: str,
        first_uidvalidity: Callable[[], int],
        now_ms: int,
    ) -> None:
        self._disk = disk
        self._index = index
        self._fd = fd
        self._uid_file = uid_file
        self._looked_at = disk.wall_seconds()
        self._stamps = Stamps.of(disk, fd)
        known = index.folder(directory)
        news = uid_file.news(known)
        if news is None:
            news = uid_file.begin(self._list((NEW, CUR)), first_uidvalidity=first_uidvalidity)
        self._news: Final[ListNews] = news
        if known is None or known.uidvalidity != news.uidvalidity or (news.is_whole and self._contradicts(known)):
            modseq = now_ms if known is None else max(now_ms, known.modseq + 1)
            known = index.begin_folder(directory, uidvalidity=news.uidvalidity, modseq=modseq)
        self._row: Final[FolderRow] = known
        self._extra = self._read_extra()
        self._inserted: list[MessageRow] = []
        self._updated: list[MessageRow] = []
        self._rebased: dict[int, MessageRow] = {}
        self._buried: list[MessageRow] = []

    def run(self) -> FolderRow:
        """Compare, write down, and give the row that is true now."""
        row, stamps = self._row, self._stamps
        inner = self._changed_places()
        self._compare(inner)
        self._write()
        newest = max(stamps.new_time, stamps.cur_time)
        window = _COARSE_SECONDS if newest % 1_000_000_000 == 0 else _FINE_SECONDS
        row.is_unsure = int(newest / 1e9 > self._looked_at - window)
        if len(inner) > 1:
            # All was seen as it is; only what was young may have to be seen again.
            row.relist_at = 0.0
        self._index.save_folder(row)
        return row

    def _contradicts(self, row: FolderRow) -> bool:
        """Whether a list written anew gives a UID that was shown to another message."""
        listed = {record.uid: record.base for record in self._news.records}
        known = [one for place in (NEW, CUR, NOWHERE) for one in self._index.names(row.id, place)]
        return any((now := listed.get(uid, base)) != base and not came_of(now, base) for uid, base, _ in known)

    def _read_extra(self) -> ExtraKeywords | None:
        """Read the keywords without letters, where there are any or were."""
        if not self._stamps.extra_time:
            return ExtraKeywords({}) if self._row.extra_time else None
        return ExtraKeywords.parse(self._disk.read_file(self._fd, EXTRA_NAME)[0])

    def _changed_places(self) -> tuple[int, ...]:
        row, stamps, news = self._row, self._stamps, self._news
        is_due = row.relist_at and self._looked_at >= row.relist_at
        if news.is_whole or row.is_unsure or is_due or row.listed_records != news.listed:
            return NEW, CUR
        changed = [NEW] if stamps.new_time != row.new_time else []
        return (*changed, CUR) if stamps.cur_time != row.cur_time else tuple(changed)

    def _list(self, inner: Iterable[int]) -> _Places:
        """Give place and info of every message; ``new`` first: what moves is then seen in ``cur``."""
        places: _Places = {}
        for place in inner:
            try:
                fd = self._disk.open_directory(self._fd, ["cur" if place == CUR else "new"])
            except FileNotFoundError:
                if place == CUR:
                    raise
                continue
            try:
                for name in self._disk.names(fd):
                    if is_message_name(name):
                        base = base_of(name)
                        places[base] = (place, name[len(base) :])
            finally:
                os.close(fd)
        return places

    def _compare(self, inner: Sequence[int]) -> None:
        row, news = self._row, self._news
        places = self._list(inner)
        known = {base: (uid, place, info) for place in inner for uid, base, info in self._index.names(row.id, place)}
        known |= {base: (uid, NOWHERE, info) for uid, base, info in self._index.names(row.id, NOWHERE)}
        if any(base not in known for base in places):
            self._follow_sealing(places, known)
        missing = [base for base, (_, place, _) in known.items() if base not in places and place != NOWHERE]
        are_gone = not missing
        if missing:
            places, are_gone = self._look_for(missing, places)
        pending = {record.base: record for record in news.records if record.base not in known}
        unlisted = known.keys() - {record.base for record in news.records} if news.is_whole else frozenset[str]()
        arrivals: list[str] = []
        for base, (place, info) in places.items():
            before = known.get(base)
            if before is None:
                arrivals.append(base)
            elif base in unlisted:
                # Another program threw its record away: under the old UID nobody else will find it again.
                self._bury(base)
                arrivals.append(base)
            elif before[1:] != (place, info):
                self._moved(base, place, info)
        for base in missing:
            if base not in places and are_gone:
                self._bury(base)
        self._take_in(arrivals, places, pending)
        self._await(pending, places)
        if self._extra is not None:
            self._note_extra(self._extra)

    def _follow_sealing(self, places: _Places, known: dict[str, tuple[int, int, str]]) -> None:
        """Know messages again that were sealed where they lie; what a crash left of that is put right."""
        found = find_sealed(places, (*known, *(record.base for record in self._news.records)))
        if found is None:
            return
        listed = {record.base for record in self._news.records} if self._news.is_whole else found.renamed.keys()
        if not listed.isdisjoint(found.renamed):
            self._uid_file.rename(self._news, found.renamed)
        if found.twins:
            names: dict[str, list[str]] = {"new": [], "cur": []}
            for base in found.twins:
                place, info = places.pop(base)
                names["cur" if place == CUR else "new"].append(base + info)
            take_twins_away(self._disk, self._fd, names)
        for plain, base in found.renamed.items():
            if plain in known:
                known[base] = self._rebase(plain, base, known.pop(plain))

    def _rebase(self, plain: str, base: str, where: tuple[int, int, str]) -> tuple[int, int, str]:
        """Let a message have the base that it was sealed under."""
        message = self._index.by_base(self._row.id, plain)
        assert message is not None
        fields = tuple((word[0], word[1:]) for word in (message.fields or "").split())
        record = UidRecord(message.uid, plain, fields).renamed(base)
        self._index.rebase(self._row.id, message.uid, base, _fields_text(record))
        message.base, message.fields = base, _fields_text(record)
        sizes = sizes_of(base)
        assert sizes is not None
        message.octets, message.wire_octets = sizes.octets, sizes.wire_octets
        self._rebased[message.uid] = message
        self._updated.append(message)
        return where

    def _look_for(self, missing: Iterable[str], places: _Places) -> tuple[_Places, bool]:
        """List again until all was found or nothing was renamed during a listing; only then the second value is true.

        Where others never stop renaming it is false: what was not found stays as it was known, and the next look,
        which their changes bring about, decides.
        """
        for _ in range(_SEARCHES):
            before = self._directory_times()
            time.sleep(_FINE_SECONDS)
            places = {**places, **self._list((NEW, CUR))}
            if all(base in places for base in missing) or self._directory_times() == before:
                return places, True
        return places, False

    def _directory_times(self) -> tuple[int, int]:
        stamps = Stamps.of(self._disk, self._fd)
        return stamps.new_time, stamps.cur_time

    def _moved(self, base: str, place: int, info: str) -> None:
        message = self._index.by_base(self._row.id, base)
        assert message is not None
        self._moved_to(message, place, info)

    def _moved_to(self, message: MessageRow, place: int, info: str) -> None:
        known = self._rebased.get(message.uid)
        if known is None:
            self._updated.append(message)
        else:
            message = known
        message.place, message.info = place, info

    def _bury(self, base: str) -> None:
        message = self._index.by_base(self._row.id, base)
        assert message is not None
        self._buried.append(message)

    def _take_in(self, arrivals: Sequence[str], places: _Places, pending: Mapping[str, UidRecord]) -> None:
        """Take in messages that the listed places did not hold before; those without a UID get one, durably."""
        row, news = self._row, self._news
        is_first = not row.messages and not self._buried and not self._index.has_vanished(row.id)
        unknown: list[str] = []
        for base in arrivals:
            record = pending.get(base)
            if record is None and not is_first:
                record = self._remembered(base, places[base])
            if record is None:
                unknown.append(base)
            elif record.uid:
                self._inserted.append(_new_row(record, places[base], self._extra))
        first = max(news.uidnext, row.uidnext)
        unknown.sort(key=order_key)
        if unknown and first + len(unknown) - 1 > UID_LIMIT:
            raise StoreCorrupt("no UID is left in the folder")
        records = [UidRecord(uid, base) for uid, base in enumerate(unknown, first)]
        if records or news.is_torn:
            self._uid_file.append(news, records)
        self._inserted += [_new_row(record, places[record.base], self._extra) for record in records]

    def _remembered(self, base: str, where: tuple[int, str]) -> UidRecord | None:
        """Give the record of a message that was in a place not listed now, or out of sight; None for a new one.

        A record without a UID says that nothing is left to do.
        """
        message = self._index.by_base(self._row.id, base)
        if message is not None and message not in self._buried:
            if (message.place, message.info) != where:
                self._moved(base, *where)
            return UidRecord(0, base)
        if not self._index.is_buried(self._row.id, base):
            return None
        record = self._uid_file.find(base)
        if record is not None:
            self._index.revive(self._row.id, record.uid)
        return record

    def _await(self, pending: Mapping[str, UidRecord], places: _Places) -> None:
        """Keep listed messages of which no file was seen: in a list read on they may still come; else they are gone."""
        row = self._row
        if self._news.is_whole:
            self._index.remove(
                row.id, [uid for uid, base, _ in self._index.names(row.id, NOWHERE) if base not in places]
            )
            return
        waiting = [record for base, record in pending.items() if base not in places]
        self._index.insert(row.id, [_new_row(record, (NOWHERE, ""), None) for record in waiting])

    def _note_extra(self, extra: ExtraKeywords) -> None:
        """Keep what the file says of messages whose keywords were others before."""
        row = self._row
        touched = {message.uid for message in self._inserted}
        changed = {message.uid: message for message in self._updated}
        wanted = {message.uid: message for message in self._index.messages(row.id, "extra is not null")}
        wanted |= {
            message.uid: message for base in extra.bases if (message := self._index.by_base(row.id, base)) is not None
        }
        for uid, message in wanted.items():
            kept = changed.get(uid, message)
            if uid not in touched and kept.extra != extra.text_of(kept.base):
                kept.extra = extra.text_of(kept.base)
                if uid not in changed:
                    self._updated.append(kept)

    def _write(self) -> None:
        """Put everything found into the index, under one modseq."""
        row, news, stamps = self._row, self._news, self._stamps
        if self._inserted or self._updated or self._buried:
            row.modseq += 1
        for message in (*self._inserted, *self._updated):
            message.modseq = row.modseq
        before = [old for one in self._updated if (old := self._index.message(row.id, one.uid)) is not None]
        at = int(self._disk.wall_seconds())
        self._index.bury(row.id, [(one.uid, one.base) for one in self._buried], modseq=row.modseq, at=at)
        self._index.insert(row.id, self._inserted)
        self._index.update(row.id, self._updated)
        for sign, messages in ((1, self._inserted), (1, self._updated), (-1, before), (-1, self._buried)):
            row.count(messages, sign)
        if self._buried:
            row.min_modseq = max(row.min_modseq, self._index.forget_vanished(row.id, before=at - _TOMBSTONE_SECONDS))
        dead = news.listed - row.messages
        if dead > _MANY_DEAD and dead * 4 > news.listed:
            kept = {base for place in (NEW, CUR, NOWHERE) for _, base, _ in self._index.names(row.id, place)}
            self._uid_file.compact(news, kept)
        row.uidnext = max(row.uidnext, news.uidnext)
        row.listed_records = news.listed
        # The list as it is after our own lines, the directories as they were before they were listed.
        after = Stamps.of(self._disk, self._fd)
        replace(after, new_time=stamps.new_time, cur_time=stamps.cur_time).put_into(row)


def _new_row(record: UidRecord, where: tuple[int, str], extra: ExtraKeywords | None) -> MessageRow:
    octets, wire_octets = _sizes(record)
    return MessageRow(
        uid=record.uid,
        base=record.base,
        info=where[1],
        place=where[0],
        octets=octets,
        wire_octets=wire_octets,
        internal_date=None,
        modseq=0,
        fields=_fields_text(record),
        extra=None if extra is None else extra.text_of(record.base),
    )


def _fields_text(record: UidRecord) -> str | None:
    return " ".join(key + value for key, value in record.fields) or None


def _sizes(record: UidRecord) -> tuple[int | None, int | None]:
    """Take sizes from the name or the list; None where the file has to be asked."""
    sizes = sizes_of(record.base)
    if sizes is not None:
        return sizes.octets, sizes.wire_octets
    stored, wire = record.get("S"), record.get("W")
    if stored is not None and wire is not None and stored.isdigit() and wire.isdigit():
        return int(stored), int(wire)
    return None, None
