"""Lines of ManageSieve, cut anywhere."""

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, lists

from accessd.sieve_lines import (
    DROP_LIMIT_OCTETS,
    LINE_LIMIT_OCTETS,
    Atom,
    LineDecoder,
    LineRefused,
    Word,
    answer,
    literal,
    quoted,
    string,
)

LIMIT = 64
WIRE = (
    b'NOOP\r\nputscript "a \\"b\\" \\\\" {5+}\r\nkeep;\r\nHAVESPACE {3+}\r\na\r\n 4096\n"c2VjcmV0"\r\n'
    b"bogus (\r\nPUTSCRIPT {70+}\r\n" + b"x" * 70 + b' "y"\r\n\r\nCHECKSCRIPT {0+}\r\n\r\nLOGOUT\r\n'
)
LINES: list[object] = [
    (Atom("NOOP"),),
    (Atom("PUTSCRIPT"), b'a "b" \\', b"keep;"),
    (Atom("HAVESPACE"), b"a\r\n", 4096),
    (b"c2VjcmV0",),
    "the line cannot be read",
    "the literal is too large",
    "the line is empty",
    (Atom("CHECKSCRIPT"), b""),
    (Atom("LOGOUT"),),
]


def pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    found: list[bytes] = []
    for cut in cuts:
        found.append(wire[:cut])
        wire = wire[cut:]
    return [*found, wire]


def decoded(fed: list[bytes]) -> list[object]:
    decoder = LineDecoder(LIMIT)
    found: list[object] = []
    for piece in fed:
        decoder.feed(piece)
        while True:
            try:
                line = decoder.next_line()
            except LineRefused as error:
                found.append(str(error))
                if error.is_fatal:
                    return found
                continue
            if line is None:
                break
            found.append(line)
    return found


def test_every_cut_gives_the_same_lines() -> None:
    assert decoded([WIRE]) == LINES
    for cut in range(len(WIRE)):
        assert decoded([WIRE[:cut], WIRE[cut:]]) == LINES
    assert decoded([bytes([octet]) for octet in WIRE]) == LINES


@given(wire=binary(max_size=300), cuts=lists(integers(0, 40)))
def test_whatever_comes_the_cuts_do_not_matter_and_nothing_crashes(wire: bytes, cuts: list[int]) -> None:
    assert decoded(pieces(wire, cuts)) == decoded([wire])


def first(wire: bytes) -> LineRefused:
    decoder = LineDecoder(LIMIT)
    decoder.feed(wire)
    with pytest.raises(LineRefused) as refused:
        decoder.next_line()
    return refused.value


@pytest.mark.parametrize(
    "line",
    [
        b'"open',
        b'NOOP  "a"',
        b'NOOP "a""b"',
        b'NOOP"a"',
        b"NOOP 12345678901",
        b"NOOP \xff",
        b'NOOP "a\\b"',
        b" NOOP",
        b"NOOP ",
    ],
)
def test_a_line_of_another_form_is_refused_and_the_next_one_is_read(line: bytes) -> None:
    assert decoded([line + b"\r\nLOGOUT\r\n"]) == ["the line cannot be read", (Atom("LOGOUT"),)]


def test_too_many_words_are_refused() -> None:
    assert not first(b"A" + b" 1" * 20 + b"\r\n").is_fatal


def test_a_line_that_does_not_end_is_fatal() -> None:
    assert first(b"x" * (LINE_LIMIT_OCTETS + 1)).is_fatal
    assert first(b"NOOP {0+}\r\n" + b" 1" * LINE_LIMIT_OCTETS).is_fatal


def test_a_literal_is_refused_before_it_is_kept() -> None:
    too_large = first(b"PUTSCRIPT {%d+}\r\n" % (DROP_LIMIT_OCTETS + 1))
    waiting = first(b"PUTSCRIPT {5}\r\n")

    assert (too_large.is_fatal, too_large.code) == (True, "QUOTA/MAXSIZE")
    assert waiting.is_fatal


def test_the_literals_of_a_line_count_together() -> None:
    half = LIMIT // 2 + 1
    wire = b"A" + (b" {%d+}\r\n" % half + b"x" * half) * 2 + b"\r\nB\r\n"

    assert decoded([wire]) == ["the literal is too large", (Atom("B"),)]


def test_a_decoder_knows_whether_something_is_left() -> None:
    decoder = LineDecoder(LIMIT)
    decoder.feed(b"STARTTLS\r\nNOOP")

    assert decoder.next_line() == (Atom("STARTTLS"),)
    assert not decoder.is_empty
    decoder.feed(b"\r\n")
    decoder.next_line()
    assert decoder.is_empty


@given(octets=binary(max_size=200))
def test_what_is_written_as_a_string_is_read_as_that(octets: bytes) -> None:
    decoder = LineDecoder(1000)
    is_line = not any(one in octets for one in b"\r\n\0")
    written = quoted(octets) if is_line else literal(octets).replace(b"}", b"+}", 1)
    decoder.feed(written + b"\r\n")

    line: tuple[Word, ...] | None = decoder.next_line()

    assert line == (octets,)


def test_a_text_of_several_lines_or_a_long_one_is_a_literal() -> None:
    assert string('a "b"') == b'"a \\"b\\""'
    assert string("a\nb") == b"{3}\r\na\nb"
    assert string("a" * 1025).startswith(b"{1025}\r\n")


def test_an_answer_has_its_code_and_its_text() -> None:
    assert answer("OK") == b"OK\r\n"
    assert answer("NO", "why", code="QUOTA/MAXSIZE") == b'NO (QUOTA/MAXSIZE) "why"\r\n'
