"""Rules as data and as a script: the same both ways, and never more than was said."""

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis.strategies import sampled_from, text, tuples

from msgstore.scripts.rules import RULES_LIMIT, RULES_LIMIT_OCTETS, Rule, RulesRefused, Word, rules_in, text_of
from msgstore.sieve import Context, FileInto, Keep, Message, default_engine, evaluate

ENGINE = default_engine()
ANY: Word = ("true",)
KEEP: Word = ("keep",)

CONDITIONS: list[Word] = [
    ("header", "Subject", ":contains", 'a "quoted" \\ text'),
    ("header", ("To", "Cc"), ":notis", ("a", "b")),
    ("header", "size", ":is", "4"),
    ("header", "exists", ":matches", "*"),
    ("size", ":over", "100K"),
    ("notsize", ":under", "1M"),
    ("exists", "List-Id"),
    ("notexists", "X-A", "X-B"),
    ("envelope", ":is", ("from",), ("a@example.org",)),
    ("address", ":notcontains", "from", "example.org"),
    ("body", ":text", ":contains", "offer"),
    ("currentdate", ":zone", "+0100", ":is", "weekday", "1"),
    ("true",),
    ("notfalse",),
]
ACTIONS: list[Word] = [
    ("fileinto", "Work"),
    ("fileinto", ":copy", "Work/Été"),
    ("redirect", "a@example.org"),
    ("addflag", "\\Flagged"),
    ("setflag", ("\\Seen", "later")),
    ("vacation", ":days", 7, "I am away # really\nuntil Monday"),
    ("reject", "no"),
    ("discard",),
    ("keep",),
    ("stop",),
]


def rule(*conditions: Word, actions: tuple[Word, ...] = (KEEP,), name: str = "one") -> Rule:
    return Rule(name=name, conditions=conditions or (ANY,), actions=actions)


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
@pytest.mark.parametrize("matches", ["allof", "anyof"])
@pytest.mark.parametrize("enabled", [True, False])
def test_a_condition_comes_back_as_it_went(
    condition: Word, matches: Literal["allof", "anyof"], *, enabled: bool
) -> None:
    rules = (Rule(name="n", conditions=(condition, ANY), actions=(KEEP,), matches=matches, enabled=enabled),)

    assert rules_in(text_of(rules, ENGINE), ENGINE) == rules


@pytest.mark.parametrize("action", ACTIONS, ids=str)
def test_an_action_comes_back_as_it_went(action: Word) -> None:
    rules = (rule(actions=(action,)),)

    assert rules_in(text_of(rules, ENGINE), ENGINE) == rules


def test_rules_keep_their_order() -> None:
    rules = tuple(rule(name=f"rule {number}") for number in range(20))

    assert rules_in(text_of(rules, ENGINE), ENGINE) == rules


def test_a_value_may_stand_in_a_list_or_not() -> None:
    given_rules = [rule(("envelope", ":is", "from", ("a@example.org",)), ("body", ":raw", ":is", ("a", "b")))]

    assert rules_in(text_of(given_rules, ENGINE), ENGINE) == (
        rule(("envelope", ":is", ("from",), ("a@example.org",)), ("body", ":raw", ":is", "a", "b")),
    )


@settings(deadline=None, max_examples=150)
@given(values=tuples(text(max_size=30), text(max_size=30), text(max_size=30)), at=sampled_from(CONDITIONS[:2]))
def test_no_value_becomes_a_command(values: tuple[str, str, str], at: Word) -> None:
    name, value, folder = values
    try:
        asked = Rule(name=name, conditions=((*at[:3], value),), actions=(("fileinto", folder),))
        content = text_of([asked], ENGINE)
    except (RulesRefused, ValueError):
        return

    assert rules_in(content, ENGINE) == (asked,)


INJECTIONS: list[Word] = [
    ("size", ":over", "1; } discard; if true {"),
    ("size", ':over 1 "', "1K"),
    ("header", "Subject", ':is "a" "b") { discard; } if (true', "x"),
    ("body", ":raw", ":bogus", "x"),
    ("currentdate", ":zone"),
    ("subject", ":is", "x"),
    ("header", "Subject", ":is"),
    ("header", "Bad Name\r\n", ":regex", "x"),
    (7, ":is"),
]


