"""From bound commands to closures.

What is constant is worked out once, what asks becomes a generator, the rest stays plain.  A traced program is linked
apart, so that nobody else pays for tracing.
"""

from collections.abc import Callable, Sequence
from typing import cast

from msgstore.sieve.addresses import MailAddress
from msgstore.sieve.bind import ADDRESS_PART, MODIFIERS
from msgstore.sieve.context import Context
from msgstore.sieve.problems import ScriptFailed
from msgstore.sieve.questions import Asking, is_asking
from msgstore.sieve.registry import Block, Matcher, Modifier, Runner
from msgstore.sieve.values import Bound, Match, Template, Text, Value
from msgstore.sieve.vocabulary import Vocabulary

__all__ = ["Linked", "LinkedSite", "link", "ready_matcher"]


class Linked:
    """A runner that says whether it asks."""

    __slots__ = ("asks", "run")

    def __init__(self, run: Runner, *, asks: bool) -> None:
        self.run = run
        self.asks = asks


class Linker:
    """Links one program for one engine."""

    def __init__(self, words: Vocabulary, script: str, requires: frozenset[str], *, traced: bool) -> None:
        self.words = words
        self.script = script
        self.requires = requires
        self.traced = traced

    def block(self, code: Sequence[Bound]) -> Linked:
        """Link commands that are run one after the other."""
        linked = [(self.one(bound), bound.line) for bound in code]
        if any(step.asks for step, _ in linked):
            return Linked(_asking_block([(step.run, step.asks, line) for step, line in linked]), asks=True)
        return Linked(_plain_block([(step.run, line) for step, line in linked]), asks=False)

    def one(self, bound: Bound) -> Linked:
        """Link one command or test."""
        linked = self._one(bound)
        return _traced(linked, bound) if self.traced else linked

    def _one(self, bound: Bound) -> Linked:
        if bound.doubt:
            return Linked(_failing(bound.doubt, bound.line), asks=False)
        definition = self.words.definitions[bound.key]
        site = LinkedSite(bound, self)
        if definition.build is not None:
            run = definition.build(site)
            return Linked(run, asks=is_asking(run))
        handler = definition.handler
        assert handler is not None
        if is_asking(handler):

            def asking(context: Context) -> Asking[object]:
                return (yield from cast("Asking[object]", handler(context, DecodedArguments(context, site))))

            return Linked(asking, asks=True)
        return Linked(lambda context: handler(context, DecodedArguments(context, site)), asks=False)


def link(  # noqa: D103
    code: Sequence[Bound], words: Vocabulary, script: str, requires: frozenset[str], *, traced: bool
) -> Block:
    return cast("Block", Linker(words, script, requires, traced=traced).block(code))


