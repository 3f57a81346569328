"""What backends share about rows and sets of flags.  Pure."""

from msgstore.model.message import MessageInfo
from msgstore.model.outcomes import Cell, Column, FlagChange

__all__ = ["cell_of", "changed_set"]


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