@pytest.mark.parametrize("condition", INJECTIONS, ids=str)
def test_what_is_no_condition_is_refused(condition: Word) -> None:
    with pytest.raises(RulesRefused):
        text_of([rule(condition)], ENGINE)


@pytest.mark.parametrize(
    "action",
    [
        ("fileinto",),
        ("fileinto", ":copy"),
        ("exec", "x"),
        ("if", "x"),
        ("keep", "x"),
        ("vacation", ":days", "7", "x"),
        (3,),
    ],
    ids=str,
)
def test_what_is_no_action_is_refused(action: Word) -> None:
    with pytest.raises(RulesRefused):
        text_of([rule(actions=(action,))], ENGINE)


def test_rules_of_one_name_none_at_all_and_too_many_are_refused() -> None:
    for rules in ([], [rule(), rule()], [rule(name=str(number)) for number in range(RULES_LIMIT + 1)]):
        with pytest.raises(RulesRefused):
            text_of(rules, ENGINE)
    with pytest.raises(RulesRefused):
        text_of([rule(("header", "Subject", ":is", "a" * RULES_LIMIT_OCTETS))], ENGINE)


@pytest.mark.parametrize("name", ["", " ", "a\nb", " a"])
def test_a_rule_needs_a_name_of_one_line(name: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        rule(name=name)


def test_a_rule_needs_a_condition_and_an_action() -> None:
    for conditions, actions in (((), (KEEP,)), ((ANY,), ()), (((),), (KEEP,))):
        with pytest.raises(ValueError, match="condition and an action"):
            Rule(name="a", conditions=conditions, actions=actions)


FOREIGN = [
    "keep;",
    'if header :is "a" "b" { keep; } else { discard; }',
    'if header :is "a" "b" { if true { keep; } }',
    'if address :domain :is "from" "example.org" { keep; }',
    'if header :comparator "i;octet" :is "a" "b" { keep; }',
    "if anyof (allof (true, false), true) { keep; }",
    "# my own words\r\nif true { keep; }",
    "/* my own words */ if true { keep; }",
    "if true { keep; } # my own words",
    'if header :is "a" text:\r\n# a\r\n.\r\n { keep; } # my own words',
    'require "variables"; set "a" "b";',
    "if true { keep }",
    "if true { keep; ",
    "",
    "# nothing",
    "\xff",
    "#" * (RULES_LIMIT_OCTETS + 1),
    "# Filter: a\r\nif true { keep; }\r\n# Filter: a\r\nif true { keep; }",
]


@pytest.mark.parametrize("script", FOREIGN, ids=lambda script: script[:40])
def test_a_script_that_rules_cannot_say_is_no_rules(script: str) -> None:
    assert rules_in(script.encode("latin-1"), ENGINE) is None


def test_a_script_of_another_program_is_rules_where_they_say_all_of_it() -> None:
    script = (
        b'require ["fileinto"];\r\n# Filter: work\r\nif header :is ["Subject"] "x" {\r\n\tfileinto "Work"; stop;\r\n}'
    )

    assert rules_in(script, ENGINE) == (
        Rule(
            name="work",
            conditions=(("header", ("Subject",), ":is", "x"),),
            actions=(("fileinto", "Work"), ("stop",)),
        ),
    )


def test_the_script_does_what_its_rules_say() -> None:
    content = text_of([rule(("header", "Subject", ":is", "x"), actions=(("fileinto", "Work"),))], ENGINE)
    program = ENGINE.compile(content)

    hit = evaluate(ENGINE, program, Context(Message.parse(b"Subject: x\r\n\r\n")))
    miss = evaluate(ENGINE, program, Context(Message.parse(b"Subject: y\r\n\r\n")))

    assert [type(action) for action in hit.actions] == [FileInto]
    assert [type(action) for action in miss.actions] == [Keep]