class LinkedSite:
    """See :class:`~msgstore.sieve.registry.Site`."""

    def __init__(self, bound: Bound, linker: Linker) -> None:
        self.bound = bound
        self.line = bound.line
        self.script = linker.script
        self.requires = linker.requires
        self._linker = linker
        self._tests: tuple[Block, ...] | None = None
        self._block: Block | None = None

    @property
    def tests(self) -> tuple[Block, ...]:
        """The tests behind it."""
        if self._tests is None:
            self._tests = tuple(cast("Block", self._linker.one(test)) for test in self.bound.tests)
        return self._tests

    @property
    def block(self) -> Block | None:
        """Its block; of a follower that was not understood one that fails, so that nobody runs past it."""
        if self._block is None and self.bound.doubt:
            self._block = cast("Block", Linked(_failing(self.bound.doubt, self.line), asks=False))
        if self._block is None and self.bound.block is not None:
            self._block = cast("Block", self._linker.block(self.bound.block))
        return self._block

    @property
    def followers(self) -> tuple["LinkedSite", ...]:
        """The commands that follow and belong to it."""
        return tuple(LinkedSite(follower, self._linker) for follower in self.bound.followers)

    def has(self, name: str) -> bool:
        """Whether an argument or tag was given."""
        return name in self.bound.values

    def text(self, name: str, default: str = "") -> Callable[[Context], str]:
        """Give what gives the text of an argument."""
        value = self.bound.values.get(name, default)
        if isinstance(value, Template):
            template = value
            return lambda context: context.expand(template)
        assert isinstance(value, str), name
        constant = value
        return lambda _: constant

    def texts(self, name: str) -> Callable[[Context], tuple[str, ...]]:
        """Give what gives the texts of an argument; none where it was left out."""
        value = self.bound.values.get(name, ())
        assert isinstance(value, tuple), name
        constants = _constants(value)
        if constants is not None:
            return lambda _: constants
        return lambda context: tuple([context.expand(text) for text in value])

    def number(self, name: str, default: int = 0) -> int:
        """Give the number of an argument."""
        value = self.bound.values.get(name, default)
        assert isinstance(value, int), name
        return value

    def matcher(self, keys: str = "keys", match: Match | None = None) -> tuple[Matcher, bool]:
        """Give what compares values with the keys, and whether that asks."""
        match = match or self.bound.match
        assert match is not None
        value = self.bound.values.get(keys, ())
        if isinstance(value, str | Template):
            value = (value,)
        assert isinstance(value, tuple)
        constants = _constants(value)
        if constants is not None and isinstance(match.operand, str):
            matcher = ready_matcher(self._linker.words, match, constants, match.operand)
            return matcher, is_asking(matcher)
        return self._late_matcher(match, value)

    def _late_matcher(self, match: Match, texts: tuple[Text, ...]) -> tuple[Matcher, bool]:
        words = self._linker.words
        last: tuple[tuple[str, ...], str, Matcher] | None = None

        def now(context: Context) -> Matcher:
            nonlocal last
            keys = tuple([context.expand(text) for text in texts])
            operand = context.expand(match.operand)
            known = last
            if known is not None and known[0] == keys and known[1] == operand:
                return known[2]
            context.spend(sum(map(len, keys)) >> 3)
            try:
                matcher = ready_matcher(words, match, keys, operand)
            except ValueError as error:
                raise context.fail(str(error)) from error
            last = (keys, operand, matcher)
            return matcher

        if is_asking(words.match_types[match.match_type].build(words.comparators[match.comparator], (), "")):

            def asking(context: Context, values: Sequence[str]) -> Asking[object]:
                return (yield from cast("Asking[object]", now(context)(context, values)))

            return asking, True
        return lambda context, values: now(context)(context, values), False

    def counts(self) -> bool:
        """Whether the match type counts values."""
        assert self.bound.match is not None
        return self._linker.words.match_types[self.bound.match.match_type].counts

    def part(self) -> Callable[[Context, MailAddress], str | None]:
        """Give what takes the address part."""
        return self._linker.words.address_parts[str(self.bound.values.get(ADDRESS_PART, "all"))].take

    def modify(self) -> Callable[[str], str]:
        """Give what applies the modifiers."""
        names = self.bound.values.get(MODIFIERS, ())
        assert isinstance(names, tuple)
        modifiers: list[Modifier] = [self._linker.words.modifiers[str(name)] for name in names]

        def modify(text: str) -> str:
            for modifier in modifiers:
                text = modifier.apply(text)
            return text

        return modify

    def effects(self) -> Callable[[Context], dict[str, object]]:
        """Give what gives the fields that added tags set."""
        tags = self._linker.words.tags[self.bound.key]
        found = [(tag.effect, self.bound.values[name]) for name, tag in tags.items() if name in self.bound.values]
        effects = [(effect, value) for effect, value in found if effect is not None]

        def fields(context: Context) -> dict[str, object]:
            result: dict[str, object] = {}
            for effect, value in effects:
                result.update(effect(context, _decoded(context, value)))
            return result

        return fields


