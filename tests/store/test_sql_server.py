"""PostgreSQL itself comes, goes and fills up, and the store finds its way back without a restart of its own."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from msgstore.model.errors import ConfigError, DiskFull, MsgstoreError, StoreUnavailable
from msgstore.model.result import Filed
from msgstore.store.sql.dialect import CONNECT_SECONDS
from tests.postgres_room import Postgres, own_cluster, replicated, server_directory, server_user
from tests.scenario.harness import required_root, wait_until
from tests.sql_room import sql_store
from tests.store.small_disk import small_disk
from tests.store.sql_ledger import ALICE, check_sums, deliver, filed, texts

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A cluster with room for few; every test leaves it running."""
    with own_cluster(max_connections="12", superuser_reserved_connections="0", max_wal_senders="2") as made:
        yield made


@pytest.fixture
def url(server: Postgres) -> Iterator[str]:
    name = server.fresh_database()
    yield server.dsn(name)
    server.drop_database(name)


def test_a_server_that_is_down_at_the_start_is_told_in_time_and_used_as_soon_as_it_is_up(
    server: Postgres, url: str, tmp_path: Path
) -> None:
    store = sql_store(url, tmp_path)
    server.stop()

    before = time.monotonic()
    answer = deliver(store, b"lost")
    with pytest.raises(StoreUnavailable):
        store.check_health()
    with pytest.raises(StoreUnavailable):
        texts(store)
    took = time.monotonic() - before
    server.restart()

    assert isinstance(answer, StoreUnavailable)
    # Nobody listens, so nothing is waited for.
    assert took < 3 * CONNECT_SECONDS
    uid = filed(deliver(store, b"text"))
    assert texts(store) == {uid: b"text"}
    store.close()


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time(tmp_path: Path) -> None:
    with server_directory() as place:
        silent = socket.socket(socket.AF_UNIX)
        silent.bind(str(place / ".s.PGSQL.5432"))
        silent.listen()
        store = sql_store(f"postgresql://nobody@/nothing?host={place}&connect_timeout=2", tmp_path)

        with pytest.raises(StoreUnavailable):
            store.check_health()

        store.close()
        silent.close()


@pytest.mark.parametrize("is_killed", [False, True])
def test_connections_that_a_restart_has_cut_cost_nobody_an_error(
    server: Postgres, url: str, tmp_path: Path, *, is_killed: bool
) -> None:
    store = sql_store(url, tmp_path)
    start = threading.Barrier(5)
    answers: list[object] = []

    def use() -> None:
        start.wait()
        answers.append(texts(store))

    uid = filed(deliver(store, b"text"))
    for _ in range(2):
        # The first round fills the pool, the second finds it cut.
        threads = [threading.Thread(target=use) for _ in range(start.parties)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if is_killed:
            server.kill()
        server.restart()

    assert answers == [{uid: b"text"}] * 10
    assert filed(deliver(store, b"more")) == uid + 1
    check_sums(url, is_gapless=True)
    store.close()


def test_a_store_that_uses_all_the_connections_it_may_have_is_told_in_time(mail_database: str, tmp_path: Path) -> None:
    store = sql_store(mail_database, tmp_path)
    with contextlib.ExitStack() as held:
        for _ in range(32):
            held.enter_context(store.database.engine.connect())

        answer = deliver(store, b"lost")

    assert isinstance(answer, StoreUnavailable)
    assert filed(deliver(store, b"text")) == 1
    store.close()


@pytest.mark.parametrize("url", ["", "nonsense", "nonsense://there", "mysql://there/mail"])
def test_an_address_that_names_no_database_of_ours_is_a_fault_of_the_configuration(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store\.dsn"):
        sql_store(url, tmp_path)


def test_a_server_out_of_connections_is_told_and_used_again_when_there_are_some(
    server: Postgres, url: str, tmp_path: Path
) -> None:
    store = sql_store(url, tmp_path)
    store.create_mailbox(ALICE)
    store.close()
    with contextlib.ExitStack() as held:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(url))

        answer = deliver(store, b"lost")

    assert isinstance(answer, StoreUnavailable)
    wait_until(lambda: isinstance(deliver(store, b"text"), Filed), what="a free connection")
    assert list(texts(store).values()) == [b"text"]
    check_sums(url, is_gapless=True)
    store.close()


@pytest.mark.root
def test_a_server_without_room_is_told_and_takes_mail_again_when_there_is_some(
    server: Postgres, tmp_path: Path
) -> None:
    required_root()
    with server_directory() as place, small_disk(place / "small", megabytes=24) as small:
        subprocess.run(["chown", "-R", f"{server_user()}:", str(place)], check=True)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("create tablespace small location {}").format(str(small)))
            connection.execute("create database full_one tablespace small")
        url = server.dsn("full_one")
        store = sql_store(url, tmp_path)
        filed(deliver(store, b"first"))

        text = b"x" * 100_000
        answers: list[Filed | MsgstoreError] = []
        while not answers or isinstance(answers[-1], Filed):
            answers.append(deliver(store, text))
            assert len(answers) < 1000
        inbox = texts(store)
        check_sums(url, is_gapless=True)
        subprocess.run(["mount", "-o", "remount,size=48m", str(small)], check=True)
        more = filed(deliver(store, b"more"))

        assert isinstance(answers[-1], DiskFull)
        assert list(inbox) == [1, *map(filed, answers[:-1])]
        assert texts(store)[more] == b"more"
        store.close()
        server.drop_database("full_one")
        server.ask("drop tablespace small")


def test_a_commit_that_no_standby_has_is_not_acknowledged_before_one_has_it(tmp_path: Path) -> None:
    with replicated() as (primary, standby):
        store = sql_store(primary.dsn(), tmp_path)
        filed(deliver(store, b"first"))
        standby.stop(at_once=True)
        answers: list[object] = []
        delivering = threading.Thread(target=lambda: answers.append(deliver(store, b"second")))
        delivering.start()

        for _ in range(2):
            # Somebody ends the wait: it is committed here then, and nowhere else.
            wait_until(lambda: cancelled(primary), what="a commit that waits for the standby")
        wait_until(lambda: waiting(primary) > 0, what="the wait anew")
        early = list(answers)
        standby.restart()
        delivering.join()

        assert early == []
        assert [filed(answer) for answer in answers if isinstance(answer, Filed)] == [2]
        assert texts(store) == {1: b"first", 2: b"second"}
        check_sums(primary.dsn(), is_gapless=True)
        store.close()


def waiting(server: Postgres) -> int:
    ((count,),) = server.ask("select count(*) from pg_stat_activity where wait_event = 'SyncRep'")
    assert isinstance(count, int)
    return count


def cancelled(server: Postgres) -> bool:
    return server.ask("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'") != []
