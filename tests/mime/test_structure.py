"""Walking through the parts of a message."""

import sys
from email.parser import BytesParser
from email.policy import compat32
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.mime.parameters import parse_structured
from msgstore.mime.structure import DEPTH_LIMIT, PARTS_LIMIT, Around, Part, walk, walk_all

Found = list[tuple[tuple[int, ...], str, bytes]]

NESTED = b"""\
From: a@example.org
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="gc0p4Jq0M2Yt08j34c0p"

This is the preamble.
--gc0p4Jq0M2Yt08j34c0p

This is implicitly typed plain text.
It does NOT end with a linebreak.
--gc0p4Jq0M2Yt08j34c0p  \t
Content-type: message/rfc822

Subject: inner
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=us-ascii

--innermost is no delimiter
--inner
Content-Type: text/html

--inner--
epilogue of the inner
--gc0p4Jq0M2Yt08j34c0p--
This is the epilogue.
--gc0p4Jq0M2Yt08j34c0p
"""
"""After the example of RFC 2046 §5.1.1."""


def around(*pieces: bytes) -> dict[tuple[tuple[int, ...], bool], bytes]:
    found: dict[tuple[tuple[int, ...], bool], bytes] = {}
    for event in walk_all(pieces):
        if isinstance(event, Around):
            key = event.part.path, event.is_epilogue
            found[key] = found.get(key, b"") + event.octets
    return found


@pytest.mark.parametrize("cut", range(len(NESTED) + 1))
def test_what_is_around_the_parts_of_every_multipart_is_given_where_it_is_wanted(cut: int) -> None:
    found = around(NESTED[:cut], NESTED[cut:])

    assert found == {
        ((), False): b"This is the preamble.",
        ((2, 1), True): b"epilogue of the inner",
        ((), True): b"This is the epilogue.\n--gc0p4Jq0M2Yt08j34c0p\n",
    }
    inside = [event for event in walk_all([NESTED[:cut], NESTED[cut:]]) if not isinstance(event, Around)]
    plain = [event for event in walk([NESTED[:cut], NESTED[cut:]]) if isinstance(event, bytes)]
    assert [event for event in inside if isinstance(event, bytes)] == plain


def parts(*pieces: bytes) -> Found:
    found: Found = []
    for event in walk(pieces):
        if isinstance(event, Part):
            found.append((event.path, event.content_type.value, b""))
        else:
            path, kind, octets = found[-1]
            found[-1] = (path, kind, octets + event)
    return found


