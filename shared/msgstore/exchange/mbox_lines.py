"""The lines of mbox files that say something about messages: separators and headers that are kept beside them.  Pure.

Dovecot and the UW servers keep state in header fields that are no part of the message: ``Status`` and ``X-Status`` hold
letters, ``X-Keywords`` words, ``X-UID`` the UID; ``X-IMAPbase`` of the first message, or ``X-IMAP`` of a message that
stands for none, holds UIDVALIDITY and the last UID given out.
"""

import re
from calendar import timegm
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from time import asctime, gmtime
from typing import Final

from msgstore.model.message import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, UID_LIMIT

__all__ = [
    "KEPT_FIELDS",
    "FolderFacts",
    "MessageFacts",
    "format_facts",
    "format_no_message",
    "format_separator",
    "header_date",
    "is_separator",
    "quoted",
    "read_folder_facts",
    "read_message_facts",
    "separator_date",
    "unquoted",
]

KEPT_FIELDS: Final = frozenset(
    (b"status", b"x-status", b"x-keywords", b"x-uid", b"x-imap", b"x-imapbase", b"x-uidl", b"content-length")
)
"""Fields that say something about the message in its folder, or of its place in the file."""

_SEPARATOR: Final = re.compile(
    rb"From [^\r\n]*?\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(\d{1,2}) +"
    rb"(\d{1,2}):(\d\d)(?::(\d\d))?(?: +([A-Z]{1,5}|[+-]\d{4}))* +(\d{4})(?: +([+-]\d{4}))?[^\r\n]*"
)
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_QUOTED: Final = re.compile(rb">*From ")
_STATUS: Final = {"R": SEEN}
_X_STATUS: Final = {"A": ANSWERED, "F": FLAGGED, "T": DRAFT, "D": DELETED}
_UIDVALIDITY_LIMIT: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """What the first message says of the folder."""

    uidvalidity: int
    uidnext: int
    is_no_message: bool
    """Whether the message that says so stands for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """What a message's own fields say."""

    uid: int | None
    flags: frozenset[str]
    keywords: frozenset[str]
    uidl: str | None
    content_octets: int | None


def is_separator(line: bytes) -> bool:
    """Whether a line behind an empty one begins a message: a sender alone does not make one, a date does."""
    return line.startswith(b"From ") and _SEPARATOR.match(line) is not None


def separator_date(line: bytes) -> int | None:
    """Give the date of a separator, in seconds since 1970; without a zone it is taken for UTC, as RFC 4155 has it."""
    found = _SEPARATOR.match(line)
    if found is None:
        return None
    year, month = int(found[7]), _MONTHS.index(found[1]) + 1
    if year < 1970:
        return None
    seconds = timegm((year, month, int(found[2]), int(found[3]), int(found[4]), int(found[5] or 0), 0, 1, 0))
    zone = found[8] or found[6] or b""
    if zone[:1] in (b"+", b"-"):
        offset = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
        seconds -= -offset if zone[:1] == b"-" else offset
    return seconds


def header_date(value: bytes | None) -> int | None:
    """Give the date of a Date field; None where it cannot be read."""
    parsed = None if value is None else parsedate_tz(value.decode("ascii", "replace"))
    try:
        return None if parsed is None else int(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None


def quoted(line: bytes) -> bytes:
    """Quote a line of a message as mboxrd wants it."""
    return b">" + line if _QUOTED.match(line) else line


def unquoted(line: bytes) -> bytes:
    """Take one quote away."""
    return line[1:] if line.startswith(b">") and _QUOTED.match(line) else line


def read_folder_facts(fields: Mapping[bytes, bytes]) -> FolderFacts | None:
    """Read UIDVALIDITY and UIDNEXT from the fields of the first message; None where it does not hold them."""
    for name in (b"x-imap", b"x-imapbase"):
        words = fields.get(name, b"").split()
        if len(words) < 2:
            continue
        uidvalidity, last = _number(words[0], _UIDVALIDITY_LIMIT), _number(words[1], UID_LIMIT)
        if uidvalidity and last is not None:
            return FolderFacts(uidvalidity=uidvalidity, uidnext=last + 1, is_no_message=name == b"x-imap")
    return None


def read_message_facts(fields: Mapping[bytes, bytes]) -> MessageFacts:
    """Read what the fields of a message, by their names in lower case, say of it."""
    letters = fields.get(b"status", b"").decode("ascii", "replace")
    more = fields.get(b"x-status", b"").decode("ascii", "replace")
    uidl = fields.get(b"x-uidl")
    return MessageFacts(
        uid=_number(fields.get(b"x-uid", b""), UID_LIMIT) or None,
        flags=frozenset(
            [_STATUS[letter] for letter in letters if letter in _STATUS]
            + [_X_STATUS[letter] for letter in more if letter in _X_STATUS]
        ),
        keywords=frozenset(fields.get(b"x-keywords", b"").decode("utf-8", "surrogateescape").split()),
        uidl=None if uidl is None else uidl.decode("ascii", "replace"),
        content_octets=_number(fields.get(b"content-length", b""), 2**62),
    )


def format_separator(internal_date: int) -> bytes:
    """Write the line that begins a message; dates before 1970 become 1970."""
    return f"From MAILER-DAEMON {asctime(gmtime(max(internal_date, 0)))}\n".encode()


def format_facts(
    *, uid: int, flags: Iterable[str], keywords: Iterable[str], uidl: str | None, folder: tuple[int, int] | None
) -> bytes:
    """Write the fields of one message; ``folder`` is UIDVALIDITY and UIDNEXT, for the first one."""
    known = frozenset(flags)
    more = "".join(letter for letter, flag in _X_STATUS.items() if flag in known)
    lines = [f"X-IMAPbase: {folder[0]} {folder[1] - 1:010d}"] if folder is not None else []
    lines += [f"X-UID: {uid}", f"Status: {'R' if SEEN in known else ''}O"]
    lines += [f"X-Status: {more}"] if more else []
    words = sorted(keywords)
    lines += [f"X-Keywords: {' '.join(words)}"] if words else []
    lines += [f"X-UIDL: {uidl}"] if uidl is not None else []
    return "".join(line + "\n" for line in lines).encode()


def format_no_message(uidvalidity: int, uidnext: int) -> bytes:
    """Write the message that stands for none, which a folder without messages is kept by."""
    lines = (
        "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA",
        f"X-IMAP: {uidvalidity} {uidnext - 1:010d}",
        "Status: RO",
        "",
        "This text is part of the internal format of your mail folder, and is not a real message.",
        "",
    )
    return format_separator(0) + "".join(line + "\n" for line in lines).encode()


def _number(text: bytes, limit: int) -> int | None:
    text = text.strip()
    return int(text) if text.isdigit() and len(text) < 20 and int(text) <= limit else None
