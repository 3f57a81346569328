"""Rows of ``message.list`` with names, for both clients: made at once from rows, and when asked for from columns."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple, cast, overload

from msgstore.access.mailshapes import ListResult

__all__ = ["MessageRow", "Rows", "rows_of"]


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
_SETS: Final = frozenset({"flags", "keywords"})


def rows_of(page: ListResult) -> Sequence[MessageRow]:
    """Name the cells of a page, a column at a time: a mailbox has many rows."""
    if not page.messages:
        return ()
    columns: dict[str, Iterable[object]] = dict(zip(page.fields, zip(*page.messages, strict=True), strict=True))
    if "uid" not in columns:
        raise KeyError("uid")
    named = zip(*[columns.get(name, repeat(None)) for name in _NAMES], strict=False)
    return list(map(MessageRow._make, named))


def _values_of(name: str, column: str | list[Any], sets: Sequence[tuple[str, ...]]) -> Sequence[Any]:
    if isinstance(column, str):
        return column.split("\n") if column else []
    return [sets[number] for number in column] if name in _SETS else column


class Rows(Sequence[MessageRow]):
    """The messages of a listing; a row is made when it is asked for, so that a large mailbox costs little.

    Whoever needs one thing of all messages takes it by :meth:`column`, which makes no rows at all.
    """

    __slots__ = ("_columns", "_length")

    def __init__(self, pages: Iterable[ListResult]) -> None:
        """Put pages together that came by columns, uid among them.

        Raises:
            KeyError: a page has no uid.
            IndexError: a page names a set that it does not bring.
        """
        self._columns: dict[str, list[Any]] = {}
        self._length = 0
        for page in pages:
            columns, sets = page.columns or {}, page.sets or ()
            for name in page.fields:
                self._columns.setdefault(name, []).extend(_values_of(name, columns[name], sets))
            self._length += len(columns["uid"])

    def column(self, name: str) -> Sequence[Any]:
        """Give one thing of every message, in the order of the rows.

        Raises:
            KeyError: it was not asked for.
        """
        return self._columns[name]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[MessageRow]:
        named = zip(*[self._columns.get(name, repeat(None, self._length)) for name in _NAMES], strict=False)
        return map(MessageRow._make, named)

    @overload
    def __getitem__(self, at: int) -> MessageRow: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[MessageRow]: ...

    def __getitem__(self, at: int | slice) -> MessageRow | Sequence[MessageRow]:
        if isinstance(at, slice):
            return [self._row(number) for number in range(*at.indices(self._length))]
        if not -self._length <= at < self._length:
            raise IndexError(at)
        return self._row(at)

    def __eq__(self, other: object) -> bool:
        """Equal to any sequence of the same rows."""
        return list(self) == list(cast("Sequence[object]", other)) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as for a list

    def _row(self, at: int) -> MessageRow:
        return MessageRow(**{name: column[at] for name, column in self._columns.items()})
