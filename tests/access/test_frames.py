"""Frames at every cut and under every limit."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.access.frames import (
    AFTER_LOGIN,
    BEFORE_LOGIN,
    READ_OCTETS,
    Frame,
    FrameDecoder,
    FrameLimits,
    FrameRefused,
    Notification,
    Request,
    Response,
    encode,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**32) | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
IDS = st.integers(0, 2**32 - 1)
ARGS = st.lists(VALUES, max_size=3).map(tuple)
FRAMES = st.one_of(
    st.builds(Request, id=IDS, method=st.text(max_size=10), args=ARGS),
    st.builds(Response, id=IDS, error=VALUES, result=VALUES),
    st.builds(Notification, method=st.text(max_size=10), args=ARGS),
)


def decoded(pieces: list[bytes], limits: FrameLimits = AFTER_LOGIN) -> list[Frame]:
    decoder = FrameDecoder(limits)
    found: list[Frame] = []
    for piece in pieces:
        decoder.feed(piece)
        while (frame := decoder.next_frame()) is not None:
            found.append(frame)
    return found


@given(frames=st.lists(FRAMES, max_size=4), size=st.integers(1, 40))
def test_frames_come_back_whatever_pieces_they_come_in(frames: list[Frame], size: int) -> None:
    wire = b"".join(encode(frame) for frame in frames)

    found = decoded([wire[at : at + size] for at in range(0, len(wire), size)])

    assert found == frames


@given(frames=st.lists(FRAMES, max_size=5), size=st.integers(1, 50))
def test_a_parser_may_be_renewed_anywhere_in_the_stream(frames: list[Frame], size: int) -> None:
    stream = b"".join(map(encode, frames))
    decoder = FrameDecoder(AFTER_LOGIN)
    found: list[Frame] = []
    for at in range(0, len(stream), size):
        decoder.feed(stream[at : at + size])
        decoder.renew()
        while (frame := decoder.next_frame()) is not None:
            found.append(frame)
            decoder.renew()

    assert found == decoded([stream])
    assert not decoder.holds_part


def test_a_frame_is_the_same_at_every_cut() -> None:
    frame = Request(id=7, method="message.list", args=({"mailbox": "a@b", "uids": [1, [2, None]], "x": b"\x00"},))
    wire = encode(frame) + encode(frame)

    found = [decoded([wire[:cut], wire[cut:]]) for cut in range(len(wire) + 1)]

    assert all(each == [frame, frame] for each in found)


@pytest.mark.parametrize(
    "wire",
    [
        b"\x90",
        msgpack.packb(5),
        msgpack.packb({"a": 1}),
        msgpack.packb([0, 1, "rpc.ping"]),
        b"\x95\x00\x01\xa1x\x90\x01",
        b"\x94\x00\xff\xa1x\x90",
        b"\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa1x\x90",
        b"\x94\x00\xc3\xa1x\x90",
        b"\x94\xc2\x01\xa1x\x90",
        b"\x94\x00\x01\xc4\x01x\x90",
        b"\x94\x00\x01\xa1x\x80",
        b"\x93\x02\xa1x\x80",
        msgpack.packb([3, 1, None, None]),
        b"\x94\x00\x01\xa1x\x91\x81\x01\x02",  # a key that is a number
        b"\x94\x00\x01\xa1x\x91\x81\xc4\x01a\x02",  # a key that is octets
        b"\x94\x00\x01\xa1x\x91\x82\xa1a\x01\xa1a\x02",  # a key twice
        b"\x94\x00\x01\xa1x\x91\xc7\x00\x05",  # an empty extension
        b"\x94\x00\x01\xa1x\x91\xd4\x05\x00",  # an extension
        b"\x94\x00\x01\xa1x\x91\xd6\xff\x00\x00\x00\x01",  # a timestamp
        b"\x94\x00\x01\xa1x\x91\xc7\x00\xff",  # a timestamp of no length
        b"\x94\x00\x01\xa1\xff\x90",  # not UTF-8
        b"\xc1",  # never used
        b"\x91" * 2000 + b"\x00",  # too deep
        b"\xdd\xff\xff\xff\xff",  # an array of four thousand million
        b"\xdc\x04\x01",  # an array above the limit
        b"\xde\x00\x41",  # a map above the limit
    ],
)
def test_what_is_no_frame_ends_the_stream(wire: bytes) -> None:
    decoder = FrameDecoder(AFTER_LOGIN)
    decoder.feed(wire)

    with pytest.raises(FrameRefused):
        decoder.next_frame()

    with pytest.raises(FrameRefused):
        decoder.feed(encode(Request(id=1, method="rpc.ping")))
    with pytest.raises(FrameRefused):
        decoder.next_frame()


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("limits", [BEFORE_LOGIN, AFTER_LOGIN])
def test_an_object_may_fill_its_limit_and_not_one_octet_more(limits: FrameLimits, over: int) -> None:
    octets = limits.object_octets + over
    wire = b"\x94\x00\x01\xa1x\x91"
    wire += b"\xc6" + (octets - len(wire) - 5).to_bytes(4, "big")
    wire += b"a" * (octets - len(wire))
    pieces = [wire[at : at + READ_OCTETS] for at in range(0, len(wire), READ_OCTETS)]

    if over:
        with pytest.raises(FrameRefused):
            decoded(pieces, limits)
    else:
        assert len(decoded(pieces, limits)) == 1


def test_many_small_objects_in_one_are_refused_at_the_limit_of_the_object() -> None:
    # The parser alone would let this pass: its buffer empties while it reads.
    inner = msgpack.packb([b"x" * 200] * 10)
    wire = b"\x94\x00\x01\xa1x" + b"\x91\xdc\x04\x00" + inner * 1024
    decoder = FrameDecoder(AFTER_LOGIN)

    def feed() -> None:
        for at in range(0, len(wire), READ_OCTETS):
            decoder.feed(wire[at : at + READ_OCTETS])
            assert decoder.next_frame() is None

    with pytest.raises(FrameRefused):
        feed()


def test_pipelined_objects_may_be_larger_together_than_one() -> None:
    frame = Request(id=1, method="x", args=(b"a" * 60_000,))
    wire = encode(frame) * 8

    found = decoded([wire[at : at + READ_OCTETS] for at in range(0, len(wire), READ_OCTETS)], BEFORE_LOGIN)

    assert found == [frame] * 8


def test_after_login_the_rest_of_the_stream_is_read_under_wider_limits() -> None:
    small = encode(Request(id=1, method="auth.login"))
    large = Request(id=2, method="x", args=(list(range(100)),))
    decoder = FrameDecoder(BEFORE_LOGIN)
    wire = small + encode(large)

    decoder.feed(wire[: len(small) + 9])
    first = decoder.next_frame()
    decoder.change_limits(AFTER_LOGIN)
    rest = decoder.next_frame()
    decoder.feed(wire[len(small) + 9 :])
    second = decoder.next_frame()

    assert first == Request(id=1, method="auth.login")
    assert rest is None
    assert second == large


def test_the_decoder_says_whether_an_object_has_begun() -> None:
    wire = encode(Request(id=1, method="rpc.ping"))
    decoder = FrameDecoder(BEFORE_LOGIN)

    before = decoder.holds_part
    decoder.feed(wire[:3])
    during = decoder.holds_part
    decoder.feed(wire[3:])
    decoder.next_frame()

    assert (before, during, decoder.holds_part) == (False, True, False)


@given(junk=st.binary(max_size=200))
def test_any_octets_give_frames_or_are_refused(junk: bytes) -> None:
    decoder = FrameDecoder(BEFORE_LOGIN)
    decoder.feed(junk)

    try:
        while decoder.next_frame() is not None:
            pass
    except FrameRefused:
        pass
