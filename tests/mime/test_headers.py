import pytest

from msgstore.mime.headers import field_values, fields
from msgstore.mime.trace import TraceFacts, trace_lines


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_what_stands_behind_the_first_empty_line_is_no_field(end: bytes) -> None:
    assert list(fields(b"A: b" + end + end + b"C: d" + end)) == [(b"a", b"b")]
    assert list(fields(end + b"A: b" + end)) == []


def test_fields_are_unfolded_and_found_without_case() -> None:
    block = b"Received: from a\r\n\tby b\r\nSUBJECT : hi\r\nreceived:c\r\n\r\nReceived: body\r\n"

    assert field_values(block, b"received") == (b"from a\tby b", b"c")
    assert list(fields(block))[1] == (b"subject", b"hi")


def test_a_line_that_is_no_field_ends_the_header() -> None:
    assert list(fields(b"A: b\nnot a field\nC: d\n")) == [(b"a", b"b")]


def test_more_fields_than_the_cap_count_as_absent() -> None:
    assert sum(1 for _ in fields(b"A: b\n" * 5000)) == 1000


def trace(**changes: object) -> bytes:
    facts: dict[str, object] = {
        "return_path": "a@b",
        "delivered_to": "alice@example.com",
        "helo": "mx.example.net",
        "address": "192.0.2.1",
        "name": "mx.example.net",
        "protocol": "LMTP",
        "hostname": "store.example.com",
        "transaction": "abc-1",
        "for_path": "alice@example.com",
        "at_seconds": 0.0,
    }
    return trace_lines(TraceFacts(**(facts | changes)))  # type: ignore[arg-type]  # changes of a test


def test_trace_lines_say_where_the_message_came_from() -> None:
    assert trace() == (
        b"Return-Path: <a@b>\r\n"
        b"Delivered-To: alice@example.com\r\n"
        b"Received: from mx.example.net (mx.example.net [192.0.2.1])\r\n"
        b"\tby store.example.com (msgstore) with LMTP id abc-1\r\n"
        b"\tfor <alice@example.com>;\r\n"
        b"\tThu, 01 Jan 1970 00:00:00 +0000\r\n"
    )


def test_several_recipients_are_not_told_of_each_other() -> None:
    lines = trace(delivered_to=None, for_path=None)

    assert b"alice" not in lines


def test_nothing_a_peer_says_can_forge_a_trace_line() -> None:
    lines = trace(helo="x)\r\nX-Forged: 1", name="a\nb", return_path='"\r\nX: y"@d', for_path="a b@c")

    assert lines.count(b"\r\n") == len(lines.splitlines())
    assert [line for line in lines.splitlines() if not line.startswith((b"\t", b"Return-Path", b"Delivered-To"))] == [
        b"Received: from x_X-Forged:_1 (a_b [192.0.2.1])"
    ]


def test_ipv6_addresses_are_marked_as_such() -> None:
    assert b"[IPv6:2001:db8::1]" in trace(address="2001:db8::1", name=None)


def test_an_unknown_client_is_called_so() -> None:
    assert b"from unknown\r\n" in trace(helo=None, address=None, name=None)
