"""Words looked for in messages."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.mime.search import folded, header_matches, search

MESSAGE = (
    "Subject: =?utf-8?q?Stra=C3=9Fe?=\r\nTo: bob@example.org\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\n"
    "Die STRASSE im Cafe\u0301, groß. 東京都\r\nEnde\r\n"
).encode()


def in_body(term: str, *pieces: bytes) -> bool:
    return search(pieces or (MESSAGE,), body_terms=[term]).body == (0,)


@pytest.mark.parametrize("term", ["strasse", "Straße", "CAFÉ", "cafe\u0301", "GROSS", "京都", "ende", ""])
def test_terms_are_found_without_regard_to_case_and_form(term: str) -> None:
    assert in_body(term)


@pytest.mark.parametrize("term", ["Cafe,", "cafe", "bob", "subject", "not there"])
def test_what_is_not_in_the_body_is_not_found_there(term: str) -> None:
    assert not in_body(term)


def test_text_is_header_and_body_and_each_term_has_its_answer() -> None:
    found = search([MESSAGE], body_terms=["bob", "ende"], text_terms=["bob", "none", "ende", "subject: straße"])

    assert (found.body, found.text) == ((1,), (0, 2, 3))


def test_a_term_is_found_wherever_the_message_is_cut() -> None:
    terms = ["strasse im café", "京都\r\nende"]

    for at in range(len(MESSAGE)):
        assert search([MESSAGE[:at], MESSAGE[at:]], body_terms=terms).body == (0, 1)


@given(
    st.text("aeß\u0301\u0327 \u1100\u1161\u11a8한", max_size=30), st.integers(1, 40), st.text("ae\u0301ss", max_size=3)
)
def test_a_text_in_pieces_holds_what_the_whole_holds(text: str, width: int, term: str) -> None:
    octets = b"Content-Type: text/plain; charset=utf-8\n\n" + b"." * 20_000 + text.encode()
    pieces = [octets[:20_000], *[octets[at : at + width] for at in range(20_000, len(octets), width)]]

    found = in_body(term, *pieces)

    assert found == (folded(term) in folded("." * 20_000 + text))


def test_a_long_run_of_one_script_is_searched_all_the_same() -> None:
    text = "字" * 200_000 + "終"

    assert in_body("字終", b"Content-Type: text/plain; charset=utf-8\n\n", text.encode())


def test_words_of_two_parts_are_not_one_word() -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nfoo\n--b\n\nbar\n--b--\n"

    assert not in_body("foobar", message)
    assert in_body("bar", message)


def test_a_search_reads_no_further_than_it_must() -> None:
    def pieces() -> "list[bytes]":
        return [b"Subject: x\n\nneedle " + b"." * 20_000]

    def endless() -> "object":
        yield from pieces()
        raise AssertionError("read on")

    assert search(endless(), text_terms=["needle"]).text == (0,)  # type: ignore[arg-type]  # a generator of bytes


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([("subject", "STRASSE")], True),
        ([("Subject", "straße"), ("to", "BOB@")], True),
        ([("subject", "bob")], False),
        ([("X-None", "")], False),
        ([("TO", "")], True),
        ([("to\xff", "x")], False),
        ([], True),
    ],
)
def test_header_terms_all_have_to_be_in_a_field_of_their_name(terms: list[tuple[str, str]], *, expected: bool) -> None:
    assert header_matches(MESSAGE, terms) is expected


def test_folding_is_normal_and_without_case() -> None:
    assert folded("ΣΊΣΥΦΟΣ") == folded("σίσυφος")
    assert unicodedata.is_normalized("NFC", folded("E\u0301"))
