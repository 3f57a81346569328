"""A real PostgreSQL for the tests: private clusters on Unix sockets, from Debian's packages.

A test asks for the fixture ``database`` (an empty database of its own) or ``postgres`` (the cluster all tests of a
process share; whoever makes databases there drops them).  One that kills servers runs `own_cluster` or `replicated`.
Servers are children of the test process and end with it, however it ends.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, LiteralString
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg import sql

from tests.scenario.harness import end, wait_until

SUPERUSER: Final = "postgres"
PORT: Final = 5432
"""Every server has a directory or an address of its own, so all may have the same."""
PROGRAMS: Final = Path("/usr/lib/postgresql")
LEAST_VERSION: Final = 15
ROOMY_OCTETS: Final = 2 << 30
SETTINGS: Final[Mapping[str, str]] = {
    "port": str(PORT),
    "shared_buffers": "16MB",
    "max_wal_size": "256MB",
    "log_line_prefix": "%m [%p] %d ",
    "timezone": "UTC",
}
"""Nothing that softens a commit: fsync and synchronous_commit are on, as delivered."""

# The kernel sends a child its death signal when the thread that started it ends, so one thread starts all of them
# and lives as long as the process.
_STARTER: Final = ThreadPoolExecutor(1, thread_name_prefix="postgres-starter")


def programs() -> Path | None:
    """Give the directory of the newest installed PostgreSQL, None where there is none from `LEAST_VERSION` on."""
    found = [path for path in PROGRAMS.glob("*/bin") if path.parent.name.isdigit() and (path / "postgres").exists()]
    newest = max(found, key=lambda path: int(path.parent.name), default=None)
    return newest if newest is not None and int(newest.parent.name) >= LEAST_VERSION else None


def required_postgres() -> None:
    """Skip where PostgreSQL is missing; fail where it has to be there."""
    if programs() is None:
        if os.environ.get("MSGSTORE_REQUIRE_SERVICES") == "1":
            pytest.fail(f"PostgreSQL {LEAST_VERSION} or newer is not installed")
        pytest.skip(f"PostgreSQL {LEAST_VERSION} or newer is not installed")


def server_user() -> str | None:
    """Give whom the servers run as, None for ourselves: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


