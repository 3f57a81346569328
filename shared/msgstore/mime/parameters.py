"""Values of Content-* fields: a token, then parameters.  Pure, linear, within caps; what is broken is passed over.

Comments may stand between words, values may be quoted, split over ``name*0 name*1`` and escaped with a charset.
RFC 2045 §5.1, RFC 2183 §2, RFC 2231.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from msgstore.mime.charset import decoded

__all__ = ["PARAMETERS_LIMIT", "VALUE_LIMIT_OCTETS", "Structured", "parse_structured"]

VALUE_LIMIT_OCTETS: Final = 4096
"""A longer value counts as absent: nothing honest needs it, and parsers of it have fallen over."""

PARAMETERS_LIMIT: Final = 100
"""Parameters beyond this count as absent."""

_WORD: Final = re.compile(r'[^\s()<>@,;:\\"/\[\]?=]+(?:/[^\s()<>@,;:\\"/\[\]?=]+)?')
_NAME: Final = re.compile(r'[^\s()<>@,;:\\"/\[\]?=]+')
_BARE: Final = re.compile(r'[^\s;()"]+')
"""More than a token, because unquoted slashes and equal signs are common."""

_BLANKS: Final = re.compile(r"\s+")
_SECTION: Final = re.compile(r"([^*]+)\*(\d{1,3})?(\*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Structured:
    """A value and its parameters."""

    value: str
    """In lower case, without parameters."""

    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    """By name in lower case; of two equal names the first counts."""


def parse_structured(octets: bytes) -> Structured | None:
    """Read a value; None where nothing usable stands there or it is too long."""
    if len(octets) > VALUE_LIMIT_OCTETS:
        return None
    text = octets.decode("utf-8", "replace")
    found = _WORD.match(text, _after_blanks(text, 0))
    if found is None:
        return None
    return Structured(value=found[0].lower(), parameters=_joined(_parameters(text, found.end())))


def _parameters(text: str, at: int) -> dict[str, str]:
    found: dict[str, str] = {}
    while len(found) < PARAMETERS_LIMIT:
        at = text.find(";", _after_blanks(text, at))
        if at < 0:
            break
        at = _after_blanks(text, at + 1)
        name = _NAME.match(text, at)
        if name is None:
            continue
        at = _after_blanks(text, name.end())
        if not text.startswith("=", at):
            continue
        value, at = _value(text, _after_blanks(text, at + 1))
        found.setdefault(name[0].lower(), value)
    return found


def _value(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        bare = _BARE.match(text, at)
        return ("", at) if bare is None else (bare[0], bare.end())
    characters: list[str] = []
    at += 1
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        characters.append(text[at])
        at += 1
    return "".join(characters), at + 1


def _after_blanks(text: str, at: int) -> int:
    """Pass over blanks and comments, nested ones too; a comment without an end reaches to the end."""
    while at < len(text):
        blanks = _BLANKS.match(text, at)
        if blanks is not None:
            at = blanks.end()
        if not text.startswith("(", at):
            break
        depth = 0
        while at < len(text):
            character = text[at]
            at += 2 if character == "\\" else 1
            depth += (character == "(") - (character == ")")
            if depth == 0:
                break
    return at


def _joined(raw: Mapping[str, str]) -> dict[str, str]:
    """Put together what RFC 2231 takes apart; a plain parameter of the same name is what older readers see."""
    result = {name: value for name, value in raw.items() if "*" not in name}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, value in raw.items():
        found = _SECTION.fullmatch(name)
        if found is not None:
            # ``name*=`` is the whole of an escaped value: the mark of the section is missing.
            is_whole = found[2] is None
            sections.setdefault(found[1], {})[int(found[2] or 0)] = (value, is_whole or found[3] is not None)
    for name, numbered in sections.items():
        if 0 in numbered:
            result[name] = _decoded(numbered)
    return result


def _decoded(numbered: Mapping[int, tuple[str, bool]]) -> str:
    charset = "utf-8"
    octets: list[bytes] = []
    for number in range(len(numbered)):
        if number not in numbered:
            break
        text, is_escaped = numbered[number]
        if is_escaped and number == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        octets.append(unquote_to_bytes(text) if is_escaped else text.encode("utf-8", "replace"))
    return decoded(b"".join(octets), charset)
