"""A SQLite file that is locked, damaged, read-only or on a full disk: what was kept stays, the rest is temporary."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.model.errors import DiskFull, MailboxLocked, MsgstoreError, StoreCorrupt, StoreUnavailable
from msgstore.model.folder import INBOX
from msgstore.model.message import FLAGGED, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.model.result import Filed
from msgstore.store.sql.store import SqlStore
from tests.scenario.harness import required_root
from tests.sql_room import sql_store, sqlite_store
from tests.store.small_disk import small_disk
from tests.store.sql_ledger import ALICE, check_sums, deliver, filed, texts

pytestmark = pytest.mark.timeout(60)

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("held", flush=True)
sys.stdin.read()
connection.execute("rollback")
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = sqlite_store(tmp_path)
    made.create_mailbox(ALICE)
    yield made
    made.close()


def hasty(directory: Path) -> SqlStore:
    """Open the store with little patience."""
    return sql_store(f"sqlite:///{directory}/mail.sqlite?timeout=0.2", directory)


def test_a_file_that_another_program_has_locked_is_busy_for_writers_and_open_to_readers(
    store: SqlStore, tmp_path: Path
) -> None:
    uid = filed(deliver(store, b"text"))
    other = hasty(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "mail.sqlite")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        answer = deliver(other, b"more")
        with pytest.raises(MailboxLocked):
            other.folder(ALICE, INBOX).set_flags([Uid(uid)], FlagChange.ADD, flags=frozenset({FLAGGED}))
        with pytest.raises(MailboxLocked):
            other.check_health()
        seen = texts(other)
        holder.stdin.close()

    assert isinstance(answer, MailboxLocked)
    assert seen == {uid: b"text"}
    assert filed(deliver(other, b"more")) == uid + 1
    other.close()


@pytest.mark.root
def test_a_full_disk_is_told_loses_nothing_and_takes_mail_again_when_there_is_room(tmp_path: Path) -> None:
    required_root()
    with small_disk(tmp_path / "small", megabytes=4) as place:
        store = sqlite_store(place)
        url = f"sqlite:///{place}/mail.sqlite"
        filed(deliver(store, b"first"))

        text = b"x" * 50_000
        answers: list[Filed | MsgstoreError] = []
        while not answers or isinstance(answers[-1], Filed):
            answers.append(deliver(store, text))
            assert len(answers) < 1000
        again = deliver(store, text)
        inbox = texts(store)
        check_sums(url, is_gapless=True)
        subprocess.run(["mount", "-o", "remount,size=16m", str(place)], check=True)
        more = filed(deliver(store, b"more"))

        assert isinstance(answers[-1], DiskFull)
        assert isinstance(again, DiskFull)
        assert list(inbox) == [1, *map(filed, answers[:-1])]
        assert set(inbox.values()) == {b"first", text}
        assert texts(store)[more] == b"more"
        check_sums(url, is_gapless=True)
        store.close()


@pytest.mark.root
def test_a_database_on_a_disk_full_from_the_start_is_made_when_there_is_room(tmp_path: Path) -> None:
    required_root()
    with small_disk(tmp_path / "small", megabytes=1) as place:
        ballast = (place / "ballast").open("wb", buffering=0)
        with pytest.raises(OSError, match="No space"):
            os.posix_fallocate(ballast.fileno(), 0, 2 << 20)
        with contextlib.suppress(OSError):
            while ballast.write(b"x" * 4096):
                pass
        store = sqlite_store(place)

        answer = deliver(store, b"lost")
        ballast.truncate(0)
        ballast.close()

        assert isinstance(answer, DiskFull | StoreUnavailable)
        assert filed(deliver(store, b"text")) == 1
        store.close()


@pytest.mark.root
def test_a_file_system_that_became_read_only_is_told_and_still_read(tmp_path: Path) -> None:
    required_root()
    with small_disk(tmp_path / "small", megabytes=8) as place:
        store = sqlite_store(place)
        uid = filed(deliver(store, b"text"))
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)

        answer = deliver(store, b"more")
        with pytest.raises(StoreUnavailable):
            store.check_health()
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)

        assert isinstance(answer, StoreUnavailable)
        assert filed(deliver(store, b"more")) == uid + 1
        store.close()


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    store = sql_store(f"sqlite:///{tmp_path}/nowhere/mail.sqlite", tmp_path)

    answer = deliver(store, b"text")

    assert isinstance(answer, StoreUnavailable)
    store.close()


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "mail.sqlite").write_bytes(b"This is no database." * 1000)
    store = sqlite_store(tmp_path)

    answer = deliver(store, b"text")
    with pytest.raises(StoreCorrupt):
        store.mailbox_exists(ALICE)

    assert isinstance(answer, StoreCorrupt)
    assert (tmp_path / "mail.sqlite").read_bytes() == b"This is no database." * 1000
    store.close()


def test_a_database_damaged_anywhere_gives_mail_as_it_was_or_an_error_of_the_store(
    store: SqlStore, tmp_path: Path
) -> None:
    wanted = {filed(deliver(store, b"%d" % number * 2000)): b"%d" % number * 2000 for number in range(20)}
    store.close()
    whole = (tmp_path / "mail.sqlite").read_bytes()
    page = 4096
    refused = 0
    for start in range(0, len(whole), page):
        place = tmp_path / f"at-{start}"
        place.mkdir()
        # The head of a page says what the rest is.
        damaged = bytearray(whole)
        damaged[start : start + 100] = b"\xa5" * 100
        (place / "mail.sqlite").write_bytes(damaged)
        one = sqlite_store(place)

        try:
            found = texts(one)
        except StoreCorrupt:
            refused += 1
        except StoreUnavailable:
            pass
        else:
            assert found.keys() <= wanted.keys()
        answer = deliver(one, b"more")
        assert isinstance(answer, Filed | StoreCorrupt | StoreUnavailable)
        one.close()

    assert refused > 0


def test_a_commit_is_synced_and_readers_see_the_log(store: SqlStore) -> None:
    with store.database.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"pragma {name}").scalar() for name in ("journal_mode", "synchronous")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2}
    assert sqlite3.sqlite_version_info >= (3, 35)
