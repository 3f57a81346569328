"""Arguments, results and events of watching; a door to msgspec like the other modules of shapes."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from msgstore.access.mailshapes import Uids
from msgstore.access.shapes import SessionArgs, Short

__all__ = [
    "EventKind",
    "FlagsRow",
    "FolderChange",
    "WatchArgs",
    "WatchEvent",
    "WatchStarted",
    "Watched",
    "WatchedFolder",
]

EventKind = Literal["new", "expunged", "flags", "folder", "resync", "alive"]
FolderChange = Literal["created", "deleted", "renamed", "uidvalidity"]
FlagsRow = tuple[int, tuple[str, ...], tuple[str, ...], int]
"""Uid, flags, keywords, modseq."""

Modseq = Annotated[int, Meta(ge=0)]


class WatchArgs(SessionArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Which folders to watch, all of them where none are named, and from where on."""

    mailbox: Short | None = None
    folders: tuple[Short, ...] | None = None
    since: dict[Short, Modseq] | None = None
    """By folder: the modseq up to which the client knows it; a folder without one is watched from now on."""


class WatchedFolder(Struct, kw_only=True, frozen=True):
    """Where a folder stands; with another ``uidvalidity`` than before the client knows nothing of it."""

    uidvalidity: int
    modseq: int


class WatchStarted(Struct, kw_only=True, frozen=True):
    """The number of the watch, for its events and its end."""

    watch: int
    folders: dict[str, WatchedFolder]


class Watched(Struct, kw_only=True, frozen=True):
    """Names a watch of this connection."""

    watch: int


class WatchEvent(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What happened; everything it names can be read."""

    watch: int
    mailbox: str
    kind: EventKind
    folder: str | None = None
    """Absent where it is about all folders: ``resync`` of the folder list, and ``alive``."""

    uids: Uids | None = None
    """Of ``new`` and ``expunged``.  After ``since`` the newest messages may be called new although the client knows
    them: the store remembers when a message changed last, not when it came."""

    messages: tuple[FlagsRow, ...] | None = None
    modseq: int | None = None
    """Up to here everything in the folder was told with this event and those before it."""

    change: FolderChange | None = None
    new_folder: str | None = None
    uidvalidity: int | None = None
    """Of a folder that was created, or is another one now."""
