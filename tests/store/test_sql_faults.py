"""A PostgreSQL that refuses, is locked or is damaged: every call ends in success or an error that is temporary."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from msgstore.model.errors import (
    DiskFull,
    MailboxLocked,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing
from msgstore.model.message import FLAGGED, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.model.result import Filed
from msgstore.store.sql.dialect import Refused
from msgstore.store.sql.store import SqlStore
from tests.sql_room import sql_store, sqlite_store
from tests.store.sql_ledger import ALICE, BOB, check_sums, deliver, filed, settle_together, texts

pytestmark = pytest.mark.timeout(60)

JUNK: Final = FolderName(("Junk",))

RAISING: Final = """
create sequence tries;
create function refuse() returns trigger language plpgsql as $$ begin
    if nextval('tries') <= {times} then raise exception 'no' using errcode = {code}; end if;
    return new;
end $$;
create trigger refuse before insert on message for each row execute function refuse();
"""
"""A server that says what a test wants it to say.  What a sequence gave stays given when a transaction is undone."""


@pytest.fixture
def store(mail_database: str, tmp_path: Path) -> Iterator[SqlStore]:
    made = sql_store(mail_database, tmp_path)
    made.create_mailbox(ALICE)
    made.create_mailbox(BOB)
    yield made
    made.close()


def refusing(url: str, code: str, times: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(RAISING).format(code=code, times=times))


@pytest.mark.parametrize("code", ["40001", "40P01", "08006", "57P01", "25P03"])
def test_a_transaction_that_lost_is_done_again(store: SqlStore, mail_database: str, code: str) -> None:
    refusing(mail_database, code, 1)

    uid = filed(deliver(store, b"text"))

    assert texts(store) == {uid: b"text"}
    check_sums(mail_database, is_gapless=True)


def test_a_transaction_that_loses_again_and_again_is_given_up(store: SqlStore, mail_database: str) -> None:
    refusing(mail_database, "40001", 1000)

    answer = deliver(store, b"text")

    assert isinstance(answer, StoreUnavailable)
    assert texts(store) == {}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("53100", DiskFull),
        ("53200", StoreUnavailable),
        ("53300", StoreUnavailable),
        ("55P03", MailboxLocked),
        ("57014", StoreUnavailable),
        ("57P03", StoreUnavailable),
        ("25006", StoreUnavailable),
        ("42501", StoreUnavailable),
        ("42P01", StoreUnavailable),
        ("58030", StoreUnavailable),
        ("XX000", StoreUnavailable),
        ("XX001", StoreCorrupt),
        ("XX002", StoreCorrupt),
        ("22021", Refused),
        ("23514", Refused),
        ("P0001", StoreUnavailable),
    ],
)
def test_every_error_of_the_server_is_an_error_of_the_store_that_is_temporary(
    store: SqlStore, mail_database: str, code: str, kind: type[StoreError]
) -> None:
    refusing(mail_database, code, 1000)

    answer = deliver(store, b"text")

    assert type(answer) is kind
    assert kind.status.kind == 4
    assert texts(store) == {}
    check_sums(mail_database, is_gapless=True)


@pytest.mark.parametrize(
    ("kind", "keywords", "internal_date"),
    [
        ("postgresql", frozenset({"a\0b"}), None),  # SQLite keeps it
        ("postgresql", frozenset({"\udc80"}), None),
        ("postgresql", frozenset[str](), 1e30),
        ("sqlite", frozenset({"\udc80"}), None),
        ("sqlite", frozenset[str](), 1e30),
    ],
)
def test_a_message_with_values_the_database_refuses_fails_alone(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, keywords: frozenset[str], internal_date: float | None
) -> None:
    store = sqlite_store(tmp_path) if kind == "sqlite" else request.getfixturevalue("store")
    store.create_mailbox(ALICE)
    good = Filing(mailbox=ALICE, folder=INBOX)
    bad = Filing(mailbox=ALICE, folder=INBOX, keywords=keywords, internal_date=internal_date)

    answers = settle_together(store, [(b"one", good), (b"two", bad), (b"three", good)])

    assert [type(answer) for answer in answers] == [Filed, Refused, Filed]
    assert list(texts(store).values()) == [b"one", b"three"]
    store.close()


def test_a_folder_locked_by_another_session_is_busy_and_then_free(
    store: SqlStore, mail_database: str, tmp_path: Path
) -> None:
    uid = filed(deliver(store, b"text"))
    hasty = sql_store(f"{mail_database}&options=-c%20lock_timeout%3D200", tmp_path / "hasty")
    with psycopg.connect(mail_database) as other:
        other.execute("select * from folder for update")

        answer = deliver(hasty, b"more")
        with pytest.raises(MailboxLocked):
            hasty.folder(ALICE, INBOX).set_flags([Uid(uid)], FlagChange.ADD, flags=frozenset({FLAGGED}))
        seen = texts(hasty)

    assert isinstance(answer, MailboxLocked)
    assert seen == {uid: b"text"}
    assert texts(hasty).keys() < {uid, filed(deliver(hasty, b"more"))}
    hasty.close()


def test_a_statement_that_takes_too_long_is_stopped(store: SqlStore, mail_database: str, tmp_path: Path) -> None:
    hasty = sql_store(
        f"{mail_database}&options=-c%20statement_timeout%3D200%20-c%20lock_timeout%3D0", tmp_path / "hasty"
    )
    with psycopg.connect(mail_database) as other:
        other.execute("select * from folder for update")

        answer = deliver(hasty, b"text")

    assert type(answer) is StoreUnavailable
    assert filed(deliver(hasty, b"text")) == 1
    hasty.close()


def test_who_waits_for_one_mailbox_keeps_nobody_from_another(store: SqlStore, mail_database: str) -> None:
    theirs = Uid(filed(deliver(store, b"for bob", mailbox=BOB)))
    mine = Uid(filed(deliver(store, b"text")))
    other = psycopg.connect(mail_database)
    other.execute("select * from folder f join mailbox m using (mailbox_id) where m.local_part = 'alice' for update")
    waiting = threading.Thread(
        target=lambda: store.folder(ALICE, INBOX).set_flags([mine], FlagChange.ADD, flags=frozenset({FLAGGED}))
    )
    waiting.start()
    wait_for_waiters(mail_database)

    changed = store.folder(BOB, INBOX).set_flags([theirs], FlagChange.ADD, flags=frozenset({FLAGGED})).changed

    assert len(changed) == 1
    assert waiting.is_alive()
    other.rollback()
    other.close()
    waiting.join()
    assert store.folder(ALICE, INBOX).list()[0].flags == {FLAGGED}


def test_a_deadlock_with_a_stranger_is_survived(store: SqlStore, mail_database: str) -> None:
    uid = Uid(filed(deliver(store, b"text")))
    other = psycopg.connect(mail_database)
    # The one who looks first is the one who gives way.
    other.execute("set deadlock_timeout = '30s'")
    lock = (
        "select * from folder f join mailbox m using (mailbox_id)"
        " where m.local_part = 'alice' and f.name = %s for update"
    )
    other.execute(lock, ("Junk",))
    moving = threading.Thread(target=lambda: store.folder(ALICE, INBOX).move([uid], JUNK))
    moving.start()
    wait_for_waiters(mail_database)

    other.execute(lock, ("INBOX",))

    other.commit()
    other.close()
    moving.join()
    assert list(texts(store, ALICE, JUNK).values()) == [b"text"]
    assert texts(store) == {}
    check_sums(mail_database, is_gapless=False)


def test_folders_crossed_by_stores_of_two_machines_end_with_every_message_in_one(
    store: SqlStore, mail_database: str, tmp_path: Path
) -> None:
    for number in range(20):
        deliver(store, b"%d" % number, folder=(INBOX, JUNK)[number % 2])
    stores = [store, sql_store(mail_database, tmp_path / "other")]
    failed: list[StoreError] = []

    def cross(one: SqlStore, here: FolderName, there: FolderName) -> None:
        folder = one.folder(ALICE, here)
        for _ in range(15):
            try:
                folder.move([info.uid for info in folder.list()], there)
            except StoreError as error:
                failed.append(error)

    threads = [
        threading.Thread(target=cross, args=(one, *way)) for one in stores for way in ((INBOX, JUNK), (JUNK, INBOX))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    found = [*texts(store).values(), *texts(store, ALICE, JUNK).values()]
    assert sorted(found, key=int) == [b"%d" % number for number in range(20)]
    check_sums(mail_database, is_gapless=False)
    stores[1].close()


def test_a_database_that_became_read_only_is_told_and_works_as_soon_as_it_is_not(
    store: SqlStore, mail_database: str
) -> None:
    uid = filed(deliver(store, b"text"))
    name = sql.Identifier(mail_database.partition("@/")[2].partition("?")[0])
    with psycopg.connect(mail_database, autocommit=True) as other:
        other.execute("set default_transaction_read_only = off")
        other.execute(sql.SQL("alter database {} set default_transaction_read_only = on").format(name))
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )

        answer = deliver(store, b"more")
        with pytest.raises(StoreUnavailable, match="read-only"):
            store.check_health()
        seen = texts(store)
        other.execute(sql.SQL("alter database {} reset default_transaction_read_only").format(name))

    assert isinstance(answer, StoreUnavailable)
    assert seen == {uid: b"text"}
    assert filed(deliver(store, b"more")) == uid + 1
    store.check_health()


def wait_for_waiters(url: str) -> None:
    """Wait until somebody waits for a lock in this database."""
    with psycopg.connect(url, autocommit=True) as other:
        while other.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        ).fetchone() == (0,):
            pass