class DecodedArguments:
    """See :class:`~msgstore.sieve.registry.Arguments`."""

    __slots__ = ("_context", "_site", "bound", "line")

    def __init__(self, context: Context, site: LinkedSite) -> None:
        self._context = context
        self._site = site
        self.bound = site.bound
        self.line = site.line

    def has(self, name: str) -> bool:
        """Whether an argument or tag was given."""
        return name in self.bound.values

    def text(self, name: str, default: str = "") -> str:
        """Give the text of an argument."""
        return self._site.text(name, default)(self._context)

    def texts(self, name: str) -> tuple[str, ...]:
        """Give the texts of an argument; none where it was left out."""
        return self._site.texts(name)(self._context)

    def number(self, name: str, default: int = 0) -> int:
        """Give the number of an argument."""
        return self._site.number(name, default)

    def counts(self) -> bool:
        """Whether the match type counts values."""
        return self._site.counts()

    def match(self, values: Sequence[str], keys: str = "keys") -> Asking[bool]:
        """Compare values with an argument as the tags say; yield from it."""
        matcher, asks = self._site.matcher(keys)
        if self._site.counts():
            values = (str(len(values)),)
        found = matcher(self._context, values)
        if asks:
            found = yield from cast("Asking[object]", found)
        return bool(found)

    def test(self, index: int = 0) -> Asking[bool]:
        """Run a test; yield from it."""
        test = self._site.tests[index]
        found = test.run(self._context)
        if test.asks:
            found = yield from cast("Asking[object]", found)
        return bool(found)

    def block(self) -> Asking[None]:
        """Run the block; yield from it, as often as wanted."""
        block = self._site.block
        assert block is not None
        found = block.run(self._context)
        if block.asks:
            yield from cast("Asking[object]", found)

    def effects(self) -> dict[str, object]:
        """Give the fields that added tags set."""
        return self._site.effects()(self._context)


def ready_matcher(words: Vocabulary, match: Match, keys: tuple[str, ...], operand: str) -> Matcher:
    """Build a matcher.

    Raises:
        ValueError: a key or the operand is not valid.
    """
    match_type = words.match_types[match.match_type]
    if match_type.operands is not None and operand.lower() not in match_type.operands:
        raise ValueError(f":{match_type.name} does not know {operand[:40]!r}")
    return match_type.build(words.comparators[match.comparator], keys, operand.lower())


def _constants(texts: tuple[Text, ...]) -> tuple[str, ...] | None:
    found = tuple([text for text in texts if isinstance(text, str)])
    return found if len(found) == len(texts) else None


def _decoded(context: Context, value: Value) -> Value:
    if isinstance(value, Template):
        return context.expand(value)
    if isinstance(value, tuple):
        return tuple([context.expand(text) for text in value])
    return value


def _failing(doubt: str, line: int) -> Runner:
    def fail(context: Context) -> object:
        raise context.fail(doubt, line)

    return fail


def _placed(error: ScriptFailed, context: Context, line: int) -> None:
    if not error.line:
        error.line = line
    if not error.script:
        error.script = context.script


def _plain_block(steps: list[tuple[Runner, int]]) -> Runner:
    count = len(steps) or 1

    def run(context: Context) -> None:
        context.spend(count)
        line = 0
        try:
            for step, line in steps:  # noqa: B007
                step(context)
        except ScriptFailed as error:
            _placed(error, context, line)
            raise

    return run


def _asking_block(steps: list[tuple[Runner, bool, int]]) -> Runner:
    count = len(steps)

    def run(context: Context) -> Asking[None]:
        context.spend(count)
        line = 0
        try:
            for step, asks, line in steps:  # noqa: B007
                found = step(context)
                if asks:
                    yield from cast("Asking[object]", found)
        except ScriptFailed as error:
            _placed(error, context, line)
            raise

    return run


def _traced(linked: Linked, bound: Bound) -> Linked:
    name, line, run = bound.key.name, bound.line, linked.run
    kind = "test" if bound.key.is_test else "command"

    def told(context: Context, found: object) -> object:
        outcome = str(bool(found)).lower() if kind == "test" else ""
        context.note_step(kind, name, line, outcome)
        return found

    if linked.asks:

        def asking(context: Context) -> Asking[object]:
            if kind == "command":
                told(context, None)
            found = yield from cast("Asking[object]", run(context))
            return told(context, found) if kind == "test" else found

        return Linked(asking, asks=True)

    def plain(context: Context) -> object:
        if kind == "command":
            told(context, None)
            return run(context)
        return told(context, run(context))

    return Linked(plain, asks=False)