def steps(message: bytes) -> int:
    """Count the lines of Python that a walk runs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    pieces = [message[at : at + 65536] for at in range(0, len(message), 65536)]
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for event in walk(pieces):
            if isinstance(event, Part):
                assert event.disposition is None
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_parts_come_in_order_without_preamble_epilogue_and_delimiters(end: bytes) -> None:
    found = parts(NESTED.replace(b"\n", end))

    text = b"This is implicitly typed plain text.\nIt does NOT end with a linebreak."
    assert found == [
        ((), "multipart/mixed", b""),
        ((1,), "text/plain", text.replace(b"\n", end)),
        ((2,), "message/rfc822", b""),
        ((2, 1), "multipart/alternative", b""),
        ((2, 1, 1), "text/plain", b"--innermost is no delimiter"),
        ((2, 1, 2), "text/html", b""),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_walk_does_not_depend_on_where_the_stream_is_cut(end: bytes) -> None:
    message = NESTED.replace(b"\n", end) * 3 + b"-" * 20_000 + end + NESTED.replace(b"\n", end)
    whole = parts(message)

    assert all(parts(message[:at], message[at:]) == whole for at in range(len(NESTED)))
    assert parts(*[message[at : at + 1] for at in range(len(message))]) == whole
    assert parts(*[message[at : at + 8191] for at in range(0, len(message), 8191)]) == whole


def test_an_outer_delimiter_ends_what_is_inside_of_it() -> None:
    message = NESTED.replace(b"--inner--\nepilogue of the inner\n", b"")

    assert [path for path, _, _ in parts(message)] == [path for path, _, _ in parts(NESTED)]


def test_a_delimiter_in_a_header_ends_the_part() -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\n\n--b\nA: 1\n--b\n\ntwo\n--b--\n"

    assert parts(message)[1:] == [((1,), "text/plain", b""), ((2,), "text/plain", b"two")]


def test_parts_of_a_digest_are_messages_where_they_say_nothing() -> None:
    message = b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\nbody\n--b--\n"

    assert [kind for _, kind, _ in parts(message)] == ["multipart/digest", "message/rfc822", "text/plain"]


def test_a_message_without_header_or_without_body_is_one_part() -> None:
    assert parts(b"no header here\nat all") == [((), "text/plain", b"no header here\nat all")]
    assert parts(b"A: b\n") == parts(b"") == [((), "text/plain", b"")]


def test_a_multipart_without_boundary_is_one_part() -> None:
    assert parts(b"Content-Type: multipart/mixed\n\n--x\n") == [((), "multipart/mixed", b"--x\n")]


def test_what_is_nested_too_deep_is_absent() -> None:
    levels = [b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(80)]

    found = parts(b"".join(levels) + b"\ntext\n")

    assert len(found) == DEPTH_LIMIT + 1
    assert found[-1][2] == b""


def test_no_more_parts_than_the_cap_are_given() -> None:
    found = parts(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 3000)

    assert len(found) == PARTS_LIMIT


def test_a_header_beyond_the_cap_is_absent_and_its_body_is_not() -> None:
    long = b"X-Long: " + b"x" * 300_000 + b"\n"

    (part, *content) = list(walk([b"A: 1\n" + long + b"Content-Type: text/html\n\nbody"]))

    assert isinstance(part, Part)
    assert part.header == b"A: 1\n"
    assert content == [b"body"]


def test_a_message_in_an_encoding_is_not_looked_into() -> None:
    message = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdA==\n"

    assert parts(message) == [((), "message/rfc822", b"U3ViamVjdA==\n")]


@pytest.mark.parametrize(
    "pattern",
    [
        b"\n--",
        b"\n--b",
        b"\n",
        b"--b\n",
        b"--b\n\n",
        b"--b\nContent-Type: multipart/mixed; boundary=b\n\n",
        b"A:\n",
        b" ",
    ],
)
def test_the_cost_of_a_walk_grows_as_the_message_does(pattern: bytes) -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"

    once = steps(head + pattern * 3000)
    twice = steps(head + pattern * 6000)

    assert twice < 2.3 * once + 1000


# Values of Content-* fields.


def test_a_content_type_is_read_with_comments_quotes_and_escapes() -> None:
    found = parse_structured(
        b'Text/Plain (a (nested) ";" comment) ; charset = "utf-8" (c) ;; x; Name="a \\"b\\"; c"; odd=a=/b'
    )

    assert found is not None
    assert found.value == "text/plain"
    assert found.parameters == {"charset": "utf-8", "name": 'a "b"; c', "odd": "a=/b"}


def test_parameters_that_are_taken_apart_are_put_together() -> None:
    # The examples of RFC 2231 §3 and §4.1.
    url = parse_structured(b'message/external-body; access-type=URL; URL*0="ftp://"; URL*1="cs.utk.edu/pub"')
    title = parse_structured(
        b"application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20;"
        b' title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2="isn\'t it!"'
    )
    single = parse_structured(b"a/b; filename*=iso-8859-1''%E9t%E9")

    assert url is not None
    assert url.parameters["url"] == "ftp://cs.utk.edu/pub"
    assert title is not None
    assert title.parameters["title"] == "This is even more ***fun*** isn't it!"
    assert single is not None
    assert single.parameters["filename"] == "été"


@pytest.mark.parametrize("value", [b"", b";", b"(", b"=/;", b"\xff" * 10, b"a" * 5000])
def test_a_value_that_is_none_or_too_long_is_absent_or_harmless(value: bytes) -> None:
    found = parse_structured(value)

    assert found is None or not found.parameters


def test_no_more_parameters_than_the_cap_are_read() -> None:
    found = parse_structured(b"a/b" + b"".join(b";p%d=1" % number for number in range(500)))

    assert found is not None
    assert len(found.parameters) == 100


@given(st.binary(max_size=300))
def test_whatever_stands_in_a_field_is_read_without_an_error(octets: bytes) -> None:
    parse_structured(b"a/b" + octets)
    parts(b"Content-Type: multipart/mixed; " + octets)


# The oracle.

LINES = st.lists(st.sampled_from(["", "text", "--", "--b", "- -", "-- b0", "a: b", " x"]), max_size=5)


@st.composite
def messages(draw: st.DrawFn, level: int = 0) -> str:
    """Give a well-formed message; delimiters of one level are not beginnings of others."""
    kind = draw(st.sampled_from(["text", "multipart", "message"] if level < 3 else ["text"]))
    if kind == "text":
        return "Content-Type: text/plain\n\n" + "\n".join(draw(LINES))
    if kind == "message":
        return "Content-Type: message/rfc822\n\n" + draw(messages(level + 1))
    inner = draw(st.lists(messages(level + 1), min_size=1, max_size=3))
    name = f"level{level}"
    body = "".join(f"--{name}\n{one}\n" for one in inner)
    return f'Content-Type: multipart/mixed; boundary="{name}"\n\npreamble\n{body}--{name}--\nepilogue'


@given(messages(), st.sampled_from(["\n", "\r\n"]))
def test_well_formed_messages_have_the_parts_that_the_standard_library_sees(text: str, end: str) -> None:
    octets = text.replace("\n", end).encode()
    expected = [
        (one.get_content_type(), None if one.is_multipart() else str(one.get_payload()))
        for one in BytesParser(policy=compat32).parsebytes(octets).walk()
    ]

    found = [(kind, content.decode() if kind == "text/plain" else None) for _, kind, content in parts(octets)]

    assert found == expected
