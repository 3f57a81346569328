"""The UID list of a folder on the disk: read from where it was left, begun, appended to, compacted.

Everything that writes is called under Dovecot's lock.
"""

import os
import re
import secrets
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from msgstore.model.errors import StoreCorrupt
from msgstore.store.directories import Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.lock import UIDLIST_NAME
from msgstore.store.maildir.rows import FolderRow
from msgstore.store.maildir.uidlist import (
    UidList,
    UidRecord,
    format_records,
    parse_older_uidlist,
    parse_records,
    parse_uidlist,
)
from msgstore.store.maildir.uidvalidity import next_uidvalidity

__all__ = ["ListNews", "UidFile", "folder_guid"]

OLDER_UIDLIST_NAME: Final = ".uidlist"
_GUID: Final = re.compile("[0-9a-f]{32}")
_HEADER_LIMIT_OCTETS: Final = 4096
"""Far more than the first line of a list has."""


@dataclass(slots=True)
class ListNews:
    """What stands in the list that the index does not know."""

    uidvalidity: int
    uidnext: int
    records: Sequence[UidRecord]
    is_whole: bool
    """Whether ``records`` are all there are."""

    listed: int
    """Records in the file."""

    octets: int
    """How far it was read."""

    is_torn: bool


class UidFile:
    """The list of one folder, whose directory is open."""

    def __init__(self, disk: Disk, directories: Directories, folder_fd: int, *, root: Place) -> None:
        self._disk = disk
        self._directories = directories
        self._fd = folder_fd
        self._root = root

    def news(self, row: FolderRow | None) -> ListNews | None:
        """Read what is new since ``row``; None where there is no list, or one that cannot be read."""
        try:
            if row is not None and row.list_octets:
                known = self._tail(row)
                if known is not None:
                    return known
            return self._whole()
        except (FileNotFoundError, StoreCorrupt):
            return None

    def _tail(self, row: FolderRow) -> ListNews | None:
        """Read on where the last reader stopped; None where the file is another one now."""
        fd = self._disk.open_for_reading(self._fd, UIDLIST_NAME)
        try:
            status = os.fstat(fd)
            if status.st_ino != row.list_inode or status.st_size < row.list_octets:
                return None
            # The line end before it too: a list edited in place would not have one there.
            content = _read_from(fd, row.list_octets - 1)
        finally:
            os.close(fd)
        if not content.startswith(b"\n"):
            return None
        records, torn = parse_records(content[1:], after_uid=row.uidnext - 1)
        return ListNews(
            uidvalidity=row.uidvalidity,
            uidnext=records[-1].uid + 1 if records else row.uidnext,
            records=records,
            is_whole=False,
            listed=row.listed_records + len(records),
            octets=row.list_octets - 1 + len(content) - torn,
            is_torn=torn > 0,
        )

    def _whole(self) -> ListNews:
        content = self._disk.read_file(self._fd, UIDLIST_NAME)[0]
        uidlist = parse_uidlist(content)
        return ListNews(
            uidvalidity=uidlist.uidvalidity,
            uidnext=uidlist.uidnext,
            records=uidlist.records,
            is_whole=True,
            listed=len(uidlist.records),
            octets=content.rfind(b"\n") + 1,
            is_torn=uidlist.is_torn,
        )

    def find(self, base: str) -> UidRecord | None:
        """Look through the whole list for the record of a base."""
        content = self._disk.read_file(self._fd, UIDLIST_NAME)[0]
        if f" :{base}\n".encode("utf-8", "surrogateescape") not in content:
            return None
        return next((record for record in parse_uidlist(content).records if record.base == base), None)

    def guid(self) -> str | None:
        """Give what Dovecot's list names the folder for ever: 32 hex digits; None where there is none to read."""
        try:
            fd = self._disk.open_for_reading(self._fd, UIDLIST_NAME)
        except FileNotFoundError:
            return None
        try:
            first, end, _ = os.read(fd, _HEADER_LIMIT_OCTETS).partition(b"\n")
        finally:
            os.close(fd)
        try:
            fields = dict(parse_uidlist(first + end).header_fields)
        except StoreCorrupt:
            return None
        return folder_guid(fields.get("G", "").lower())

    def begin(self, bases: Container[str], *, first_uidvalidity: Callable[[], int]) -> ListNews:
        """Begin a list: the one of the older suite is taken over with its UIDs, else UIDVALIDITY rises."""
        older = self._older()
        with self._directories.lease(self._root) as root_fd:
            if older is None:
                value = next_uidvalidity(self._disk, root_fd, at_least=first_uidvalidity())
                older = UidList(uidvalidity=value, next_uid=1)
            else:
                # Whatever follows this list one day has to lie above it.
                next_uidvalidity(self._disk, root_fd, at_least=older.uidvalidity)
        older.header_fields = (("G", secrets.token_hex(16)),)
        older.records = [record for record in older.records if record.base in bases]
        return self._replace(older)

    def _older(self) -> UidList | None:
        """Read the list of the older suite; None when it has been followed by one of ours, however damaged now.

        Since then UIDs were given out that it does not know: taken over again, it would give them to other messages.
        """
        try:
            self._disk.stat(self._fd, UIDLIST_NAME)
        except FileNotFoundError:
            pass
        else:
            return None
        try:
            return parse_older_uidlist(self._disk.read_file(self._fd, OLDER_UIDLIST_NAME)[0])
        except (FileNotFoundError, StoreCorrupt):
            return None

    def append(self, news: ListNews, records: Sequence[UidRecord]) -> None:
        """Write records at the end, durably: a UID that was seen is never given to another message."""
        if news.is_torn:
            uidlist = parse_uidlist(self._disk.read_file(self._fd, UIDLIST_NAME)[0])
            uidlist.records += records
            self._take(news, self._replace(uidlist))
            return
        octets = format_records(records)
        fd = self._disk.open_append(self._fd, UIDLIST_NAME)
        try:
            self._disk.write(fd, octets)
            self._disk.sync_file(fd)
        finally:
            os.close(fd)
        news.octets += len(octets)
        news.listed += len(records)
        if records:
            news.uidnext = records[-1].uid + 1

    def raise_uidnext(self, news: ListNews, uidnext: int) -> None:
        """Let the next UID be ``uidnext`` at least."""
        if uidnext > news.uidnext:
            uidlist = parse_uidlist(self._disk.read_file(self._fd, UIDLIST_NAME)[0])
            uidlist.next_uid = uidnext
            self._take(news, self._replace(uidlist))

    def rename(self, news: ListNews, renamed: Mapping[str, str]) -> None:
        """Write the list anew with other bases for some messages, whose UIDs and GUIDs stay."""
        uidlist = parse_uidlist(self._disk.read_file(self._fd, UIDLIST_NAME)[0])
        uidlist.records = [
            record if record.base not in renamed else record.renamed(renamed[record.base]) for record in uidlist.records
        ]
        self._take(news, self._replace(uidlist))
        news.records = [
            record if record.base not in renamed else record.renamed(renamed[record.base]) for record in news.records
        ]

    def name_guids(self, guids: Mapping[str, str]) -> None:
        """Write the list anew with the GUIDs of messages, given by their bases, that have none in it."""
        uidlist = parse_uidlist(self._disk.read_file(self._fd, UIDLIST_NAME)[0])
        uidlist.records = [
            replace(record, fields=(*record.fields, ("G", guids[record.base])))
            if record.base in guids and record.get("G") is None
            else record
            for record in uidlist.records
        ]
        self._replace(uidlist)

    def compact(self, news: ListNews, bases: Container[str]) -> None:
        """Write the list anew without the records of messages that are gone."""
        uidlist = parse_uidlist(self._disk.read_file(self._fd, UIDLIST_NAME)[0])
        # N has to say what the records that go have said.
        uidlist.next_uid = uidlist.uidnext
        uidlist.records = [record for record in uidlist.records if record.base in bases]
        self._take(news, self._replace(uidlist))

    def _replace(self, uidlist: UidList) -> ListNews:
        content = uidlist.format()
        self._disk.replace(self._fd, UIDLIST_NAME, content)
        return ListNews(
            uidvalidity=uidlist.uidvalidity,
            uidnext=uidlist.uidnext,
            records=uidlist.records,
            is_whole=True,
            listed=len(uidlist.records),
            octets=len(content),
            is_torn=False,
        )

    @staticmethod
    def _take(news: ListNews, replaced: ListNews) -> None:
        news.uidnext, news.listed = replaced.uidnext, replaced.listed
        news.octets, news.is_torn = replaced.octets, False


def folder_guid(text: str | None) -> str | None:
    """Give what can name a folder in the header of a list: 32 hexadecimal digits; None for anything else."""
    return text if text is not None and _GUID.fullmatch(text) else None


def _read_from(fd: int, offset: int) -> bytes:
    pieces: list[bytes] = []
    while piece := os.pread(fd, 1 << 20, offset):
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)
