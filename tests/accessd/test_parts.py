"""The small parts: peers, patterns, heads of messages, turns."""

import asyncio
import os
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessd.bodies import read_head
from accessd.logins import credentials_from_plain
from accessd.mail import matches
from accessd.peers import ALL_ROLES, Credentials, Peers
from accessd.session import Turns
from msgstore.access.codes import AccessError
from msgstore.model.errors import ConfigError
from tests.accessd_room import ShelfBody


def test_roles_come_from_user_number_group_and_ownership() -> None:
    peers = Peers.from_settings({"root": ("pop3",), "4242": ("imap",), "@root": ("smtp",)}, own_uid=77)

    def roles(uid: int, gid: int) -> set[str]:
        return set(peers.roles_of(Credentials(pid=1, uid=uid, gid=gid)))

    assert roles(0, 99) == {"pop3"}
    assert roles(4242, 99) == {"imap"}
    assert roles(5, 0) == {"smtp"}
    assert roles(4242, 0) == {"imap", "smtp"}
    assert roles(77, 99) == ALL_ROLES
    assert roles(5, 5) == set()


def test_every_unknown_name_is_a_fault() -> None:
    with pytest.raises(ConfigError) as refused:
        Peers.from_settings({"no-such-user-here": ("pop3",), "@no-such-group": ("imap",)}, own_uid=os.getuid())

    assert len(refused.value.faults) == 2


@given(name=st.text("ab/", max_size=8), pattern=st.text("ab*", max_size=8))
def test_a_star_stands_for_anything(name: str, pattern: str) -> None:
    assert matches(name, pattern, "/") == fnmatchcase(name, pattern)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("a/b", "%", False),
        ("a/b", "%/%", True),
        ("a/b/c", "a/%", False),
        ("a/b/c", "*c", True),
        ("INBOX", "inbox", True),
        ("INBOX", "InB%", True),
        ("INBOX", "*box", True),
        ("INBOX/Sub", "inbox/%", True),
        ("INBOX/Sub", "*/Sub", True),
        ("INBOX/Sub", "inbox/sub", False),
        ("INBOX2", "inbox2", False),
        ("Sent", "sent", False),
        ("", "%", True),
        ("a%b", "a%b", True),
    ],
)
def test_a_percent_stays_within_its_level(name: str, pattern: str, fits: bool) -> None:  # noqa: FBT001
    assert matches(name, pattern, "/") is fits


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("length", [10, 65_530, 65_534, 65_535, 65_536, 200_000])
def test_the_header_ends_at_the_empty_line_wherever_reads_cut_it(end: bytes, length: int) -> None:
    header = b"A: " + b"x" * length + end + end
    body = ShelfBody(header + b"one" + end + b"two" + end + b"three", None)

    found = {lines: read_head(body, lines) for lines in (None, 0, 1, 2, 3, 99)}

    assert {head for head, _ in found.values()} == {header}
    assert found[None][1] is None
    assert found[0][1] == b""
    assert found[1][1] == b"one" + end
    assert found[2][1] == b"one" + end + b"two" + end
    assert found[3][1] == found[99][1] == b"one" + end + b"two" + end + b"three"


@pytest.mark.parametrize(
    ("text", "header", "lines"),
    [(b"", b"", b""), (b"A: b", b"A: b", b""), (b"\nbody", b"\n", b"body"), (b"\r\nbody", b"\r\n", b"body")],
)
def test_odd_messages_have_a_header_too(text: bytes, header: bytes, lines: bytes) -> None:
    assert read_head(ShelfBody(text, None), 5) == (header, lines)


def test_a_header_that_fits_no_frame_is_too_large() -> None:
    with pytest.raises(AccessError) as refused:
        read_head(ShelfBody(b"A: " + b"x" * (1 << 20) + b"\n\n", None), None)

    assert refused.value.code == "TOO_LARGE"


@pytest.mark.parametrize("message", [b"", b"a\0b", b"\0\0p", b"\0u\0", b"\0u\0p\0x", b"\0\xff\0p"])
def test_what_is_no_message_of_plain_is_invalid(message: bytes) -> None:
    with pytest.raises(AccessError) as refused:
        credentials_from_plain(message)

    assert refused.value.code == "INVALID"


def test_nobody_logs_in_for_somebody_else() -> None:
    with pytest.raises(AccessError) as refused:
        credentials_from_plain(b"bob\0alice\0secret")

    assert refused.value.code == "DENIED"
    assert credentials_from_plain(b"alice\0alice\0secret") == ("alice", "secret")


async def test_a_change_given_up_before_its_turn_lets_nothing_past_the_change_before_it() -> None:
    turns = Turns()
    running, given_up, again, last = (turns.take(changes=True) for _ in range(4))
    coming = asyncio.create_task(last.come())

    given_up.leave()
    again.leave()
    for _ in range(9):
        await asyncio.sleep(0)
    early = coming.done()
    running.leave()
    async with asyncio.timeout(5):
        await coming

    assert not early


async def test_reads_run_together_and_changes_run_alone_in_the_order_received() -> None:
    turns = Turns()
    kinds = [False, False, True, False, True]
    taken = [turns.take(changes=changes) for changes in kinds]
    came: list[int] = []

    async def come(number: int) -> None:
        await taken[number].come()
        came.append(number)

    waiting = [asyncio.create_task(come(number)) for number in range(5)]
    steps: list[list[int]] = []
    for leaving in ((), (0,), (1,), (2,), (3,)):
        for number in leaving:
            taken[number].leave()
        for _ in range(5):
            await asyncio.sleep(0)
        steps.append(sorted(came))
    for task in waiting:
        await task

    assert steps == [[0, 1], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
