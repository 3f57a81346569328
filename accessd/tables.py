"""A folder by columns, page by page: what a whole mailbox costs least as; blocking functions for worker threads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from accessd.mail import Target
from accessd.pages import PageWanted, parts_of, with_uid
from msgstore.model.folder import FolderStatus
from msgstore.model.interfaces import MessageStore
from msgstore.model.outcomes import Cell, Column

__all__ = ["Table", "table_of"]

_PAGE_OCTETS: Final = 960 * 1024
"""Nothing else is in the frame, and no estimate below is too small."""

_UID_OCTETS: Final = 5
_NUMBER_OCTETS: Final = 9
_TEXT_OCTETS: Final = 3
"""What a value takes in a frame at most, a text beside its own octets. MessagePack: uint 32, uint 64, str 16."""

_SETS: Final[frozenset[Column]] = frozenset({"flags", "keywords"})
_TEXTS: Final[frozenset[Column]] = frozenset({"uidl", "guid"})

WireColumn = str | list[int | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One page."""

    status: FolderStatus
    columns: dict[str, WireColumn]
    sets: tuple[tuple[str, ...], ...]
    next_uid: int | None


def table_of(store: MessageStore, target: Target, wanted: PageWanted) -> Table:
    """Collect one page: at most ``limit`` messages, and what fits one frame."""
    folder = target.open(store)
    # Counted first: what arrives in between is in the columns and above uidnext, and no reader misses it.
    status = folder.stat() if target.view is None else target.view.status
    names, at = with_uid(wanted.columns)
    columns: list[list[Cell]] = [[] for _ in names]
    for first, last in parts_of(wanted, target.last_uid):
        left = wanted.limit + 1 - len(columns[at])
        more = folder.table(names, after_uid=first - 1, last_uid=last, limit=left)
        for column, behind in zip(columns, more, strict=True):
            column.extend(behind)
        if len(columns[at]) > wanted.limit:
            break
    end = min(len(columns[at]), wanted.limit)
    while end > 1 and _octets_of(names, columns, end) > _PAGE_OCTETS:
        end //= 2
    next_uid = cast("int", columns[at][end - 1]) if end < len(columns[at]) else None
    sets: dict[tuple[str, ...], int] = {}
    told = {
        str(name): _on_wire(name, column[:end], sets)
        for name, column in zip(names, columns, strict=True)
        if name in wanted.columns
    }
    return Table(status=status, columns=told, sets=tuple(sets), next_uid=next_uid)


def _on_wire(name: Column, column: Sequence[Cell], sets: dict[tuple[str, ...], int]) -> WireColumn:
    if name in _TEXTS:
        return "\n".join(cast("Sequence[str]", column))
    if name in _SETS:
        # Each set gets a number; few different ones are in a folder.
        return [sets.setdefault(cast("tuple[str, ...]", cell), len(sets)) for cell in column]
    return cast("list[int | bool | None]", column)


def _octets_of(names: Sequence[Column], columns: Sequence[Sequence[Cell]], end: int) -> int:
    """Say what so many messages take in a frame at most."""
    octets = 0
    for name, column in zip(names, columns, strict=True):
        if name in _TEXTS:
            octets += sum(map(len, cast("Sequence[str]", column[:end]))) + _TEXT_OCTETS * end
        else:
            octets += (_UID_OCTETS if name == "uid" else _NUMBER_OCTETS) * end
        if name in _SETS:
            different = set(cast("Sequence[tuple[str, ...]]", column[:end]))
            octets += sum(len(word.encode()) + 2 * _TEXT_OCTETS for cell in different for word in cell)
    return octets
