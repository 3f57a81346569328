"""What Courier keeps beside the messages of a Maildir folder.  The parsers are pure.

``courierimapuiddb``: ``1 <uidvalidity> <uidnext>``, then ``<uid> <base>``.

``courierpop3dsizelist``: a header that begins with a slash, and ``<base> <octets> <number>:<validity>``; of that POP3
unique-ids are made: ``UID<number>``, followed by ``-<validity>`` unless it is 0; a number of 0 stands for the base.

``courierimapkeywords/:list``: keywords, an empty line, then ``<base>:<index> ...`` counted from 0; further files there
carry the name of a message and hold its keywords, a line each, which count more than the list.

``courierimapsubscribed``: a folder a line, its levels separated by dots below INBOX.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgstore.exchange.dovecot_lists import Lists, read_if_there
from msgstore.exchange.values import Failures, fit_uidl
from msgstore.model.errors import StoreCorrupt
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.message import UID_LIMIT
from msgstore.store.disk import Disk
from msgstore.store.maildir.folders import folder_of
from msgstore.store.maildir.names import base_of

__all__ = [
    "UIDDB_NAME",
    "CourierUids",
    "parse_courier_keywords",
    "parse_courier_subscriptions",
    "parse_courier_uidls",
    "parse_courier_uids",
    "read_courier_lists",
]

UIDDB_NAME: Final = "courierimapuiddb"
_KEYWORDS_NAME: Final = "courierimapkeywords"
_HEADER: Final = re.compile(r"1 (\d{1,10}) (\d{1,10})\s*")
_RECORD: Final = re.compile(r"(\d{1,10}) ([^\s/:]+)(?::[^/]*)?")
_POP3: Final = re.compile(r"(\S+) \d+ (\d{1,10})(?::(\d{1,10}))?")
_UIDVALIDITY_LIMIT: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class CourierUids:
    """The UID list of one folder."""

    uidvalidity: int
    uidnext: int
    uids: Mapping[str, int]
    """By base name."""

    unread_lines: int
    """Lines that could not be understood and were passed over, a last one without an end included."""


def parse_courier_uids(content: bytes) -> CourierUids:
    """Read ``courierimapuiddb``.

    Raises:
        StoreCorrupt: the header cannot be read.
    """
    header, *lines = content.decode("utf-8", "surrogateescape").split("\n")
    found = _HEADER.fullmatch(header)
    uidvalidity, uidnext = (int(found[1]), int(found[2])) if found is not None else (0, 0)
    if not (lines and 1 <= uidvalidity <= _UIDVALIDITY_LIMIT and 1 <= uidnext <= UID_LIMIT + 1):
        raise StoreCorrupt("the UID list has no header of version 1")
    uids: dict[str, int] = {}
    taken: set[int] = set()
    unread = int(bool(lines.pop()))
    for line in lines:
        record = _RECORD.fullmatch(line)
        uid = int(record[1]) if record is not None else 0
        if record is None or not 1 <= uid <= UID_LIMIT or uid in taken or record[2] in uids:
            unread += 1
            continue
        taken.add(uid)
        uids[record[2]] = uid
    return CourierUids(uidvalidity, max(uidnext, max(taken, default=0) + 1), uids, unread)


def parse_courier_uidls(content: bytes) -> dict[str, str]:
    """Read ``courierpop3dsizelist`` into unique-ids by base name; what is not understood is passed over."""
    header, *lines = content.decode("utf-8", "surrogateescape").split("\n")
    if not header.startswith("/"):
        return {}
    uidls: dict[str, str] = {}
    for line in lines:
        found = _POP3.fullmatch(line)
        if found is None:
            continue
        base, number, validity = base_of(found[1]), int(found[2]), int(found[3] or 0)
        uidl = base if number == 0 else f"UID{number}" + (f"-{validity}" if validity else "")
        if fit_uidl(uidl) is not None:
            uidls[base] = uidl
    return uidls


def parse_courier_keywords(content: bytes) -> dict[str, frozenset[str]]:
    """Read ``:list`` into keywords by base name; what is not understood is passed over."""
    head, _, rest = content.decode("utf-8", "surrogateescape").partition("\n\n")
    names = head.split("\n")
    found: dict[str, frozenset[str]] = {}
    for line in rest.split("\n"):
        base, colon, numbers = line.rpartition(":")
        indexes = [int(word) for word in numbers.split() if word.isascii() and word.isdigit() and len(word) < 6]
        if colon:
            found[base] = frozenset(names[index] for index in indexes if index < len(names) and names[index])
    return found


def parse_courier_subscriptions(content: bytes) -> frozenset[FolderName]:
    """Read ``courierimapsubscribed``; lines that name no folder are passed over."""
    found: set[FolderName] = set()
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        if line.upper() == "INBOX":
            found.add(INBOX)
            continue
        below = line[len("INBOX") :] if line.upper().startswith("INBOX.") else f".{line}"
        name = folder_of(below) if line else None
        if name is not None:
            found.add(name)
    return frozenset(found)


def read_courier_lists(disk: Disk, folder_fd: int, *, place: str, failures: Failures) -> Lists:
    """Read the lists of one folder."""
    keywords = _keywords(disk, folder_fd, place=place, failures=failures)
    sizes = read_if_there(disk, folder_fd, "courierpop3dsizelist", place=place, failures=failures)
    uidls = parse_courier_uidls(sizes or b"")

    def keywords_of(name: str) -> frozenset[str]:
        return keywords.get(base_of(name), frozenset())

    content = read_if_there(disk, folder_fd, UIDDB_NAME, place=place, failures=failures)
    try:
        known = None if content is None else parse_courier_uids(content)
    except StoreCorrupt as error:
        failures.add(f"{place}/{UIDDB_NAME}", f"{error}; its UIDs are not kept")
        known = None
    if known is None:
        return Lists(uidls=uidls, keywords_of=keywords_of)
    if known.unread_lines:
        failures.add(f"{place}/{UIDDB_NAME}", f"{known.unread_lines} lines cannot be read and are passed over")
    return Lists(
        uidvalidity=known.uidvalidity, uidnext=known.uidnext, uids=known.uids, uidls=uidls, keywords_of=keywords_of
    )


def _keywords(disk: Disk, folder_fd: int, *, place: str, failures: Failures) -> dict[str, frozenset[str]]:
    try:
        fd = disk.open_directory(folder_fd, [_KEYWORDS_NAME])
    except FileNotFoundError:
        return {}
    except OSError as error:
        failures.add(f"{place}/{_KEYWORDS_NAME}", error.strerror or str(error))
        return {}
    place = f"{place}/{_KEYWORDS_NAME}"
    try:
        known = parse_courier_keywords(read_if_there(disk, fd, ":list", place=place, failures=failures) or b"")
        for name in disk.names(fd):
            if name.startswith((":", ".")):
                continue
            own = read_if_there(disk, fd, name, place=place, failures=failures)
            if own is not None:
                known[base_of(name)] = frozenset(own.decode("utf-8", "surrogateescape").split())
        return known
    finally:
        os.close(fd)
