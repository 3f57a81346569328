"""File names of messages: unique names with sizes, and the info suffix with flags.  Pure.

``<sec>.M<usec>P<pid>Q<sequence>R<8 hex>.<host>,S=<octets>,W=<wire octets>[,E=1][:2,<letters>[,<more>]]``

The *base* is everything before ``:``.  It never changes for the life of a message and is its key everywhere.
"""

import random
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from msgstore.model.message import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

__all__ = [
    "SEALED_MARK",
    "NameSource",
    "Sizes",
    "base_of",
    "came_of",
    "fields_of",
    "flags_of",
    "is_message_name",
    "is_seen",
    "keyword_letters_of",
    "order_key",
    "random_hex_source",
    "sealed_base",
    "sizes_of",
    "unique_of",
    "with_flags",
]

SEALED_MARK: Final = ",E=1"
"""X25519 with XSalsa20-Poly1305; the sizes beside it are those of the message in the blob."""

_LETTER_OF: Final = {DRAFT: "D", FLAGGED: "F", ANSWERED: "R", SEEN: "S", DELETED: "T"}
_FLAG_OF: Final = {letter: flag for flag, letter in _LETTER_OF.items()}
_SYSTEM_LETTERS: Final = frozenset(_FLAG_OF)
_TIME: Final = re.compile(r"(\d+)(?:\.M(\d+))?")
_FLAG_SETS: Final[dict[str, frozenset[str]]] = {}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes that a name tells."""

    octets: int
    wire_octets: int


class NameSource:
    """Makes unique names; safe to use from any thread.

    ``random_hex`` gives 8 hex digits.  ``next_number`` counts within the process and must be safe in threads.
    """

    def __init__(
        self, *, hostname: str, process: int, next_number: Callable[[], int], random_hex: Callable[[], str]
    ) -> None:
        escaped = hostname.replace("/", "\\057").replace(":", "\\072").replace(",", "\\054")
        self._host = "".join(character for character in escaped if character.isprintable() and character != " ")
        self._process = process
        self._next_number = next_number
        self._random_hex = random_hex

    def unique(self, *, seconds: float, octets: int, wire_octets: int, is_sealed: bool = False) -> str:
        """Give a name never given before, even when the clock stands still or goes back."""
        microseconds = int(seconds * 1_000_000)
        return (
            f"{microseconds // 1_000_000}.M{microseconds % 1_000_000}P{self._process}Q{self._next_number()}"
            f"R{self._random_hex()}.{self._host},S={octets},W={wire_octets}{',E=1' if is_sealed else ''}"
        )


def base_of(name: str) -> str:
    """Give the part that never changes."""
    return name.partition(":")[0]


def unique_of(base: str) -> str:
    """Give the part of a base that no other message has, whatever fields follow it."""
    return base.partition(",")[0]


def sealed_base(base: str, octets: int) -> str:
    """Give the base that a message gets when it is sealed where it lies; ``octets`` is its size with CRLF line ends."""
    unique, *parts = base.split(",")
    kept = [part for part in parts if not part.startswith(("S=", "W=", "E="))]
    return ",".join((unique, *kept, f"S={octets}", f"W={octets}")) + SEALED_MARK


def came_of(sealed: str, plain: str) -> bool:
    """Whether a sealed message is the one of another base, sealed where it lay."""
    if SEALED_MARK not in sealed or SEALED_MARK in plain or unique_of(sealed) != unique_of(plain):
        return False
    before, after = sizes_of(plain), sizes_of(sealed)
    return after is not None and (before is None or before.wire_octets == after.wire_octets)


def is_message_name(name: str) -> bool:
    """Whether a name in ``new/`` or ``cur/`` can be a message: not hidden, and fit for a line of the UID list."""
    return not name.startswith((".", ":")) and "\n" not in name and "\r" not in name


def fields_of(base: str) -> dict[str, str]:
    """Give the ``,X=`` fields of a base name; the first of two equal ones counts."""
    fields: dict[str, str] = {}
    for part in base.split(",")[1:]:
        key, found, value = part.partition("=")
        if found:
            fields.setdefault(key, value)
    return fields


def sizes_of(base: str) -> Sizes | None:
    """Give both sizes when the name carries both, else None."""
    if ",W=" not in base:
        return None
    fields = fields_of(base)
    octets, wire = fields.get("S", ""), fields.get("W", "")
    if not (_is_number(octets) and _is_number(wire)):
        return None
    return Sizes(int(octets), int(wire))


def is_seen(info: str) -> bool:
    """Whether what follows the base of a name says that the message was read."""
    return "S" in _letters(info)


def flags_of(name: str) -> frozenset[str]:
    """Give the system flags of a name; letters we do not know are passed over."""
    letters = _letters(name)
    known = _FLAG_SETS.get(letters)
    if known is None:
        known = frozenset(_FLAG_OF[letter] for letter in letters if letter in _FLAG_OF)
        if len(_FLAG_SETS) < 4096:
            _FLAG_SETS[letters] = known
    return known


def keyword_letters_of(name: str) -> str:
    """Give the letters a to z of a name, which ``dovecot-keywords`` explains."""
    letters = _letters(name)
    return "".join(letter for letter in letters if "a" <= letter <= "z") if letters else ""


def with_flags(name: str, flags: Iterable[str], *, keyword_letters: str | None = None) -> str:
    """Give the name with other system flags; letters we do not know, and all after a second comma, stay.

    ``keyword_letters`` replaces the letters a to z; None leaves them.
    """
    base, _, info = name.partition(":")
    _, comma, rest = info[2:].partition(",") if info.startswith("2,") else ("", "", "")
    letters = {letter for letter in _letters(name) if letter not in _SYSTEM_LETTERS}
    if keyword_letters is not None:
        letters = {letter for letter in letters if not "a" <= letter <= "z"} | set(keyword_letters)
    letters |= {_LETTER_OF[flag] for flag in flags}
    return f"{base}:2,{''.join(sorted(letters))}{comma}{rest}"


def order_key(base: str) -> tuple[int, int, str]:
    """Sort key by which unknown messages get their UIDs: seconds, microseconds, name, as Dovecot sorts them."""
    found = _TIME.match(base)
    if found is None:
        return 0, 0, base
    return int(found[1][:18]), int((found[2] or "0")[:18]), base


def _letters(name: str) -> str:
    _, _, info = name.partition(":")
    return info[2:].partition(",")[0] if info.startswith("2,") else ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def random_hex_source() -> Callable[[], str]:
    """Give a source of 8 hex digits that asks the kernel once: names have to be unique, not secret."""
    chance = random.Random(secrets.randbits(128))  # noqa: S311
    return lambda: f"{chance.getrandbits(32):08x}"
