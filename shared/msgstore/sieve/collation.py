"""Comparators: when two texts are equal, which one is greater, what a character is.  RFC 4790 §9, RFC 5051."""

import re
import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["ASCII_CASEMAP", "ASCII_NUMERIC", "OCTET", "UNICODE_CASEMAP", "Comparator", "fold_ascii"]

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_DIGITS: Final = re.compile(r"[0-9]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparator:
    """A comparator; its capability is ``comparator-`` and its name, unless the language has it anyhow."""

    name: str
    fold: Callable[[str], str]
    """Texts are equal when their folded forms are."""

    order: Callable[[str], object]
    """What ``<`` compares; all values of one comparator compare with each other."""

    has_substrings: bool = True
    """Whether ``:contains``, ``:matches`` and ``:regex`` can be used."""

    in_octets: bool = True
    """Whether ``?`` is one octet, else one character. RFC 5228 §2.7.1."""

    keeps_length: bool = True
    """Whether a folded text has as many characters, place by place."""


def fold_ascii(text: str) -> str:
    """Lower A to Z and nothing else."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _same(text: str) -> str:
    return text


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape" if _is_escaped(text) else "surrogatepass")


def _is_escaped(text: str) -> bool:
    return not any("\ud800" <= character <= "\udc7f" or "\udcff" < character <= "\udfff" for character in text)


def _casemap_octets(text: str) -> bytes:
    # Upper case, as RFC 4790 §9.2.1 says: it decides where '_' stands among letters.
    return _octets(text).upper()


def _number(text: str) -> tuple[bool, int, str]:
    found = _DIGITS.match(text)
    digits = "" if found is None else found[0].lstrip("0") or found[0][:1]
    # Length first, so that no number is too large. No digit is positive infinity. RFC 4790 §9.1.1.
    return (not digits, len(digits), digits)


def _fold_number(text: str) -> str:
    return _number(text)[2] or "infinity"


def _titled(character: str) -> str:
    titled = character.title()
    return titled if len(titled) == 1 else character


def fold_unicode(text: str) -> str:
    """Give the simple titlecase of each character, decomposed. RFC 5051 §2."""
    if text.isascii():
        return text.upper()
    return unicodedata.normalize("NFKD", "".join(map(_titled, text)))


def _unicode_octets(text: str) -> bytes:
    return _octets(fold_unicode(text))


OCTET: Final = Comparator(name="i;octet", fold=_same, order=_octets)
ASCII_CASEMAP: Final = Comparator(name="i;ascii-casemap", fold=fold_ascii, order=_casemap_octets)
ASCII_NUMERIC: Final = Comparator(name="i;ascii-numeric", fold=_fold_number, order=_number, has_substrings=False)
UNICODE_CASEMAP: Final = Comparator(
    name="i;unicode-casemap", fold=fold_unicode, order=_unicode_octets, in_octets=False, keeps_length=False
)
