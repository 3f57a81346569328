import shutil
import sqlite3
from collections.abc import Generator
from pathlib import Path

import pytest

from msgstore.delivery.history import History
from msgstore.delivery.historyfile import FILE_NAME
from msgstore.model.address import MailboxId
from msgstore.store.memory import MemoryStore
from msgstore.wiring import SystemClock
from tests.delivery.history_process import ALICE, mark, store_in
from tests.delivery.history_room import Room, room_in, vacation


@pytest.fixture
def room(tmp_path: Path) -> Generator[Room]:
    with room_in(tmp_path) as made:
        yield made


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_file_is_set_aside_and_stops_no_mail(room: Room, content: bytes) -> None:
    room.seen(mark("a"))
    room.history.close()
    for suffix in ("-wal", "-shm"):
        room.file.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
    room.file.write_bytes(content)

    assert [room.seen(mark("a")), room.seen(mark("a"))] == [False, True]
    assert room.file.with_name("msgstore-history.broken").read_bytes() == content


def test_records_that_are_damaged_while_the_file_is_open_are_set_aside_too(room: Room) -> None:
    room.seen(mark("a"))
    with sqlite3.connect(room.file) as database:
        database.execute("drop table seen")
    database.close()

    assert [room.seen(mark("a")), room.seen(mark("a"))] == [False, True]
    assert room.file.with_name("msgstore-history.broken").exists()


def test_a_file_of_another_version_is_set_aside(room: Room) -> None:
    room.seen(mark("a"))
    room.history.close()
    with sqlite3.connect(room.file) as database:
        database.execute("pragma user_version = 99")
    database.close()

    assert [room.seen(mark("a")), room.seen(mark("a"))] == [False, True]


def test_a_link_in_the_place_of_the_file_is_not_followed(room: Room, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"")
    room.file.symlink_to(tmp_path / "outside")

    assert [room.seen(mark("a")), room.seen(mark("a"))] == [False, True]
    assert (tmp_path / "outside").read_bytes() == b""


def test_a_file_that_was_removed_while_it_was_open_is_begun_anew(room: Room) -> None:
    room.seen(mark("a"))
    shutil.rmtree(room.file.parent)
    room.store.create_mailbox(ALICE)

    assert [room.seen(mark("a")), room.seen(mark("a"))] == [False, True]


def test_a_disk_that_refuses_is_answered_as_the_caller_wants(room: Room) -> None:
    (room.file.parent / "msgstore-history.lock").mkdir()

    with room.history.run(ALICE) as run:
        assert run.seen(vacation("a"), when_unsure=True)
        assert not run.seen(mark("a"))
        run.keep()

    assert not room.file.exists()


def test_the_first_message_of_a_mailbox_is_new(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    history = History(store.control_directory, clock=SystemClock())
    with history.run(ALICE) as run:
        assert not run.seen(mark("a"))
        store.create_mailbox(ALICE)
        run.keep()

    with history.run(ALICE) as run:
        assert run.seen(mark("a"))
    history.close()
    store.close()


def test_a_store_without_files_remembers_in_memory() -> None:
    store = MemoryStore(clock=SystemClock())
    store.create_mailbox(ALICE)
    history = History(store.control_directory, clock=SystemClock())
    for index in range(100):
        other = MailboxId(f"user{index}", "example.com")
        store.create_mailbox(other)
        with history.run(other) as run:
            assert not run.seen(mark("a"))
            run.keep()

    with history.run(MailboxId("user0", "example.com")) as run:
        assert run.seen(mark("a"))
    history.close()
