"""What may be kept: a script that compiles."""

from dataclasses import dataclass
from typing import Final

from msgstore.model.errors import MsgstoreError
from msgstore.model.result import EnhancedStatus
from msgstore.model.scripts import ScriptShelf, check_script
from msgstore.sieve import Diagnostic, Engine, Level

__all__ = ["Findings", "ScriptInvalid", "activate_checked", "check", "put_checked"]

_EMPTY: Final = Diagnostic(
    line=1,
    column=1,
    level=Level.ERROR,
    text="the script is empty",
    hint="to switch filtering off, activate no script",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is to be said about a script, in its order."""

    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]

    @property
    def is_valid(self) -> bool:
        """Whether the script may be kept."""
        return not self.errors


class ScriptInvalid(MsgstoreError):
    """The script does not compile; what was kept before it is kept on."""

    status = EnhancedStatus(5, 6, 0)
    rpc_code = "SCRIPT_INVALID"

    def __init__(self, findings: Findings) -> None:
        """There is at least one error."""
        super().__init__("\n".join(str(found) for found in findings.errors))
        self.findings = findings


def check(engine: Engine, content: bytes) -> Findings:
    """Compile a script and say what was found; a script without anything in it is an error.

    RFC 5804 §2.12.
    """
    if not content.strip():
        return Findings(errors=(_EMPTY,), warnings=())
    found = engine.check(content)
    return Findings(
        errors=tuple(one for one in found if one.level is Level.ERROR),
        warnings=tuple(one for one in found if one.level is not Level.ERROR),
    )


def put_checked(
    shelf: ScriptShelf, engine: Engine, name: str, content: bytes, *, activate: bool = False
) -> tuple[Diagnostic, ...]:
    """Keep a script that compiles, make it the active one where that is wanted, and give the warnings.

    Raises:
        ScriptInvalid: it does not compile; nothing has changed.
        InvalidScriptName, ScriptTooLarge, TooManyScripts, MailboxNotFound, StoreError: as the shelf says.

    RFC 5804 §2.6.
    """
    check_script(name, content)
    findings = check(engine, content)
    if not findings.is_valid:
        raise ScriptInvalid(findings)
    shelf.put(name, content)
    if activate:
        shelf.activate(name)
    return findings.warnings


def activate_checked(shelf: ScriptShelf, engine: Engine, name: str | None) -> None:
    """Make a script the active one where it compiles: it may have come to the shelf by another way.

    Raises:
        ScriptInvalid: it does not compile; nothing has changed.
        ScriptNotFound, MailboxNotFound, StoreError: as the shelf says.
    """
    if name is not None:
        findings = check(engine, shelf.read(name))
        if not findings.is_valid:
            raise ScriptInvalid(findings)
    shelf.activate(name)
