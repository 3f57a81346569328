"""Sets of uids, and a client's calls in flight, without a socket."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.access.codes import AccessError
from msgstore.access.conversation import Answer, Conversation, Told
from msgstore.access.frames import FrameRefused, Notification, Request, Response, encode
from msgstore.access.uids import compressed, contains, each_uid, missing, ranges_of

UID_SETS = st.sets(st.integers(1, 60))


@given(uids=UID_SETS)
def test_compressed_uids_hold_the_same_numbers(uids: set[int]) -> None:
    assert list(each_uid(compressed(uids))) == sorted(uids)


@given(asked=UID_SETS, present=UID_SETS)
def test_missing_is_what_was_asked_for_and_is_not_there(asked: set[int], present: set[int]) -> None:
    found = missing(ranges_of(tuple(asked)), sorted(present))

    assert set(each_uid(found)) == asked - present


@given(pairs=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=8), uid=st.integers(1, 60))
def test_ranges_hold_what_their_pairs_hold(pairs: list[tuple[int, int]], uid: int) -> None:
    ranges = ranges_of(pairs)

    assert contains(ranges, uid) == any(first <= uid <= last for first, last in pairs)
    assert all(one[1] + 1 < two[0] for one, two in pairwise(ranges))


def test_an_open_end_lacks_nothing_above() -> None:
    assert missing(ranges_of(((5, None),)), [7, 8]) == (5, 6)
    assert contains(ranges_of(((5, None),)), 2**32 - 1)


def test_answers_find_their_calls_in_any_order_and_at_every_cut() -> None:
    one, two = Response(id=0, result="a"), Response(id=1, error=("BUSY", "full"))
    wire = encode(two) + encode(Notification(method="rpc.going_away", args=({"grace_ms": 1},))) + encode(one)

    for cut in range(len(wire) + 1):
        conversation = Conversation()
        conversation.call("rpc.ping", {})
        conversation.call("rpc.ping", {})
        found = conversation.receive(wire[:cut]) + conversation.receive(wire[cut:])

        first, told, last = found
        assert isinstance(first, Answer)
        assert first.error is not None
        assert (first.id, first.error.code) == (1, "BUSY")
        assert told == Told(method="rpc.going_away", args=({"grace_ms": 1},))
        assert last == Answer(id=0, result="a")
        assert not conversation.in_flight


def test_the_nth_answer_with_a_descriptor_takes_the_nth() -> None:
    conversation = Conversation()
    for _ in range(3):
        conversation.call("rpc.ping", {})
    wire = b"".join(encode(Response(id=id_, result=result)) for id_, result in ((1, {"fd": 0}), (2, 5), (0, {"fd": 0})))

    found = conversation.receive(wire, (100, 101, 102))

    assert [item.descriptor for item in found if isinstance(item, Answer)] == [100, None, 101]
    assert conversation.unclaimed() == (102,)
    assert conversation.unclaimed() == ()


@pytest.mark.parametrize(
    "frame", [Response(id=5), Request(id=1, method="x"), Response(id=0, result={"fd": 0}), Response(id=0, result=None)]
)
def test_what_no_server_says_ends_the_conversation(frame: Request | Response) -> None:
    conversation = Conversation()
    conversation.call("rpc.ping", {})
    wire = encode(frame)

    with pytest.raises(FrameRefused):
        conversation.receive(wire + wire)


def test_the_reason_of_the_end_is_kept() -> None:
    conversation = Conversation()

    conversation.receive(encode(Notification(method="rpc.fatal", args=("INVALID", "not a frame"))))

    assert conversation.fatal is not None
    assert conversation.fatal.code == "INVALID"


@pytest.mark.parametrize("name", ["rpc.nothing", "rpc.cancel", "rpc.fatal"])
def test_only_requests_of_the_contract_are_called(name: str) -> None:
    with pytest.raises(AccessError):
        Conversation().call(name, {})
