import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.delivery.refusing import protocol_text


def octets(text: str) -> int:
    return sum(len(f"550 5.7.1 {line}\r\n".encode()) for line in text.split("\n"))


@given(reason=st.text(max_size=400), utf8=st.booleans(), is_exact=st.booleans())
def test_what_is_told_fits_into_one_reply(reason: str, utf8: bool, is_exact: bool) -> None:  # noqa: FBT001
    told = protocol_text(reason, utf8=utf8, is_exact=is_exact)

    assert is_exact or told is not None
    if told is not None:
        assert octets(told) <= 240
        assert utf8 or told.isascii()
        assert "\r" not in told


@pytest.mark.parametrize("is_exact", [True, False])
def test_lines_stay_lines(is_exact: bool) -> None:  # noqa: FBT001
    assert protocol_text("one\r\ntwo\r\rfour \r\n", utf8=False, is_exact=is_exact) == "one\ntwo\n\nfour"


def test_a_text_that_just_fits_is_told_whole_and_one_that_does_not_is_never_cut_silently() -> None:
    assert protocol_text("x" * 228, utf8=False, is_exact=True) == "x" * 228
    assert protocol_text("x" * 229, utf8=False, is_exact=True) is None
    assert protocol_text("x" * 229, utf8=False, is_exact=False) == "x" * 225 + "..."


def test_of_many_lines_the_first_ones_are_told() -> None:
    told = protocol_text("\n".join(f"line {number}" for number in range(50)), utf8=False, is_exact=False)

    assert told is not None
    assert told.startswith("line 0\nline 1\n")
    assert told.endswith("...")


def test_characters_outside_of_ascii_need_a_client_that_can_read_them() -> None:
    assert protocol_text("schön", utf8=True, is_exact=True) == "schön"
    assert protocol_text("schön", utf8=False, is_exact=True) is None
    assert protocol_text("schön", utf8=False, is_exact=False) == "sch?n"
