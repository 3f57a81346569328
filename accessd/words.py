"""Flags and keywords as clients write them, checked.  Pure."""

import re
from collections.abc import Iterable
from typing import Final

from msgstore.access.codes import AccessError
from msgstore.model.folder import SpecialUse
from msgstore.model.message import canonical_flag

__all__ = ["flags_from", "keywords_from", "special_use_from"]

KEYWORD_LIMIT_OCTETS: Final = 100
"""Far above what clients use; a line of the keyword file stays short."""

_ATOM: Final = re.compile(r'[^\x00-\x20\x7f-\U0010ffff(){%*"\\\]]+')
"""ATOM-CHAR of RFC 9051 §9."""


def flags_from(words: Iterable[str], *, key: str = "flags") -> frozenset[str]:
    """Read system flags, compared without case.

    Raises:
        AccessError: INVALID where one is no system flag.
    """
    try:
        return frozenset(canonical_flag(word) for word in words)
    except ValueError:
        raise AccessError("INVALID", "not a system flag", key=key) from None


def keywords_from(words: Iterable[str], *, key: str = "keywords") -> frozenset[str]:
    """Read keywords; of those that differ by case alone the first spelling stays.

    Raises:
        AccessError: INVALID where one is no atom of IMAP, or too long.
    """
    found: dict[str, str] = {}
    for word in words:
        if len(word) > KEYWORD_LIMIT_OCTETS or not _ATOM.fullmatch(word):
            raise AccessError("INVALID", "not a keyword", key=key)
        found.setdefault(word.lower(), word)
    return frozenset(found.values())


def special_use_from(word: str | None) -> SpecialUse | None:
    """Read what a folder is for; None where it is not said.

    Raises:
        AccessError: INVALID where the word is unknown.

    RFC 6154 §2.
    """
    if word is None:
        return None
    for use in SpecialUse:
        if use.value.lower() == word.lower():
            return use
    raise AccessError("INVALID", "not an attribute of special use", key="special_use")
