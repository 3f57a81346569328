import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, lists, sampled_from

from msgstore.delivery.smtp import REPLY_LIMIT_OCTETS, CodeReply, DataEncoder, ReplyReader, keywords_of
from msgstore.model.errors import OutboundUnavailable
from msgstore.model.result import EnhancedStatus


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    return [octets[start:end] for start, end in itertools.pairwise(places)]


def encoded(chunks: list[bytes]) -> bytes:
    encoder = DataEncoder()
    return b"".join(encoder.feed(chunk) for chunk in chunks) + encoder.finish()


def by_lines(message: bytes) -> bytes:
    """What DATA wants, said in the plainest way."""
    text = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


@given(
    parts=lists(sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"..", b"bc"]), max_size=20),
    cuts=lists(integers(0, 40)),
)
def test_message_text_is_transparent_and_holds_no_lone_line_end_wherever_it_is_cut(
    parts: list[bytes], cuts: list[int]
) -> None:
    message = b"".join(parts)

    wire = encoded(pieces(message, cuts))

    assert wire == by_lines(message)
    assert wire.count(b"\r\n.\r\n") + wire.startswith(b".\r\n") == 1


@given(cuts=lists(integers(0, 200)))
def test_replies_do_not_depend_on_where_the_stream_is_cut(cuts: list[int]) -> None:
    wire = b"220 mx\r\n250-mx\r\n250-SIZE 10\r\n250 DSN\r\n550 5.1.1 no\xff such\n354\r\n25"
    reader = ReplyReader()

    replies = [reply for piece in pieces(wire, cuts) for reply in reader.feed(piece)]

    assert [(reply.code, reply.lines) for reply in replies] == [
        (220, ("mx",)),
        (250, ("mx", "SIZE 10", "DSN")),
        (550, ("5.1.1 no\ufffd such",)),
        (354, ("",)),
    ]


@given(octets=binary())
def test_octets_that_are_no_smtp_end_in_a_temporary_error_and_nothing_else(octets: bytes) -> None:
    with contextlib.suppress(OutboundUnavailable):
        assert all(200 <= reply.code < 600 for reply in ReplyReader().feed(octets))


@pytest.mark.parametrize("wire", [b"hello\r\n", b"250-a\r\n251 b\r\n", b"199 a\r\n", b"\r\n", b"2500 a\r\n"])
def test_a_line_that_is_no_reply_is_refused(wire: bytes) -> None:
    with pytest.raises(OutboundUnavailable, match="does not speak SMTP"):
        ReplyReader().feed(wire)


def test_a_reply_without_end_is_refused() -> None:
    with pytest.raises(OutboundUnavailable, match="without end"):
        ReplyReader().feed(b"250-more\r\n" * REPLY_LIMIT_OCTETS)


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (550, "5.1.1 no", EnhancedStatus(5, 1, 1)),
        (451, "4.3.0", EnhancedStatus(4, 3, 0)),
        (550, "4.1.1 contradicts", None),
        (550, "no status", None),
        (550, "5.1.1x", None),
        (550, "5.1.1000 long", None),
    ],
)
def test_an_enhanced_status_is_believed_where_it_agrees_with_the_code(
    code: int, text: str, status: EnhancedStatus | None
) -> None:
    assert CodeReply(code=code, lines=(text,)).status == status


def test_control_characters_of_a_server_do_not_reach_the_log() -> None:
    (reply,) = ReplyReader().feed(b"550 a\x1b[31m\tb\r\n")

    assert str(reply) == "550 a [31m b"


def test_keywords_are_found_in_any_case_with_their_parameters() -> None:
    reply = CodeReply(code=250, lines=("mx", "size 10", "8BITMIME", ""))

    assert keywords_of(reply) == {"SIZE": "10", "8BITMIME": ""}