class Postgres:
    """One cluster in a short directory of its own, and its server."""

    def __init__(self, directory: Path, *, address: str | None, inside: Sequence[str]) -> None:
        self.directory = directory
        self.host = address or str(directory)
        """What clients connect to: an address, or the directory of the Unix socket."""
        self.data = directory / "data"
        self.log = directory / "postgres.log"
        self._inside = tuple(inside)
        self._child: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        address: str | None = None,
        inside: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> "Postgres":
        """Make a cluster and run it; with ``address`` it listens there too.

        ``inside`` is a command that runs its arguments in another place, such as a network namespace.

        Raises:
            AssertionError: It does not come up; where it ended by itself the text has the end of its log.
        """
        server = cls(directory, address=address, inside=inside)
        server._own_directory()
        options = ["--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
        server._run("initdb", "--pgdata", str(server.data), "--auth", "trust", *options)
        server._configure({**SETTINGS, **(settings or {})})
        server._launch()
        return server

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._child is not None, "the server does not run"
        return self._child.pid

    def dsn(self, database: str = "postgres", *, user: str = SUPERUSER, scheme: str = "postgresql") -> str:
        """Give the URL of a database, for libpq; with the scheme ``postgresql+psycopg`` for SQLAlchemy."""
        return dsn((self,), database, user=user, scheme=scheme)

    def ask(self, statement: LiteralString | sql.Composed, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement in a connection of its own, outside of a transaction, and give its rows.

        It goes through the Unix socket, which is reached from every network namespace.
        """
        with psycopg.connect(
            host=str(self.directory), port=PORT, user=SUPERUSER, dbname=database, autocommit=True, connect_timeout=10
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def fresh_database(self, *, template: str = "template1") -> str:
        """Make a database as a copy of ``template``, to which nobody may be connected, and give its name."""
        name = f"test_{next(self._names)}"
        self.ask(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database; whoever is still connected is thrown out."""
        self.ask(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def set(self, name: str, value: str) -> None:
        """Change a setting that a reload is enough for; connections made from now on have it."""
        self.ask(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        self.ask("SELECT pg_reload_conf()")
        wanted = sql.SQL("SELECT setting = {} FROM pg_settings WHERE name = {}").format(value, name)
        wait_until(lambda: self.ask(wanted) == [(True,)], what=f"the reload with {name} = {value}")

    def read_only(self, on: bool) -> None:  # noqa: FBT001 - the state it is to have
        """Refuse writes, or take them again; transactions that are open keep what they began with."""
        self.set("default_transaction_read_only", "on" if on else "off")

    def stop(self, *, at_once: bool = False) -> None:
        """End the server: connections are closed, transactions rolled back; nothing happens where none runs.

        In good order it first sends all it has to its standbys, a minute long where they are out of reach; at once
        it leaves the rest to the recovery at its next start.
        """
        if self._child is not None:
            child, self._child = self._child, None
            end(child, signal.SIGQUIT if at_once else signal.SIGINT)

    def kill(self) -> None:
        """Kill the server and all its processes at once; on disk stays what the kernel was given."""
        assert self._child is not None, "the server does not run"
        child, self._child = self._child, None
        # Stopped first, so that it starts no process that we did not see.
        child.send_signal(signal.SIGSTOP)
        others = [int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()]
        child.kill()
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.wait(timeout=10)
        # A successor refuses to start while one of them is attached to the shared memory.
        wait_until(lambda: not any(map(_is_alive, others)), what="the end of the server's processes")

    def restart(self) -> None:
        """Start again, after `stop` or `kill` or in good order."""
        self.stop()
        self._launch()

    def promote(self) -> None:
        """Make a standby the primary; on return it takes writes."""
        assert self.ask("SELECT pg_promote(wait => true, wait_seconds => 60)") == [(True,)], self.last_words()
        wait_until(lambda: self.ask("SELECT pg_is_in_recovery()") == [(False,)], what="promotion")

    def last_words(self, octets: int = 4000) -> str:
        """Give the end of the server's log."""
        return self.log.read_text("utf-8", "replace")[-octets:] if self.log.exists() else ""

    def copy_to(self, standby: "Postgres") -> None:
        """Copy the running cluster into a new directory, ready to follow this one."""
        standby._own_directory()
        source = ["--host", self.host, "--port", str(PORT), "--username", SUPERUSER]
        options = ["--checkpoint", "fast", "--wal-method", "stream", "--no-sync", "--write-recovery-conf"]
        standby._run("pg_basebackup", "--pgdata", str(standby.data), *source, *options)
        # Promoted, it answers alone, though the one it was copied from may have waited for standbys; and it looks for
        # its primary soon again after it was lost, not every 5 s.
        own = {**SETTINGS, "synchronous_standby_names": "", "wal_retrieve_retry_interval": "100ms"}
        standby._configure(own, "postgresql.auto.conf")
        standby._launch()

    def _own_directory(self) -> None:
        # The server makes its socket and its data here, and nobody else looks in: every client is trusted.
        user = server_user()
        if user is not None:
            os.chown(self.directory, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)

    def _configure(self, settings: Mapping[str, str], name: str = "postgresql.conf") -> None:
        listening = {
            "listen_addresses": "" if self.host.startswith("/") else self.host,
            "unix_socket_directories": str(self.directory),
        }
        with (self.data / name).open("a") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in {**settings, **listening}.items())
        if not self.host.startswith("/"):
            with (self.data / "pg_hba.conf").open("a") as access:
                access.write("host all all samenet trust\nhost replication all samenet trust\n")

    def _launch(self) -> None:
        command = [*self._prefix("--pdeathsig", "QUIT"), str(self._program("postgres")), "-D", str(self.data)]
        with self.log.open("ab") as log:
            self._child = child = _STARTER.submit(
                subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), cwd="/"
            ).result()
        try:
            wait_until(lambda: child.poll() is not None or self._answers(), what="PostgreSQL answering", seconds=60)
            assert child.poll() is None, f"PostgreSQL ended with {child.returncode}:\n{self.last_words()}"
        except BaseException:
            self.stop(at_once=True)
            raise

    def _answers(self) -> bool:
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._prefix(), str(self._program(program)), *arguments]
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=_environment(), cwd="/"
        )
        assert done.returncode == 0, f"{program} ended with {done.returncode}:\n{done.stderr}"

    def _program(self, name: str) -> Path:
        place = programs()
        assert place is not None, "PostgreSQL is not installed"
        return place / name

    def _prefix(self, *options: str) -> list[str]:
        user = server_user()
        who = [] if user is None else ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups"]
        setpriv = ["setpriv", *who, *options] if who or options else []
        return [*self._inside, *setpriv]


