"""Words looked for in a message, without regard to case, over its decoded text.  Pure; memory does not grow with size.

Both sides are compared after Unicode case folding, in NFC.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgstore.mime.headers import fields
from msgstore.mime.text import texts
from msgstore.mime.words import decode_words

__all__ = ["Found", "HeaderTerm", "folded", "header_matches", "search"]

HeaderTerm = tuple[str, str]
"""Name of a field and what its value holds; the empty text says that the field is there. RFC 9051 §6.4.4."""

_HOLD_LIMIT: Final = 4096
"""Characters without an ASCII one among them that wait for what may belong to the last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Which terms were found, by their place in what was asked."""

    body: tuple[int, ...]
    text: tuple[int, ...]


def folded(text: str) -> str:
    """Give the form in which texts are compared."""
    return unicodedata.normalize("NFC", text.casefold())


def header_matches(header: bytes, terms: Iterable[HeaderTerm]) -> bool:
    """Whether each term is in some field of its name."""
    named = [(name.lower().encode("utf-8", "replace"), folded(term)) for name, term in terms]
    wanted = {name for name, _ in named}
    values: dict[bytes, list[str]] = {}
    for name, value in fields(header):
        if name in wanted:
            values.setdefault(name, []).append(folded(decode_words(value)))
    return all(any(term in value for value in values.get(name, ())) for name, term in named)


def search(pieces: Iterable[bytes], *, body_terms: Sequence[str] = (), text_terms: Sequence[str] = ()) -> Found:
    """Say which terms stand in the body, and which in header or body; reads no further than needed."""
    in_body = _Finder(body_terms)
    in_text = _Finder(text_terms)
    for piece in texts(pieces):
        if piece.is_begin:
            in_body.part()
            in_text.part()
        if piece.in_body:
            in_body.feed(piece.text)
        in_text.feed(piece.text)
        if in_body.is_done and in_text.is_done:
            break
    in_body.part()
    in_text.part()
    return Found(body=in_body.found, text=in_text.found)


class _Finder:
    """Looks for terms in a text that comes in pieces."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = [folded(term) for term in terms]
        self._missing = {at for at, term in enumerate(self._terms) if term}
        self._keep = max((len(term) for term in self._terms), default=1) - 1
        self._window = ""
        self._held: list[str] = []
        self._held_characters = 0

    @property
    def found(self) -> tuple[int, ...]:
        """What was found so far; the empty term always is."""
        return tuple(at for at in range(len(self._terms)) if at not in self._missing)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be found."""
        return not self._missing

    def feed(self, text: str) -> None:
        """Look at a further piece.

        What follows the last ASCII character waits for the next piece: only before one of those can a text be cut
        without changing its normal form.
        """
        if not text or self.is_done:
            return
        cut = len(text) if self._held_characters > _HOLD_LIMIT else _last_ascii(text)
        if cut < 0:
            self._held.append(text)
            self._held_characters += len(text)
            return
        ready = "".join((*self._held, text[:cut]))
        self._held = [text[cut:]]
        self._held_characters = len(text) - cut
        self._look(ready)

    def part(self) -> None:
        """Nothing that comes continues what came."""
        self._look("".join(self._held))
        self._held = []
        self._held_characters = 0
        self._window = ""

    def _look(self, text: str) -> None:
        window = self._window + folded(text)
        self._missing = {at for at in self._missing if self._terms[at] not in window}
        self._window = window[-self._keep :] if self._keep else ""


def _last_ascii(text: str) -> int:
    for at in range(len(text) - 1, -1, -1):
        if text[at].isascii():
            return at
    return -1
