"""Arguments after binding: constants, and texts that variables are put into.  All can be pickled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Bound", "Key", "Match", "Reference", "Template", "Text", "Value"]


class Reference(NamedTuple):
    """A variable in a text."""

    namespace: str
    """In lower case, ``""`` for plain and match variables."""

    name: str
    """In lower case; of a match variable its number without leading zeros."""

    number: int = -1
    """The number of a match variable."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with variables in it."""

    parts: tuple[str | Reference, ...]
    source: str
    """As written, after encoded characters were put in."""


Text = str | Template
Value = bool | int | str | Template | tuple[Text, ...]
"""True stands for a tag without value, a tuple for a list of strings."""


class Key(NamedTuple):
    """Names a definition in the registry."""

    is_test: bool
    name: str


class Match(NamedTuple):
    """How keys are compared."""

    match_type: str
    operand: Text
    """Of ``:count`` and ``:value`` the relation, else ``""``."""

    comparator: str


_NONE: Mapping[str, Value] = {}


class Bound(NamedTuple):
    """A command or test whose arguments have found their names."""

    key: Key
    line: int
    values: Mapping[str, Value] = _NONE
    """By the names of arguments and tags; what was not given is absent."""

    match: Match | None = None
    """For what compares."""

    tests: "tuple[Bound, ...]" = ()
    block: "tuple[Bound, ...] | None" = None
    followers: "tuple[Bound, ...]" = ()
    """The elsif and else of an if."""

    doubt: str = ""
    """Why it cannot be run, found in a branch that an ihave guards; empty where nothing is wrong."""
