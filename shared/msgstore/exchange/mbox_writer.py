"""A message as it stands in an mboxrd file.  Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from msgstore.exchange.mbox_lines import KEPT_FIELDS, quoted
from msgstore.store.lines import to_lf

__all__ = ["mbox_octets"]

_PIECE_OCTETS: Final = 65536


def mbox_octets(separator: bytes, facts: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Write a message: separator, the fields that say what is known of it, the message quoted, an empty line.

    Lines end in LF.  Fields of the message that would be taken for ours are left out.  A message whose last line has no
    end gets one.
    """
    yield separator
    in_header, is_dropped, is_first, ends_line = True, False, True, True
    for piece, begins_line in _pieces(chunks):
        if is_first:
            # Ours come first, but never between a line and what it continues.
            is_first = False
            if piece[:1] not in (b" ", b"\t"):
                yield facts
                facts = b""
        if in_header and begins_line:
            if piece == b"\n":
                in_header, is_dropped = False, False
                yield facts
                facts = b""
            elif piece[:1] not in (b" ", b"\t"):
                name, colon, _ = piece.partition(b":")
                is_dropped = bool(colon) and name.rstrip(b" \t").lower() in KEPT_FIELDS
        if not is_dropped:
            ends_line = piece.endswith(b"\n")
            yield quoted(piece) if begins_line else piece
    yield (b"" if ends_line else b"\n") + facts + b"\n"


def _pieces(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Give lines that end in LF, long ones in pieces, each with whether it begins a line."""
    held, begins_line = b"", True
    for chunk in _with_lf(chunks):
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n", begins_line
            begins_line = True
        if len(held) >= _PIECE_OCTETS:
            yield held, begins_line
            held, begins_line = b"", False
    if held:
        yield held, begins_line


def _with_lf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = False
    for chunk in chunks:
        plain, held = to_lf(chunk, held_cr=held)
        yield plain
    if held:
        yield b"\r"
