"""A compiled script: immutable, shared between threads, pickled for a cache."""

from typing import TYPE_CHECKING

from msgstore.sieve.problems import Diagnostic
from msgstore.sieve.values import Bound

if TYPE_CHECKING:
    from msgstore.sieve.handles import Block

__all__ = ["Program"]


class Program:
    """Made by ``Engine.compile``; runs in every engine of the same fingerprint."""

    __slots__ = ("code", "digest", "engine", "linked", "name", "requires", "warnings")

    def __init__(  # noqa: PLR0917
        self,
        code: tuple[Bound, ...],
        name: str,
        requires: frozenset[str],
        digest: str,
        engine: str,
        warnings: tuple[Diagnostic, ...] = (),
    ) -> None:
        self.code = code
        self.name = name
        """What errors and traces call it."""

        self.requires = requires
        """Capabilities in effect, implied and granted ones included."""

        self.digest = digest
        """SHA-256 of the text, in hex."""

        self.engine = engine
        """Fingerprint of the engine that compiled it."""

        self.warnings = warnings
        self.linked: dict[tuple[int, bool], Block] = {}
        """By engine and tracing; filled by engines when they first run it, not pickled."""

    def __reduce__(self) -> tuple[type["Program"], tuple[object, ...]]:
        return Program, (self.code, self.name, self.requires, self.digest, self.engine, self.warnings)

    def __repr__(self) -> str:
        return f"<Program {self.name or '-'} {self.digest[:12]}>"
