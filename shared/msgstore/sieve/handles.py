"""What handlers hold: arguments, blocks, their place in a program.  All of it is made by the linker."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from msgstore.sieve.addresses import MailAddress
from msgstore.sieve.questions import Asking
from msgstore.sieve.values import Bound, Match

if TYPE_CHECKING:
    from msgstore.sieve.context import Context

__all__ = ["Arguments", "Block", "Matcher", "Runner", "Site"]

Runner = Callable[["Context"], object]
"""A linked command or test: gives its value, or a generator that ends with it."""


class Matcher(Protocol):
    """Keys made ready: says whether any of the values matches; a generator where the match type asks."""

    def __call__(self, context: "Context", values: Sequence[str]) -> object:
        """Compare."""
        ...


class Block(Protocol):
    """A block, or a test behind a command: linked."""

    @property
    def asks(self) -> bool:
        """Whether ``run`` gives a generator."""
        ...

    @property
    def run(self) -> Runner:
        """What runs it."""
        ...


class Site(Protocol):
    """The place of a command or test in a program, as ``build`` sees it."""

    @property
    def bound(self) -> Bound:
        """Arguments as they were bound."""
        ...

    @property
    def line(self) -> int:
        """Line in the script."""
        ...

    @property
    def script(self) -> str:
        """Name of the script."""
        ...

    @property
    def requires(self) -> frozenset[str]:
        """Capabilities in effect."""
        ...

    @property
    def tests(self) -> tuple[Block, ...]:
        """The tests behind it."""
        ...

    @property
    def block(self) -> Block | None:
        """Its block."""
        ...

    @property
    def followers(self) -> "tuple[Site, ...]":
        """The commands that follow and belong to it."""
        ...

    def has(self, name: str) -> bool:
        """Whether an argument or tag was given."""
        ...

    def text(self, name: str, default: str = "") -> "Callable[[Context], str]":
        """Give what gives the text of an argument."""
        ...

    def texts(self, name: str) -> "Callable[[Context], tuple[str, ...]]":
        """Give what gives the texts of an argument; none where it was left out."""
        ...

    def number(self, name: str, default: int = 0) -> int:
        """Give the number of an argument."""
        ...

    def matcher(self, keys: str = "keys", match: Match | None = None) -> "tuple[Matcher, bool]":
        """Give what compares values with the keys, and whether that asks."""
        ...

    def counts(self) -> bool:
        """Whether the match type counts values."""
        ...

    def part(self) -> "Callable[[Context, MailAddress], str | None]":
        """Give what takes the address part."""
        ...

    def modify(self) -> Callable[[str], str]:
        """Give what applies the modifiers."""
        ...

    def effects(self) -> "Callable[[Context], dict[str, object]]":
        """Give what gives the fields that added tags set."""
        ...


class Arguments(Protocol):
    """Decoded arguments, as a ``handler`` sees them: variables are put in."""

    @property
    def line(self) -> int:
        """Line in the script."""
        ...

    @property
    def bound(self) -> Bound:
        """Arguments as they were bound, not decoded."""
        ...

    def has(self, name: str) -> bool:
        """Whether an argument or tag was given."""
        ...

    def text(self, name: str, default: str = "") -> str:
        """Give the text of an argument."""
        ...

    def texts(self, name: str) -> tuple[str, ...]:
        """Give the texts of an argument; none where it was left out."""
        ...

    def number(self, name: str, default: int = 0) -> int:
        """Give the number of an argument."""
        ...

    def counts(self) -> bool:
        """Whether the match type counts values."""
        ...

    def match(self, values: Sequence[str], keys: str = "keys") -> Asking[bool]:
        """Compare values with an argument as the tags say; yield from it."""
        ...

    def test(self, index: int = 0) -> Asking[bool]:
        """Run a test; yield from it."""
        ...

    def block(self) -> Asking[None]:
        """Run the block; yield from it, as often as wanted."""
        ...

    def effects(self) -> dict[str, object]:
        """Give the fields that added tags set."""
        ...
