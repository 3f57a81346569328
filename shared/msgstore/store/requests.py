"""What writes were asked for under an id of the client and how they ended, so that a repeat does nothing twice.

One SQLite file beside the mail, shared by all workers and kept over a restart.  It is no index of anything: without it
only repeats of the last day are done again.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final, cast

from msgstore.model.errors import StoreUnavailable
from msgstore.model.interfaces import Clock

__all__ = ["KEEP_SECONDS", "RequestKey", "RequestLog", "State"]

KEEP_SECONDS: Final = 24 * 3600.0
ROWS_LIMIT: Final = 200_000
"""Of these the oldest go first; a row is about 200 octets."""

_SWEEP_SECONDS: Final = 60.0
_BUSY_SECONDS: Final = 5.0

_SCHEMA: Final = """
create table if not exists requests (
    owner text not null, method text not null, id text not null,
    fingerprint blob not null, at real not null, worker text not null, result text,
    primary key (owner, method, id)
) without rowid;
create index if not exists requests_by_age on requests (at);
"""


class State(Enum):
    """What is known of a request that somebody wants to begin."""

    BEGUN = "begun"
    """By this claim; :meth:`RequestLog.keep` or :meth:`RequestLog.forget` follows."""

    RUNNING = "running"
    """By an earlier one that has not ended."""

    DONE = "done"
    DIFFERENT = "different"
    """The id was used for something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """Names one write."""

    owner: str
    """A user or a role."""

    method: str
    id: str


class RequestLog:
    """Remembers writes for a day; any thread may use it."""

    def __init__(self, path: str, *, clock: Clock, worker: str | None = None, rows_limit: int = ROWS_LIMIT) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._rows_limit = rows_limit
        self._worker = worker or _identity(os.getpid()) or f"{os.getpid()}"
        self._swept_at = float("-inf")

    def claim(self, key: RequestKey, fingerprint: bytes) -> tuple[State, object]:
        """Begin a request, or say what became of it; the result where it is done.

        What a worker had begun when it died is begun anew: whether it was done nobody knows, and mail done twice is
        better than mail lost.

        Raises:
            StoreUnavailable: nothing can be remembered now.
        """
        now = self._clock.time()
        with self._writing() as connection:
            self._sweep(connection, now)
            found = connection.execute(
                "select fingerprint, worker, result from requests where owner = ? and method = ? and id = ?", _of(key)
            ).fetchone()
            if found is not None:
                before, worker, result = cast("tuple[bytes, str, str | None]", found)
                if before != fingerprint:
                    return State.DIFFERENT, None
                if result is not None:
                    return State.DONE, json.loads(result)
                if self._is_alive(worker):
                    return State.RUNNING, None
            connection.execute(
                "replace into requests (owner, method, id, fingerprint, at, worker) values (?, ?, ?, ?, ?, ?)",
                (*_of(key), fingerprint, now, self._worker),
            )
        return State.BEGUN, None

    def keep(self, key: RequestKey, result: object) -> None:
        """Note the result of what was begun.

        Raises:
            StoreUnavailable: it cannot be noted.
        """
        with self._writing() as connection:
            connection.execute(
                "update requests set result = ? where owner = ? and method = ? and id = ?",
                (json.dumps(result), *_of(key)),
            )

    def forget(self, key: RequestKey) -> None:
        """What was begun has failed, and may be tried again.

        Raises:
            StoreUnavailable: it cannot be noted.
        """
        with self._writing() as connection:
            connection.execute(
                "delete from requests where owner = ? and method = ? and id = ? and result is null", _of(key)
            )

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection, None, None]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._opened()
                self._connection.execute("begin immediate")
                with self._connection:
                    yield self._connection
            except sqlite3.Error as error:
                raise StoreUnavailable(f"requests cannot be remembered: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        if now - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = now
        connection.execute("delete from requests where at < ?", (now - KEEP_SECONDS,))
        (count,) = connection.execute("select count(*) from requests").fetchone()
        if count > self._rows_limit:
            connection.execute(
                "delete from requests where (owner, method, id) in "
                "(select owner, method, id from requests order by at limit ?)",
                (count - self._rows_limit,),
            )

    def _is_alive(self, worker: str) -> bool:
        if worker == self._worker:
            return True
        pid = worker.partition(":")[0]
        return pid.isdigit() and _identity(int(pid)) == worker


def _of(key: RequestKey) -> tuple[str, str, str]:
    return key.owner, key.method, key.id


def _identity(pid: int) -> str | None:
    """Name a process by its number and the moment it began, which no other process shares. proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - no path from outside
            return f"{pid}:{file.read().rpartition(')')[2].split()[19]}"
    except OSError:
        return None
