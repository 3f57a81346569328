"""Arguments and results of the methods about Sieve scripts; one of the doors to msgspec."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from msgstore.access.mailshapes import Count
from msgstore.access.shapes import SessionArgs, Short

__all__ = [
    "FoundRules",
    "Kept",
    "RuleShape",
    "RulesKept",
    "ScriptCapabilities",
    "ScriptList",
    "ScriptName",
    "ScriptNameArgs",
    "ScriptPutArgs",
    "ScriptPutRulesArgs",
    "ScriptRenameArgs",
    "ScriptRow",
    "ScriptSpaceArgs",
    "ScriptText",
    "ScriptTextArgs",
    "ScriptWarning",
]

ScriptName = Short
"""Which names there may be is the server's to check. RFC 5804 §1.6."""

Value = str | int | Annotated[tuple[str, ...], Meta(max_length=1000)]
Word = Annotated[tuple[Value, ...], Meta(min_length=1, max_length=1000)]
Words = Annotated[tuple[Word, ...], Meta(min_length=1, max_length=100)]


class ScriptNameArgs(SessionArgs, kw_only=True, frozen=True):
    """A script; where one is activated, the empty name means none."""

    name: ScriptName


class ScriptTextArgs(SessionArgs, kw_only=True, frozen=True):
    """A script that is looked at and not kept."""

    text: bytes


class ScriptSpaceArgs(ScriptNameArgs, kw_only=True, frozen=True):
    """A script that may come."""

    octets: Count


class ScriptPutArgs(ScriptNameArgs, kw_only=True, frozen=True, omit_defaults=True):
    """A script to keep, and whether it becomes the active one."""

    text: bytes
    activate: bool | None = None


class ScriptRenameArgs(ScriptNameArgs, kw_only=True, frozen=True):
    """A script and its new name."""

    new_name: ScriptName


class RuleShape(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One rule; which words there are stands in ``msgstore.scripts.rules``."""

    name: Short
    conditions: Words
    actions: Words
    matches: Literal["allof", "anyof"] = "allof"
    enabled: bool = True


class ScriptPutRulesArgs(ScriptNameArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Rules to keep as a script, and whether it becomes the active one."""

    rules: Annotated[tuple[RuleShape, ...], Meta(min_length=1, max_length=500)]
    activate: bool | None = None


class ScriptCapabilities(Struct, kw_only=True, frozen=True):
    """What scripts may say here. RFC 5804 §1.7."""

    implementation: str
    extensions: tuple[str, ...]
    notify: tuple[str, ...]
    """Schemes of notification methods; empty where there is no ``enotify``."""

    max_redirects: int
    name_octets: int
    """Longest name of a script."""

    script_octets: int
    """Largest script."""


class ScriptRow(Struct, kw_only=True, frozen=True):
    """One script; ``hash`` is the SHA-256 of its text in hex."""

    name: str
    active: bool
    octets: int
    hash: str


class ScriptList(Struct, kw_only=True, frozen=True):
    """All scripts, ascending by name."""

    scripts: tuple[ScriptRow, ...]


class ScriptText(Struct, kw_only=True, frozen=True):
    """A script as it was put."""

    text: bytes
    hash: str


class ScriptWarning(Struct, kw_only=True, frozen=True):
    """Something that is to be said about a place in a script; both numbers count from 1."""

    line: int
    column: int
    text: str


class Kept(Struct, kw_only=True, frozen=True):
    """The script is valid."""

    warnings: tuple[ScriptWarning, ...]


class RulesKept(Struct, kw_only=True, frozen=True):
    """The script that the rules became."""

    text: bytes
    warnings: tuple[ScriptWarning, ...]


class FoundRules(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The rules of a script, or the script as it is where rules would not say all it says."""

    rules: tuple[RuleShape, ...] | None = None
    raw: bytes | None = None
