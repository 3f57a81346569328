"""Wildcards, patterns and texts of headers, each against something simpler."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.sieve.collation import ASCII_CASEMAP, OCTET, UNICODE_CASEMAP, Comparator
from msgstore.sieve.match import searcher
from msgstore.sieve.message import Message, clean_text, text_of
from msgstore.sieve.pattern import parse_pattern
from msgstore.sieve.wildcards import compile_glob
from tests.sieve.room import context_for, holds, run, value


def captures(pattern: str, text: str) -> list[str] | None:
    """Try everything, the shortest first: what the wildcards stand for. RFC 5229 §3.2."""
    if not pattern:
        return None if text else []
    if pattern[0] == "*":
        for length in range(len(text) + 1):
            rest = captures(pattern[1:], text[length:])
            if rest is not None:
                return [text[:length], *rest]
        return None
    if not text or (pattern[0] not in ("?", text[0])):
        return None
    rest = captures(pattern[1:], text[1:])
    if rest is None:
        return None
    return [text[0], *rest] if pattern[0] == "?" else rest


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_two_pointers_find_what_trying_everything_finds(pattern: str, text: str) -> None:
    found = compile_glob(pattern, OCTET).match(text)

    expected = captures(pattern, text)
    assert found == (None if expected is None else (text, *expected))


@given(st.text("a\u00e9*?", max_size=6), st.text("a\u00e9", max_size=6))
def test_question_marks_are_octets_or_characters_as_the_comparator_says(pattern: str, text: str) -> None:
    def octets(characters: str) -> str:
        return characters.encode().decode("latin-1")

    by_octet, by_character = (compile_glob(pattern, comparator) for comparator in (OCTET, UNICODE_CASEMAP))

    expected = captures(octets(pattern), octets(text))
    found = by_octet.match(text)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert [octets_of(piece) for piece in found[1:]] == [piece.encode("latin-1") for piece in expected]
    assert (by_character.match(text) is None) == (captures(pattern, text) is None)


def octets_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("comparator", "pattern", "text", "expected"),
    [
        (UNICODE_CASEMAP, "*\u00c9*", "caf\u00e9!", ("caf\u00e9!", "caf", "!")),
        (UNICODE_CASEMAP, "?AFE\u0301", "caf\u00e9", ("caf\u00e9", "c")),
        (UNICODE_CASEMAP, "*\u00c9x", "caf\u00e9", None),
        (UNICODE_CASEMAP, "*", "q\u0307\u0323", ("q\u0307\u0323", "Q\u0323\u0307")),
        (ASCII_CASEMAP, "A\\*?", "a*\u00e9", None),
        (ASCII_CASEMAP, "A\\*??", "a*\u00e9", ("a*\u00e9", "\udcc3", "\udca9")),
        (ASCII_CASEMAP, "\u00e9?*", "\u00e9bc", ("\u00e9bc", "b", "c")),
        (ASCII_CASEMAP, "x*y*z", "xaYbYcZ", ("xaYbYcZ", "a", "bYc")),
        (ASCII_CASEMAP, "a\\", "a\\", ("a\\",)),
    ],
)
def test_wildcards(comparator: Comparator, pattern: str, text: str, expected: tuple[str, ...] | None) -> None:
    assert compile_glob(pattern, comparator).match(text) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("[\\]\\d]+", "a]1", ("]1",)),
        ("[\\n-\\r]", "a\r", ("\r",)),
        ("\\t\\D\\S\\W", "\tax-", ("\tax-",)),
        ("[[:upper:][:punct:]]+", "abC-d", ("C-",)),
        ("[^[:space:]]+$", "a bc", ("bc",)),
        ("a{2,}?", "aaa", ("aaa",)),
        ("a{,2}b", None, None),
        ("(a", None, None),
        ("a)", None, None),
        ("a\\", None, None),
        ("[b-a]", None, None),
        ("[[:nothing:]]", None, None),
        ("[[.a.]]", None, None),
        ("^*", None, None),
        ("a****************", None, None),
        ("(" * 200, None, None),
        ("a" * 2000, None, None),
    ],
)
def test_patterns_are_read_or_refused(pattern: str, text: str | None, expected: tuple[str, ...] | None) -> None:
    if text is None:
        with pytest.raises(ValueError, match="regular expression"):
            parse_pattern(pattern)
        return
    for use_re2 in (True, False):
        assert searcher(parse_pattern(pattern), fold=False, use_re2=use_re2).search(text) == expected


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"=?utf-8?q?a?= =?nonsense?q?b=FF?= c", "a=?nonsense?q?b=FF?= c"),
        (b"=?nonsense?q?b=FF?=", "=?nonsense?q?b=FF?="),
        (b"x =?utf-8?q?=FF?= =?utf-8?q?y?= \xff", "x =?utf-8?q?=FF?=y \udcff"),
        (b"=?utf-8?q?=EF=BF=BD?=", "=?utf-8?q?=EF=BF=BD?="),
    ],
)
def test_words_that_cannot_be_decoded_stay_as_they_stand(octets: bytes, text: str) -> None:
    assert text_of(octets) == text


def test_texts_for_others_hold_no_line_end_and_no_octets() -> None:
    assert clean_text("a\r\nb\udcff\u2028c", one_line=True) == "a b\ufffd c"
    assert clean_text("a\r\nb") == "a\r\nb"
    assert Message(b"A: 1\nno field\nB: 2\n").with_field("C", "3", last=True).header == b"A: 1\nC: 3\nno field\nB: 2\n"


def test_keys_and_relations_may_be_variables() -> None:
    before = 'set "k" "FOR"; set "r" "ge"; set "n" "1"; set "l" "urn:x";'
    require = ["variables", "relational", "regex", "extlists", "comparator-i;ascii-numeric"]

    assert holds('header :contains "subject" "${k}"', require=require, before=before)
    assert holds('header :count "${r}" "subject" "${n}"', require=require, before=before)
    assert holds('header :regex "subject" "^i.*${k} you$"', require=require, before=before)
    assert not holds('header :list "subject" "${l}"', require=require, before=before)
    assert run(f'require ["variables", "relational"]; {before} if header :count "${{k}}" "a" "1" {{ stop; }}').error
    assert value("x", 'require ["variables"]; set "x" "${nothing}y";') == "y"


def test_a_trace_follows_what_asks() -> None:
    script = 'require ["mailbox", "foreverypart"]; foreverypart { if not mailboxexists "x" { discard; } }'

    verdict = run(script, context=context_for(trace=True))

    assert [(step.kind, step.name, step.outcome) for step in verdict.trace if step.kind == "test"] == [
        ("test", "mailboxexists", "false"),
        ("test", "not", "true"),
    ]
    failed = run('require "ihave"; error "x";', context=context_for(trace=True))
    assert (failed.trace[-1].kind, failed.trace[-1].outcome) == ("error", "x")


@pytest.mark.parametrize(
    ("comparator", "pattern", "expected"),
    [
        ("i;ascii-casemap", "[^[:lower:]]", False),
        ("i;ascii-casemap", "[^A-Z]", False),
        ("i;ascii-casemap", "^[^0-9]+$", True),
        ("i;octet", "[^[:lower:]]", False),
        ("i;octet", "[^A-Z]", True),
    ],
)
def test_regex_draft_3_what_is_excluded_is_excluded_in_both_cases(
    comparator: str, pattern: str, *, expected: bool
) -> None:
    mail = b"Subject: hello\r\n\r\n"

    assert holds(f'header :regex :comparator "{comparator}" "subject" "{pattern}"', mail, require=["regex"]) is expected
