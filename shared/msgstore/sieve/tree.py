"""A script as text means it before anything in it has a meaning: commands, tests, arguments, places."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Final, NamedTuple, cast

__all__ = ["Argument", "ArgumentKind", "Lines", "Node", "Place", "argument_of"]


class Place(NamedTuple):
    """A place in a script, both from 1."""

    line: int
    column: int


class ArgumentKind(IntEnum):
    """What an argument is by its form."""

    TAG = 1
    NUMBER = 2
    STRING = 3
    STRINGS = 4


class Argument(NamedTuple):
    """One argument."""

    kind: ArgumentKind
    text: str
    """Of a tag in lower case without its colon, of a string unquoted."""

    number: int
    strings: tuple["Argument", ...]
    """Of a list, each of them of the kind STRING."""

    offset: int
    is_multiline: bool = False


_make: Final = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # a generic one
argument_of: Final = cast(
    "Callable[[tuple[ArgumentKind, str, int, tuple[Argument, ...], int, bool]], Argument]",
    partial(_make, Argument),
)
"""Makes an argument in half of the time that its class takes: there are thousands of them."""


class Node(NamedTuple):
    """A command or a test."""

    name: str
    """In lower case."""

    offset: int
    arguments: tuple[Argument, ...]
    tests: tuple["Node", ...]
    has_test_list: bool
    """Whether the tests stand in parentheses."""

    block: "tuple[Node, ...] | None"


@dataclass(frozen=True, slots=True)
class Lines:
    """Turns offsets in a text into places."""

    starts: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> "Lines":
        """Find the line ends of a text."""
        starts = [0]
        at = text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = text.find("\n", at + 1)
        return cls(tuple(starts))

    def line(self, offset: int) -> int:
        """Give the line of an offset."""
        return bisect_right(self.starts, offset)

    def place(self, offset: int) -> Place:
        """Give line and column of an offset."""
        line = bisect_right(self.starts, offset)
        return Place(line, offset - self.starts[line - 1] + 1)
