"""``:matches``: wildcards by two pointers, never by a regular expression.  RFC 5228 §2.7.1, RFC 5229 §3.2.

Between two stars stands a piece of fixed length; the leftmost place where each fits is also what the least greedy
match would choose, so nothing is ever tried twice.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple
from unicodedata import normalize

from msgstore.sieve.collation import Comparator

__all__ = ["Glob", "compile_glob"]

_ANY: Final = None


class _Piece(NamedTuple):
    """What stands between two stars."""

    characters: tuple[str | None, ...]
    """None for a question mark; left out where none is."""

    length: int
    literal: str
    """The characters where none is a question mark."""

    anchor: str
    """The longest run of characters in it."""

    anchor_at: int
    is_literal: bool


class Glob(NamedTuple):
    """A compiled pattern."""

    pieces: tuple[_Piece, ...]
    anchor: str
    """The longest run of characters in it: without that nothing fits."""

    has_question: bool
    is_ascii: bool
    comparator: Comparator
    source: str

    @property
    def cost(self) -> int:
        """What 64 characters of a value may cost; pieces with question marks are compared place by place."""
        return 1 + sum(4 * piece.length for piece in self.pieces if not piece.is_literal)

    def match(self, value: str) -> tuple[str, ...] | None:
        """Give the whole value, then what each wildcard stands for; None where the pattern does not fit."""
        comparator = self.comparator
        if self.has_question and comparator.in_octets and not value.isascii():
            # A question mark is an octet: the same, over octets that are written as characters.
            octets = value.encode("utf-8", "surrogateescape").decode("latin-1")
            pattern = self if self.is_ascii else self._in_octets()
            found = pattern._spans(comparator.fold(octets), octets)  # noqa: SLF001
            return None if found is None else (value, *map(_from_octets, found))
        if self.has_question and not comparator.keeps_length:
            return self._by_character(value)
        folded = comparator.fold(value)
        if self.anchor not in folded:
            return None
        found = self._spans(folded, value) if comparator.keeps_length else self._folded(value)
        return None if found is None else (value, *found)

    def _by_character(self, value: str) -> tuple[str, ...] | None:
        """A question mark is one character, whatever that folds to: each folded character is written as one."""
        codes: dict[str, str] = {}
        fold = self.comparator.fold

        def coded(text: str) -> str:
            return "".join(codes.setdefault(fold(character), chr(0x20000 + len(codes))) for character in text)

        pattern = compile_glob(normalize("NFC", self.source), replace(self.comparator, fold=coded, keeps_length=True))
        found = pattern.match(normalize("NFC", value))
        return None if found is None else (value, *found[1:])

    def _in_octets(self) -> "Glob":
        pieces = tuple(
            _piece([octet for character in piece.characters or piece.literal for octet in _octets_of(character)])
            for piece in self.pieces
        )
        return self._replace(pieces=pieces)

    def _folded(self, value: str) -> list[str] | None:
        """Match where folding changes lengths: what a wildcard stands for is found through a map of places."""
        folds = [self.comparator.fold(character) for character in value]
        folded = "".join(folds)
        if folded != self.comparator.fold(value):
            # Characters that are reordered together: only whether it fits can be said.
            folded = self.comparator.fold(value)
            return self._spans(folded, folded)
        places = [at for at, text in enumerate(folds) for _ in text] + [len(value)]
        spans = self._places(folded)
        return None if spans is None else [value[places[begin] : places[end]] for begin, end in spans]

    def _spans(self, folded: str, value: str) -> list[str] | None:
        spans = self._places(folded)
        return None if spans is None else [value[begin:end] for begin, end in spans]

    def _places(self, text: str) -> list[tuple[int, int]] | None:
        pieces = self.pieces
        first, last = pieces[0], pieces[-1]
        length = len(text)
        if len(pieces) == 1:
            if length != first.length or not _fits(first, text, 0):
                return None
            return _questions(first, 0)
        at, end = first.length, length - last.length
        if end < at or not _fits(first, text, 0) or not _fits(last, text, end):
            return None
        spans = _questions(first, 0)
        for piece in pieces[1:-1]:
            begin = _find(piece, text, at, end)
            if begin < 0:
                return None
            spans.append((at, begin))
            spans += _questions(piece, begin)
            at = begin + piece.length
        spans.append((at, end))
        return spans + _questions(last, end)


def compile_glob(pattern: str, comparator: Comparator) -> Glob:
    """Read a pattern; a backslash makes the next character plain."""
    if comparator.keeps_length and "\\" not in pattern and "?" not in pattern:
        plain = tuple(_Piece((), len(text), text, text, 0, True) for text in comparator.fold(pattern).split("*"))
        return Glob(
            plain, max((piece.literal for piece in plain), key=len), False, pattern.isascii(), comparator, pattern
        )
    pieces: list[list[str | None]] = [[]]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\" and at + 1 < len(pattern):
            at += 1
            pieces[-1].extend(comparator.fold(pattern[at]))
        elif character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append(_ANY)
        else:
            pieces[-1].extend(comparator.fold(character))
        at += 1
    found = tuple(map(_piece, pieces))
    return Glob(
        found,
        max((piece.anchor for piece in found), key=len),
        any(character is _ANY for piece in pieces for character in piece),
        pattern.isascii(),
        comparator,
        pattern,
    )


def _piece(characters: Sequence[str | None]) -> _Piece:
    best, best_at, run, run_at = "", 0, "", 0
    for at, character in enumerate(characters):
        if character is None:
            run = ""
            continue
        if not run:
            run_at = at
        run += character
        if len(run) > len(best):
            best, best_at = run, run_at
    is_literal = len(best) == len(characters)
    kept = () if is_literal else tuple(characters)
    return _Piece(kept, len(characters), best if is_literal else "", best, best_at, is_literal)


def _fits(piece: _Piece, text: str, at: int) -> bool:
    if piece.is_literal:
        return text.startswith(piece.literal, at)
    return all(character is None or text[at + offset] == character for offset, character in enumerate(piece.characters))


def _find(piece: _Piece, text: str, begin: int, end: int) -> int:
    """Give the leftmost place where the piece fits; -1 where it does not."""
    if piece.is_literal:
        return text.find(piece.literal, begin, end)
    length = piece.length
    at = begin
    while at + length <= end:
        if piece.anchor:
            anchor = text.find(piece.anchor, at + piece.anchor_at, end)
            if anchor < 0:
                return -1
            at = anchor - piece.anchor_at
        if at + length <= end and _fits(piece, text, at):
            return at
        at += 1
    return -1


def _questions(piece: _Piece, at: int) -> list[tuple[int, int]]:
    if piece.is_literal:
        return []
    return [(at + offset, at + offset + 1) for offset, character in enumerate(piece.characters) if character is None]


def _octets_of(character: str | None) -> tuple[str | None, ...]:
    if character is None:
        return (None,)
    return tuple(character.encode("utf-8", "surrogateescape").decode("latin-1"))


def _from_octets(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogateescape")
