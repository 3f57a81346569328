"""From text to a bound program, or to everything that is wrong with it at once.

Commands of extensions that are not required do not exist.  Behind an ``ihave`` for something this engine does not
have, what cannot be understood is kept as doubt and fails only when it is run. RFC 5228 §2.10.5, RFC 5463 §4.
"""

from difflib import get_close_matches

from msgstore.sieve.bind import ArgumentBinder, Unbound
from msgstore.sieve.grammar import parse
from msgstore.sieve.limits import Limits
from msgstore.sieve.problems import Diagnostic, Level
from msgstore.sieve.registry import Command, Definition, Placement, Test, Tests
from msgstore.sieve.tree import Lines, Node
from msgstore.sieve.values import Bound, Key
from msgstore.sieve.vocabulary import Registry

__all__ = ["Compiled", "compile_script"]


class Compiled:
    """What came of a text."""

    def __init__(self, code: tuple[Bound, ...], requires: frozenset[str], diagnostics: tuple[Diagnostic, ...]) -> None:
        self.code = code
        self.requires = requires
        self.diagnostics = diagnostics

    @property
    def is_valid(self) -> bool:
        """Whether there is no error among the diagnostics."""
        return not any(item.level is Level.ERROR for item in self.diagnostics)


def compile_script(script: bytes | str, registry: Registry, limits: Limits) -> Compiled:
    """Compile; never raises, whatever the script holds."""
    octets = script if isinstance(script, bytes) else script.encode("utf-8", "surrogatepass")
    if len(octets) > limits.script_octets:
        text = f"the script has {len(octets)} octets; {limits.script_octets} are allowed"
        return Compiled((), frozenset(), (Diagnostic(line=1, column=1, level=Level.ERROR, text=text),))
    text = octets.decode("utf-8", "replace")
    lines = Lines.of(text)
    report = _Report(lines, limits.diagnostics)
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError as error:
        offset = len(octets[: error.start].decode("utf-8", "replace"))
        report.error(offset, "the script is not UTF-8", "save it as UTF-8")
    nodes = parse(text, report.error, nesting=limits.nesting)
    compiler = _Compiler(registry, limits, lines, report)
    code = compiler.script(nodes)
    return Compiled(code, compiler.requires, report.findings())


class _Report:
    """Collects diagnostics."""

    def __init__(self, lines: Lines, limit: int) -> None:
        self._lines = lines
        self._limit = limit
        self._found: list[tuple[int, int, Diagnostic]] = []

    def error(self, offset: int, text: str, hint: str) -> None:
        self._add(offset, Level.ERROR, text, hint)

    def warning(self, offset: int, text: str, hint: str) -> None:
        self._add(offset, Level.WARNING, text, hint)

    def _add(self, offset: int, level: Level, text: str, hint: str) -> None:
        if len(self._found) < self._limit:
            place = self._lines.place(offset)
            found = Diagnostic(line=place.line, column=place.column, level=level, text=text, hint=hint)
            self._found.append((offset, len(self._found), found))

    def findings(self) -> tuple[Diagnostic, ...]:
        return tuple(item for _, _, item in sorted(self._found, key=lambda entry: entry[:2]))


