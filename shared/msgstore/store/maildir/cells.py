"""From rows of the index to what readers see: columns for many messages, values for one.  Pure."""

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Final, cast

from msgstore.model.bodies import BodyFacts
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Cell, Column
from msgstore.store.maildir.keywords import names_for
from msgstore.store.maildir.names import SEALED_MARK, flags_of, keyword_letters_of
from msgstore.store.maildir.rows import FolderRow, MessageRow

__all__ = ["INFO_COLUMNS", "cells", "facts_of", "infos_of", "keywords_of", "needed_columns"]

_NEEDS: Final[dict[Column, tuple[str, ...]]] = {
    "uid": ("uid",),
    "uidl": ("uid", "fields"),
    "octets": ("wire_octets",),
    "flags": ("info",),
    "modseq": ("modseq",),
    "stored_octets": ("octets", "base"),
    "keywords": ("info", "extra"),
    "internal_date": ("internal_date",),
    "guid": ("base", "fields"),
    "sealed": ("base",),
}
_CACHED_LIMIT: Final = 4096
_NO_KEYWORDS: Final = frozenset[str]()


class _FlagCells(dict[str, tuple[str, ...]]):
    """Info suffix to its flags; few different ones are ever seen."""

    def __missing__(self, info: str) -> tuple[str, ...]:
        found = tuple(sorted(flags_of(info)))
        if len(self) < _CACHED_LIMIT:
            self[info] = found
        return found


_FLAG_CELLS: Final = _FlagCells()


def needed_columns(columns: Iterable[Column]) -> tuple[str, ...]:
    """Give the columns of the index that some columns are made of."""
    return tuple(dict.fromkeys(need for column in columns for need in _NEEDS[column]))


def cells(
    columns: Sequence[Column], raw: Mapping[str, Sequence[object]], row: FolderRow, keywords: dict[str, str]
) -> list[Sequence[Cell]]:
    """Make columns of what the index gave for :func:`needed_columns`: a column at a time costs little a message."""
    return [_column(column, raw, row, keywords) for column in columns]


def _column(
    column: Column, raw: Mapping[str, Sequence[object]], row: FolderRow, keywords: dict[str, str]
) -> Sequence[Cell]:
    made: Iterable[object]
    match column:
        case "uid" | "modseq" | "internal_date":
            made = raw[column]
        case "octets":
            made = raw["wire_octets"]
        case "stored_octets":
            made = map(_stored, cast("Sequence[int | None]", raw["octets"]), cast("Sequence[str]", raw["base"]))
        case "flags":
            made = map(_FLAG_CELLS.__getitem__, cast("Sequence[str]", raw["info"]))
        case "keywords":
            made = _keywords(cast("Sequence[str]", raw["info"]), cast("Sequence[str | None]", raw["extra"]), keywords)
        case "sealed":
            made = [SEALED_MARK in base for base in cast("Sequence[str]", raw["base"])]
        case "uidl":
            fields = cast("Sequence[str | None]", raw["fields"])
            plain = _plain_uidls(cast("Sequence[int]", raw["uid"]), row.uidvalidity)
            made = plain if not any(fields) else map(_field_or, repeat("P"), fields, plain)
        case "guid":
            fields, bases = cast("Sequence[str | None]", raw["fields"]), cast("Sequence[str]", raw["base"])
            made = bases if not any(fields) else map(_field_or, repeat("G"), fields, bases)
    return cast("Sequence[Cell]", made if isinstance(made, Sequence) else tuple(made))


def _plain_uidls(uids: Sequence[int], uidvalidity: int) -> list[str]:
    """Give UID and UIDVALIDITY as eight hexadecimal digits each, all at once."""
    numbers = array("I", uids)
    if sys.byteorder == "little":
        numbers.byteswap()
    ending = f"{uidvalidity:08x}"
    return (numbers.tobytes().hex(" ", -4).replace(" ", ending + " ") + ending).split(" ") if uids else []


def _keywords(infos: Sequence[str], extras: Sequence[str | None], known: dict[str, str]) -> Iterable[Cell]:
    if not known and not any(extras):
        return ((),) * len(infos)
    return [tuple(sorted(keywords_of(info, extra, known))) for info, extra in zip(infos, extras, strict=True)]


def keywords_of(info: str, extra: str | None, known: dict[str, str]) -> frozenset[str]:
    """Give the keywords of a message, with a letter or without."""
    if not known and not extra:
        return _NO_KEYWORDS
    named = names_for(keyword_letters_of(info), known)
    return named | frozenset(extra.split(" ")) if extra else named


INFO_COLUMNS: Final = "uid, base, info, octets, wire_octets, internal_date, modseq, fields, extra"
"""What :func:`infos_of` is made of, in its order; sizes and dates are known."""


def infos_of(found: Sequence[tuple[object, ...]], row: FolderRow, keywords: dict[str, str]) -> tuple[MessageInfo, ...]:
    """Describe messages whose sizes and dates are known."""
    validity = f"{row.uidvalidity:08x}"
    messages = cast("Sequence[tuple[int, str, str, int | None, int, int, int, str | None, str | None]]", found)
    return tuple(
        MessageInfo(
            uid=Uid(uid),
            octets=wire_octets,
            stored_octets=_stored(octets, base),
            flags=flags_of(info),
            keywords=keywords_of(info, extra, keywords),
            internal_date=internal_date,
            modseq=modseq,
            guid=base if fields is None else _field_or("G", fields, base),
            uidl=f"{uid:08x}{validity}" if fields is None else _field_or("P", fields, f"{uid:08x}{validity}"),
            sealed=SEALED_MARK in base,
        )
        for uid, base, info, octets, wire_octets, internal_date, modseq, fields, extra in messages
    )


def facts_of(message: MessageRow) -> BodyFacts | None:
    """Say what the index knows of a message; None where its size was never asked for."""
    return None if message.wire_octets is None else BodyFacts(message.wire_octets, SEALED_MARK in message.base)


def _stored(octets: int | None, base: str) -> int | None:
    """Give the size of the file: names tell that of the message, which in a sealed one is smaller."""
    if SEALED_MARK not in base:
        return octets
    # Nothing in it may also mean that the blob is cut off; only a look at the file would tell.
    return octets + SEAL_OVERHEAD_OCTETS if octets else None


def _field_or(key: str, fields: str | None, otherwise: str) -> str:
    """Give the value of a field of a record, or something else where it has none."""
    for word in fields.split(" ") if fields else ():
        if word.startswith(key) and len(word) > 1:
            return word[1:]
    return otherwise
