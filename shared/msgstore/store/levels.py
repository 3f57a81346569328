"""Folder names as a hierarchy: what backends share about making, renaming and removing.  Pure."""

from collections.abc import Iterable
from typing import Final

from msgstore.model.errors import InvalidFolderName, ReservedFolderName
from msgstore.model.folder import FolderName

__all__ = ["check_new", "check_rename", "is_below", "levels_above", "renamed_with_children"]


_SCRIPT_NAME: Final = "sieve"
"""As a directory it would stand where the active script of the mailbox does."""


def check_new(name: FolderName) -> None:
    """Refuse names that no folder may get any more; those that have one keep it.

    Raises:
        ReservedFolderName: it is the name of the script, or lies below it.
    """
    if name.components[0] == _SCRIPT_NAME:
        raise ReservedFolderName(f"{_SCRIPT_NAME} is where the filter of the mailbox lies")


def levels_above(name: FolderName) -> tuple[FolderName, ...]:
    """Give the folders a folder lies in, outermost first."""
    return tuple(FolderName(name.components[:depth]) for depth in range(1, len(name.components)))


def is_below(name: FolderName, above: FolderName) -> bool:
    """Whether a folder lies somewhere below another one."""
    return len(name.components) > len(above.components) and name.components[: len(above.components)] == above.components


def check_rename(name: FolderName, to: FolderName) -> None:
    """Refuse new names that can never be.

    Raises:
        InvalidFolderName: the new name lies below the old one.
        ReservedFolderName: the new name is INBOX, or that of the script.
    """
    check_new(to)
    if to.is_inbox:
        raise ReservedFolderName("INBOX is there already and always")
    if is_below(to, name) and not name.is_inbox:
        raise InvalidFolderName(f"{to} lies below {name}")


def renamed_with_children(
    name: FolderName, to: FolderName, known: Iterable[FolderName]
) -> tuple[tuple[FolderName, FolderName], ...]:
    """Pair every folder that a rename concerns with its new name, those above first."""
    depth = len(name.components)
    concerned = sorted(one for one in known if one == name or is_below(one, name))
    return tuple((one, FolderName(to.components + one.components[depth:])) for one in concerned)
