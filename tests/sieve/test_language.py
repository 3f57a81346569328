"""Lexer, grammar and compiler: what is told about a script that is not right, and that nothing ever breaks them."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msgstore.sieve import Diagnostic, Engine, InvalidScript, Level, Limits, builtin_extensions, default_engine
from tests.sieve.room import ENGINE, context_for, decided, errors, holds, run, value
from tests.sieve.test_rfc5228 import EXTENDED


def places(script: str) -> list[tuple[int, int]]:
    return [(item.line, item.column) for item in ENGINE.check(script)]


def test_every_error_is_told_at_once_with_its_place_and_a_hint() -> None:
    script = 'kep;\nif header :contians "a" "b" {\n  fileinto "x";\n}\nredirect "nobody";\n'

    found = ENGINE.check(script)

    assert found == (
        Diagnostic(line=1, column=1, level=Level.ERROR, text="there is no command 'kep'", hint="did you mean keep?"),
        Diagnostic(
            line=2,
            column=11,
            level=Level.ERROR,
            text="'header' has no :contians",
            hint="did you mean :contains?",
        ),
        Diagnostic(
            line=3, column=3, level=Level.ERROR, text="there is no command 'fileinto' here", hint='require "fileinto"'
        ),
        Diagnostic(
            line=5, column=1, level=Level.ERROR, text="'nobody' is no address that mail can be sent to", hint=""
        ),
    )
    with pytest.raises(InvalidScript) as caught:
        ENGINE.compile(script, name="mine")
    assert caught.value.diagnostics == found
    assert pickle.loads(pickle.dumps(caught.value)).diagnostics == found  # noqa: S301  # our own octets


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ('keep; redirect "a@b.c"', "after 'redirect' a ';' is missing"),
        ("keep", "after 'keep' a ';' is missing"),
        ("if true { keep;", "has no end"),
        ("keep; }", "closes no block"),
        ('if header "a" ["b", ] { keep; }', "a string is expected in this list"),
        ('if header "a" ["b" "c"] { keep; }', "',' or ']' is expected"),
        ("if anyof (true false) { keep; }", "'true' takes no test"),
        ("if anyof (true; false) { keep; }", "',' or ')' is expected"),
        ("if anyof () { keep; }", "a test is expected"),
        ('redirect "abc', "a string has no end"),
        ("redirect text:\r\nabc\r\n", "a multi-line text has no end"),
        ("/* never", "a comment has no end"),
        ("keep; @ keep;", "means nothing here"),
        ("if size :over 12Q { keep; }", "is no number"),
        ("if size :over 99999999999999999999G { keep; }", "too large"),
        ('redirect "a\0@b.c";', "no NUL"),
        ("keep :copy;", "has no :copy"),
        ("keep 5;", "too many arguments"),
        ("redirect;", "too few arguments"),
        ("redirect 5;", "is a string, not a number"),
        ('redirect ["a@b.c"];', "is a string, not a string list"),
        ('if header "a" :is "b" { keep; }', "stands behind other arguments"),
        ('if header :is :is "a" "b" { keep; }', "cannot stand beside"),
        ('if header :is :contains "a" "b" { keep; }', "cannot stand beside"),
        ('if address :all :domain "from" "b" { keep; }', "cannot stand beside"),
        ("if keep { keep; }", "is no test"),
        ("true;", "is no command"),
        ("keep { stop; }", "has no block"),
        ("if true;", "needs a block"),
        ("if { keep; }", "takes one test"),
        ("if (true) { keep; }", "takes one test"),
        ("if allof true { keep; }", "tests in parentheses"),
        ('if header :comparator "i;nothing" "a" "b" { keep; }', "no comparator"),
        ('if header :comparator "i;ascii-numeric" "a" "b" { keep; }', "no comparator"),
        (b"keep; # \xff\nkeep;", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_told(script: str | bytes, text: str) -> None:
    assert any(text in error for error in errors(script)), errors(script)


def test_a_broken_command_hides_no_error_behind_it() -> None:
    script = 'if true keep; }\nfoo;\nif header "a" [ { bar; }\nbaz;\n'

    found = errors(script)

    assert any("'foo'" in error for error in found)
    assert any("'baz'" in error for error in found)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("KEEP;", ["keep"]),
        ("\ufeffkeep;", ["keep"]),
        ("keep /* a\n * b **/ ; # end", ["keep"]),
        ("If Not FALSE { Discard; }", ["discard"]),
        ('redirect "a\\b@c.example";', ["redirect ab@c.example"]),
        ("redirect TEXT: # comment\r\na@b.example\r\n.\r\n;", None),
        ('if header "subject" ["a", text:\nb\n.\n] { discard; }', ["implicit keep"]),
        ("", ["implicit keep"]),
    ],
)
def test_the_lexer_reads_what_the_grammar_allows(script: str, expected: list[str] | None) -> None:
    if expected is None:
        assert "is no address" in errors(script)[0]
    else:
        assert decided(script) == expected


def test_multi_line_text_loses_its_stuffing_and_keeps_its_last_line_end() -> None:
    script = 'require "variables"; set "a" text:\n..one\n.two\nthree\n.\n;'

    assert value("a", script) == ".one\r\n.two\r\nthree\r\n"


@pytest.mark.parametrize(
    ("number", "octets"), [("1K", 1024), ("1m", 1024**2), ("0001g", 1024**3), ("2147483647", 2**31 - 1)]
)
def test_numbers_are_scaled(number: str, octets: int) -> None:
    from msgstore.sieve import Context, Message  # noqa: PLC0415

    assert not holds(f"size :over {number}", context=Context(Message(b"", octets=octets)))
    assert holds(f"size :over {number}", context=Context(Message(b"", octets=octets + 1)))


@pytest.mark.parametrize(("levels", "fits"), [(15, True), (32, True), (33, False), (101, False), (3000, False)])
def test_blocks_nest_to_a_limit(levels: int, *, fits: bool) -> None:
    script = "if true {" * levels + "discard;" + "}" * levels

    assert (errors(script) == []) is fits
    if fits:
        assert decided(script) == ["discard"]


@pytest.mark.parametrize(("levels", "fits"), [(15, True), (30, True), (101, False), (3000, False)])
def test_test_lists_nest_to_a_limit(levels: int, *, fits: bool) -> None:
    script = "if " + "anyof (" * levels + "true" + ")" * levels + " { discard; }"

    assert (errors(script) == []) is fits
    if fits:
        assert decided(script) == ["discard"]


def test_a_script_that_is_too_large_is_not_read() -> None:
    engine = default_engine(limits=Limits(script_octets=10))

    assert engine.check(b"keep;     ") == ()
    assert len(engine.check(b"keep;      @@@")) == 1


def test_diagnostics_come_to_an_end() -> None:
    engine = default_engine(limits=Limits(diagnostics=7))

    assert len(engine.check("foo;" * 500)) == 7


def test_programs_are_pickled_and_run_the_same() -> None:
    program = ENGINE.compile(EXTENDED, name="x")
    run(EXTENDED)

    again = pickle.loads(pickle.dumps(program))  # noqa: S301  # our own octets

    assert (again.code, again.name, again.digest) == (program.code, program.name, program.digest)
    from msgstore.sieve import evaluate  # noqa: PLC0415

    assert evaluate(ENGINE, again, context_for()) == evaluate(ENGINE, program, context_for())


def test_a_program_of_another_engine_is_refused_and_keys_differ() -> None:
    other = Engine(builtin_extensions(without=["fileinto"]))
    program = ENGINE.compile("keep;")

    assert "fileinto" not in other.capabilities
    assert other.cache_key("keep;") != ENGINE.cache_key("keep;")
    with pytest.raises(ValueError, match="another engine"):
        next(other.run(program, context_for()))


def test_two_definitions_of_one_word_are_refused() -> None:
    extensions = builtin_extensions()

    with pytest.raises(ValueError, match="is defined by"):
        Engine((*extensions, *extensions))


VALID = (
    EXTENDED,
    'require ["variables", "encoded-character"]; set :lower "a" "x${hex:41}${b}"; if string "${a}" ["x", "y"] { stop; }',  # noqa: E501
    'if header :contains ["a", "b"] text:\nabc\n..def\n.\n { discard; } elsif not size :over 10K { keep; } else { stop; }',  # noqa: E501
)


@pytest.mark.parametrize("script", VALID)
def test_every_truncation_of_a_valid_script_is_a_program_or_diagnostics(script: str) -> None:
    for end in range(len(script)):
        ENGINE.check(script[:end])
    assert errors(script) == []


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_any_octets_are_a_program_or_diagnostics(octets: bytes) -> None:
    for item in ENGINE.check(octets):
        assert item.line >= 1
        assert item.column >= 1
        assert item.text


WORDS = (
    *("if", "elsif", "else", "require", "keep", "discard", "stop", "redirect", "fileinto", "header", "address", "not"),
    *("allof", "anyof", "true", "size", "exists", "set", "string", "foreverypart", "break", "vacation", "include"),
    *(":is", ":contains", ":matches", ":over", ":comparator", ":all", ":copy", ":value", ":regex", ":mime", ":list"),
    *('"a"', '"subject"', '["a", "b"]', '"i;octet"', '"${1}"', '"${global.x}"', "5", "10K", "text:\nx\n.\n"),
    *("{", "}", "(", ")", "[", "]", ",", ";", "/*", "*/", "#\n", '"', "\\"),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_words_of_the_language_are_a_program_or_diagnostics(words: list[str]) -> None:
    everything = ", ".join(f'"{name}"' for name in ENGINE.capabilities)

    ENGINE.check(f"require [{everything}];" + " ".join(words))