def dsn(
    servers: Sequence[Postgres],
    database: str,
    *,
    user: str = SUPERUSER,
    scheme: str = "postgresql",
    **parameters: str,
) -> str:
    """Give a URL that names several servers; libpq tries them in turn.

    Further parameters are libpq's, as ``target_session_attrs="read-write"``.
    """
    hosts = {"host": ",".join(server.host for server in servers), "port": ",".join([str(PORT)] * len(servers))}
    return f"{scheme}://{quote(user, '')}@/{quote(database, '')}?{urlencode({**hosts, **parameters}, safe='/,:')}"


def make_standby(
    primary: Postgres, directory: Path, *, address: str | None = None, inside: Sequence[str] = ()
) -> Postgres:
    """Run a synchronous standby: from now on the primary acknowledges what one standby has on disk.

    ``directory`` is empty and short; a server with an address copies from the primary's address.
    """
    standby = Postgres(directory, address=address, inside=inside)
    primary.copy_to(standby)
    try:
        primary.set("synchronous_standby_names", "ANY 1 (*)")
        # The checkpointer tells commits that there is somebody to wait for.  It reads the reloaded settings before a
        # checkpoint that is asked for while it is at rest; the first of these sees to the rest.
        primary.ask("CHECKPOINT")
        primary.ask("CHECKPOINT")
        state = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'"
        wait_until(lambda: primary.ask(state) != [(0,)], what="a synchronous standby")
    except BaseException:
        standby.stop(at_once=True)
        raise
    return standby


@contextlib.contextmanager
def server_directory() -> Generator[Path]:
    """Give an empty directory with a short name, whose path everyone may walk; a socket's path has 107 octets.

    It lies in memory where there is room: servers here are killed, but no power is cut.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free >= ROOMY_OCTETS
    place = Path(tempfile.mkdtemp(prefix="msgstore-pg-", dir=memory if roomy else "/tmp"))
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextlib.contextmanager
def ending(server: Postgres) -> Generator[Postgres]:
    """End a server with the block, whatever happened to it, and leave no trace in the kernel."""
    try:
        yield server
    except BaseException:
        print(f"{server.directory}:\n{server.last_words()}")
        raise
    finally:
        server.stop(at_once=True)
        _free_shared_memory(server.data)


@contextlib.contextmanager
def own_cluster(**settings: str) -> Generator[Postgres]:
    """Run a cluster of one's own, for a test that stops, kills or changes it."""
    required_postgres()
    with server_directory() as place, ending(Postgres.start(place, settings=settings)) as server:
        yield server


@contextlib.contextmanager
def replicated(**settings: str) -> Generator[tuple[Postgres, Postgres]]:
    """Run a primary and its synchronous standby."""
    with (
        own_cluster(**settings) as primary,
        server_directory() as place,
        ending(make_standby(primary, place)) as standby,
    ):
        yield primary, standby


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The cluster that all tests of this process share; it starts when the first asks for it."""
    with own_cluster() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty database that is the test's own; a test that fails shows what the server said meanwhile."""
    name = postgres.fresh_database()
    said = postgres.log.stat().st_size
    yield postgres.dsn(name)
    print(postgres.log.read_bytes()[said:].decode("utf-8", "replace"))
    postgres.drop_database(name)


def _environment() -> dict[str, str]:
    # Nothing of ours reaches the server: neither PG* variables nor a language.
    return {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _free_shared_memory(data: Path) -> None:
    # A killed server leaves its segment, whose id stands in the seventh line of its pid file.
    with contextlib.suppress(FileNotFoundError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        if len(lines) >= 7:
            subprocess.run(["ipcrm", "--shmem-id", lines[6].split()[1]], check=False, capture_output=True)
