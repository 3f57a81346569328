"""The network of namespaces carries PostgreSQL, and a pulled cable is a pulled cable."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.postgres_room import Postgres, dsn, ending, make_standby, required_postgres, server_directory
from tests.scenario.harness import PATHS, wait_until
from tests.scenario.namespaces import NAMED, Node, network

pytestmark = [pytest.mark.scenario, pytest.mark.root, pytest.mark.timeout(180)]

INSERTS = """
import sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.execute("INSERT INTO kept VALUES (%s) ON CONFLICT DO NOTHING", (int(sys.argv[2]),))
    print(connection.info.host)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A primary, its standby and a client, each on a machine of its own."""

    nodes: tuple[Node, ...]
    primary: Postgres
    standby: Postgres

    def insert(self, number: int, *servers: Postgres) -> subprocess.CompletedProcess[str]:
        """Write a row from the client's machine; it prints to whom."""
        url = dsn(servers, "postgres", target_session_attrs="read-write", connect_timeout="2")
        return subprocess.run(
            [*self.nodes[2].inside, sys.executable, "-c", INSERTS, url, str(number)],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": PATHS},
        )


@contextlib.contextmanager
def site() -> Generator[Site]:
    required_postgres()
    with network("one", "two", "client") as nodes, server_directory() as here, server_directory() as there:
        one, two, _ = nodes
        with (
            ending(Postgres.start(here, address=one.address, inside=one.inside)) as primary,
            ending(make_standby(primary, there, address=two.address, inside=two.inside)) as standby,
        ):
            primary.ask("CREATE TABLE kept (n int PRIMARY KEY)")
            yield Site(nodes=nodes, primary=primary, standby=standby)


def test_a_client_on_another_machine_writes_and_the_standby_has_it() -> None:
    with site() as made:
        done = made.insert(1, made.primary, made.standby)

        assert done.stdout.strip() == made.primary.host, done.stderr
        wait_until(lambda: made.standby.ask("SELECT n FROM kept") == [(1,)], what="the row on the standby")


def test_a_machine_is_out_of_reach_while_its_cable_is_pulled_and_in_reach_afterwards() -> None:
    with site() as made:
        made.nodes[0].unplug()
        away = made.insert(1, made.primary)
        made.nodes[0].plug_in()

        assert (away.returncode, away.stdout) == (1, "")
        assert "OperationalError" in away.stderr or "ConnectionTimeout" in away.stderr
        wait_until(lambda: made.insert(2, made.primary).returncode == 0, what="a row after the pause")
        assert made.primary.ask("SELECT n FROM kept") == [(2,)]


def test_the_standby_takes_over_when_the_cable_of_the_primary_is_pulled() -> None:
    with site() as made:
        first = made.insert(1, made.primary, made.standby)
        made.nodes[0].unplug()
        made.standby.promote()

        second = made.insert(2, made.primary, made.standby)

        assert first.stdout.strip() == made.primary.host, first.stderr
        assert second.stdout.strip() == made.standby.host, second.stderr
        assert made.standby.ask("SELECT n FROM kept ORDER BY n") == [(1,), (2,)]


def test_nothing_is_left_of_a_network_not_even_after_a_failure() -> None:
    made: list[Path] = []
    with contextlib.suppress(ZeroDivisionError), network("one", "two") as nodes:
        made += [NAMED / node.namespace for node in nodes]
        assert all(path.exists() for path in made)
        _ = 1 // 0

    assert len(made) == 2
    assert not any(path.exists() for path in made)


def test_what_a_killed_test_process_left_is_removed_by_the_next() -> None:
    with network():
        pass
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        left = NAMED / f"msgstore-{gone.pid}-one"
        subprocess.run(["ip", "netns", "add", left.name], check=True)

    with network():
        assert not left.exists()
