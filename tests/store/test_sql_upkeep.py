"""What a database needs from time to time: counts compared, tombstones forgotten, bodies taken away."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from msgstore.model.folder import INBOX, FolderName
from msgstore.model.message import Uid
from msgstore.store.sql import schema
from msgstore.store.sql.store import SqlStore
from tests.clocks import HandClock
from tests.contract.shelf import ALICE, BOB, add, put, to, uids
from tests.sql_room import sql_store, sqlite_store

DAY = 86_400.0
LARGE = b"Subject: x\r\n\r\n" + b"y" * 200_000


class Room:
    def __init__(self, url: str, directory: Path) -> None:
        self.clock = HandClock()
        self.store = sql_store(url, directory, clock=self.clock)
        self.bodies = directory / "bodies"
        self.store.create_mailbox(ALICE)

    def write(self, statement: sa.Executable) -> None:
        self.store.database.write(lambda connection: connection.execute(statement))

    def files(self) -> int:
        return sum(path.is_file() for path in self.bodies.glob("??/*"))

    def pass_time(self, days: float) -> None:
        self.clock.now += days * DAY


@pytest.fixture
def room(each_url: str, tmp_path: Path) -> Iterator[Room]:
    made = Room(each_url, tmp_path)
    yield made
    made.store.close()


def kinds(store: SqlStore, *, repair: bool = False) -> list[tuple[str, bool]]:
    return [(found.kind, found.is_mended) for found in store.check(ALICE, repair=repair)]


def test_counts_that_are_wrong_are_found_and_mended(room: Room) -> None:
    for _ in range(3):
        add(room.store)
    before = room.store.folder(ALICE, INBOX).stat()
    folder = schema.folder
    broken = sa.update(folder).where(folder.c.name == "INBOX").values(messages=9, octets=9, unseen=0, uidnext=2)
    room.write(broken)

    assert kinds(room.store) == [("wrong-count", False)]
    assert kinds(room.store, repair=True) == [("wrong-count", True)]

    assert kinds(room.store) == []
    assert room.store.folder(ALICE, INBOX).stat() == before


def test_a_new_count_is_kept(room: Room) -> None:
    add(room.store)
    usage = room.store.usage(ALICE)
    room.write(sa.update(schema.folder).values(messages=77, octets=77))

    assert room.store.usage(ALICE) != usage
    assert room.store.recount(ALICE) == usage == room.store.usage(ALICE)


def test_a_message_whose_body_is_gone_is_found_wherever_that_lay(room: Room) -> None:
    put(room.store, to(ALICE))
    put(room.store, to(ALICE), text=LARGE)
    assert kinds(room.store) == []

    room.write(sa.delete(schema.blob).where(schema.blob.c.ref.is_(None)))
    for path in room.bodies.glob("??/*"):
        path.unlink()

    assert kinds(room.store) == [("no-body", False)] * 2


def test_bodies_that_no_message_names_are_found_and_mended(room: Room) -> None:
    add(room.store)
    room.write(sa.delete(schema.message))
    room.write(sa.update(schema.folder).values(messages=0, octets=0, unseen=0))

    assert kinds(room.store, repair=True) == [("unnamed-body", True)]
    assert kinds(room.store) == []


def test_tombstones_are_forgotten_after_a_month_and_who_was_away_longer_is_told(room: Room) -> None:
    inbox = room.store.folder(ALICE, INBOX)
    add(room.store)
    add(room.store)
    known = inbox.stat().modseq
    inbox.expunge([Uid(1)])
    room.pass_time(20)
    later = inbox.stat().modseq
    inbox.expunge([Uid(2)])
    room.pass_time(20)

    before = inbox.changes(known)
    room.store.compact(ALICE)

    assert [uid for uid, _ in before.vanished] == [1, 2]
    assert not inbox.changes(known).is_complete
    assert inbox.changes(later).is_complete
    assert [uid for uid, _ in inbox.changes(later).vanished] == [2]


def test_a_large_body_goes_a_day_after_its_last_message(room: Room) -> None:
    inbox = room.store.folder(ALICE, INBOX)
    put(room.store, to(ALICE), text=LARGE)
    inbox.copy([Uid(1)], FolderName(("Junk",)))
    inbox.expunge([Uid(1)])
    room.pass_time(2)
    room.store.compact(ALICE)
    copied = room.files()

    room.store.folder(ALICE, FolderName(("Junk",))).expunge([Uid(1)])
    room.store.compact(ALICE)
    fresh = room.files()
    room.pass_time(2)
    room.store.compact(ALICE)

    assert (copied, fresh, room.files()) == (1, 1, 0)


def test_what_a_removed_mailbox_and_broken_off_deliveries_left_is_swept(room: Room) -> None:
    put(room.store, to(ALICE), to(BOB), text=LARGE)
    with room.store.stage() as staged:
        staged.write(LARGE)
        # Broken off between body and row.
        next(iter(room.store.deliver_in_steps(staged, [to(ALICE)])))
    room.store.remove_mailbox(BOB)

    young = room.store.sweep()
    room.clock.now += 10 * 365 * DAY
    old = room.store.sweep()

    assert (young, old) == (0, 2)
    assert room.files() == 1
    assert len(uids(room.store)) == 1
    assert kinds(room.store) == []


def test_nothing_is_swept_for_a_database_without_mailboxes(room: Room) -> None:
    put(room.store, to(ALICE), text=LARGE)
    for table in schema.metadata.sorted_tables:
        room.write(sa.delete(table))
    room.clock.now += 10 * 365 * DAY

    assert room.store.sweep() == 0
    assert room.files() == 1


def test_nobody_else_can_read_what_lies_in_files(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = sqlite_store(tmp_path)
        store.create_mailbox(ALICE)
        put(store, to(ALICE), text=LARGE)
        modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.rglob("*") if path.is_file()}
        store.close()
    finally:
        os.umask(before)

    assert "mail.sqlite-wal" in modes
    assert set(modes.values()) == {0}


def test_a_folder_that_is_called_inbox_in_small_letters_is_another_one(room: Room) -> None:
    small = FolderName(("inbox",))
    room.store.folders(ALICE).restore(small, uidvalidity=7, uidnext=1)
    add(room.store, small)

    assert [info.name for info in room.store.folders(ALICE).list() if info.name in (small, INBOX)] == [INBOX, small]
    assert uids(room.store, folder=INBOX) == []
