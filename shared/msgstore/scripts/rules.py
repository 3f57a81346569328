"""Rules as data, and the script they stand for.

A rule has conditions and actions, each a word with its arguments, as sievelib's FiltersSet takes them::

    ("header", "Subject", ":contains", "offer")      ("size", ":over", "100K")      ("exists", "List-Id")
    ("envelope", ":is", ("from",), ("a@example.org",))                              ("true",)
    ("fileinto", ":copy", "Work")      ("redirect", "a@example.org")                 ("vacation", ":days", 7, "away")

A match type is negated as ``:notcontains``, a test without one as ``notexists``; line ends of values are read as LF.
What is written is read again and compared before it is given away, so no value can become a command; a script that
says anything that rules cannot say, or has comments of its own, is no rules.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from sievelib.commands import CommandError
from sievelib.factory import FilterAlreadyExists, FiltersSet
from sievelib.parser import Parser

from msgstore.model.errors import MsgstoreError
from msgstore.model.result import EnhancedStatus
from msgstore.scripts.checking import check
from msgstore.sieve import Engine
from msgstore.sieve.grammar import parse
from msgstore.sieve.tree import Argument, ArgumentKind, Node

__all__ = ["RULES_LIMIT", "RULES_LIMIT_OCTETS", "Rule", "RulesRefused", "Value", "Word", "rules_in", "text_of"]

RULES_LIMIT: Final = 500
RULES_LIMIT_OCTETS: Final = 64 * 1024
"""Of a script that sievelib reads: a quoted string costs it some 500 times its size."""

Value = str | int | tuple[str, ...]
Word = tuple[Value, ...]

_NAME_MARK: Final = "# Filter: "
_NOTE_MARK: Final = "# Description: "
_NESTING: Final = 32
_NUMBER: Final = re.compile(r"[0-9]{1,10}[KMG]?", re.IGNORECASE)
_LINE_END: Final = re.compile(r"\r?\n")
_COMMENT: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"|\btext:[ \t]*(?:#[^\n]*)?\r?\n.*?^\.\r?$|(?P<comment>#[^\n]*|/\*.*?\*/)',
    re.DOTALL | re.MULTILINE,
)
"""A comment, or a string, which may hold what looks like one."""

_NUMBERED: Final = (":days", ":seconds")
"""Tags of actions that a number follows."""

_TESTS: Final = ("true", "false", "size", "exists", "envelope", "address", "body", "currentdate")
_TESTS_AND_NEGATED: Final = frozenset((*_TESTS, *(f"not{test}" for test in _TESTS)))


class RulesRefused(MsgstoreError):
    """No script stands for these rules."""

    status = EnhancedStatus(5, 6, 0)
    rpc_code = "SCRIPT_INVALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Raises:
        ValueError: it has no condition or no action, or its name has several lines.
    """

    name: str
    """Unique in its script."""

    conditions: tuple[Word, ...]
    actions: tuple[Word, ...]
    matches: Literal["allof", "anyof"] = "allof"
    """Whether all conditions have to hold, or one of them."""

    enabled: bool = True

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name != self.name.strip() or len(self.name.splitlines()) != 1:
            raise ValueError("a rule has a name of one line")
        if not self.conditions or not self.actions or not all(self.conditions) or not all(self.actions):
            raise ValueError("a rule has a condition and an action")


