"""Forwards of one domain: the tables of its settings, its file ``forwards``, and a file for each user.

``forwards`` has lines ``localpart:target[,target]``, ``*`` standing for every local-part without a user;
``user_forwards/<localpart>`` has one target a line.  In both, blank lines and lines that begin with ``#`` are passed
over, and the first line of a name wins.  The files are read again when they change.
"""

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from msgstore.auth.files import FileStamp, read_small, stamp_of
from msgstore.model.address import fold_local_part

__all__ = [
    "CATCH_ALL",
    "ForwardFiles",
    "ForwardTables",
    "parse_forwards",
    "parse_user_forward",
    "split_targets",
    "tiers",
]

CATCH_ALL: Final = "*"
FORWARDS_NAME: Final = "forwards"
USER_FORWARDS_NAME: Final = "user_forwards"

_REMEMBERED_FILES: Final = 4096
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Targets = tuple[str, ...]
Table = Mapping[str, Targets]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardTables:
    """What the settings of a domain say, names folded."""

    admin: Table
    """``[forwards]`` of the domain."""

    default: Table
    """``[forwards]`` for all domains; empty where the domain has an empty table of its own."""


def parse_forwards(text: str) -> dict[str, Targets]:
    """Read the file of a domain; a name without a target has none, which is not the same as being absent."""
    table: dict[str, Targets] = {}
    for line in text.splitlines():
        name, found, targets = line.strip().partition(":")
        if found and name.strip() and not name.startswith("#"):
            table.setdefault(fold_local_part(name.strip()), split_targets(targets))
    return table


def parse_user_forward(text: str) -> Targets:
    """Read the file of a user; none at all means that the user forwards nothing."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def split_targets(text: str) -> Targets:
    """Cut a list of targets at its commas, each target once."""
    return tuple(dict.fromkeys(one for part in text.split(",") if (one := part.strip())))


class ForwardFiles:
    """The files of one domain, as they say now; safe in every thread.

    Methods that take ``directory`` want a descriptor of the domain's directory and raise OSError when a file cannot be
    read: that is never "no forward".
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._stamp: FileStamp | None = None
        self._is_known = False
        self._table: Table = {}
        self._names_stamp: FileStamp | None = None
        self._names_are_known = False
        self._names: Mapping[str, str] = {}
        self._users: dict[str, tuple[FileStamp, Targets]] = {}

    def refresh(self, directory: int) -> None:
        """Look whether the file or the list of users' files changed; costs two looks at names where neither did."""
        with self._guard:
            if not (self._is_known and stamp_of(directory, FORWARDS_NAME) == self._stamp):
                found = read_small(directory, FORWARDS_NAME)
                content, stamp = (b"", None) if found is None else found
                self._table = parse_forwards(content.decode("utf-8-sig", "replace"))
                self._stamp = stamp
                # A stamp from this very moment would hide the next change.
                self._is_known = stamp is None or stamp.is_settled
            stamp = stamp_of(directory, USER_FORWARDS_NAME)
            if not (self._names_are_known and stamp == self._names_stamp):
                self._names = _names_in(directory)
                self._names_stamp = stamp
                self._names_are_known = stamp is None or stamp.is_settled

    @property
    def content(self) -> tuple[object, ...]:
        """What was read last of the domain: other objects after every reading, so that they can be told by identity."""
        return self._table, self._names

    def has_user_file(self, names: Iterable[str]) -> bool:
        """Whether one of these folded names has a file of its own, as far as the last look knew."""
        return any(name in self._names for name in names)

    def domain_table(self) -> Table:
        """Give the file of the domain, as read last."""
        return self._table

    def user_names(self) -> tuple[str, ...]:
        """Give the folded names of users' files, as listed last; what a file says is not looked at."""
        return tuple(self._names)

    def user_table(self, directory: int, names: Sequence[str]) -> Table:
        """Give what the files of these folded names say; a name without file or without target is absent."""
        wanted = {name: self._names[name] for name in names if name in self._names}
        if not wanted:
            return {}
        with self._guard:
            users = os.open(USER_FORWARDS_NAME, _DIRECTORY, dir_fd=directory)
            try:
                table = {name: self._read(users, file) for name, file in wanted.items()}
            finally:
                os.close(users)
        return {name: targets for name, targets in table.items() if targets}

    def _read(self, users: int, file: str) -> Targets:
        known = self._users.get(file)
        if known is not None and stamp_of(users, file) == known[0]:
            return known[1]
        self._users.pop(file, None)
        found = read_small(users, file)
        if found is None:
            return ()
        targets = parse_user_forward(found[0].decode("utf-8-sig", "replace"))
        if found[1].is_settled:
            if len(self._users) >= _REMEMBERED_FILES:
                self._users.clear()
            self._users[file] = (found[1], targets)
        return targets


def tiers(
    order: Literal["admin-first", "user-first"], *, user: Table, domain: Table, tables: ForwardTables
) -> tuple[Table, ...]:
    """Put the four tables in the order in which they are asked; the first that knows a name answers."""
    if order == "admin-first":
        return (tables.admin, domain, user, tables.default)
    return (user, domain, tables.admin, tables.default)


def _names_in(directory: int) -> dict[str, str]:
    """Give the files of users by folded name; where two differ in case only, the folded one wins."""
    try:
        descriptor = os.open(USER_FORWARDS_NAME, _DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return {}
    try:
        names = sorted(os.listdir(descriptor), key=lambda name: name == fold_local_part(name))  # noqa: PTH208
    finally:
        os.close(descriptor)
    return {fold_local_part(name): name for name in names if not name.startswith(".")}
