from hypothesis import given
from hypothesis import strategies as st

from lmtpd.transparency import CountDecoder, DotDecoder

ALPHABET = st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\0", b"\r\n", b"\r\n."]), max_size=30).map(b"".join)


def reference(wire: bytes) -> tuple[bytes, bytes] | None:
    """Line by line, the slow and obvious way: message and rest, None without an end."""
    found: list[bytes] = []
    rest = wire
    while b"\r\n" in rest:
        line, _, rest = rest.partition(b"\r\n")
        if line == b".":
            return b"".join(found), rest
        found.append((line[1:] if line.startswith(b".") else line) + b"\r\n")
    return None


def decoded(pieces: list[bytes]) -> tuple[bytes, bytes] | None:
    decoder = DotDecoder()
    text = b""
    for index, piece in enumerate(pieces):
        text += decoder.feed(piece)
        if decoder.is_finished:
            return text, decoder.rest + b"".join(pieces[index + 1 :])
    return None


@given(wire=ALPHABET, tail=st.sampled_from([b"", b"\r\n.\r\n", b"\r\n.\r\nQUIT\r\n"]))
def test_decoding_agrees_with_the_line_based_reference_at_every_cut(wire: bytes, tail: bytes) -> None:
    whole = wire + tail

    expected = reference(whole)

    for cut in range(len(whole) + 1):
        assert decoded([whole[:cut], whole[cut:]]) == expected
    assert decoded([whole[at : at + 1] for at in range(len(whole))]) == expected


def test_only_crlf_dot_crlf_ends_data() -> None:
    for wire in (b"a\n.\n", b"a\n.\r\n", b"a\r\n.\n", b"a\r.\r", b"a\r\n.\r", b"a\r\r\n.\rx", b"a\r\n.\0\r\n"):
        decoder = DotDecoder()

        decoder.feed(wire)

        assert not decoder.is_finished


def test_odd_octets_are_kept_and_noted() -> None:
    decoder = DotDecoder()

    text = decoder.feed(b"a\0b\nc\r\n.\r\n")

    assert text == b"a\0b\nc\r\n"
    assert decoder.has_nul
    assert decoder.has_bare_lf


@given(body=st.binary(max_size=40), rest=st.binary(max_size=10), cut=st.integers(0, 60))
def test_a_chunk_is_cut_out_by_its_size_wherever_the_stream_is_cut(body: bytes, rest: bytes, cut: int) -> None:
    decoder = CountDecoder(len(body))
    wire = body + rest
    text = b""
    left = b""

    for piece in (wire[:cut], wire[cut:]):
        if decoder.is_finished:
            left += piece
        else:
            text += decoder.feed(piece)
            left += decoder.rest

    assert (text, left) == (body, rest)
    assert decoder.is_finished
