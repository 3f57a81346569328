"""Lines of ManageSieve: octets in, words out, and answers to octets.  Pure.

A line is words with a space between them: atoms, numbers, quoted strings, and literals ``{octets+}`` that follow the
line they stand in.  How large a literal may be is looked at before one octet of it is kept.

RFC 5804 §4.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Atom", "LineDecoder", "LineRefused", "Word", "answer", "literal", "quoted", "string"]

LINE_LIMIT_OCTETS: Final = 16 * 1024
"""Without literals; a PLAIN message of three names of a thousand octets is shorter in base64."""

DROP_LIMIT_OCTETS: Final = 4 * 1024 * 1024
"""A literal that is too large is read and thrown away up to this size; above it the connection ends."""

_WORDS_LIMIT: Final = 16
_QUOTED_LIMIT_OCTETS: Final = 1024
"""RFC 5804 §4: longer strings are literals."""

_WORD: Final = re.compile(
    rb'(?P<quoted>"(?:[^"\\\r\n\0]|\\["\\])*")|(?P<number>[0-9]{1,10})|(?P<atom>[A-Za-z][A-Za-z0-9_-]*)'
)
_LITERAL: Final = re.compile(rb"\{([0-9]{1,19})(\+?)\}")
_ESCAPED: Final = re.compile(rb"\\(.)")
_SPECIAL: Final = re.compile(rb'(["\\])')


@dataclass(frozen=True, slots=True)
class Atom:
    """A word without quotes, in capitals."""

    text: str


Word = Atom | int | bytes
"""Strings are octets here."""


class LineRefused(Exception):
    """A line that is none, or too large."""

    def __init__(self, text: str, *, code: str = "", is_fatal: bool = False) -> None:
        """``is_fatal`` says that what follows cannot be understood."""
        super().__init__(text)
        self.code = code
        self.is_fatal = is_fatal


class LineDecoder:
    """Turns octets into lines; gives the same whatever the cuts."""

    def __init__(self, literal_limit: int) -> None:
        self.literal_limit = literal_limit
        """Octets of all literals of one line."""

        self._buffer = bytearray()
        self._words: list[Word] = []
        self._line_octets = self._literal_octets = 0
        self._due: int | None = None
        """Octets of the literal that comes now."""

        self._refusal: LineRefused | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of what was fed."""
        return not self._buffer and not self._words and self._due is None and self._refusal is None

    def feed(self, octets: bytes) -> None:
        """Take octets as they came."""
        self._buffer += octets

    def next_line(self) -> tuple[Word, ...] | None:
        """Give the next line that has come whole; None where none has.

        Raises:
            LineRefused: it is no line; those after it can be read unless the error is fatal.
        """
        while True:
            if self._due is not None and not self._take_literal():
                return None
            end = self._buffer.find(b"\n")
            self._check_length(len(self._buffer) if end < 0 else end)
            if end < 0:
                return None
            part = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._line_octets += end
            self._take(part)
            if self._due is None:
                return self._finish()

    def _check_length(self, octets: int) -> None:
        if self._line_octets + octets > LINE_LIMIT_OCTETS:
            raise LineRefused("the line is too long", is_fatal=True)

    def _finish(self) -> tuple[Word, ...]:
        words, refusal = tuple(self._words), self._refusal
        self._words.clear()
        self._refusal = None
        self._line_octets = self._literal_octets = 0
        if refusal is not None:
            raise refusal
        return words

    def _take_literal(self) -> bool:
        """Take what has come of the literal, and say whether it is complete."""
        assert self._due is not None, "a literal comes"
        if self._refusal is not None:
            dropped = min(self._due, len(self._buffer))
            del self._buffer[:dropped]
            self._due -= dropped
            if self._due:
                return False
        else:
            if len(self._buffer) < self._due:
                return False
            self._words.append(bytes(self._buffer[: self._due]))
            del self._buffer[: self._due]
        self._due = None
        return True

    def _take(self, part: bytes) -> None:
        at, is_first = 0, not self._words
        while at < len(part):
            if not is_first:
                if part[at : at + 1] != b" ":
                    break
                at += 1
            is_first = False
            if found := _LITERAL.fullmatch(part, at):
                self._begin_literal(int(found[1]), is_plus=bool(found[2]))
                return
            found = _WORD.match(part, at)
            if found is None or len(self._words) >= _WORDS_LIMIT:
                break
            self._words.append(_word(found))
            at = found.end()
        else:
            if not part and not self._words:
                self._refuse("the line is empty")
            return
        self._refuse("the line cannot be read")
        if found := _LITERAL.search(part, max(0, len(part) - 22)):
            self._begin_literal(int(found[1]), is_plus=bool(found[2]))

    def _begin_literal(self, octets: int, *, is_plus: bool) -> None:
        if not is_plus:
            # Without the plus the client would wait for an answer that RFC 5804 does not know.
            raise LineRefused("a literal is written {octets+}", is_fatal=True)
        self._literal_octets += octets
        if self._literal_octets > self.literal_limit:
            if octets > DROP_LIMIT_OCTETS:
                raise LineRefused("the literal is too large", code="QUOTA/MAXSIZE", is_fatal=True)
            self._refuse("the literal is too large", code="QUOTA/MAXSIZE")
        self._due = octets

    def _refuse(self, text: str, *, code: str = "") -> None:
        if self._refusal is None:
            self._refusal = LineRefused(text, code=code)


def _word(found: "re.Match[bytes]") -> Word:
    if found["quoted"] is not None:
        return _ESCAPED.sub(rb"\1", found["quoted"][1:-1])
    return int(found["number"]) if found["number"] is not None else Atom(found["atom"].decode().upper())


def quoted(octets: bytes) -> bytes:
    """Write a quoted string; what is given has no line ends."""
    return b'"' + _SPECIAL.sub(rb"\\\1", octets) + b'"'


def literal(octets: bytes) -> bytes:
    """Write a literal, as a server does: without the plus."""
    return b"{%d}\r\n%s" % (len(octets), octets)


def string(text: str) -> bytes:
    """Write a string in the form that can hold it."""
    octets = text.encode("utf-8", "replace")
    is_short = len(octets) <= _QUOTED_LIMIT_OCTETS and not any(one in octets for one in b"\r\n\0")
    return quoted(octets) if is_short else literal(octets)


def answer(word: str, text: str = "", *, code: str = "") -> bytes:
    """Write the line that ends an answer: OK, NO or BYE, in capitals.

    RFC 5804 §1.2 and §1.3.
    """
    parts = [word.encode(), *([f"({code})".encode()] if code else []), *([string(text)] if text else [])]
    return b" ".join(parts) + b"\r\n"
