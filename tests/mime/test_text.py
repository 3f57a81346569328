"""Octets to text: transfer encodings, charsets, encoded words, pages."""

import base64
import binascii
import quopri
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.mime.charset import CharsetDecoder, decoded
from msgstore.mime.markup import MARKUP_LIMIT, text_of_markup
from msgstore.mime.text import header_text, texts
from msgstore.mime.transfer import decoder_for
from msgstore.mime.words import VALUE_LIMIT_OCTETS, decode_words


def undone(encoding: str, *pieces: bytes) -> bytes:
    decoder = decoder_for(encoding)
    assert decoder is not None
    return b"".join(map(decoder.feed, pieces)) + decoder.close()


def steps(function: Callable[[], object]) -> int:
    """Count the calls that a function makes, those of C included."""
    count = 0

    def trace(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def test_quoted_printable_follows_its_standard() -> None:
    # RFC 2045 §6.7: soft line breaks, escapes, blanks at line ends.
    text = b"Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.  \t\r\n=3D=3d=E9 =09\r\n"

    assert undone("quoted-printable", text) == (
        b"Now's the time for all folk to come to the aid of their country.\r\n==\xe9 \t\r\n"
    )


@pytest.mark.parametrize(
    ("octets", "expected"),
    [(b"=", b""), (b"=\t \r\n", b""), (b"=4", b"=4"), (b"=ZZ=", b"=ZZ"), (b"a \r\n b", b"a\r\n b"), (b"=3D\r", b"=")],
)
def test_broken_quoted_printable_stays_as_it_stands(octets: bytes, expected: bytes) -> None:
    assert undone("quoted-printable", octets) == expected


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"QUJD\r\nREVG", b"ABCDEF"),
        (b"Q!U*J D", b"ABC"),
        (b"QUI=QUI=", b"ABAB"),
        (b"QUI", b"AB"),
        (b"Q", b""),
        (b"==Q=UJD==", b"ABC"),
    ],
)
def test_base64_passes_over_what_is_none(octets: bytes, expected: bytes) -> None:
    assert undone("base64", octets) == expected


def test_an_encoding_nobody_knows_has_no_decoder() -> None:
    assert decoder_for("x-uuencode") is None
    assert undone("8bit", b"\xff") == b"\xff"


@given(st.binary(max_size=80), st.integers(0, 200))
def test_encoded_octets_come_back_wherever_the_stream_is_cut(octets: bytes, at: int) -> None:
    wrapped = base64.encodebytes(octets)
    quoted = quopri.encodestring(octets, quotetabs=True)

    assert undone("base64", wrapped[:at], wrapped[at:]) == octets
    assert undone("quoted-printable", quoted[:at], quoted[at:]) == undone("quoted-printable", quoted)


@given(st.text("=0aF \t\r\n\xe9", max_size=40).map(str.encode))
def test_quoted_printable_of_any_form_is_the_same_at_every_cut(octets: bytes) -> None:
    whole = undone("quoted-printable", octets)

    assert all(undone("quoted-printable", octets[:at], octets[at:]) == whole for at in range(len(octets)))


@given(st.text("QUJDREVG=", max_size=40).map(str.encode))
def test_base64_of_any_form_is_the_same_at_every_cut(octets: bytes) -> None:
    whole = undone("base64", octets)

    assert all(undone("base64", octets[:at], octets[at:]) == whole for at in range(len(octets)))


@pytest.mark.parametrize("octets", [b"=", b" ", b"=\n", b" \n", b"= ", b"QQ=="])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_decoding_costs_what_there_is_to_decode(encoding: str, octets: bytes) -> None:
    once = steps(lambda: undone(encoding, *[octets * 500] * 10))
    twice = steps(lambda: undone(encoding, *[octets * 500] * 20))

    assert twice < 2.3 * once + 100


# Charsets.


@pytest.mark.parametrize(
    ("octets", "charset", "expected"),
    [
        (b"\xe9", "ISO-8859-1", "é"),
        ("é".encode(), "us-ascii", "é"),
        ("é".encode(), "", "é"),
        (b"a\xff", "no-such-charset", "a\ufffd"),
        (b"a\xff", "punycode", "a\ufffd"),
        (b"\\u0041", "unicode_escape", "\\u0041"),
        (b"YWJj", "base64", "YWJj"),
        ("日本".encode("iso-2022-jp"), "ISO-2022-JP", "日本"),
    ],
)
def test_octets_become_characters_whatever_the_charset_is_called(octets: bytes, charset: str, expected: str) -> None:
    assert decoded(octets, charset) == expected


