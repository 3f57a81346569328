"""Rows of a folder, page by page: all of them, or what changed since; blocking functions for worker threads."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from accessd.mail import Target
from msgstore.access.mailshapes import UidItem
from msgstore.access.uids import UidRange, compressed, contains
from msgstore.model.folder import FolderStatus
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Cell, Column
from msgstore.store.rows import cell_of

__all__ = [
    "Page",
    "PageWanted",
    "cells_of",
    "fitting",
    "page_of",
    "page_since",
    "parts_of",
    "uids_in",
    "with_uid",
]

_PAGE_OCTETS: Final = 640 * 1024
"""Leaves room in the frame for vanished uids and for what an estimate misses."""

_CELL_OCTETS: Final = 12
"""More than a number and a header take."""

_SCAN_ROWS: Final = 4000

_VANISHED_ITEMS: Final = 20_000
"""More than these do not fit the frame beside a page; the client then lists everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWanted:
    """Which rows of a folder, and what of them."""

    ranges: Sequence[UidRange]
    after: int
    limit: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows of one page, and where the next one begins."""

    status: FolderStatus
    rows: Sequence[tuple[Cell, ...]]
    next_uid: int | None
    vanished: tuple[UidItem, ...] | None = None


def page_of(store: MessageStore, target: Target, wanted: PageWanted) -> Page:
    """Collect one page: at most ``limit`` rows, and what fits one frame."""
    folder = target.open(store)
    # Counted first: what arrives in between is in the rows and above uidnext, and no reader misses it.
    status = folder.stat() if target.view is None else target.view.status
    columns, at = with_uid(wanted.columns)
    rows: list[tuple[Cell, ...]] = []
    for first, last in parts_of(wanted, target.last_uid):
        rows += folder.rows(columns, after_uid=first - 1, last_uid=last, limit=wanted.limit + 1 - len(rows))
        if len(rows) > wanted.limit:
            break
    return _cut(status, rows, wanted, at)


def page_since(store: MessageStore, target: Target, wanted: PageWanted, since: int) -> Page:
    """Collect one page of what is new or changed after a modseq; the first one says what vanished as well.

    ``vanished`` is None where that is not known any more.
    """
    folder = target.open(store)
    columns, at = with_uid(wanted.columns)
    if wanted.after:
        status = folder.stat()
        source = _changed_rows(folder, target, wanted, since)
        rows = list(itertools.islice(source, wanted.limit + 1))
        return _cut(status, rows, wanted, at, vanished=())
    changes = folder.changes(since)
    rows = [
        cells_of(info, columns)
        for info in changes.changed
        if info.modseq > since and info.uid <= target.last_uid and contains(wanted.ranges, info.uid)
    ][: wanted.limit + 1]
    vanished: tuple[UidItem, ...] | None = None
    if changes.is_complete:
        vanished = compressed(uid for uid, _ in changes.vanished if contains(wanted.ranges, uid))
        vanished = vanished if len(vanished) <= _VANISHED_ITEMS else None
    return _cut(changes.status, rows, wanted, at, vanished=vanished)


def uids_in(folder: Folder, target: Target, ranges: Sequence[UidRange], *, flag: str | None = None) -> list[Uid]:
    """Give the uids of the ranges that are there, ascending; only those that carry a flag, where one is named."""
    columns: tuple[Column, ...] = ("uid",) if flag is None else ("uid", "flags")
    rows = _walk(folder, columns, _below(ranges, 0, target.last_uid))
    return [Uid(cast("int", row[0])) for row in rows if flag is None or flag in cast("tuple[str, ...]", row[1])]


def cells_of(info: MessageInfo, columns: Sequence[Column]) -> tuple[Cell, ...]:
    """Write one row."""
    return tuple(cell_of(info, column) for column in columns)


def fitting(rows: Sequence[tuple[Cell, ...]]) -> int:
    """Say how many rows fit one frame, at least one."""
    octets = 0
    for number, row in enumerate(rows):
        octets += sum(map(_octets_of, row))
        if number and octets > _PAGE_OCTETS:
            return number
    return len(rows)


def with_uid(columns: tuple[Column, ...]) -> tuple[tuple[Column, ...], int]:
    """Give the columns to ask for and where the uid stands in them; pages are counted by it."""
    asked = columns if "uid" in columns else (*columns, "uid")
    return asked, asked.index("uid")


def _cut(
    status: FolderStatus,
    rows: Sequence[tuple[Cell, ...]],
    wanted: PageWanted,
    at: int,
    *,
    vanished: tuple[UidItem, ...] | None = None,
) -> Page:
    end = min(len(rows), wanted.limit)
    if "keywords" in wanted.columns or "guid" in wanted.columns:
        # Whatever else is in a row, a page of it stays below a frame.
        end = min(end, fitting(rows[:end]))
    next_uid = cast("int", rows[end - 1][at]) if end < len(rows) else None
    rows = rows[:end]
    if at == len(wanted.columns):
        rows = [row[:at] for row in rows]
    return Page(status=status, rows=rows, next_uid=next_uid, vanished=vanished)


def parts_of(wanted: PageWanted, last_uid: int) -> Iterator[UidRange]:
    """Give what is left of the ranges behind the page before."""
    return _below(wanted.ranges, wanted.after, last_uid)


def _below(ranges: Iterable[UidRange], after: int, last_uid: int) -> Iterator[UidRange]:
    for first, last in ranges:
        begin, end = max(first, after + 1), min(last, last_uid)
        if begin <= end:
            yield begin, end


def _walk(folder: Folder, columns: tuple[Column, ...], ranges: Iterable[UidRange]) -> Iterator[tuple[Cell, ...]]:
    """Give rows ascending, the uid first, skipping the gaps between the ranges without reading them."""
    for first, last in ranges:
        cursor = first - 1
        while cursor < last:
            rows = folder.rows(columns, after_uid=cursor, last_uid=last, limit=_SCAN_ROWS)
            yield from rows
            if len(rows) < _SCAN_ROWS:
                break
            cursor = cast("int", rows[-1][0])


def _changed_rows(folder: Folder, target: Target, wanted: PageWanted, since: int) -> Iterator[tuple[Cell, ...]]:
    """Give what changed among the rows behind the first page: there is so much of it that looking at all is cheap."""
    columns, _ = with_uid(wanted.columns)
    ranges = parts_of(wanted, target.last_uid)
    for row in _walk(folder, ("uid", "modseq", *columns), ranges):
        if cast("int", row[1]) > since:
            yield row[2:]


def _octets_of(cell: Cell) -> int:
    match cell:
        case str():
            return len(cell) + 5
        case tuple():
            return 5 + sum(len(word.encode()) + 5 for word in cell)
        case _:
            return _CELL_OCTETS
