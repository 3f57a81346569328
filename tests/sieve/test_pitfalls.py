"""Thirty-four places where evaluators of Sieve go wrong, each by its number; what delivery does is tested there."""

import time

import pytest

from msgstore.sieve import (
    FileInto,
    InvalidScript,
    Keep,
    evaluate,
)
from msgstore.sieve.match import searcher
from msgstore.sieve.pattern import parse_pattern
from tests.sieve.room import ENGINE, context_for, decided, errors, holds, run, value

ALL = 'require ["fileinto", "copy", "reject", "vacation", "enotify", "imap4flags", "variables", "editheader"]; '


@pytest.mark.parametrize(
    ("script", "keeps"),
    [
        ("", True),
        ("stop; discard;", True),
        ("keep;", False),
        ('fileinto "a";', False),
        ('fileinto :copy "a";', True),
        ('redirect "a@b.example";', False),
        ('redirect :copy "a@b.example";', True),
        ("discard;", False),
        ('reject "no";', False),
        ('vacation "away";', True),
        ('notify "mailto:a@b.example";', True),
        ('set "a" "b";', True),
        ('setflag "a";', True),
        ('addheader "X-A" "b";', True),
    ],
)
def test_01_the_implicit_keep_falls_by_some_actions_only(script: str, *, keeps: bool) -> None:
    verdict = run(ALL + script)

    assert verdict.error is None
    assert verdict.keeps is keeps
    assert isinstance(verdict.actions[-1], Keep) or not keeps


def test_01_the_implicit_keep_carries_edits_and_flags() -> None:
    keep = run(ALL + 'addheader "X-A" "b"; setflag "x";').actions[-1]

    assert isinstance(keep, Keep)
    assert keep.implicit
    assert keep.flags == ("x",)
    assert keep.message is not None
    assert keep.message.header.startswith(b"X-A: b\r\n")
    assert keep.message.body is None


def test_02_an_error_keeps_the_message_as_it_came() -> None:
    verdict = run(ALL + 'addheader "X-A" "b"; setflag "x"; redirect "a@b.example";\nfileinto "a/../b";')

    assert verdict.error is not None
    assert verdict.error.line == 2
    assert not verdict.keeps
    assert verdict.actions == (Keep(implicit=True, script="test"),)


def test_03_a_script_that_cannot_be_compiled_is_one_exception_with_everything_in_it() -> None:
    with pytest.raises(InvalidScript) as caught:
        ENGINE.compile("nothing; such;")

    assert len(caught.value.diagnostics) == 2
    assert caught.value.is_temporary


def test_04_nothing_is_done_by_the_engine_so_a_failure_can_be_repeated() -> None:
    script = ALL + 'fileinto "a"; redirect "a@b.example";'

    assert run(script) == run(script)


def test_05_a_folder_gets_one_copy() -> None:
    assert decided(ALL + 'keep; fileinto "INBOX"; addheader "X-A" "b"; keep; fileinto "inbox";') == ["fileinto INBOX"]
    assert decided(ALL + 'redirect "a@b.example"; redirect "a@B.example";') == ["redirect a@B.example"]
    # Only its own host may say that two local-parts are one. RFC 5321 §2.4.
    assert len(decided(ALL + 'redirect "a@b.example"; redirect "A@b.example";')) == 2


@pytest.mark.parametrize("second", ["keep", 'fileinto "a"', 'redirect "a@b.example"', 'vacation "x"', 'reject "y"'])
def test_06_conflicts_are_errors_over_scripts_too(second: str) -> None:
    context = context_for()
    evaluate(ENGINE, ENGINE.compile(ALL + 'reject "no";'), context.child())

    verdict = evaluate(ENGINE, ENGINE.compile(ALL + second + ";"), context.child())

    assert verdict.error is not None


def test_06_vacation_stands_once_over_scripts() -> None:
    context = context_for()
    program = ENGINE.compile(ALL + 'vacation "x";')

    verdicts = [evaluate(ENGINE, program, context.child()) for _ in range(2)]

    assert [verdict.error is None for verdict in verdicts] == [True, False]


@pytest.mark.parametrize(
    "address", ["", "a", "a@", "@b", "a@b, c@d", "<@x:a@b.example>", "g: a@b;", "a@b.example\r\nX: y", "a@b c"]
)
def test_07_invalid_addresses_are_errors_when_they_are_known(address: str) -> None:
    assert errors(f'redirect "{address}";')
    assert run(f'{ALL} set "a" "{address}"; redirect "${{a}}";').error is not None


