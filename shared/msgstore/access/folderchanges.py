"""What a folder went through since a modseq, put together from pages, for both clients.  Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from msgstore.access.mailshapes import ListResult, UidItem
from msgstore.access.rows import MessageRow, rows_of

__all__ = ["CHANGE_FIELDS", "FolderChanges"]

CHANGE_FIELDS = ("uid", "flags", "keywords", "modseq")
"""What is told of a message where nothing else is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChanges:
    """News of a folder. RFC 7162 §3."""

    uidvalidity: int
    uidnext: int
    modseq: int
    """Where the next question begins."""

    rows: tuple[MessageRow, ...]
    """New or changed messages as they are now, ascending by uid."""

    vanished: tuple[UidItem, ...] | None
    """What was expunged; None where the server does not remember that far back, and all has to be listed."""

    @classmethod
    def of(cls, pages: Sequence[ListResult]) -> Self:
        """Put pages together; the first one says from where to go on, whatever happened while the others came."""
        first = pages[0]
        return cls(
            uidvalidity=first.uidvalidity,
            uidnext=first.uidnext,
            modseq=first.modseq,
            rows=tuple(row for page in pages for row in rows_of(page)),
            vanished=first.vanished,
        )
