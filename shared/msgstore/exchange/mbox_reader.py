"""One mbox file, cut into messages in constant memory."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgstore.exchange.mbox_lines import KEPT_FIELDS, is_separator, unquoted
from msgstore.mime.headers import HEADER_LIMIT_OCTETS

__all__ = ["MboxMessage", "read_messages"]

_PIECE_OCTETS: Final = 65536
"""A longer line is seen in pieces of this many octets, only the first of which can be a separator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MboxMessage:
    """Where one message stands in its file."""

    separator: bytes
    """The line that begins it, without its end."""

    start: int
    """Offset behind that line."""

    end: int
    """Offset behind its last octet."""

    fields: dict[bytes, bytes]
    """Header fields by their names in lower case, the first of equal ones; kept fields and Date only."""

    is_quoted: bool
    """Whether lines that begin with From and a blank were quoted; not where Content-Length told the end."""

    fd: int

    def chunks(self) -> Iterator[bytes]:
        """Give the message without its kept fields, unquoted."""
        held: list[bytes] = []
        octets = 0
        for piece in _message_pieces(self):
            held.append(piece)
            octets += len(piece)
            if octets >= _PIECE_OCTETS:
                yield b"".join(held)
                held, octets = [], 0
        if held:
            yield b"".join(held)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A line, or a part of a long one."""

    octets: bytes
    offset: int
    begins_line: bool

    @property
    def is_empty_line(self) -> bool:
        return self.begins_line and self.octets in (b"\n", b"\r\n")


def read_messages(fd: int) -> Iterator[MboxMessage]:
    """Give the messages of an open file, in order; the descriptor stays open as long as they are read.

    Raises:
        ValueError: it does not begin as mbox files do.
        OSError: it cannot be read.
    """
    size = os.fstat(fd).st_size
    offset = _skip_empty(fd, size)
    while offset < size:
        first = next(_pieces(fd, offset, size))
        if not first.octets.startswith(b"From "):
            raise ValueError("this is no mbox file: a line that begins with From is missing")
        start = offset + len(first.octets)
        if not first.octets.endswith(b"\n"):
            start = _line_end(fd, offset, size)
        fields, body = _header(fd, start, size)
        end, is_quoted, offset = _end_of(fd, body, fields, size=size)
        yield MboxMessage(
            separator=first.octets.rstrip(b"\r\n"),
            start=start,
            end=max(end, start),
            fields=fields,
            is_quoted=is_quoted,
            fd=fd,
        )


def _skip_empty(fd: int, size: int) -> int:
    for piece in _pieces(fd, 0, size):
        if not piece.is_empty_line:
            return piece.offset
    return size


def _line_end(fd: int, offset: int, size: int) -> int:
    for piece in _pieces(fd, offset, size):
        if piece.octets.endswith(b"\n"):
            return piece.offset + len(piece.octets)
    return size


def _header(fd: int, start: int, size: int) -> tuple[dict[bytes, bytes], int]:
    """Give the fields that count and the offset of the body."""
    fields: dict[bytes, bytes] = {}
    name = b""
    for piece in _pieces(fd, start, size):
        if piece.is_empty_line:
            return fields, piece.offset + len(piece.octets)
        # Who forgot the empty line has no body: the next message begins.
        if (piece.begins_line and is_separator(piece.octets)) or piece.offset - start > HEADER_LIMIT_OCTETS:
            return fields, piece.offset
        if not piece.begins_line:
            continue
        if piece.octets[:1] in (b" ", b"\t"):
            if name:
                fields[name] = fields[name][:_PIECE_OCTETS] + b" " + piece.octets.strip()
            continue
        name = _name_of(piece.octets)
        if name in fields or (name not in KEPT_FIELDS and name != b"date"):
            name = b""
        elif name:
            fields[name] = piece.octets.partition(b":")[2].strip()
    return fields, size


def _name_of(line: bytes) -> bytes:
    return line.partition(b":")[0].rstrip(b" \t").lower()


def _end_of(fd: int, body: int, fields: dict[bytes, bytes], *, size: int) -> tuple[int, bool, int]:
    """Give the end of a message, whether it is quoted, and where the next one begins."""
    told = fields.get(b"content-length", b"").strip()
    if told.isdigit() and len(told) < 16 and body + int(told) <= size:
        end = body + int(told)
        behind = _behind(fd, end, size)
        if behind is not None:
            return end, False, behind
    was_empty, before = True, body
    for piece in _pieces(fd, body, size):
        if piece.begins_line and was_empty and is_separator(piece.octets):
            return before, True, piece.offset
        was_empty = piece.is_empty_line
        # The empty line in front of a separator is no part of the message.
        before = piece.offset if was_empty else piece.offset + len(piece.octets)
    return before, True, size


def _behind(fd: int, end: int, size: int) -> int | None:
    """Give where the next message begins if one ends here; None where none does."""
    for piece in _pieces(fd, end, size):
        if not piece.is_empty_line:
            return piece.offset if is_separator(piece.octets) else None
    return size


def _message_pieces(message: MboxMessage) -> Iterator[bytes]:
    in_header, is_dropped = True, False
    for piece in _pieces(message.fd, message.start, message.end):
        if piece.begins_line:
            if in_header and piece.is_empty_line:
                in_header, is_dropped = False, False
            elif in_header and piece.octets[:1] not in (b" ", b"\t"):
                is_dropped = _name_of(piece.octets) in KEPT_FIELDS and b":" in piece.octets
            if is_dropped:
                continue
            yield unquoted(piece.octets) if message.is_quoted else piece.octets
        elif not is_dropped:
            yield piece.octets


def _pieces(fd: int, start: int, end: int) -> Generator[_Piece]:
    """Give the lines of a part of a file, long ones in pieces."""
    held, offset, at = b"", start, start
    begins_line = True
    read = partial(os.pread, fd)
    while True:
        if at < end and b"\n" not in held and len(held) < _PIECE_OCTETS:
            more = read(min(_PIECE_OCTETS, end - at), at)
            at = at + len(more) if more else end
            held += more
            continue
        if not held:
            return
        *lines, held = held.split(b"\n")
        for line in lines:
            octets = line + b"\n"
            for first in range(0, len(octets), _PIECE_OCTETS):
                part = octets[first : first + _PIECE_OCTETS]
                yield _Piece(part, offset, begins_line)
                offset += len(part)
                begins_line = part.endswith(b"\n")
        if held and (len(held) >= _PIECE_OCTETS or at >= end):
            yield _Piece(held, offset, begins_line)
            offset += len(held)
            begins_line, held = False, b""
