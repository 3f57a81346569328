"""What backends share about rows and sets of flags.  Pure."""

from collections.abc import Sequence

from msgstore.model.errors import UidTaken
from msgstore.model.message import UID_LIMIT, MessageInfo
from msgstore.model.outcomes import Cell, Column, FlagChange

__all__ = ["cell_of", "changed_set", "check_ascending"]


def cell_of(info: MessageInfo, column: Column) -> Cell:
    """Give one value of a row; sets become ascending tuples."""
    if column == "flags":
        return tuple(sorted(info.flags))
    if column == "keywords":
        return tuple(sorted(info.keywords))
    value: int | str | bool | None = getattr(info, column)
    return value


def changed_set(before: frozenset[str], change: FlagChange, names: frozenset[str]) -> frozenset[str]:
    """Give a set of flags after a change."""
    match change:
        case FlagChange.SET:
            return names
        case FlagChange.ADD:
            return before | names
        case FlagChange.REMOVE:
            return before - names


def check_ascending(given_next: int, uids: Sequence[int], *, uidnext: int) -> None:
    """Refuse UIDs that were given out or do not ascend, and a UIDNEXT that cannot be.

    Raises:
        UidTaken: one of them is at or below one before it, or above what UIDs can be.
    """
    if uidnext > UID_LIMIT + 1:
        raise UidTaken(f"{uidnext} cannot be the next UID")
    last = given_next - 1
    for uid in uids:
        if not last < uid <= UID_LIMIT:
            raise UidTaken(f"UID {uid} cannot follow {last}")
        last = uid
