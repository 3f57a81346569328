"""What changes to a folder answer, and what happened in it since."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from msgstore.model.bodies import StagedMessage
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.message import MessageInfo, Uid

__all__ = [
    "COLUMNS",
    "Appended",
    "Cell",
    "Changes",
    "Column",
    "Copied",
    "Finding",
    "FlagChange",
    "FlagsOutcome",
    "Removed",
    "Restored",
    "Usage",
]

Column = Literal[
    "uid", "uidl", "octets", "flags", "modseq", "stored_octets", "keywords", "internal_date", "guid", "sealed"
]
"""Names a field of :class:`msgstore.model.message.MessageInfo`, with its meaning."""

COLUMNS: Final[tuple[Column, ...]] = (
    "uid",
    "uidl",
    "octets",
    "flags",
    "modseq",
    "stored_octets",
    "keywords",
    "internal_date",
    "guid",
    "sealed",
)

Cell = int | str | bool | tuple[str, ...] | None
"""One value of a row; flags and keywords are ascending tuples of text."""


class FlagChange(Enum):
    """What a set of flags does to those a message has. RFC 9051 §6.4.6."""

    SET = "set"
    """These and no others."""

    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsOutcome:
    """What became of a change of flags; UIDs in neither field had no message."""

    changed: tuple[MessageInfo, ...]
    """Every message the change was made for, as it is now, ascending; those that had the flags already included."""

    modified: tuple[Uid, ...]
    """Left alone because they changed after ``unchanged_since``. RFC 7162 §3.1.3."""

    modseq: int
    """Of the folder, after the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Where an appended message lies, durably. RFC 4315 §3."""

    uid: Uid
    uidvalidity: int
    modseq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """Pairs of UIDs, in the order of the source; UIDs that had no message are in neither. RFC 4315 §3."""

    uidvalidity: int
    """Of the folder they went to."""

    from_uids: tuple[Uid, ...]
    to_uids: tuple[Uid, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What happened in a folder after a modseq. RFC 7162 §3."""

    status: FolderStatus
    """The folder when this was found out; ``status.modseq`` is where the next question begins."""

    changed: tuple[MessageInfo, ...]
    """Messages that are new or changed, as they are now, ascending by UID."""

    vanished: tuple[tuple[Uid, int], ...]
    """UIDs that were expunged, each with the modseq of its end, ascending by UID."""

    is_complete: bool
    """False when the store does not remember that far back: the asker has to list everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A message that was expunged and can still be brought back."""

    folder: FolderName
    key: str
    """Names it in its folder; says nothing to readers."""

    octets: int
    flags: frozenset[str]
    removed_at: int
    """Seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A message that comes from another store with the UID it had there."""

    staged: StagedMessage
    uid: Uid
    internal_date: float
    """Seconds since 1970 UTC."""

    flags: frozenset[str] = frozenset()
    keywords: frozenset[str] = frozenset()
    uidl: str | None = None
    """POP3 unique-id; None for the one that follows from UID and UIDVALIDITY."""

    guid: str | None = None
    """What names it for ever, as :attr:`msgstore.model.message.MessageInfo.guid`; None for a new one."""

    modseq: int | None = None
    """The one it had there. RFC 7162 §3.1.  None for one that the folder gives, above every one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be in a mailbox."""

    kind: str
    """A stable word, such as ``not-a-file``."""

    place: str
    """Where, as the operator finds it: folder and name."""

    text: str
    is_mended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a mailbox holds, as quotas count it."""

    octets: int
    messages: int
    is_sure: bool = field(default=True, compare=False)
    """False where something was added to an earlier count, or that is old; :meth:`MessageStore.recount` is sure."""