def text_of(rules: Sequence[Rule], engine: Engine) -> bytes:
    """Write the script that rules stand for, with CRLF.

    Raises:
        RulesRefused: a word is unknown, an argument has no place there, two rules have one name, or there are too many.
    """
    if not 1 <= len(rules) <= RULES_LIMIT:
        raise RulesRefused(f"a script has 1 to {RULES_LIMIT} rules")
    try:
        text = _written(rules)
    except FilterAlreadyExists as error:
        raise RulesRefused("two rules have the same name") from error
    # What sievelib makes of words in places where they do not belong is any of these.
    except (CommandError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise RulesRefused(f"there is no such rule: {error}") from error
    content = _LINE_END.sub("\r\n", text).encode("utf-8", "surrogatepass")
    if len(content) > RULES_LIMIT_OCTETS:
        raise RulesRefused("the rules are too many for one script")
    findings = check(engine, content)
    if not findings.is_valid:
        raise RulesRefused("\n".join(str(found) for found in findings.errors))
    read = rules_in(content, engine)
    if read is None or [_canonical(one) for one in read] != [_canonical(one) for one in rules]:
        raise RulesRefused("an argument of a rule does not stand where it belongs")
    return content


def rules_in(content: bytes, engine: Engine) -> tuple[Rule, ...] | None:
    """Read the rules of a script; None where it does not compile, or where rules would not say all it says."""
    if len(content) > RULES_LIMIT_OCTETS or not check(engine, content).is_valid:
        return None
    text = content.decode("utf-8")
    parser = Parser()
    try:
        if not parser.parse(text.replace("\r\n", "\n").encode()):
            return None
        filters = FiltersSet("rules", _NAME_MARK, _NOTE_MARK)
        filters.from_parser_result(parser)
        if not filters.filters or len({one["name"] for one in filters.filters}) != len(filters.filters):
            return None
        rules = tuple(_rule(filters, one["name"], enabled=one["enabled"]) for one in filters.filters)
        written = _written(rules)
    except (CommandError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return None
    same = _meaning(text) == _meaning(written) and _comments(text) <= _comments(written)
    return rules if same else None


def _written(rules: Sequence[Rule]) -> str:
    filters = FiltersSet("rules", _NAME_MARK, _NOTE_MARK)
    for rule in rules:
        conditions = [_given(_without_header(word)) for word in rule.conditions]
        filters.addfilter(rule.name, conditions, [_given(word) for word in rule.actions], rule.matches)
        if not rule.enabled:
            filters.disablefilter(rule.name)
    return str(filters)


def _rule(filters: FiltersSet, name: str, *, enabled: bool) -> Rule:
    return Rule(
        name=name,
        conditions=tuple(_with_header(_taken(word)) for word in filters.get_filter_conditions(name) or ()),
        actions=tuple(_with_numbers(_taken(word)) for word in filters.get_filter_actions(name) or ()),
        matches="anyof" if filters.get_filter_matchtype(name) == "anyof" else "allof",
        enabled=enabled,
    )


def _given(word: Word) -> tuple[object, ...]:
    """Give a word as sievelib takes it; numbers it would put down as they come are looked at first."""
    if word[0] in ("size", "notsize") and not (len(word) == 3 and _NUMBER.fullmatch(str(word[2]))):
        raise ValueError("a size is a number with K, M or G behind it")
    return tuple(list(value) if isinstance(value, tuple) else value for value in _spread(word))


def _spread(word: Word) -> Word:
    """Let values follow each other where sievelib takes no list."""
    if str(word[0]).removeprefix("not") not in ("exists", "body", "currentdate"):
        return word
    return tuple(one for value in word for one in (value if isinstance(value, tuple) else (value,)))


def _canonical(rule: Rule) -> tuple[object, ...]:
    """Give what a rule says, whether or not a single value stands in a list."""
    words = tuple(
        tuple(_with_lf(value[0] if isinstance(value, tuple) and len(value) == 1 else value) for value in _spread(word))
        for word in (*rule.conditions, *rule.actions)
    )
    matches = rule.matches if len(rule.conditions) > 1 else ""
    return rule.name, matches, rule.enabled, len(rule.conditions), words


def _with_lf(value: Value) -> Value:
    return value.replace("\r\n", "\n") if isinstance(value, str) else value


def _taken(word: tuple[object, ...]) -> Word:
    return tuple(tuple(cast("list[str]", value)) if isinstance(value, list) else _plain(value) for value in word)


def _plain(value: object) -> str | int:
    if isinstance(value, str | int):
        return value
    raise TypeError("not a value of a rule")


def _with_header(word: Word) -> Word:
    """Name the test also where sievelib leaves it out, so that no header is ever taken for a test."""
    is_test = word[0] in _TESTS_AND_NEGATED and not (len(word) == 3 and _is_match_type(word[1]))
    return word if is_test else ("header", *word)


def _is_match_type(value: Value) -> bool:
    return isinstance(value, str) and value.removeprefix(":").removeprefix("not") in ("is", "contains", "matches")


def _without_header(word: Word) -> Word:
    if word[0] == "header" and len(word) != 4:
        raise ValueError("a header has a name, a match type and values")
    if word[0] != "header" and word[0] not in _TESTS_AND_NEGATED:
        raise ValueError(f"there is no test {word[0]!r}")
    return word


def _with_numbers(word: Word) -> Word:
    """Turn what follows a tag that takes a number into one: sievelib gives everything as text."""
    return tuple(
        int(value) if at and word[at - 1] in _NUMBERED and isinstance(value, str) and value.isdigit() else value
        for at, value in enumerate(word)
    )


def _meaning(text: str) -> object:
    """Give what a valid script says, without its form: places, comments, and whether one string stands in a list."""
    nodes = parse(text, _tell_nobody, nesting=_NESTING)
    required = {string for node in nodes if node.name == "require" for string in _strings(node.arguments)}
    return frozenset(required), tuple(_shape(node) for node in nodes if node.name != "require")


def _tell_nobody(offset: int, text: str, hint: str) -> None:
    """A script that compiles has no errors."""
    del offset, text, hint


def _strings(arguments: Sequence[Argument]) -> set[str]:
    return {one.text for argument in arguments for one in argument.strings or (argument,)}


def _shape(node: Node) -> tuple[object, ...]:
    arguments = tuple(_value(argument) for argument in node.arguments)
    tests = tuple(_shape(test) for test in node.tests)
    if node.name in ("allof", "anyof") and len(tests) == 1:
        return tests[0]
    block = None if node.block is None else tuple(_shape(inner) for inner in node.block)
    return node.name, arguments, tests, block


def _value(argument: Argument) -> object:
    match argument.kind:
        case ArgumentKind.NUMBER:
            return argument.number
        case ArgumentKind.TAG:
            return f":{argument.text}"
        case ArgumentKind.STRING:
            return (argument.text,)
        case ArgumentKind.STRINGS:
            return tuple(one.text for one in argument.strings)


def _comments(text: str) -> set[str]:
    """Give the comments of a valid script, wherever they stand."""
    found = (match["comment"] for match in _COMMENT.finditer(text))
    return {comment.strip() for comment in found if comment}
