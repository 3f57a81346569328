"""What the last look at a folder found: its UID list joined with the names in ``new/`` and ``cur/``.

A view is derived and may be dropped at any time.  It stands while neither directory nor the list has changed; a
directory that changed within the last second before the look may change again under the same time, so it is looked at
again (Dovecot's rule).
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgstore.model.errors import StoreCorrupt
from msgstore.model.message import Uid
from msgstore.store.directories import Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.keywords import parse_keywords
from msgstore.store.maildir.lock import UIDLIST_NAME, DotLock
from msgstore.store.maildir.names import base_of, is_message_name, order_key
from msgstore.store.maildir.uidlist import UidList, UidRecord, format_records, parse_older_uidlist, parse_uidlist
from msgstore.store.maildir.uidvalidity import next_uidvalidity

__all__ = ["Entry", "FolderView", "Looker"]

OLDER_UIDLIST_NAME: Final = ".uidlist"
KEYWORDS_NAME: Final = "dovecot-keywords"

_DIRTY_SECONDS: Final = 1.0
"""A change this young may be followed by another under the same time stamp."""

_MANY_DEAD: Final = 64
"""Records of messages that are gone stay until there are this many and a quarter of the list."""

_Stamp = tuple[int, int, int]


@dataclass(slots=True)
class Entry:
    """One message that is there."""

    record: UidRecord
    directory: str
    """``new`` or ``cur``."""

    name: str
    octets: int | None = None
    """Stored size; None before anybody asked and where the name does not tell."""

    wire_octets: int | None = None
    internal_date: int | None = None


@dataclass(slots=True)
class FolderView:
    """One look at one folder."""

    uidvalidity: int
    uidnext: int
    entries: tuple[Entry, ...]
    """Ascending by UID."""

    keywords: dict[str, str]
    """Letter to name."""

    stamps: tuple[_Stamp, ...]
    is_dirty: bool
    by_uid: dict[int, Entry] = field(init=False)

    def __post_init__(self) -> None:
        self.by_uid = {entry.record.uid: entry for entry in self.entries}

    def find(self, uid: Uid) -> Entry | None:
        """Give the message with this UID; None when it was not there."""
        return self.by_uid.get(uid)


class Looker:
    """Looks at one folder; one thread at a time, the others wait and share what it found."""

    def __init__(
        self,
        disk: Disk,
        directories: Directories,
        lock: DotLock,
        *,
        root: Place,
        folder: Place,
        first_uidvalidity: Callable[[], int],
    ) -> None:
        self._disk = disk
        self._directories = directories
        self._lock = lock
        self._root = root
        self._folder = folder
        self._first_uidvalidity = first_uidvalidity
        self._guard = threading.Lock()
        self._view: FolderView | None = None

    def cached(self) -> FolderView | None:
        """Give the last view, however old; None before the first."""
        return self._view

    def view(self) -> FolderView:
        """Give a view that is true now; every UID in it is durable.

        Raises:
            FileNotFoundError: there is no such folder.
            MailboxLocked: unknown messages need UIDs and the lock did not come free.
            OSError: the disk answers with an error.
        """
        with self._guard, self._directories.lease(self._folder) as folder_fd:
            known = self._view
            if known is not None and not known.is_dirty and known.stamps == self._stamps(folder_fd):
                return known
            self._view = self._look(folder_fd)
            return self._view

    def drop(self) -> None:
        """Forget the view; the next look reads everything."""
        self._view = None

    def _stamps(self, folder_fd: int) -> tuple[_Stamp, ...]:
        found: list[_Stamp] = []
        for name in ("new", "cur", UIDLIST_NAME):
            try:
                status = self._disk.stat(folder_fd, name)
            except FileNotFoundError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_mtime_ns, status.st_ino, status.st_size if name == UIDLIST_NAME else 0))
        return tuple(found)

    def _look(self, folder_fd: int) -> FolderView:
        looked_at = self._disk.wall_seconds()
        stamps = self._stamps(folder_fd)
        uidlist = self._read(folder_fd)
        places = self._list(folder_fd)
        if (
            uidlist is None
            or uidlist.is_torn
            or self._unknown(uidlist, places)
            or self._is_full_of_dead(uidlist, places)
        ):
            with self._lock.hold(folder_fd):
                stamps = self._stamps(folder_fd)
                uidlist, places = self._assign(folder_fd)
                stamps = (*stamps[:2], self._stamps(folder_fd)[2])
        elif len(places) < len(uidlist.records):
            places = self._list_again(folder_fd, places)
        newest = max(stamp[0] for stamp in stamps) / 1e9
        return FolderView(
            uidvalidity=uidlist.uidvalidity,
            uidnext=uidlist.uidnext,
            entries=self._join(uidlist, places),
            keywords=self._keywords(folder_fd),
            stamps=stamps,
            is_dirty=newest > looked_at - _DIRTY_SECONDS,
        )

    def _join(self, uidlist: UidList, places: dict[str, tuple[str, str]]) -> tuple[Entry, ...]:
        """Join records and names, keeping what was found out about a message before."""
        before = {} if self._view is None else {entry.record.base: entry for entry in self._view.entries}
        entries: list[Entry] = []
        for record in uidlist.records:
            place = places.get(record.base)
            if place is None:
                continue
            entry = Entry(record, *place)
            old = before.get(record.base)
            if old is not None:
                entry.octets, entry.wire_octets = old.octets, old.wire_octets
                entry.internal_date = old.internal_date
            entries.append(entry)
        return tuple(entries)

    def _list(self, folder_fd: int) -> dict[str, tuple[str, str]]:
        """Give directory and name of every message, by base; ``new`` first: what moves is then seen in ``cur``."""
        places: dict[str, tuple[str, str]] = {}
        for directory in ("new", "cur"):
            try:
                inner = self._disk.open_directory(folder_fd, [directory])
            except FileNotFoundError:
                if directory == "cur":
                    raise
                continue
            try:
                for name in self._disk.names(inner):
                    if is_message_name(name):
                        places[base_of(name)] = (directory, name)
            finally:
                os.close(inner)
        return places

    def _list_again(self, folder_fd: int, places: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
        """Look once more for what was there before: a listing may skip a name that is being renamed."""
        if self._view is not None and all(entry.record.base in places for entry in self._view.entries):
            return places
        return {**places, **self._list(folder_fd)}

    @staticmethod
    def _unknown(uidlist: UidList, places: Iterable[str]) -> list[str]:
        known = {record.base for record in uidlist.records}
        return sorted((base for base in places if base not in known), key=order_key)

    @staticmethod
    def _is_full_of_dead(uidlist: UidList, places: Sequence[str] | dict[str, tuple[str, str]]) -> bool:
        dead = len(uidlist.records) - len(places)
        return dead > _MANY_DEAD and dead * 4 > len(uidlist.records)

    def _assign(self, folder_fd: int) -> tuple[UidList, dict[str, tuple[str, str]]]:
        """Give UIDs to messages without one; call it under the lock."""
        uidlist = self._read(folder_fd)
        places = self._list(folder_fd)
        if uidlist is None:
            uidlist = self._fresh(folder_fd, places)
            self._disk.replace(folder_fd, UIDLIST_NAME, uidlist.format())
            return uidlist, places
        taken = uidlist.assign(self._unknown(uidlist, places))
        if uidlist.is_torn or self._is_full_of_dead(uidlist, places):
            # Twice under the lock: what both listings lack is gone.
            places = {**self._list(folder_fd), **places}
            kept = UidList(
                uidvalidity=uidlist.uidvalidity,
                next_uid=uidlist.uidnext,
                records=[record for record in uidlist.records if record.base in places],
                header_fields=uidlist.header_fields,
            )
            self._disk.replace(folder_fd, UIDLIST_NAME, kept.format())
            return kept, places
        if taken:
            descriptor = self._disk.open_append(folder_fd, UIDLIST_NAME)
            try:
                self._disk.write(descriptor, format_records(taken))
                # Durable before anybody sees them: a UID that was seen is never given to another message.
                self._disk.sync_file(descriptor)
            finally:
                os.close(descriptor)
        return uidlist, places

    def _fresh(self, folder_fd: int, places: dict[str, tuple[str, str]]) -> UidList:
        """Begin a list: the one of the older suite is taken over with its UIDs, else UIDVALIDITY rises."""
        guid = (("G", secrets.token_hex(16)),)
        older = self._older(folder_fd)
        with self._directories.lease(self._root) as root_fd:
            if older is None:
                value = next_uidvalidity(self._disk, root_fd, at_least=self._first_uidvalidity())
                older = UidList(uidvalidity=value, next_uid=1)
            else:
                # Whatever follows this list one day has to lie above it.
                next_uidvalidity(self._disk, root_fd, at_least=older.uidvalidity)
        older.header_fields = guid
        older.records = [record for record in older.records if record.base in places]
        older.assign(self._unknown(older, places))
        return older

    def _older(self, folder_fd: int) -> UidList | None:
        """Read the list of the older suite; None when it has been followed by one of ours, however damaged now.

        Since then UIDs were given out that it does not know: taken over again, it would give them to other messages.
        """
        try:
            self._disk.stat(folder_fd, UIDLIST_NAME)
        except FileNotFoundError:
            pass
        else:
            return None
        try:
            return parse_older_uidlist(self._disk.read_file(folder_fd, OLDER_UIDLIST_NAME)[0])
        except (FileNotFoundError, StoreCorrupt):
            return None

    def _read(self, folder_fd: int) -> UidList | None:
        """Read the list; None when there is none, or one that cannot be read: then UIDVALIDITY has to rise."""
        try:
            content, _ = self._disk.read_file(folder_fd, UIDLIST_NAME)
        except FileNotFoundError:
            return None
        try:
            return parse_uidlist(content)
        except StoreCorrupt:
            return None

    def _keywords(self, folder_fd: int) -> dict[str, str]:
        try:
            return parse_keywords(self._disk.read_file(folder_fd, KEYWORDS_NAME)[0])
        except FileNotFoundError:
            return {}
