import itertools

from hypothesis import given
from hypothesis import strategies as st

from msgstore.store.lines import HEADER_LIMIT_OCTETS, HeaderBlock, LineEnds, to_lf

TEXTS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"b: c"]), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 40), max_size=4)


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(places)]


@given(TEXTS, CUTS)
def test_the_size_with_crlf_is_counted_wherever_the_stream_is_cut(text: bytes, cuts: list[int]) -> None:
    ends = LineEnds()
    for piece in pieces(text, cuts):
        ends.feed(piece)

    assert ends.octets == len(text)
    assert ends.wire_octets == len(text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@given(TEXTS, CUTS)
def test_the_header_ends_with_the_first_empty_line_wherever_the_stream_is_cut(text: bytes, cuts: list[int]) -> None:
    block = HeaderBlock()
    for piece in pieces(text, cuts):
        block.feed(piece)

    lines = text.split(b"\n")
    empty = next((index for index, line in enumerate(lines[:-1]) if line in (b"", b"\r")), None)
    wanted = text if empty is None else b"\n".join(lines[: empty + 1]) + b"\n"
    assert bytes(block) == wanted
    assert block.is_complete == (empty is not None)


def test_a_header_without_end_is_kept_up_to_its_limit() -> None:
    block = HeaderBlock()
    for _ in range(5):
        block.feed(b"x" * 100_000)

    assert block.is_complete
    assert len(bytes(block)) == HEADER_LIMIT_OCTETS


@given(TEXTS, CUTS)
def test_crlf_becomes_lf_wherever_the_stream_is_cut(text: bytes, cuts: list[int]) -> None:
    out, held = b"", False
    for piece in pieces(text, cuts):
        done, held = to_lf(piece, held_cr=held)
        out += done

    assert out + b"\r" * held == text.replace(b"\r\n", b"\n")
