"""The end of a run: what is to be done, what is to be remembered, why."""

from dataclasses import dataclass

from msgstore.sieve.actions import Action
from msgstore.sieve.problems import ScriptFailed

__all__ = ["SeenMark", "Step", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMark:
    """An id to be recorded once every action was carried out, and not before. RFC 7352 §3."""

    handle: str
    unique_id: str
    seconds: int
    last: bool
    """Whether the period begins anew where the id is recorded already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a run, for who wants to know why."""

    script: str
    line: int
    kind: str
    """``command``, ``test``, ``action``, ``note``, ``include`` or ``error``."""

    name: str
    """Of the command, test or action."""

    outcome: str = ""
    """What came of it: ``true`` and ``false`` of a test, else in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the scripts of a context have decided so far."""

    actions: tuple[Action, ...]
    """In order; the last one is the implicit keep where that stands, marked as such."""

    keeps: bool
    """Whether the implicit keep stands: only then a further script is to be run."""

    error: ScriptFailed | None = None
    """Why the last script did not come to its end; the user must be told. RFC 5228 §2.10.6."""

    seen: tuple[SeenMark, ...] = ()
    trace: tuple[Step, ...] = ()
    """Empty unless asked for."""

    notes: tuple[str, ...] = ()
    """What the run did otherwise than the script may have meant; short, without content of the message."""
