"""The PostgreSQL that tests stand on keeps what it says it keeps, and the tests can break it on purpose."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from tests.postgres_room import SUPERUSER, Postgres, dsn, own_cluster, replicated, required_postgres, server_directory
from tests.scenario.harness import PATHS, wait_until

pytestmark = pytest.mark.timeout(120)


def numbers(server: Postgres, name: str) -> list[int]:
    with psycopg.connect(server.dsn(name)) as connection:
        return [number for (number,) in connection.execute("SELECT n FROM kept ORDER BY n").fetchall()]


class Writer:
    """Inserts 1, 2, 3 and so on in a thread, and remembers what was acknowledged."""

    def __init__(self, url: str) -> None:
        self.acknowledged: list[int] = []
        self._url = url
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self, *, at_least: int) -> None:
        self._thread.start()
        wait_until(lambda: len(self.acknowledged) >= at_least, what=f"{at_least} rows")

    def join(self) -> None:
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def _write(self) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while True:
                    number = len(self.acknowledged) + 1
                    connection.execute("INSERT INTO kept VALUES (%s)", (number,))
                    self.acknowledged.append(number)
        except psycopg.OperationalError:
            return


def test_two_databases_do_not_see_each_other(postgres: Postgres, database: str) -> None:
    other = postgres.fresh_database()
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE kept (n int)")

    with psycopg.connect(postgres.dsn(other)) as connection:
        seen = connection.execute("SELECT to_regclass('kept')").fetchone()

    postgres.drop_database(other)
    assert seen == (None,)


def test_a_database_copied_from_another_has_its_tables(postgres: Postgres) -> None:
    model = postgres.fresh_database()
    postgres.ask("CREATE TABLE kept AS SELECT 7 AS n", model)

    copied = postgres.fresh_database(template=model)

    assert numbers(postgres, copied) == [7]
    postgres.drop_database(copied)
    postgres.drop_database(model)


def test_a_dropped_database_is_gone_though_somebody_was_connected(postgres: Postgres) -> None:
    name = postgres.fresh_database()
    connection = psycopg.connect(postgres.dsn(name))

    postgres.drop_database(name)

    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(postgres.dsn(name))


def test_commits_are_durable_and_nobody_listens_on_the_network(postgres: Postgres) -> None:
    names = "fsync", "full_page_writes", "synchronous_commit", "listen_addresses"
    shown = [postgres.ask(sql.SQL("SHOW {}").format(sql.Identifier(name))) for name in names]

    assert shown == [[("on",)], [("on",)], [("on",)], [("",)]]


def test_another_user_than_the_superuser_logs_in_by_name(postgres: Postgres) -> None:
    postgres.ask("CREATE ROLE keeper LOGIN")

    with psycopg.connect(postgres.dsn(user="keeper")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("keeper",)

    postgres.ask("DROP ROLE keeper")


def test_a_server_killed_and_restarted_has_what_was_committed() -> None:
    with own_cluster() as server:
        name = server.fresh_database()
        server.ask("CREATE TABLE kept (n int PRIMARY KEY)", name)
        writer = Writer(server.dsn(name))
        writer.start(at_least=100)

        server.kill()
        writer.join()
        server.restart()

        assert set(writer.acknowledged) <= set(numbers(server, name))
        # At most the one that was on its way.
        assert len(numbers(server, name)) <= len(writer.acknowledged) + 1


def test_a_server_restarted_in_good_order_has_what_was_committed() -> None:
    with own_cluster() as server:
        name = server.fresh_database()
        server.ask("CREATE TABLE kept AS SELECT 7 AS n", name)
        before = server.pid

        server.restart()

        assert server.pid != before
        assert numbers(server, name) == [7]


def test_a_read_only_server_refuses_writes_and_takes_them_again() -> None:
    with own_cluster() as server:
        name = server.fresh_database()
        server.ask("CREATE TABLE kept (n int)", name)

        server.read_only(True)

        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            server.ask("INSERT INTO kept VALUES (1)", name)
        server.read_only(False)
        server.ask("INSERT INTO kept VALUES (2)", name)
        assert numbers(server, name) == [2]


def test_a_standby_promoted_after_the_primary_was_killed_has_every_acknowledged_row() -> None:
    with replicated() as (primary, standby):
        name = primary.fresh_database()
        primary.ask("CREATE TABLE kept (n int PRIMARY KEY)", name)
        writer = Writer(primary.dsn(name))
        writer.start(at_least=200)

        primary.kill()
        writer.join()
        standby.promote()

        assert set(writer.acknowledged) <= set(numbers(standby, name))
        standby.ask("INSERT INTO kept VALUES (0)", name)
        assert numbers(standby, name)[0] == 0


def test_a_primary_whose_standby_is_away_acknowledges_nothing() -> None:
    with replicated() as (primary, standby):
        name = primary.fresh_database()
        primary.ask("CREATE TABLE kept (n int PRIMARY KEY)", name)
        standby.kill()

        writer = Writer(primary.dsn(name))
        writer.start(at_least=0)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        wait_until(lambda: primary.ask(waiting) == [(1,)], what="a commit that waits")
        assert writer.acknowledged == []

        standby.restart()
        wait_until(lambda: len(writer.acknowledged) > 0, what="the commit's end")
        primary.kill()
        writer.join()


def test_a_dsn_with_both_servers_finds_the_new_primary() -> None:
    with replicated() as (primary, standby):
        name = primary.fresh_database()
        url = dsn((primary, standby), name, target_session_attrs="read-write", connect_timeout="5")
        with psycopg.connect(url) as connection:
            first = connection.info.host
        primary.kill()
        standby.promote()

        with psycopg.connect(url) as connection:
            second = connection.info.host

        assert (first, second) == (primary.host, standby.host)


def test_sqlalchemy_reads_the_same_url_as_libpq() -> None:
    required_postgres()
    with server_directory() as here, server_directory() as there:
        servers = [Postgres(place, address=None, inside=()) for place in (here, there)]

        url = make_url(dsn(servers, "mail", scheme="postgresql+psycopg", target_session_attrs="read-write"))
        _, arguments = url.get_dialect()().create_connect_args(url)

    assert arguments == {
        "host": f"{here},{there}",
        "port": "5432,5432",
        "dbname": "mail",
        "user": SUPERUSER,
        "target_session_attrs": "read-write",
    }


def test_a_server_that_cannot_start_shows_its_log() -> None:
    with own_cluster() as server:
        server.stop()
        (server.data / "postgresql.conf").write_text("no_such_setting = 1\n")

        with pytest.raises(AssertionError, match="no_such_setting"):
            server.restart()


def segments() -> set[str]:
    """The ids of the shared memory segments of the machine."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def test_a_killed_cluster_leaves_no_shared_memory_behind() -> None:
    with own_cluster() as server:
        segment = (server.data / "postmaster.pid").read_text().splitlines()[6].split()[1]

        server.kill()

        assert segment in segments()
    assert segment not in segments()


STARTS_AND_WAITS = """
import time
from tests.postgres_room import own_cluster
with own_cluster() as server:
    print(server.directory, server.pid, flush=True)
    time.sleep(600)
"""


def test_a_server_ends_with_the_test_process_that_was_killed() -> None:
    required_postgres()
    environment = {**os.environ, "PYTHONPATH": PATHS}
    with subprocess.Popen([sys.executable, "-c", STARTS_AND_WAITS], stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        directory, pid = child.stdout.readline().decode().split()

        child.kill()

    def ended() -> bool:
        # It removes its pid file last.
        return not (Path(directory) / "data" / "postmaster.pid").exists()

    wait_until(ended, what=f"the end of {pid}")
    shutil.rmtree(directory)