def test_07_too_many_redirects_are_an_error_and_one_to_oneself_is_a_keep() -> None:
    five = "".join(f'redirect "a{number}@b.example";' for number in range(5))

    assert run(five).error is None
    assert run(five + 'redirect "b@b.example";').error is not None
    assert decided('redirect "Roadrunner@acme.example.com";') == ["keep"]


@pytest.mark.parametrize("count", [128, 129])
def test_08_variables_are_counted(count: int) -> None:
    script = ALL + "".join(f'set "v{number}" "x";' for number in range(count))

    assert (run(script).error is None) is (count <= 128)


def test_08_high_match_variables_and_long_names() -> None:
    assert not errors(f'require "variables"; set "{"a" * 32}" "x";')
    assert errors(f'require "variables"; set "{"a" * 65}" "x";')
    assert errors('require "variables"; set "a" "${100}";')
    assert not errors('require "variables"; set "a" "${9}${99}";')


def test_08_values_are_cut_between_characters() -> None:
    face = "\U0001f600"

    assert value("a", f'require "variables"; set "a" "{face * 4001}";') == face * 4000


def quickest(script: str, mail: bytes) -> float:
    program = ENGINE.compile(script)
    spans: list[float] = []
    for _ in range(3):
        begin = time.perf_counter()
        evaluate(ENGINE, program, context_for(mail))
        spans.append(time.perf_counter() - begin)
    return min(spans)


@pytest.mark.parametrize("pattern", ["*a*a*a*a*a*b", "*a*a*a*a*a*a*a*a*", "*?a?*?a?*?b", "*" * 200 + "b"])
def test_09_wildcards_cost_no_more_than_the_text(pattern: str) -> None:
    mail = b"Subject: " + b"a" * 10_000 + b"\r\n\r\n"

    assert quickest(f'if header :matches "subject" "{pattern}" {{ keep; }}', mail) < 0.05


@pytest.mark.parametrize("use_re2", [True, False])
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(a?){30}a{30}b", "((a*)*)*b"])
def test_10_no_pattern_is_a_catastrophe(pattern: str, *, use_re2: bool) -> None:
    search = searcher(parse_pattern(pattern), fold=True, use_re2=use_re2)
    text = "a" * 10_000 + "!"
    search.search(text)

    begin = time.perf_counter()
    found = search.search(text)

    assert found is None
    assert time.perf_counter() - begin < 0.05


PATTERNS = (
    *("(a+)+$", "a|ab|abc", "(a|ab)(c|bcd)(d*)", "x*", "(x?)(y?)z", "^$", "^a", "b$", "[^a-c]+", "[[:digit:]]{2,3}"),
    *(
        "(?:ab)+",
        "\\bfoo\\b",
        "a{0}b",
        "(a|b)*abb",
        "[]a]+",
        "[a-]+",
        "\\.",
        "(^|;)x",
        "()",
        "\\w+@\\w+",
        "a.c",
        "[A-z]",
    ),
)
TEXTS = (
    "",
    "a",
    "aaa",
    "abc",
    "abcd",
    "xyz",
    "foo bar",
    "a1234",
    "ababab",
    "aabb",
    "]a-",
    "y;x",
    "q@w",
    "a\nc",
    "ABC",
    "\u00e9",
)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("fold", [True, False])
def test_10_both_machines_find_the_same(pattern: str, *, fold: bool) -> None:
    parsed = parse_pattern(pattern)
    fast, own = (searcher(parsed, fold=fold, use_re2=use_re2) for use_re2 in (True, False))

    for text in TEXTS:
        one, other = fast.search(text), own.search(text)
        assert (one is None) == (other is None), text
        assert one is None or other is None or one[0] == other[0], text


def test_10_own_groups_are_quick_to_find() -> None:
    search = searcher(parse_pattern("(a+)+$"), fold=True, use_re2=False)
    begin = time.perf_counter()

    found = search.search("a" * 10_000)

    assert found == ("a" * 10_000, "a" * 10_000)
    assert time.perf_counter() - begin < 0.15


def test_10_invalid_patterns_are_told_or_fail() -> None:
    for pattern in ("[", "(", "a{2", "*a", "(?P<x>a)", "\\\\1", "(?=a)", "a{1001}", "(a{999}){999}"):
        assert errors(f'require "regex"; if header :regex "a" "{pattern}" {{ keep; }}'), pattern


