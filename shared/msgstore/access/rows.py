"""Rows of ``message.list`` with names, for both clients."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final, NamedTuple

from msgstore.access.mailshapes import ListResult

__all__ = ["MessageRow", "rows_of"]


class MessageRow(NamedTuple):
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


_NAMES: Final = MessageRow._fields


def rows_of(page: ListResult) -> Sequence[MessageRow]:
    """Name the cells of a page, a column at a time: a mailbox has many rows."""
    if not page.messages:
        return ()
    columns: dict[str, Iterable[object]] = dict(zip(page.fields, zip(*page.messages, strict=True), strict=True))
    if "uid" not in columns:
        raise KeyError("uid")
    named = zip(*[columns.get(name, repeat(None)) for name in _NAMES], strict=False)
    return list(map(MessageRow._make, named))
