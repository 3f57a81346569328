"""Columns of a chunk of messages in one block of octets: a whole folder is read as a few blocks, not row by row.

A chunk is 1,024 UIDs.  A block is a header of four numbers, columns of numbers and columns of text, all with little
ends::

    messages, octets of infos, octets of extras, octets of fields     uint32
    uids                                                              uint32
    wire sizes, sizes, dates, modseqs                                 int64 each
    infos, extras, fields                                             text, values separated

Pure.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from struct import Struct
from typing import Final, cast

from msgstore.store.maildir.rows import FolderRow

__all__ = ["CHUNK_BITS", "PACKABLE", "PACKED_COLUMNS", "Gathering", "PackedCells", "by_chunk", "chunks_of", "pack"]

CHUNK_BITS: Final = 10

PACKED_COLUMNS: Final = ("uid", "wire_octets", "octets", "internal_date", "modseq", "info", "extra", "fields")
"""Columns of the index in the order in which :func:`pack` wants them."""

PACKABLE: Final = frozenset(PACKED_COLUMNS)

PackedCells = tuple[int, int | None, int | None, int | None, int, str, str | None, str | None]

_HEADER: Final = Struct("<4I")
_NUMBERS: Final = (("uid", "I"), ("wire_octets", "q"), ("octets", "q"), ("internal_date", "q"), ("modseq", "q"))
_TEXTS: Final = ("info", "extra", "fields")
_UNKNOWN: Final = -(2**63)
"""Stands for None."""

_SEPARATORS: Final = {"info": "/", "extra": "\n", "fields": "\n"}
"""No file name holds a slash, no line of a file a line end."""


def pack(messages: Sequence[PackedCells]) -> bytes:
    """Write a block."""
    columns: Sequence[Sequence[object]] = list(zip(*messages, strict=True)) or [()] * len(PACKED_COLUMNS)
    numbers = [
        _little(array(code, [_UNKNOWN if cell is None else cast("int", cell) for cell in column]))
        for (_, code), column in zip(_NUMBERS, columns, strict=False)
    ]
    texts = [
        _SEPARATORS[name].join(cast("str", cell) or "" for cell in column).encode("utf-8", "surrogateescape")
        if any(column)
        else b""
        for name, column in zip(_TEXTS, columns[len(_NUMBERS) :], strict=True)
    ]
    return b"".join((_HEADER.pack(len(messages), *map(len, texts)), *(one.tobytes() for one in numbers), *texts))


class Gathering:
    """Puts columns of several chunks together, ascending."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self._wanted = frozenset(wanted) | {"uid"}
        self._numbers: dict[str, array[int]] = {name: array(code) for name, code in _NUMBERS if name in self._wanted}
        self._texts: dict[str, list[str | None]] = {name: [] for name in _TEXTS if name in self._wanted}

    def __len__(self) -> int:
        return len(self._numbers["uid"])

    def add(self, block: bytes) -> None:
        """Append the messages of a block."""
        messages, *lengths = _HEADER.unpack_from(block)
        view, at = memoryview(block), _HEADER.size
        for name, code in _NUMBERS:
            octets = messages * (4 if code == "I" else 8)
            found = self._numbers.get(name)
            if found is not None:
                found.frombytes(view[at : at + octets])
            at += octets
        for name, octets in zip(_TEXTS, lengths, strict=True):
            texts = self._texts.get(name)
            if texts is not None:
                texts += _text_cells(name, bytes(view[at : at + octets]), messages)
            at += octets

    def between(self, after_uid: int, last_uid: int, limit: int | None) -> dict[str, Sequence[object]]:
        """Give the columns of the first ``limit`` messages of a range."""
        numbers = {name: _little(column) for name, column in self._numbers.items()}
        uids = numbers["uid"]
        begin, end = bisect_right(uids, after_uid), bisect_right(uids, last_uid)
        if limit is not None:
            end = min(end, begin + limit)
        found: dict[str, Sequence[object]] = {name: _with_none(column[begin:end]) for name, column in numbers.items()}
        return found | {name: column[begin:end] for name, column in self._texts.items()}


def chunks_of(row: FolderRow, after_uid: int, last_uid: int) -> range:
    """Give the chunks in which messages of a range can be."""
    return range((after_uid + 1) >> CHUNK_BITS, (min(last_uid, row.uidnext - 1) >> CHUNK_BITS) + 1)


def by_chunk(messages: Sequence[PackedCells], chunks: range) -> Mapping[int, Sequence[PackedCells]]:
    """Sort ascending messages into their chunks; every one of ``chunks`` is there."""
    uids = [message[0] for message in messages]
    ends = [bisect_right(uids, ((chunk + 1) << CHUNK_BITS) - 1) for chunk in chunks]
    return {chunk: messages[begin:end] for chunk, begin, end in zip(chunks, [0, *ends], ends, strict=False)}


def _little(column: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _with_none(column: "array[int]") -> Sequence[int | None]:
    if column.typecode == "q" and _UNKNOWN in column:
        return [None if cell == _UNKNOWN else cell for cell in column]
    return column.tolist()


def _text_cells(name: str, octets: bytes, count: int) -> Iterable[str | None]:
    if name == "info":
        return str(octets, "utf-8", "surrogateescape").split("/") if octets else repeat("", count)
    if not octets:
        return repeat(None, count)
    return [cell or None for cell in str(octets, "utf-8", "surrogateescape").split(_SEPARATORS[name])]