@pytest.mark.parametrize(
    ("mail", "test"),
    [
        (b"Subject: a\r\n b\r\n\tc\r\n\r\n", 'header "subject" "a b\tc"'),
        (b"Subject  :  x  \r\n\r\n", 'header "subject" "x"'),
        (b"Subject: =?utf-8?q?=C3=A9?= =?iso-8859-1?q?=E9?=\r\n\r\n", 'header "subject" "\u00e9\u00e9"'),
        (b"Subject: =?utf-8?b?abcde?=\r\n\r\n", 'header "subject" "=?utf-8?b?abcde?="'),
        (b"Subject: \xc3\xa9\r\n\r\n", 'header "subject" "\u00e9"'),
        (b"Subject: \xff\r\n\r\n", 'header :matches "subject" "?"'),
        (b"Subject: x\r\n\r\n", 'not header :contains ["subject:", "sub ject", "", "su\\"b"] ""'),
        (b"SUBJECT: x\n\nSubject: y\n", 'header "subject" "x"'),
        (b"Subject: a\0b\r\n\r\n", 'header :contains "subject" "b"'),
    ],
)
def test_11_headers_are_read_as_they_are_meant(mail: bytes, test: str) -> None:
    assert holds(test, mail)


@pytest.mark.parametrize(
    ("field", "test"),
    [
        ("Timo <tss(no spam)@fi.iki>", 'address "from" "tss@fi.iki"'),
        ('"a b"@c', 'address :localpart "from" "a b"'),
        ('"a b"@c', 'address :all "from" "\\"a b\\"@c"'),
        ("=?utf-8?q?a=40b?= <x@y>", 'not address :contains "from" "a@b"'),
        ("=?utf-8?q?a=40b?= <x@y>", 'address "from" "x@y"'),
        ('"<a@b>" <x@y>', 'not address "from" "a@b"'),
        ("group: a@b, c@d;, e@f", 'address "from" "e@f"'),
        ("group: a@b, c@d;, e@f", 'not address :contains "from" "group"'),
        ("no address", 'address :all :contains "from" "no address"'),
        ("no address", 'not address :localpart :contains "from" ""'),
        ("(only a comment)", 'not address :contains "from" ""'),
        ("<@r1,@r2:a@b>", 'address :all "from" "a@b"'),
        ("a . b @ c . d", 'address :all "from" "a.b@c.d"'),
        ("a@[127.0.0.1]", 'address :domain "from" "[127.0.0.1]"'),
        ("a@b <c@d> e", 'address "from" "c@d"'),
        ("A@B.example <c@d.example>", 'address :localpart "from" "c"'),
        ("A@B.example <c@d.example>", 'not address :contains "from" "B.example"'),
        ("(" * 3000 + "a@b", 'not address "from" "a@b"'),
    ],
)
def test_12_addresses_are_taken_out_of_their_fields(field: str, test: str) -> None:
    assert holds(test, f"From: {field}\r\n\r\n".encode())


@pytest.mark.parametrize("match", [":contains", ":matches"])
def test_13_numbers_have_no_substrings(match: str) -> None:
    assert errors(f'require "comparator-i;ascii-numeric"; if header {match} :comparator "i;ascii-numeric" "a" "1" {{}}')


def test_13_only_a_to_z_are_folded_and_comparators_are_required() -> None:
    assert not holds('header "x" "\u00c4"', "X: \u00e4\r\n\r\n".encode())
    assert not holds('header "x" "K"', "X: \u212a\r\n\r\n".encode())
    assert errors('if header :comparator "i;unicode-casemap" "a" "b" { keep; }')


def test_14_match_values_last_for_one_run_and_no_longer() -> None:
    context = context_for()
    first, second = context.child(), context.child()
    evaluate(ENGINE, ENGINE.compile('if header :matches "subject" "*" { stop; }'), first)
    evaluate(ENGINE, ENGINE.compile(ALL + 'set "x" "${0}";'), second)

    assert first.match_values
    assert second.value("x") == ""
    evaluate(ENGINE, ENGINE.compile(ALL + 'set "x" "${0}";'), first)
    assert first.value("x") == "I have a present for you"


def test_15_variables_stand_in_scripts_that_require_them_only() -> None:
    action = run('require "fileinto"; fileinto "${x}";').actions[0]

    assert isinstance(action, FileInto)
    assert str(action.folder) == "${x}"


def test_16_and_17_bodies_of_any_kind_raise_nothing() -> None:
    nested = b"Content-Type: message/rfc822\r\n\r\n" * 100 + b"x"
    script = 'require ["body", "foreverypart", "mime"]; foreverypart { if body :contains "y" { stop; } }'

    assert run(script, nested).error is None


def test_18_and_19_are_with_their_rfcs() -> None:
    for verdict in (
        run('require "date"; if date "received" "date" "x" { stop; }'),
        run(ALL + 'deleteheader "received";'),
    ):
        assert verdict.error is None
