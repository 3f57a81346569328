"""Columns of many messages out of the index: from packed blocks where a folder is read at large."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from msgstore.store.maildir.index import Index
from msgstore.store.maildir.packed import (
    CHUNK_BITS,
    PACKABLE,
    PACKED_COLUMNS,
    Gathering,
    PackedCells,
    by_chunk,
    chunks_of,
    pack,
)
from msgstore.store.maildir.rows import FolderRow

__all__ = ["gather"]

_SMALL: Final = 1 << CHUNK_BITS
"""So many messages are read row by row: a block would be read for a part of it."""

_AT_ONCE: Final = 64
"""Chunks that are looked for together."""


def gather(
    index: Index, row: FolderRow, needed: Sequence[str], *, after_uid: int, last_uid: int, limit: int | None
) -> Mapping[str, Sequence[object]]:
    """Give columns of the messages of a folder in a range of UIDs, ascending; None is a cell that is not known."""
    is_small = last_uid - after_uid <= _SMALL or (limit is not None and limit <= _SMALL) or row.messages <= _SMALL
    if is_small or not PACKABLE.issuperset(needed):
        where = "uid > ? and uid <= ? and place < 2 order by uid limit ?"
        found = index.selected(row.id, ", ".join(needed), where, (after_uid, last_uid, -1 if limit is None else limit))
        columns: Iterable[Sequence[object]] = zip(*found, strict=True) if found else ((),) * len(needed)
        return dict(zip(needed, columns, strict=True))
    gathering = Gathering(needed)
    chunks = chunks_of(row, after_uid, last_uid)
    # The first chunk may lie below the range in part.
    enough = None if limit is None else limit + _SMALL
    for begin in range(chunks.start, chunks.stop, _AT_ONCE):
        for block in _blocks(index, row, range(begin, min(begin + _AT_ONCE, chunks.stop))):
            gathering.add(block)
        if enough is not None and len(gathering) >= enough:
            break
    return gathering.between(after_uid, last_uid, limit)


def _blocks(index: Index, row: FolderRow, chunks: range) -> Iterable[bytes]:
    """Give the blocks of these chunks; those that are not kept are made, and kept where nobody is writing just now."""
    known = index.packed(row.id, chunks)
    lacking = [chunk for chunk in chunks if chunk not in known]
    if not lacking:
        return known.values()
    whole = [chunk for chunk in lacking if (chunk + 1) << CHUNK_BITS <= row.uidnext]
    with index.writing_at_once(is_wanted=bool(whole)) as is_writer:
        # Read again under the lock: what is kept has to be true in the moment that it is.
        made = _made(index, row, range(lacking[0], lacking[-1] + 1))
        if is_writer:
            index.keep_packed(row.id, {chunk: made[chunk] for chunk in whole})
    return [known.get(chunk) or made[chunk] for chunk in chunks]


def _made(index: Index, row: FolderRow, chunks: range) -> dict[int, bytes]:
    low, high = chunks.start << CHUNK_BITS, chunks.stop << CHUNK_BITS
    where = "uid >= ? and uid < ? and place < 2"
    cells = cast("list[PackedCells]", index.selected(row.id, ", ".join(PACKED_COLUMNS), where, (low, high)))
    return {chunk: pack(found) for chunk, found in by_chunk(cells, chunks).items()}
