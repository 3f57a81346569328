import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.mime.automatic import says_automatic


@pytest.mark.parametrize(
    ("value", "is_automatic"),
    [
        (b"no", False),
        (b" NO ", False),
        (b"no (written by hand)", False),
        (b"no(written by hand)", False),
        (b"(nested (comment \\) here)) no", False),
        (b"\tno; x=y", False),
        (b"", False),
        (b" \t", False),
        (b"auto-replied", True),
        (b"auto-generated; owner-email=x", True),
        (b"(no) auto-notified", True),
        (b"nobody", True),
        (b"no/yes", True),
        (b"(no", True),
        (b'"no"', True),
        (b"auto-replied; x=" + b"y" * 100_000, True),
        (b"(" * 100_000, True),
    ],
)
def test_only_the_word_no_stands_for_a_person(value: bytes, is_automatic: bool) -> None:  # noqa: FBT001 (a column)
    assert says_automatic(value) is is_automatic


@given(st.binary())
def test_any_octets_get_an_answer(value: bytes) -> None:
    assert says_automatic(b"auto-replied; " + value)
    assert says_automatic(value) in (True, False)
