"""Rows of ``message.list`` with names, for both clients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from msgstore.access.mailshapes import Cell, ListResult

__all__ = ["MessageRow", "rows_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One message of a listing; None where the column was not asked for or is not known."""

    uid: int
    uidl: str | None = None
    """POP3 unique-id. RFC 1939 §7."""

    octets: int | None = None
    """Size with every line end CRLF."""

    stored_octets: int | None = None
    flags: tuple[str, ...] | None = None
    keywords: tuple[str, ...] | None = None
    modseq: int | None = None
    internal_date: int | None = None
    """Seconds since 1970 UTC."""

    guid: str | None = None
    sealed: bool | None = None


def rows_of(page: ListResult) -> tuple[MessageRow, ...]:
    """Name the cells of a page."""
    return tuple(_row(page.fields, cells) for cells in page.messages)


def _row(fields: Sequence[str], cells: Sequence[Cell]) -> MessageRow:
    named = dict(zip(fields, cells, strict=True))
    return MessageRow(
        uid=cast("int", named["uid"]),
        uidl=cast("str | None", named.get("uidl")),
        octets=cast("int | None", named.get("octets")),
        stored_octets=cast("int | None", named.get("stored_octets")),
        flags=cast("tuple[str, ...] | None", named.get("flags")),
        keywords=cast("tuple[str, ...] | None", named.get("keywords")),
        modseq=cast("int | None", named.get("modseq")),
        internal_date=cast("int | None", named.get("internal_date")),
        guid=cast("str | None", named.get("guid")),
        sealed=cast("bool | None", named.get("sealed")),
    )