def test_a_character_may_be_cut() -> None:
    decoder = CharsetDecoder("utf-8")

    assert decoder.feed(b"\xe2\x82") + decoder.feed(b"\xac\xe2") + decoder.close() == "€\ufffd"


# Encoded words.


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", "plain"),
        (b"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>", "Keld Jørn Simonsen <keld@dkuug.dk>"),
        (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?=  \t =?ISO-8859-2?b?Yg==?=", "ab"),
        (b"=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "€"),
        (b"=?utf-8*en?q?=C3=A9?=", "é"),
        (b"=?utf-8?X?a?= =?utf-8?Q?b", "=?utf-8?X?a?= =?utf-8?Q?b"),
        (b"=?utf-8?B?YQ?=", "a"),
        (b"=?utf-8?B?A?=", "=?utf-8?B?A?="),
        ("é".encode(), "é"),
        (b"\xff", "\ufffd"),
    ],
)
def test_encoded_words_are_decoded_and_the_rest_stays(value: bytes, expected: str) -> None:
    # After the examples of RFC 2047 §8.
    assert decode_words(value) == expected


def test_of_a_long_value_no_more_than_the_cap_is_decoded() -> None:
    assert len(decode_words(b"x" * 100_000)) == VALUE_LIMIT_OCTETS
    assert decode_words(b"=?utf-8?q?a?= " * 50_000).startswith("aaa")


def test_a_header_is_unfolded_and_decoded() -> None:
    assert header_text(b"Subject: =?utf-8?q?=C3=A9?=\r\n =?utf-8?q?a?=\r\nTo: b\r\n") == "subject: éa\nto: b"


# Pages.


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>hel<b>lo</b></p><p>you&amp;me &#233;&eacute;</p>", "hello you&me éé"),
        ("<style>p{}</style><script>if (a<b) x()</script >t", "t"),
        ("a<!-- no <b> -->b<!doctype html><?x?>", "a b"),
        ("1 < 2 and <3", "1 < 2 and <3"),
        ("open <a href='x", "open"),
        ("<script>never closed", ""),
        ("&#99999999999;&#xD800;&nosuch;", "&#99999999999;\ufffd&nosuch;"),
    ],
)
def test_a_page_becomes_what_its_reader_sees(page: str, expected: str) -> None:
    assert " ".join(text_of_markup(page).split()) == expected


@pytest.mark.parametrize(
    "mark", ["<", "</", "<!", "<!--", "<a ", "<a b='", "<script>", "</script ", "<script></script ", "&", "&#"]
)
def test_a_page_made_to_be_slow_is_not(mark: str) -> None:
    # Of Python's own parser 32 KiB of some of these take many seconds.
    text_of_markup((mark * MARKUP_LIMIT)[:MARKUP_LIMIT])


# Whole messages.


def test_the_text_of_a_message_comes_decoded_and_says_where_it_stands() -> None:
    html = binascii.b2a_base64("<p>caf&eacute; <b>ol</b>é</p>".encode())
    message = (
        b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + html + b"\r\n"
        b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n=C3\r\n--b--\r\n"
    )

    found = list(texts([message]))

    body = " ".join("".join(one.text for one in found if one.in_body).split())
    head = "".join(one.text for one in found if not one.in_body)
    assert body == "café olé subject: inner=C3"
    assert "subject: outer" in head
    assert "inner" not in head


@pytest.mark.parametrize("charset", ["utf-16", "UTF-32", "unicodebigunmarked", "u16"])
@pytest.mark.parametrize(
    "octets", [b"", b"h", b"\xff\xfe", b"h\0e", b"hello", "\ufeffgr\u00fc\u00df".encode("utf-16-be")]
)
def test_octets_without_a_mark_of_their_order_are_text_too(charset: str, octets: bytes) -> None:
    whole = decoded(octets, charset)
    decoder = CharsetDecoder(charset)

    pieces = [decoder.feed(octets[at : at + 1]) for at in range(len(octets))]

    assert "".join([*pieces, decoder.close()]) == whole


def test_the_mark_says_the_order_of_octets() -> None:
    assert decoded("gr\u00fc\u00df".encode("utf-16-be"), "utf-16") == "gr\u00fc\u00df"
    assert decoded("\ufeffgr\u00fc\u00df".encode("utf-16-le"), "utf-16") == "gr\u00fc\u00df"
    assert decoded("\ufeffgr\u00fc\u00df".encode("utf-32-be"), "utf-32") == "gr\u00fc\u00df"
