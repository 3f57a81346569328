"""``:is``, ``:contains`` and ``:matches``, and the one door to regular expressions.

Users' patterns never meet Python's own ``re``, which takes exponential time on some: they go to RE2, or where that is
not installed to a machine of our own that is as linear and only slower.  Both read the same language, because the
pattern is parsed here first.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgstore.sieve.collation import Comparator
from msgstore.sieve.pattern import Pattern, parse_pattern
from msgstore.sieve.pike import Machine
from msgstore.sieve.wildcards import compile_glob

if TYPE_CHECKING:
    from msgstore.sieve.context import Context
    from msgstore.sieve.registry import Matcher

try:
    import re2 as _re2
except ImportError:
    _re2 = None  # type: ignore[assignment]

HAS_RE2: Final = _re2 is not None
"""Whether patterns go to RE2."""

__all__ = ["HAS_RE2", "Searcher", "build_contains", "build_is", "build_matches", "build_regex", "searcher"]

_MEMORY_OCTETS: Final = 8 << 20
"""Of one RE2 program and its automaton."""


def build_is(comparator: Comparator, keys: tuple[str, ...], operand: str) -> "Matcher":
    """Compare for equality. RFC 5228 §2.7.1."""
    del operand
    fold = comparator.fold
    folded = frozenset(map(fold, keys))

    def matches(context: "Context", values: Sequence[str]) -> bool:
        context.spend(len(values))
        for value in values:  # noqa: SIM110  # a generator would cost as much as the comparison
            if fold(value) in folded:
                return True
        return False

    return matches


def build_contains(comparator: Comparator, keys: tuple[str, ...], operand: str) -> "Matcher":
    """Look for a part. RFC 5228 §2.7.1."""
    del operand
    fold = comparator.fold
    folded = tuple(dict.fromkeys(map(fold, keys)))

    def matches(context: "Context", values: Sequence[str]) -> bool:
        for value in values:
            text = fold(value)
            context.spend(len(folded) * (1 + (len(text) >> 6)))
            for key in folded:
                if key in text:
                    return True
        return False

    return matches


def build_matches(comparator: Comparator, keys: tuple[str, ...], operand: str) -> "Matcher":
    """Fit wildcards; a success sets the match variables. RFC 5228 §2.7.1, RFC 5229 §3.2."""
    del operand
    globs = tuple(compile_glob(key, comparator) for key in keys)
    fixed, by_length = sum(len(glob.pieces) for glob in globs), sum(glob.cost for glob in globs)

    def matches(context: "Context", values: Sequence[str]) -> bool:
        for value in values:
            context.spend(fixed + (by_length * len(value) >> 6))
            for glob in globs:
                found = glob.match(value)
                if found is not None:
                    context.match_values = found
                    return True
        return False

    return matches


class Searcher(Protocol):
    """A compiled regular expression."""

    @property
    def cost(self) -> int:
        """What a character costs, in steps."""
        ...

    def search(self, text: str) -> tuple[str, ...] | None:
        """Find it anywhere; give the match and its groups, ``""`` for one that took no part; None without a match."""
        ...


class _Re2Searcher:
    cost = 1

    def __init__(self, pattern: Pattern, *, fold: bool) -> None:
        assert _re2 is not None
        options = _re2.Options()
        options.log_errors = False
        options.longest_match = True
        options.max_mem = _MEMORY_OCTETS
        try:
            self._pattern = _re2.compile(pattern.text(fold=fold), options)
        except _re2.error as error:
            raise ValueError("the regular expression is too large") from error

    def search(self, text: str) -> tuple[str, ...] | None:
        found = self._pattern.search(text)
        return None if found is None else (found.group(0) or "", *(group or "" for group in found.groups()))


def searcher(pattern: Pattern, *, fold: bool, use_re2: bool = HAS_RE2) -> Searcher:
    """Compile a pattern; ``fold`` makes A to Z equal to a to z.

    Raises:
        ValueError: it is too large.
    """
    return _Re2Searcher(pattern, fold=fold) if use_re2 else Machine(pattern, fold=fold)


def build_regex(comparator: Comparator, keys: tuple[str, ...], operand: str) -> "Matcher":
    """Search a POSIX extended regular expression; a success sets the match variables. draft-murchison-sieve-regex §3.

    Raises:
        ValueError: a key is no such expression.
    """
    del operand
    fold = comparator.fold("A") == comparator.fold("a")
    searchers = tuple(searcher(parse_pattern(key), fold=fold) for key in keys)
    cost = sum(search.cost for search in searchers)

    def matches(context: "Context", values: Sequence[str]) -> bool:
        for value in values:
            context.spend(4 * len(searchers) + (cost * len(value) >> 2))
            clean = value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for search in searchers:
                found = search.search(clean)
                if found is not None:
                    context.match_values = found
                    return True
        return False

    return matches
