"""What an extension declares.  The built-in ones are declared with these very words; there are no others.

An :class:`Extension` names its capability and brings commands, tests, tags for commands of others, match types,
comparators, address parts, modifiers, namespaces of variables, envelope parts and environment items.  An engine owns
what it was given; nothing is registered for the whole process.

A command or test does its work in one of two ways:

``handler``
    is called as ``handler(context, arguments)`` each time; a plain function, or a generator function that yields
    from :func:`~msgstore.sieve.questions.ask` or from ``arguments.block()``.
``build``
    is called once as ``build(site)`` when a program is linked and gives a function of the context, plain or a
    generator function; what is constant is worked out before the first message comes.

Tests give a bool, commands nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from msgstore.sieve.addresses import MailAddress
from msgstore.sieve.collation import Comparator
from msgstore.sieve.handles import Arguments, Block, Matcher, Runner, Site
from msgstore.sieve.values import Bound, Value

if TYPE_CHECKING:
    from msgstore.sieve.context import Context

__all__ = [
    "AddressPart",
    "Arguments",
    "Block",
    "Command",
    "Definition",
    "EnvelopePart",
    "EnvironmentValue",
    "Extension",
    "Handler",
    "Kind",
    "MatchType",
    "Matcher",
    "Modifier",
    "Namespace",
    "Placement",
    "Positional",
    "Runner",
    "Shared",
    "Site",
    "Tag",
    "Tests",
]


class Kind(Enum):
    """What an argument holds."""

    TEXT = "a string"
    TEXTS = "a string list"
    NUMBER = "a number"


class Shared(Enum):
    """Groups of tags that many commands and tests have. RFC 5228 §2.7."""

    MATCH = "match-type and comparator"
    ADDRESS_PART = "address-part"
    MODIFIERS = "modifiers"


class Tests(Enum):
    """How many tests stand behind the arguments."""

    __test__ = False

    NONE = "none"
    ONE = "one"
    LIST = "list"


class Placement(Enum):
    """Where a command may stand."""

    ANYWHERE = "anywhere"
    TOP_LEVEL = "outside of blocks"
    FIRST = "before every other command"


Check = Callable[[str], str]
"""Looks at a constant text; gives what is wrong with it, ``""`` where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positional:
    """An argument that is known by its place."""

    name: str
    kind: Kind = Kind.TEXT
    optional: bool = False
    """It may be left out; only what stands before it can tell, so one of a kind at the beginning or end is."""

    constant: bool = False
    """Whether variables in it are an error."""

    check: Check | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """An argument that is known by its tag."""

    name: str
    """In lower case, without colon."""

    kind: Kind | None = None
    """Of its value; None where it has none."""

    group: str = ""
    """Of the tags of one group a command may have one."""

    with_tag: str = ""
    """A tag that must stand there too."""

    constant: bool = False
    check: Check | None = None
    needs: tuple[str, ...] = ()
    """Capabilities that must be required too."""

    effect: "Callable[[Context, Value], Mapping[str, object]] | None" = None
    """For a tag that another's action carries out: fields of the action that it sets.  The value is decoded."""


Handler = Callable[["Context", "Arguments"], object]
"""Gives None, a bool, or a generator that ends with one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What commands and tests have in common."""

    name: str
    """In lower case."""

    arguments: tuple[Positional, ...] = ()
    tags: tuple[Tag, ...] = ()
    one_of: tuple[str, ...] = ()
    """Groups of which one tag must be there."""

    shared: frozenset[Shared] = frozenset()
    tests: Tests = Tests.NONE
    handler: Handler | None = None
    build: "Callable[[Site], Runner] | None" = None
    check: Callable[[Bound], str] | None = None
    """Looks at the whole; gives what is wrong with it, ``""`` where nothing is."""

    needs: tuple[str, ...] = ()
    """Capabilities that must be required too."""

    def __post_init__(self) -> None:
        if (self.handler is None) == (self.build is None):
            raise ValueError(f"{self.name}: give a handler or a build, not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Definition):
    """A command: an action or a control structure."""

    block: bool = False
    """Whether a block stands behind it, else a semicolon."""

    placement: Placement = Placement.ANYWHERE
    inside: str = ""
    """Name of the command in whose block it must stand, at any depth."""

    follows: frozenset[str] = frozenset()
    """Commands of which one must stand directly before it, and which then run it."""

    ends_chain: bool = False
    """Whether nothing can follow it."""

    declares: bool = False
    """Whether its ``capabilities`` are in effect in the whole script: ``require``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test(Definition):
    """A test."""

    __test__ = False

    grants: bool = False
    """Whether the constant ``capabilities`` among its arguments are in effect where it was true. RFC 5463."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchType:
    """A way of comparing, ``:is`` for example."""

    name: str
    build: Callable[[Comparator, tuple[str, ...], str], Matcher]
    """Makes ready a comparator, keys and the operand; raises ``ValueError`` with what is wrong with a key."""

    operands: frozenset[str] | None = None
    """What the operand of the tag may be, in lower case; None where the tag has none."""

    needs_substrings: bool = False
    """Whether the comparator must know substrings."""

    check: Check | None = None
    """Looks at a constant key."""

    counts: bool = False
    """Whether it looks at how many values there are instead of at each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPart:
    """A part of an address, ``:localpart`` for example."""

    name: str
    take: "Callable[[Context, MailAddress], str | None]"
    """None where the address has no such part: then nothing matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifier:
    """A change of a text before it is stored. RFC 5229 §4.1."""

    name: str
    precedence: int
    """The highest comes first; one of a precedence."""

    apply: Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """Variables of the form ``${name.rest}``."""

    name: str
    get: "Callable[[Context, str], str]"
    """Takes what stands behind the first dot, in lower case; ``""`` for what is unknown."""

    set: "Callable[[Context, str, str], None] | None" = None
    """None where a script cannot set them."""

    is_name: Callable[[str], bool] = str.isidentifier


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopePart:
    """A part of the envelope, ``from`` for example."""

    name: str
    take: "Callable[[Context], Sequence[str | MailAddress]]"
    """Addresses, from which the address part is taken, and texts, which are only there with ``:all``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentValue:
    """An item of the environment. RFC 5183 §4."""

    name: str
    take: "Callable[[Context], str | None]"
    """None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A capability and all that comes with it."""

    capability: str
    """What ``require`` names; ``""`` for what every script has."""

    rfc: str = ""
    implies: tuple[str, ...] = ()
    """Capabilities that are in effect with it."""

    commands: tuple[Command, ...] = ()
    tests: tuple[Test, ...] = ()
    tags: Mapping[str, tuple[Tag, ...]] = field(default_factory=dict[str, tuple[Tag, ...]])
    """By the name of the command or test that they are added to."""

    match_types: tuple[MatchType, ...] = ()
    comparators: tuple[Comparator, ...] = ()
    address_parts: tuple[AddressPart, ...] = ()
    modifiers: tuple[Modifier, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    envelope_parts: tuple[EnvelopePart, ...] = ()
    environment: tuple[EnvironmentValue, ...] = ()
    rewrites: tuple[Callable[[str], str], ...] = ()
    """Applied to every string of a script when it is compiled; raises ``ValueError`` with what is wrong."""

    interpolates: bool = False
    """Whether ``${name}`` in strings stands for a variable."""

    can_be_late: bool = True
    """Whether ``ihave`` may grant it: not where it changes how the script is read. RFC 5463 §4."""
