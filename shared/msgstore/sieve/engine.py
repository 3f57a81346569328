"""The engine: a registry, limits, and what is done with them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final, cast

from msgstore.sieve.compile import compile_script
from msgstore.sieve.context import Context, Result
from msgstore.sieve.flow import BreakLoop, ReturnFromScript, StopScript
from msgstore.sieve.limits import DEFAULT_LIMITS, Limits
from msgstore.sieve.link import link, ready_matcher
from msgstore.sieve.problems import Diagnostic, InvalidScript, LimitReached, ScriptFailed
from msgstore.sieve.program import Program
from msgstore.sieve.questions import Asking, is_asking
from msgstore.sieve.registry import Block, Extension
from msgstore.sieve.values import Match
from msgstore.sieve.verdict import Verdict
from msgstore.sieve.vocabulary import Registry

__all__ = ["ENGINE_VERSION", "Engine"]

ENGINE_VERSION: Final = "1"
"""Goes into every fingerprint: raised when a compiled program of before means something else."""

_numbers: Final = itertools.count()


class Engine:
    """Compiles and runs; holds no state of a run, so every thread may use it."""

    def __init__(self, extensions: Iterable[Extension], *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Take the extensions, the language's own ones among them.

        Raises:
            ValueError: two extensions define the same word.
        """
        self.registry = Registry(tuple(extensions))
        self.limits = limits
        self._number = next(_numbers)
        words = "\n".join((ENGINE_VERSION, repr(limits), *self.registry.capabilities))
        self.fingerprint: str = sha256(words.encode()).hexdigest()
        """Of version, limits and capabilities: programs may be kept by it."""

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What ``require`` can name, in alphabetical order."""
        return self.registry.capabilities

    def cache_key(self, script: bytes | str) -> str:
        """Name the program that this script compiles to, in this engine and in every one like it."""
        return f"{_digest(script)}-{self.fingerprint[:16]}"

    def compile(self, script: bytes | str, *, name: str = "") -> Program:
        """Compile a script; ``name`` is what errors and traces call it.

        Raises:
            InvalidScript: it has errors; holds all of them, and the warnings.
        """
        compiled = compile_script(script, self.registry, self.limits)
        if not compiled.is_valid:
            raise InvalidScript(compiled.diagnostics, name)
        digest = _digest(script)
        return Program(compiled.code, name, compiled.requires, digest, self.fingerprint, compiled.diagnostics)

    def check(self, script: bytes | str) -> tuple[Diagnostic, ...]:
        """Give all that is to be said about a script; it is valid where no error is among it."""
        return compile_script(script, self.registry, self.limits).diagnostics

    def run(self, program: Program, context: Context) -> Asking[Verdict]:
        """Run a program: yields questions, is sent the answers, ends with what its context has decided so far.

        An error of the script ends in the verdict, never in an exception: what this program decided is forgotten, the
        implicit keep takes the message as it came, what earlier programs of the context decided stays.

        Raises:
            ValueError: the program was compiled by an engine of another fingerprint.
        """
        result = context.result
        context.adopt(self.limits)
        context.engine, context.program, context.script = self, program, program.name
        before = _Saved(result)
        block = self.linked(program, traced=result.trace is not None)
        try:
            found = block.run(context)
            if block.asks:
                yield from cast("Asking[object]", found)
        except (StopScript, ReturnFromScript):
            pass
        except BreakLoop:
            before.fail(context, ScriptFailed("there is no loop to break", 0, context.script))
        except ScriptFailed as error:
            before.fail(context, error)
        except RecursionError:
            before.fail(context, LimitReached("the script is nested too deeply", 0, context.script))
        return self.verdict(context)

    def verdict(self, context: Context) -> Verdict:
        """Give what a context has decided so far."""
        result = context.result
        actions = (*result.actions, context.implicit_keep()) if result.keeps else tuple(result.actions)
        return Verdict(
            actions=actions,
            keeps=result.keeps and result.failed is None,
            error=result.failed,
            seen=tuple(result.seen.values()),
            trace=tuple(result.trace or ()),
            notes=tuple(result.notes),
        )

    def linked(self, program: Program, *, traced: bool) -> Block:
        """Give what runs a program; made at its first run."""
        key = (self._number, traced)
        found = program.linked.get(key)
        if found is None:
            if program.engine != self.fingerprint:
                raise ValueError(f"{program!r} was compiled by another engine")
            words = self.registry.vocabulary(program.requires)
            found = link(program.code, words, program.name, program.requires, traced=traced)
            program.linked[key] = found
        return found

    def match(
        self, context: Context, values: Sequence[str], keys: Sequence[str], tags: Mapping[str, str]
    ) -> Asking[bool]:
        """See :meth:`Context.match <msgstore.sieve.context.Context.match>`."""
        words = self.registry.everything
        comparator = tags.get("comparator", "i;ascii-casemap")
        names = [name for name in tags if name != "comparator"] or ["is"]
        if len(names) != 1 or names[0] not in words.match_types or comparator not in words.comparators:
            raise context.fail("there is no such match type or comparator")
        match = Match(names[0], tags.get(names[0], ""), comparator)
        try:
            matcher = ready_matcher(words, match, tuple(keys), tags.get(names[0], ""))
        except ValueError as error:
            raise context.fail(str(error)) from error
        if words.match_types[names[0]].counts:
            values = (str(len(values)),)
        found = matcher(context, values)
        if is_asking(matcher):
            found = yield from cast("Asking[object]", found)
        return bool(found)


class _Saved:
    """What a result held before a program began."""

    def __init__(self, result: Result) -> None:
        self.actions = list(result.actions)
        self.flags = result.flags
        self.redirects = result.redirects
        self.seen = dict(result.seen)

    def fail(self, context: Context, error: ScriptFailed) -> None:
        """Forget what the program did; the message is kept as it came. RFC 5228 §2.10.6, RFC 5293 §7."""
        result = context.result
        result.actions[:] = self.actions
        result.flags, result.redirects, result.seen = self.flags, self.redirects, self.seen
        result.message = result.original
        result.keeps = True
        result.failed = error
        context.note_step("error", "", error.line, error.text)


def _digest(script: bytes | str) -> str:
    return sha256(script if isinstance(script, bytes) else script.encode("utf-8", "surrogatepass")).hexdigest()
