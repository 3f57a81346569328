"""Hints by datagram: who gets them, what becomes of dead receivers, and that no sender ever waits."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.service.hints import Changed, HintReceiver, HintSender, hints_from, packed

ALICE = MailboxId("alice", "example.org")
ODD = MailboxId("a@b c", "example.org")
WORK = FolderName(("Work", "Größe"))


class Hand:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    return tmp_path / ("x" * 100) / "hints"


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def sender(deep: Path, clock: Hand) -> Iterator[HintSender]:
    made = HintSender(str(deep), clock=clock)
    yield made
    made.close()


def test_every_receiver_gets_every_place_once_and_in_order(deep: Path, sender: HintSender) -> None:
    first, second = HintReceiver(str(deep)), HintReceiver(str(deep))

    sender.send([(ALICE, INBOX), (ALICE, WORK), (ALICE, INBOX), (ODD, None)])
    found = [first.read(), second.read(), first.read()]
    first.close()
    second.close()

    assert found == [((ALICE, INBOX), (ALICE, WORK), (ODD, None))] * 2 + [()]
    assert list(deep.iterdir()) == []


def test_the_directory_and_the_sockets_are_for_their_owner_alone(deep: Path) -> None:
    receiver = HintReceiver(str(deep))

    assert deep.stat().st_mode & 0o777 == 0o700
    receiver.close()
    receiver.close()


def test_without_a_directory_or_a_receiver_nothing_is_sent_and_nothing_fails(
    deep: Path, sender: HintSender, clock: Hand
) -> None:
    sender.send([(ALICE, INBOX)])
    receiver = HintReceiver(str(deep))

    sender.send([(ALICE, INBOX)])
    early = receiver.read()
    clock.now += 1.0
    sender.send([(ALICE, WORK)])
    late = receiver.read()
    receiver.close()

    assert (early, late) == ((), ((ALICE, WORK),))


def test_an_own_receiver_gets_nothing(deep: Path, sender: HintSender) -> None:
    own, other = HintReceiver(str(deep)), HintReceiver(str(deep))
    sender.own = own.name

    sender.send([(ALICE, INBOX)])
    found = (own.read(), other.read())
    own.close()
    other.close()

    assert found == ((), ((ALICE, INBOX),))


def test_a_receiver_that_ended_is_passed_over_and_the_others_are_told(deep: Path, sender: HintSender) -> None:
    gone, here = HintReceiver(str(deep)), HintReceiver(str(deep))
    sender.send([(ALICE, INBOX)])
    gone.close()

    sender.send([(ALICE, WORK)])
    found = here.read()
    here.close()

    assert found == ((ALICE, INBOX), (ALICE, WORK))


def test_a_receiver_that_does_not_read_holds_nobody_up(deep: Path, sender: HintSender) -> None:
    receiver = HintReceiver(str(deep))

    for number in range(5000):
        sender.send([(MailboxId(f"user{number}", "example.org"), INBOX)])
    first = receiver.read()
    receiver.close()

    assert first[0] == (MailboxId("user0", "example.org"), INBOX)


def test_what_a_killed_process_left_is_swept_and_living_receivers_stay(deep: Path) -> None:
    living = HintReceiver(str(deep))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as killed:
        fd = os.open(deep, os.O_RDONLY)
        killed.bind(f"/proc/self/fd/{fd}/1.dead.hints")
        os.close(fd)
    (deep / "other").write_text("not a socket")

    fresh = HintReceiver(str(deep))
    names = {entry.name for entry in deep.iterdir()}
    living.close()
    fresh.close()

    assert names == {living.name, fresh.name, "other"}


def test_where_nothing_can_be_bound_the_error_is_told_and_no_descriptor_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(OSError, match="irectory"):
        HintReceiver(str(tmp_path / "file" / "hints"))

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_many_places_go_in_datagrams_of_bounded_size() -> None:
    places: list[Changed] = [(MailboxId(f"user{number}", "example.org"), WORK) for number in range(2000)]

    datagrams = list(packed(places))

    assert max(map(len, datagrams)) <= 8192
    assert [place for datagram in datagrams for place in hints_from(datagram)] == places
    assert list(packed([])) == []


@given(octets=st.binary(max_size=300))
def test_octets_of_any_kind_are_read_without_an_error(octets: bytes) -> None:
    for mailbox, _ in hints_from(octets):
        assert mailbox.local_part


def test_lines_that_name_no_place_are_passed_over() -> None:
    good = b"alice\texample.org\tWork"

    found = hints_from(b"x\n..\texample.org\n" + good + b"\na\tb\tc\td\nalice\texample.org\ta//b\n")

    assert found == ((ALICE, FolderName(("Work",))),)
