"""``regex``: POSIX extended regular expressions.  draft-murchison-sieve-regex-07."""

import re
from typing import Final

from msgstore.sieve.match import build_regex
from msgstore.sieve.pattern import parse_pattern
from msgstore.sieve.registry import Extension, MatchType, Modifier

__all__ = ["EXTENSIONS"]

_SPECIAL: Final = re.compile(r"([][.*+?^$(){}|\\])")


def _check(key: str) -> str:
    try:
        parse_pattern(key)
    except ValueError as error:
        return str(error)
    return ""


def _quote(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


EXTENSIONS: Final = (
    Extension(
        capability="regex",
        rfc="draft-murchison-sieve-regex-07",
        match_types=(MatchType(name="regex", build=build_regex, needs_substrings=True, check=_check),),
        modifiers=(Modifier(name="quoteregex", precedence=20, apply=_quote),),
    ),
)
