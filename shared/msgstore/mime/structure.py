"""The parts of a message, one after the other, out of a stream.  Pure, linear, within caps.

:func:`walk` gives each part when its header has been read, and after it the octets of its content as they come, still
encoded; nothing else is decoded before somebody asks the part for it.  Delimiters and what is beyond a cap are not
given, preambles and epilogues by :func:`walk_all` only.  Nothing a message holds is an error.

RFC 2045, RFC 2046 §5.
"""

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, cast

from msgstore.mime.headers import HEADER_LIMIT_OCTETS, field_values
from msgstore.mime.parameters import Structured, parse_structured

__all__ = ["DEPTH_LIMIT", "PARTS_LIMIT", "Around", "Part", "walk", "walk_all"]

DEPTH_LIMIT: Final = 50
"""Levels of multiparts and enclosed messages."""

PARTS_LIMIT: Final = 1000

_LINE_LIMIT_OCTETS: Final = 8192
"""No delimiter is longer: the value it comes from is not."""

_REFILL_OCTETS: Final = 8192
"""Collected before anything is looked at again: a stream may come octet by octet."""

_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
_BARE_ENCODINGS: Final = ("7bit", "8bit", "binary")

_Hit = tuple[int, bool]
"""A delimiter: the level of the multipart it belongs to, and whether it ends that."""


@dataclass(frozen=True, eq=False)
class Part:
    """One part: the message itself, a part of a multipart, or the message that a message encloses."""

    path: tuple[int, ...]
    """Place among the parts: ``()`` is the message, ``(2, 1)`` the first part in its second."""

    parent: "Part | None"
    header: bytes
    """Header block without the empty line, at most 256 KiB of it."""

    @cached_property
    def content_type(self) -> Structured:
        """What it says it is, or what it is where it says nothing usable. RFC 2045 §5.2, RFC 2046 §5.1.5."""
        found = self._structured(b"content-type")
        if found is not None and "/" in found.value:
            return found
        in_digest = self.parent is not None and self.parent.content_type.value == "multipart/digest"
        return Structured(value="message/rfc822" if in_digest else "text/plain")

    @cached_property
    def disposition(self) -> Structured | None:
        """How it wants to be shown; None where it does not say. RFC 2183."""
        return self._structured(b"content-disposition")

    @cached_property
    def encoding(self) -> str:
        """How its content is encoded, in lower case. RFC 2045 §6.1."""
        if not field_values(self.header, b"content-transfer-encoding"):
            return "7bit"
        found = self._structured(b"content-transfer-encoding")
        return "" if found is None else found.value

    @property
    def is_message(self) -> bool:
        """Whether its content is a message."""
        return self.content_type.value in ("message/rfc822", "message/global") and self.encoding in _BARE_ENCODINGS

    @property
    def is_enclosed_message(self) -> bool:
        """Whether it is the message that a message part encloses."""
        return self.parent is not None and self.parent.is_message

    @property
    def boundary(self) -> bytes | None:
        """What parts its parts; None where it has none."""
        kind = self.content_type
        text = kind.parameters.get("boundary", "") if kind.value.startswith("multipart/") else ""
        return text.encode("utf-8", "replace").rstrip() or None

    def _structured(self, name: bytes) -> Structured | None:
        values = field_values(self.header, name)
        return parse_structured(values[0]) if values else None


@dataclass(frozen=True, slots=True)
class Around:
    """Octets of a multipart that are of none of its parts. RFC 2046 §5.1.1."""

    part: Part
    is_epilogue: bool
    """Whether they stand behind its last part; in front of its first otherwise."""

    octets: bytes


def walk(pieces: Iterable[bytes]) -> Iterator[Part | bytes]:
    """Give every part of a message, and after each the octets of its content; the octets are of the part given last."""
    return cast("Iterator[Part | bytes]", _Walk(pieces).run())


def walk_all(pieces: Iterable[bytes]) -> Iterator[Part | bytes | Around]:
    """Give what :func:`walk` gives, and preambles and epilogues."""
    return _Walk(pieces, is_whole=True).run()


