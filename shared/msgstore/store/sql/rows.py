"""Rows of messages: which columns are asked for, and what readers are told of them."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Cell, Column
from msgstore.store.sql import schema
from msgstore.store.sql.places import FolderRow
from msgstore.store.sql.schema import flags_of, keywords_of

__all__ = ["INFO_COLUMNS", "info_of", "query_of", "table_of"]

_message: Final = schema.message.c

INFO_COLUMNS: Final = (
    _message.uid,
    _message.octets,
    _message.stored_octets,
    _message.flags,
    _message.keywords,
    _message.internal_date,
    _message.modseq,
    _message.guid,
    _message.uidl,
    _message.sealed,
)
"""What :func:`info_of` reads, in its order."""

_FLAG_TUPLES: Final[tuple[tuple[str, ...], ...]] = tuple(tuple(sorted(flags_of(bits))) for bits in range(32))


def info_of(folder: FolderRow, row: Any) -> MessageInfo:
    """Give what readers are told of a row of :data:`INFO_COLUMNS`."""
    uid, octets, stored_octets, flags, keywords, internal_date, modseq, guid, uidl, sealed = row
    return MessageInfo(
        uid=Uid(uid),
        octets=octets,
        stored_octets=stored_octets,
        flags=flags_of(flags),
        keywords=keywords_of(keywords),
        internal_date=internal_date,
        modseq=modseq,
        guid=guid,
        uidl=uidl or _uidl(uid, folder.uidvalidity),
        sealed=sealed,
    )


def query_of(
    folder: FolderRow,
    columns: Sequence[sa.ColumnElement[Any]],
    *,
    after_uid: int = 0,
    last_uid: int | None = None,
    limit: int | None = None,
) -> sa.Select[Any]:
    """Ask for columns of messages in a range of UIDs, ascending."""
    query = sa.select(*columns).where(folder.place.of(schema.message), _message.uid > after_uid)
    if last_uid is not None:
        query = query.where(_message.uid <= last_uid)
    query = query.order_by(_message.uid)
    return query if limit is None else query.limit(limit)


def table_of(folder: FolderRow, wanted: Sequence[Column], rows: Sequence[Any]) -> list[Sequence[Cell]]:
    """Turn rows of UID and the wanted columns, in this order, into one sequence for each wanted column."""
    if not rows:
        return [()] * len(wanted)
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
    return [_cells(folder, name, columns[0], values) for name, values in zip(wanted, columns[1:], strict=True)]


def _cells(folder: FolderRow, name: Column, uids: Sequence[int], values: Sequence[Any]) -> Sequence[Cell]:
    if name == "flags":
        return list(map(_FLAG_TUPLES.__getitem__, values))
    if name == "keywords":
        return [_keyword_tuple(text) for text in values]
    if name == "uidl":
        tail = f"{folder.uidvalidity:08x}"
        return [str(text or f"{uid:08x}{tail}") for uid, text in zip(uids, values, strict=True)]
    return values


def _keyword_tuple(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(" ")) if text else ()


def _uidl(uid: int, uidvalidity: int) -> str:
    return f"{uid:08x}{uidvalidity:08x}"
