"""Conversions that are long, stopped, run in bad order, or run while everything changes."""

import random
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msgstore.exchange.copying import Difference
from msgstore.model.errors import DiskFull, MsgstoreError
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import MessageStore, StagedMessage
from msgstore.model.message import FLAGGED, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.clock import SystemClock
from msgstore.store.memory import MemoryStore
from tests.exchange.converting_room import JUNK, Made, convert, furnish, portrait, put
from tests.exchange.room import ALICE, memory


def test_a_thousand_messages_and_more_come_page_by_page_with_gaps_and_ends_anywhere() -> None:
    source, target = memory(), memory()
    source.create_mailbox(ALICE)
    for _ in range(2050):
        put(source)
    source.folder(ALICE, INBOX).expunge([Uid(uid) for uid in (*range(990, 1012), 1500, 2050)])
    convert(source, target)
    before = portrait(target) == portrait(source)
    source.folder(ALICE, INBOX).expunge([Uid(uid) for uid in range(1020, 2050)])

    converted, differences = convert(source, target)

    assert before
    assert differences == []
    assert converted["INBOX"].expunged == 1029
    assert portrait(target) == portrait(source)


class _Full(MemoryStore):
    """Takes so many messages, and no more."""

    left = 3

    def stage(self, *, expected_octets: int | None = None, sealed: bool = False) -> StagedMessage:
        if self.left == 0:
            raise DiskFull("no room")
        self.left -= 1
        return super().stage(expected_octets=expected_octets, sealed=sealed)


def test_a_run_that_ends_in_the_middle_is_gone_on_with() -> None:
    source, target = memory(), _Full(clock=SystemClock())
    source.create_mailbox(ALICE)
    for _ in range(8):
        put(source)

    with pytest.raises(DiskFull):
        convert(source, target)
    target.left = 100
    _, differences = convert(source, target)

    assert differences == []
    assert portrait(target) == portrait(source)


def test_a_message_that_cannot_be_read_stops_its_folder_until_it_can_or_is_skipped(made: Made, tmp_path: Path) -> None:
    source, target = made("maildir"), made("memory")
    source.create_mailbox(ALICE)
    for number in range(3):
        put(source, text=b"%d\r\n" % number)
    put(source, JUNK)
    cur = tmp_path / "0" / "example.com" / "users" / "alice" / "cur"
    (second,) = [path for path in cur.iterdir() if path.read_bytes() == b"1\r\n"]
    second.unlink()
    second.symlink_to("/etc/passwd")

    first, named = convert(source, target)
    stopped = [info.uid for info in target.folder(ALICE, INBOX).list()]
    _, skipped = convert(source, target, skips_unreadable=True)

    assert [(one.folder, one.uid) for one in named] == [(INBOX, 2)]
    assert stopped == [1]
    assert first["INBOX"].put == 1
    assert first[str(JUNK)].verified == 1
    assert (INBOX, 2) in {(one.folder, one.uid) for one in skipped}
    assert [info.uid for info in target.folder(ALICE, INBOX).list()] == [1, 3]


def test_what_is_another_over_there_is_named_by_folder_and_uid(made: Made, tmp_path: Path) -> None:
    source, target = made("memory"), made("maildir")
    source.create_mailbox(ALICE)
    for number in range(4):
        put(source, text=b"%d\r\n" % number)
    convert(source, target)
    (cur,) = tmp_path.glob("1/**/M/cur")
    (one,) = [path for path in cur.iterdir() if path.read_bytes() == b"1\r\n"]
    with one.open("r+b") as file:
        file.write(b"9")
    (gone,) = [path for path in cur.iterdir() if path.read_bytes() == b"2\r\n"]
    gone.unlink()

    _, quick = convert(source, target, verifies=False)
    _, differences = convert(source, target)

    assert {(one.folder, one.uid) for one in differences} == {(INBOX, 2), (INBOX, 3)}
    assert "other octets" in next(one.text for one in differences if one.uid == 2)
    assert {one.uid for one in quick} == {3}


Step = tuple[str, int]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "flag", "expunge", "move", "rename", "delete", "convert"]), st.integers(0, 9)
        ),
        max_size=25,
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_in_between_the_last_run_makes_both_the_same(steps: list[Step]) -> None:
    source, target = memory(), memory()
    furnish(source)

    for step, number in steps:
        _happen(source, target, step, number)
    _, differences = convert(source, target, prunes=True)

    assert differences == []
    assert portrait(target) == portrait(source)


def _happen(source: MessageStore, target: MessageStore, step: str, number: int) -> None:
    tree = source.folders(ALICE)
    names = [info.name for info in tree.list()]
    name = names[number % len(names)]
    folder = source.folder(ALICE, name)
    uids = [info.uid for info in folder.list()][: number % 3 + 1]
    match step:
        case "put":
            put(source, name, b"%d\n" % number, keywords=frozenset({f"k{number}"}))
        case "flag":
            folder.set_flags(uids, FlagChange.ADD, flags=frozenset({FLAGGED}), keywords=frozenset({f"K{number}"}))
        case "expunge":
            folder.expunge(uids)
        case "move":
            folder.move(uids, names[number // 2 % len(names)])
        case "rename":
            with suppress(MsgstoreError):
                tree.rename(name, FolderName((f"New {number}",)))
        case "delete":
            with suppress(MsgstoreError):
                tree.delete(name)
        case _:
            convert(source, target, prunes=bool(number % 2))


@pytest.mark.parametrize(
    ("source", "target"), [("memory", "maildir"), ("maildir", "sqlite"), ("postgresql", "memory"), ("memory", "memory")]
)
def test_while_mail_flows_every_run_is_clean_and_the_one_after_it_makes_both_the_same(
    made: Made, source: str, target: str
) -> None:
    here, there = made(source), made(target)
    furnish(here)
    choice = random.Random(7)  # noqa: S311 (the same steps each time)

    def flow() -> None:
        for _ in range(60):
            _happen(here, there, choice.choice(("put", "put", "flag", "expunge", "move")), choice.randrange(10))

    runs: list[Difference] = []
    for _ in range(3):
        flowing = threading.Thread(target=flow)
        flowing.start()
        runs += convert(here, there)[1]
        flowing.join()
    _, differences = convert(here, there)

    assert runs == []
    assert differences == []
    assert portrait(there) == portrait(here)