class _Walk:
    """A walk through one message."""

    def __init__(self, pieces: Iterable[bytes], *, is_whole: bool = False) -> None:
        self._pieces = iter(pieces)
        self._is_whole = is_whole
        self._held = b""
        self._at = 0
        self._is_ended = False
        self._open: list[tuple[bytes, Part, int]] = []
        """Multiparts that the walk is in: delimiter, part, how many parts it had so far."""

        self._levels: dict[bytes, int] = {}
        """The innermost level of each delimiter."""

        self._mark: bytes | None = None
        """Line end and what all delimiters begin with: what does not match it needs no closer look."""

    def run(self) -> Iterator[Part | bytes | Around]:
        """Give parts and contents, and what is around them if that is wanted."""
        path: tuple[int, ...] = ()
        parent: Part | None = None
        for _ in range(PARTS_LIMIT):
            header, hit = self._header()
            part = Part(path, parent, header)
            yield part
            is_deep = len(path) >= DEPTH_LIMIT
            boundary = part.boundary
            if hit is None and not is_deep and part.is_message:
                path, parent = (*path, 1), part
                continue
            if hit is None and boundary is not None:
                # Beyond the cap its parts are passed over as a preamble is.
                if not is_deep:
                    self._open.append((b"--" + boundary, part, 0))
                    self._index()
                hit = yield from self._around(part, is_epilogue=False)
            elif hit is None:
                hit = yield from self._content(is_wanted=True)
            if hit is None or not (yield from self._climb(hit)):
                return
            path, parent = self._next_part()

    def _climb(self, hit: _Hit | None) -> Generator[Around, None, bool]:
        """Leave what a delimiter ends; false where no further part begins."""
        while hit is not None:
            level, is_end = hit
            ended = self._open[level][1]
            del self._open[level + (0 if is_end else 1) :]
            self._index()
            if not is_end:
                return True
            if not self._open and not self._is_whole:
                return False
            hit = yield from self._around(ended, is_epilogue=True)
        return False

    def _around(self, part: Part, *, is_epilogue: bool) -> Generator[Around, None, _Hit | None]:
        content = self._content(is_wanted=self._is_whole)
        while True:
            try:
                octets = next(content)
            except StopIteration as end:
                return cast("_Hit | None", end.value)
            yield Around(part, is_epilogue, octets)

    def _next_part(self) -> tuple[tuple[int, ...], Part]:
        delimiter, parent, count = self._open[-1]
        self._open[-1] = (delimiter, parent, count + 1)
        return (*parent.path, count + 1), parent

    def _index(self) -> None:
        self._levels = {delimiter: level for level, (delimiter, _, _) in enumerate(self._open)}
        self._mark = b"\n" + _common_prefix(list(self._levels)) if self._levels else None

    # The stream.

    def _refill(self) -> bool:
        """Read on; false at the end.  What was passed is forgotten."""
        if self._is_ended:
            return False
        fresh: list[bytes] = []
        octets = 0
        while octets < _REFILL_OCTETS:
            piece = next(self._pieces, None)
            if piece is None:
                self._is_ended = True
                break
            fresh.append(piece)
            octets += len(piece)
        self._held = b"".join((self._held[self._at :], *fresh))
        self._at = 0
        return octets > 0

    def _line(self, begin: int) -> int:
        """Give the end of the line at ``_at + begin``, counted from ``_at``; of a longer one the end of the limit."""
        while True:
            start = self._at + begin
            end = self._held.find(b"\n", start, start + _LINE_LIMIT_OCTETS)
            if end >= 0:
                return end + 1 - self._at
            if len(self._held) - start >= _LINE_LIMIT_OCTETS:
                return begin + _LINE_LIMIT_OCTETS
            if not self._refill():
                return len(self._held) - self._at

    def _hit(self, line: bytes) -> _Hit | None:
        bare = line.rstrip(b" \t\r\n")
        level = self._levels.get(bare)
        if level is not None:
            return level, False
        level = self._levels.get(bare[:-2]) if bare.endswith(b"--") else None
        return None if level is None else (level, True)

    def _header(self) -> tuple[bytes, _Hit | None]:
        """Read up to the empty line, or to a line that is none of a header; a delimiter ends it too."""
        kept: list[bytes] = []
        octets = field_begin = 0
        is_full = False
        is_line_begin = True
        while True:
            end = self._line(0)
            line = self._held[self._at : self._at + end]
            if not line:
                return b"".join(kept), None
            if is_line_begin:
                hit = self._hit(line) if line.startswith(b"--") else None
                if hit is not None or line in (b"\n", b"\r\n"):
                    self._at += end
                    return b"".join(kept), hit
                is_continued = line.startswith((b" ", b"\t")) and (bool(kept) or is_full)
                if not is_continued and _FIELD.match(line) is None:
                    return b"".join(kept), None
                if not is_continued:
                    field_begin = len(kept)
            self._at += end
            is_line_begin = line.endswith(b"\n")
            octets += len(line)
            if octets > HEADER_LIMIT_OCTETS and not is_full:
                # A field that is cut counts as absent.
                del kept[field_begin:]
                is_full = True
            if not is_full:
                kept.append(line)

    def _content(self, *, is_wanted: bool) -> Generator[bytes, None, _Hit | None]:
        """Give the content up to a delimiter, which is given back; None at the end of the message.

        The line end before a delimiter belongs to it. RFC 2046 §5.1.1.
        """
        begin = 0
        """Where a line begins that may be a delimiter, from ``_at``."""

        while True:
            if begin >= 0:
                end = self._line(begin)
                line = self._held[self._at + begin : self._at + end]
                hit = self._hit(line) if line.startswith(b"--") else None
                if hit is not None:
                    content = self._held[self._at : self._at + begin]
                    self._at += end
                    if is_wanted and content:
                        yield content.removesuffix(b"\n").removesuffix(b"\r")
                    return hit
            mark = self._mark
            found = -1 if mark is None else self._held.find(mark, self._at + max(begin, 0))
            if found >= 0:
                begin = found + 1 - self._at
                continue
            begin = -1
            # The last octets may belong to a delimiter: a line end, and what came of the mark behind it.
            end = max(len(self._held) - (0 if mark is None else len(mark) + 1), self._at)
            if is_wanted and end > self._at:
                yield self._held[self._at : end]
            self._at = end
            if not self._refill():
                rest = self._held[self._at :]
                self._at = len(self._held)
                if is_wanted and rest:
                    yield rest
                return None


def _common_prefix(names: list[bytes]) -> bytes:
    least, most = min(names), max(names)
    for at, octet in enumerate(least):
        if octet != most[at]:
            return least[:at]
    return least
