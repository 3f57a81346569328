"""Dovecot's UID list, version 3, and the list of the older suite.  Pure.

``dovecot-uidlist``: a header ``3 V<uidvalidity> N<uidnext> G<32 hex>``, then ``<uid> [<key><value> ...] :<base>``,
ascending.  It is appended to or replaced whole, never edited.  UIDs taken are above every UID in it, and the next is
the greater of N and the last plus one, so N needs no rewriting.

``.uidlist`` of the older suite: ``3 V<uidvalidity> N<uidnext>``, then ``<uid> <base>``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from msgstore.model.errors import StoreCorrupt
from msgstore.model.message import UID_LIMIT

__all__ = [
    "UidList",
    "UidRecord",
    "can_be_field",
    "format_records",
    "parse_older_uidlist",
    "parse_records",
    "parse_uidlist",
]

_HEADER: Final = re.compile(r"3((?: [A-Z][^\s]*)*)\s*")
_UIDVALIDITY_LIMIT: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class UidRecord:
    """One message in the list."""

    uid: int
    base: str
    fields: tuple[tuple[str, str], ...] = ()
    """Key letter and value: S and W sizes, P the POP3 unique-id, O its order, G the GUID; others are kept."""

    def get(self, key: str) -> str | None:
        """Give the value of a key; None without it."""
        for known, value in self.fields:
            if known == key:
                return value
        return None

    def renamed(self, base: str) -> "UidRecord":
        """Give the record of the same message under another base; the GUID stays that of the first one.

        Sizes go, which are those of the file.  A base that no field can hold gives way to the new one as GUID.
        """
        kept = tuple(one for one in self.fields if one[0] not in "SW")
        if self.get("G") is None and can_be_field(self.base):
            kept = (*kept, ("G", self.base))
        return UidRecord(self.uid, base, kept)


def can_be_field(text: str) -> bool:
    """Whether a text can be the value of a field: without blanks, and not empty."""
    return text.split() == [text] and " :" not in text


@dataclass(slots=True)
class UidList:
    """The list of one folder as it was read."""

    uidvalidity: int
    next_uid: int
    """What N says; see :attr:`uidnext`."""

    records: list[UidRecord] = field(default_factory=list[UidRecord])
    """Ascending by UID, each base once."""

    header_fields: tuple[tuple[str, str], ...] = ()
    """Header fields other than V and N, as read; G is the folder's GUID."""

    is_torn: bool = False
    """Whether the last line has no end: a crash cut it, and the list must be replaced before it is appended to."""

    @property
    def uidnext(self) -> int:
        """The next UID to be given out."""
        return max(self.next_uid, self.records[-1].uid + 1 if self.records else 1)

    def assign(self, bases: Iterable[str]) -> list[UidRecord]:
        """Take the next UIDs for new messages, in the order given, and return their records.

        Raises:
            StoreCorrupt: no UID is left under this UIDVALIDITY.
        """
        first = self.uidnext
        taken = [UidRecord(uid, base) for uid, base in enumerate(bases, first)]
        if taken and taken[-1].uid > UID_LIMIT:
            raise StoreCorrupt("no UID is left in the folder")
        self.records += taken
        return taken

    def format(self) -> bytes:
        """Write the whole list."""
        header = f"3 V{self.uidvalidity} N{self.uidnext}" + "".join(
            f" {key}{value}" for key, value in self.header_fields
        )
        return header.encode("utf-8", "surrogateescape") + b"\n" + format_records(self.records)


def format_records(records: Iterable[UidRecord]) -> bytes:
    """Write lines that can be appended to a list."""
    lines = [
        f"{record.uid}{''.join(f' {key}{value}' for key, value in record.fields)} :{record.base}\n"
        for record in records
    ]
    return "".join(lines).encode("utf-8", "surrogateescape")


def parse_uidlist(content: bytes) -> UidList:
    """Read a ``dovecot-uidlist``; a torn last line is passed over and reported.

    Raises:
        StoreCorrupt: the header is missing or of another version, or UIDs do not ascend.
    """
    header, _, rest = content.partition(b"\n")
    found = _HEADER.fullmatch(header.decode("utf-8", "surrogateescape"))
    if found is None or b"\n" not in content:
        raise StoreCorrupt("the UID list has no header of version 3")
    fields = tuple((word[0], word[1:]) for word in found[1].split())
    uidvalidity = _number(dict(fields).get("V", ""), _UIDVALIDITY_LIMIT)
    next_uid = _number(dict(fields).get("N", "1"), UID_LIMIT + 1)
    records, torn = parse_records(rest)
    return UidList(
        uidvalidity=uidvalidity,
        next_uid=next_uid,
        records=records,
        header_fields=tuple((key, value) for key, value in fields if key not in "VN"),
        is_torn=torn > 0,
    )


def parse_records(content: bytes, *, after_uid: int = 0) -> tuple[list[UidRecord], int]:
    """Read lines of a list; the second part counts the octets of a torn last line.

    Raises:
        StoreCorrupt: a line cannot be read or UIDs do not ascend above ``after_uid``.

    A message that stands twice counts once, under its first UID.
    """
    whole, _, torn = content.rpartition(b"\n")
    records: list[UidRecord] = []
    seen: set[str] = set()
    last = after_uid
    for line in whole.decode("utf-8", "surrogateescape").split("\n") if whole else ():
        head, colon, base = line.partition(" :")
        number, _, keys = head.partition(" ")
        if not colon or not base or "/" in base:
            raise StoreCorrupt("a line of the UID list has no file name")
        uid = _number(number, UID_LIMIT)
        if uid <= last:
            raise StoreCorrupt(f"UID {uid} in the UID list follows {last}")
        last = uid
        fields = tuple((word[0], word[1:]) for word in keys.split()) if keys else ()
        # Dovecot 1.x wrote the flags as well; the base is what stays.
        base = base.partition(":")[0]
        if base not in seen:
            seen.add(base)
            records.append(UidRecord(uid, base, fields))
    return records, len(torn)


def parse_older_uidlist(content: bytes) -> UidList:
    """Read a ``.uidlist`` of the older suite, to be taken over with its UIDs and UIDVALIDITY.

    Raises:
        StoreCorrupt: it cannot be read.
    """
    header, _, rest = content.partition(b"\n")
    words = header.decode("ascii", "replace").split()
    if len(words) != 3 or words[0] != "3" or words[1][:1] != "V" or words[2][:1] != "N":
        raise StoreCorrupt("the older UID list has no header")
    uidlist = UidList(
        uidvalidity=_number(words[1][1:], _UIDVALIDITY_LIMIT), next_uid=_number(words[2][1:], UID_LIMIT + 1)
    )
    # Its writer replaces the file whole, so an unfinished line means a copy that was cut short: nothing is invented.
    for line in rest.split(b"\n")[:-1]:
        number, _, base = line.decode("utf-8", "surrogateescape").partition(" ")
        uid = _number(number, UID_LIMIT)
        if not base or (uidlist.records and uid <= uidlist.records[-1].uid):
            raise StoreCorrupt("the older UID list is out of order")
        uidlist.records.append(UidRecord(uid, base.partition(":")[0]))
    return uidlist


def _number(text: str, limit: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= limit):
        raise StoreCorrupt(f"{text[:20]!r} in the UID list is not a number from 1 to {limit}")
    return int(text)
