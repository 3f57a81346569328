"""One stored message as a reader sees it: UIDs, flags, sizes, dates."""

from dataclasses import dataclass
from typing import Final, NewType

__all__ = [
    "ANSWERED",
    "DELETED",
    "DRAFT",
    "FLAGGED",
    "SEEN",
    "SYSTEM_FLAGS",
    "UID_LIMIT",
    "MessageInfo",
    "Uid",
    "as_uid",
    "canonical_flag",
]

Uid = NewType("Uid", int)
"""A message's number in its folder, ascending, never used twice under one UIDVALIDITY. RFC 9051 §2.3.1.1."""

UID_LIMIT: Final = 2**32 - 2
"""The highest UID given out; Dovecot refuses a uidlist that holds a higher one."""

ANSWERED: Final = "\\Answered"
DELETED: Final = "\\Deleted"
DRAFT: Final = "\\Draft"
FLAGGED: Final = "\\Flagged"
SEEN: Final = "\\Seen"

SYSTEM_FLAGS: Final = (ANSWERED, DELETED, DRAFT, FLAGGED, SEEN)
"""RFC 9051 §2.3.2; ``\\Recent`` is not kept."""

_BY_FOLDED: Final = {flag.lower(): flag for flag in SYSTEM_FLAGS}


def as_uid(number: int) -> Uid:
    """Check a number that came from outside.

    Raises:
        ValueError: it is not between 1 and :data:`UID_LIMIT`.
    """
    if isinstance(number, bool) or not 1 <= number <= UID_LIMIT:
        raise ValueError(f"{number} is not a UID")
    return Uid(number)


def canonical_flag(text: str) -> str:
    """Give the usual spelling of a system flag, which is compared without case. RFC 9051 §2.3.2.

    Raises:
        ValueError: ``text`` is no system flag.
    """
    try:
        return _BY_FOLDED[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is not a system flag") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageInfo:
    """What is known of a message without opening it."""

    uid: Uid
    octets: int
    """Size as a POP3 or IMAP client receives it: opened, every line end CRLF."""

    stored_octets: int | None
    """Size of what is kept and handed out; None where finding out would cost a look at the file."""

    flags: frozenset[str]
    """System flags, with backslash."""

    keywords: frozenset[str]
    """User flags, without backslash."""

    internal_date: int
    """Seconds since 1970 UTC."""

    modseq: int
    """RFC 7162 §3.1; 0 where the backend does not count."""

    guid: str
    """Unchanged for the life of the message, also when it is moved."""

    uidl: str
    """POP3 unique-id: printable, at most 70 octets, unique for the life of the maildrop. RFC 1939 §7."""

    sealed: bool = False
    """Whether the octets are ciphertext for the owner's key."""