class _Compiler:
    """Binds one script."""

    def __init__(self, registry: Registry, limits: Limits, lines: Lines, report: _Report) -> None:
        self._registry = registry
        self._line = lines.line
        self._report = report
        self.requires: frozenset[str] = frozenset()
        self._arguments = ArgumentBinder(registry, registry.vocabulary(()), limits)
        self._has_begun = False
        self._is_tolerant = False
        self._inside: list[str] = []
        self._follower_at = -1

    def script(self, nodes: tuple[Node, ...]) -> tuple[Bound, ...]:
        return self._commands(nodes)

    def _commands(self, nodes: tuple[Node, ...]) -> tuple[Bound, ...]:
        found: list[Bound] = []
        previous: Command | None = None
        for node in nodes:
            command = self._arguments.vocabulary.definitions.get(Key(is_test=False, name=node.name))
            is_follower = isinstance(command, Command) and bool(command.follows)
            if is_follower and isinstance(command, Command):
                fits = previous is not None and previous.name in command.follows and not previous.ends_chain
                if not fits:
                    names = " or ".join(sorted(command.follows))
                    self._report.error(node.offset, f"'{node.name}' must follow {names}", "")
            bound = self._command(node)
            previous = command if isinstance(command, Command) else None
            if bound is None:
                continue
            if is_follower and found:
                found[-1] = found[-1]._replace(followers=(*found[-1].followers, bound))
            else:
                found.append(bound)
        return tuple(found)

    def _command(self, node: Node) -> Bound | None:
        key = Key(is_test=False, name=node.name)
        try:
            definition = self._definition(node, key)
            assert isinstance(definition, Command)
            self._place(node, definition)
            bound = self._bind(node, definition, key)
        except Unbound as error:
            bound = self._doubtful(error, node, key)
            self._rest(node)
            return bound
        if definition.declares:
            self._require(node, bound)
        block: tuple[Bound, ...] | None = None
        if node.block is not None:
            self._inside.append(node.name)
            block = self._commands(node.block)
            self._inside.pop()
            bound = bound._replace(block=block)
        return bound

    def _rest(self, node: Node) -> None:
        """Look at the tests and the block of a command that is wrong itself."""
        if self._is_tolerant:
            return
        for test in node.tests:
            self._test(test)
        if node.block is not None:
            self._inside.append(node.name)
            self._commands(node.block)
            self._inside.pop()

    def _place(self, node: Node, definition: Command) -> None:
        if definition.placement is Placement.FIRST and (self._has_begun or self._inside):
            raise Unbound(node.offset, f"'{node.name}' must stand before all other commands")
        if definition.placement is Placement.TOP_LEVEL and self._inside:
            raise Unbound(node.offset, f"'{node.name}' cannot stand in a block")
        if definition.placement is not Placement.FIRST:
            self._has_begun = True
        if definition.inside and definition.inside not in self._inside:
            raise Unbound(node.offset, f"'{node.name}' must stand in the block of '{definition.inside}'")
        if definition.block and node.block is None:
            raise Unbound(node.offset, f"'{node.name}' needs a block")
        if not definition.block and node.block is not None:
            raise Unbound(node.offset, f"'{node.name}' has no block", "end it with ';'")

    def _test(self, node: Node) -> Bound:
        key = Key(is_test=True, name=node.name)
        try:
            definition = self._definition(node, key)
            bound = self._bind(node, definition, key)
        except Unbound as error:
            return self._doubtful(error, node, key)
        if isinstance(definition, Test) and definition.grants:
            self._grant(bound)
        return bound

    def _bind(self, node: Node, definition: Definition, key: Key) -> Bound:
        values, match = self._arguments.bind(node, definition, key)
        for need in definition.needs:
            if need not in self._arguments.vocabulary.requires:
                raise Unbound(node.offset, f"'{node.name}' needs {need!r} too", f'require "{need}"')
        self._count_tests(node, definition)
        tests = tuple([self._test(test) for test in node.tests])
        bound = Bound(key, self._line(node.offset), values, match, tests)
        if definition.check is not None:
            wrong = definition.check(bound)
            if wrong:
                raise Unbound(node.offset, wrong)
        return bound

    def _count_tests(self, node: Node, definition: Definition) -> None:
        if definition.tests is Tests.NONE:
            if node.tests:
                raise Unbound(node.tests[0].offset, f"'{node.name}' takes no test", "is a ';' missing?")
        elif definition.tests is Tests.ONE:
            if len(node.tests) != 1 or node.has_test_list:
                raise Unbound(node.offset, f"'{node.name}' takes one test", "join tests with allof or anyof")
        elif not node.has_test_list:
            raise Unbound(node.offset, f"'{node.name}' takes tests in parentheses")

    def _doubtful(self, error: Unbound, node: Node, key: Key) -> Bound:
        if self._is_tolerant:
            self._report.warning(error.offset, error.text, "it fails when it is reached")
        else:
            self._report.error(error.offset, error.text, error.hint)
        return Bound(key=key, line=self._line(node.offset), doubt=error.text)

    def _definition(self, node: Node, key: Key) -> Definition:
        found = self._arguments.vocabulary.definitions.get(key)
        if found is not None:
            return found
        self._has_begun = True
        kind = "test" if key.is_test else "command"
        owner = self._registry.owners.get(key)
        if owner:
            raise Unbound(node.offset, f"there is no {kind} '{node.name}' here", f'require "{owner}"')
        if Key(is_test=not key.is_test, name=key.name) in self._registry.owners:
            raise Unbound(node.offset, f"'{node.name}' is no {kind}", f"it is a {'command' if key.is_test else 'test'}")
        known = [other.name for other in self._arguments.vocabulary.definitions if other.is_test == key.is_test]
        near = get_close_matches(node.name, known, 1)
        raise Unbound(node.offset, f"there is no {kind} '{node.name[:60]}'", f"did you mean {near[0]}?" if near else "")

    def _require(self, node: Node, bound: Bound) -> None:
        names = bound.values.get("capabilities")
        assert isinstance(names, tuple)
        for name in names:
            if name not in self._registry.by_capability or name == "":
                near = get_close_matches(str(name), self._registry.capabilities, 1)
                hint = f"did you mean {near[0]!r}?" if near else ""
                self._report.error(node.offset, f"there is no capability {str(name)[:60]!r}", hint)
        self._add({str(name) for name in names})

    def _grant(self, bound: Bound) -> None:
        names = bound.values.get("capabilities")
        assert isinstance(names, tuple)
        wanted = {str(name) for name in names}
        known = {name for name in wanted if name in self.requires or self._can_be_late(name)}
        # One that is not there fails the test, and then none of them is in effect. RFC 5463 §4.
        if known == wanted:
            self._add(wanted)
        else:
            self._is_tolerant = True

    def _can_be_late(self, name: str) -> bool:
        found = self._registry.by_capability.get(name)
        return bool(name) and found is not None and all(item.can_be_late for item in found)

    def _add(self, names: set[str]) -> None:
        self._arguments.vocabulary = self._registry.vocabulary(self.requires | names)
        self.requires = self._arguments.vocabulary.requires
