"""What can be wrong with a script: diagnostics when it is compiled, a failure when it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from msgstore.model.errors import MsgstoreError

__all__ = ["Diagnostic", "InvalidScript", "Level", "LimitReached", "ScriptFailed"]


class Level(Enum):
    """Whether a script with this finding may be used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding in a script."""

    line: int
    """From 1."""

    column: int
    """From 1, in characters."""

    level: Level
    text: str
    hint: str = ""
    """What would put it right; empty where nothing is sure."""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.line}:{self.column}: {self.level.value}: {self.text}{hint}"


class InvalidScript(MsgstoreError):
    """The script cannot be compiled; mail is delivered as if there were none. RFC 5228 §2.10.6."""

    rpc_code = "SCRIPT_INVALID"

    def __init__(self, diagnostics: Sequence[Diagnostic], name: str = "") -> None:
        """Every finding, in the order of the script; at least one is an error."""
        self.diagnostics = tuple(diagnostics)
        self.name = name
        first = next((item for item in self.diagnostics if item.level is Level.ERROR), None)
        super().__init__(f"script {name or '-'}: {first or 'is not valid'}")

    def __reduce__(self) -> tuple[type["InvalidScript"], tuple[tuple[Diagnostic, ...], str]]:
        return InvalidScript, (self.diagnostics, self.name)


class ScriptFailed(MsgstoreError):
    """A script cannot go on; its run ends with the implicit keep. RFC 5228 §2.10.6."""

    def __init__(self, text: str, line: int = 0, script: str = "") -> None:
        """A line of 0 is filled in by the command that fails."""
        super().__init__(text)
        self.text = text
        self.line = line
        self.script = script


class LimitReached(ScriptFailed):
    """A run asked for more than :class:`~msgstore.sieve.limits.Limits` gives."""
