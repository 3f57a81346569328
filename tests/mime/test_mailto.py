import pytest
from hypothesis import given
from hypothesis.strategies import text

from msgstore.mime.mailto import parse_mailto


def test_the_parts_of_a_uri_are_told_apart() -> None:
    found = parse_mailto(
        "MAILTO:a@x,b%2Bc@x?to=d@x&cc=e@x,a@x&SUBJECT=Hello%20there&body=one%0D%0Atwo&x-test=1%3D1&Priority=high"
    )

    assert [str(one) for one in found.to] == ["a@x", "b+c@x", "d@x"]
    assert [str(one) for one in found.cc] == ["e@x", "a@x"]
    assert (found.subject, found.body) == ("Hello there", "one\r\ntwo")
    assert found.headers == (("x-test", "1=1"), ("priority", "high"))


def test_an_escaped_comma_is_part_of_an_address() -> None:
    assert [str(one) for one in parse_mailto("mailto:%22a%2Cb%22@x").to] == ['"a,b"@x']


@pytest.mark.parametrize(
    "name", ["from", "Auto-Submitted", "RECEIVED", "message-id", "date", "bcc", "Content-Type", "Resent-To", "List-Id"]
)
def test_a_uri_cannot_say_what_is_not_its_to_say(name: str) -> None:
    assert parse_mailto(f"mailto:a@x?{name}=evil").headers == ()


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http:a@x", "is not a mailto URI"),
        ("mailto", "is not a mailto URI"),
        ("mailto:a@x?subject=" + "x" * 5000, "bounded length"),
        ("mailto:", "names no recipient"),
        ("mailto:?subject=x", "names no recipient"),
        ("mailto:a", "without a domain"),
        ("mailto:a@x@y", "no address"),
        ("mailto:a@x%0D%0ARCPT", "no address"),
        ("mailto:a b@x", "have to be escaped"),
        ("mailto:a@x?subject", "without a name or a value"),
        ("mailto:a@x?=b", "without a name or a value"),
        ("mailto:a@x?a%0Ab=c", "without a name or a value"),
        ("mailto:a@x?subject=%ff", "is not UTF-8"),
        ("mailto:a@x?subject=%zz", "have to be escaped"),
        ("mailto:" + ",".join(f"u{number}@x" for number in range(51)), "more than 50"),
    ],
)
def test_what_is_no_uri_for_a_notification_is_refused(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_mailto(uri)


@given(rest=text())
def test_no_uri_is_taken_whose_addresses_hold_a_line_end(rest: str) -> None:
    try:
        found = parse_mailto("mailto:" + rest)
    except ValueError:
        return

    assert all("\n" not in str(one) and "\r" not in str(one) for one in (*found.to, *found.cc))
