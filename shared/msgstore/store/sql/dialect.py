"""What differs between SQLite and PostgreSQL: how a database is opened, and what its errors mean."""

import contextlib
import os
import sqlite3
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from msgstore.model.errors import ConfigError, DiskFull, MailboxLocked, StoreCorrupt, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from psycopg.errors import Diagnostic

__all__ = [
    "Refused",
    "Trouble",
    "forget_warnings",
    "is_sqlite",
    "open_engine",
    "store_error_of",
    "trouble_of",
    "was_warned",
]

BUSY_SECONDS: Final = 10.0
"""How long a lock is waited for that somebody else holds."""

CONNECT_SECONDS: Final = 3
"""With one host; after a failover every connection asks the old primary first, which may be gone without a word."""

SILENCE_SECONDS: Final = 5
"""How long a server may leave what it is sent unacknowledged before its connection counts as lost."""

STATEMENT_SECONDS: Final = 30
"""A statement that takes longer is stopped by the server, and what asked for it is told to come again."""

_POOL: Final = 16
_PRAGMAS: Final = (
    ("journal_mode", "wal"),
    ("synchronous", 2),  # FULL: what is committed is synced.  NORMAL loses acknowledged mail in a power cut.
    ("foreign_keys", 0),
    ("cache_size", -16_384),
    ("temp_store", 2),
    # Pages that many deliveries write again go to the database file once: 32 MiB of them, eight times the usual.
    ("wal_autocheckpoint", 8192),
)


class Refused(StoreUnavailable):
    """The database does not take the values of a statement; others it may take."""


class Trouble(Enum):
    """What an error of the database says about the transaction."""

    REPEAT = "repeat"
    """It lost against another one and was undone; the same again may well succeed."""

    LOST = "lost"
    """The connection is gone, or leads to a server that takes no changes."""

    OTHER = "other"
    """Undone, and no better the next time."""


_PG_REPEAT: Final = frozenset(("40001", "40P01"))
_PG_LOST: Final = frozenset(("57P01", "57P02", "57P03", "57P05", "25P03", "25006", "53300"))
_PG_DAMAGED: Final = frozenset(("XX001", "XX002"))
_PG_LOCKED: Final = "55P03"
_PG_FULL: Final = "53100"
_PG_WARNING: Final = "01000"
"""Codes of errors. postgresql.org/docs/current/errcodes-appendix.html."""

_WARNED: Final = "msgstore_warned"


def is_sqlite(engine: sa.Engine) -> bool:
    """Whether the database is a file of this machine."""
    return engine.dialect.name == "sqlite"


def open_engine(url: str, *, connections: int = _POOL) -> sa.Engine:
    """Make an engine; connects later.  Never carried over a fork.

    Raises:
        ConfigError: the address of the database says nothing that is known here.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed, connections)
        if parsed.get_backend_name() in ("postgresql", "postgres"):
            return _postgresql(parsed, connections)
    except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError((f"store.dsn: {error}",)) from error
    raise ConfigError((f"store.dsn: {parsed.get_backend_name()} is no database this store can be kept in",))


def _sqlite(url: sa.URL, connections: int) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=connections,
        max_overflow=-1,
        connect_args={"check_same_thread": False, **_unless_said(url, timeout=BUSY_SECONDS)},
    )
    event.listen(engine, "do_connect", _make_private)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(dialect: sa.Dialect, record: ConnectionPoolEntry, arguments: list[Any], more: dict[str, Any]) -> None:
    """Make the file before SQLite does, which would let everybody read it; its other files take over the mode."""
    del dialect, record, more
    path = str(arguments[0])
    if path and path != ":memory:":
        # What stands in the way SQLite says better.
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    del record
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None
    for name, value in _PRAGMAS:
        connection.execute(f"pragma {name} = {value}")
    for name, value in _PRAGMAS[:2]:
        # Whoever cannot have these loses mail some day: better not to begin.
        (found,) = connection.execute(f"pragma {name}").fetchone()
        if found != value and not (name == "journal_mode" and found == "memory"):
            raise sqlite3.NotSupportedError(f"pragma {name} is {found} here, not {value}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # Who will write says so at once: a reader that becomes a writer fails where another one wrote meanwhile.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("begin immediate" if writes else "begin")


def _postgresql(url: sa.URL, connections: int) -> sa.Engine:
    options = (
        f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c lock_timeout={int(BUSY_SECONDS * 1000)} "
        "-c idle_in_transaction_session_timeout=60000"
    )
    said = url.query.get("options", "")
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=connections,
        pool_timeout=CONNECT_SECONDS,
        pool_pre_ping=False,
        pool_use_lifo=True,
        connect_args={
            # What the operator says comes last and counts.
            "options": f"{options} {said if isinstance(said, str) else ' '.join(said)}".rstrip(),
            **_unless_said(
                url,
                connect_timeout=CONNECT_SECONDS,
                application_name="msgstore",
                keepalives_idle=SILENCE_SECONDS - 2,
                keepalives_interval=1,
                keepalives_count=3,
                tcp_user_timeout=SILENCE_SECONDS * 1000,
            ),
        },
    )
    event.listen(engine, "connect", _note_warnings)
    event.listen(engine, "handle_error", _note_lost)
    return engine


def _unless_said(url: sa.URL, **values: object) -> dict[str, object]:
    """Give those of our values that the address says nothing about; arguments would win over it."""
    return {name: value for name, value in values.items() if name not in url.query}


def _note_lost(context: sa.ExceptionContext) -> None:
    # The other connections lead to the same server, which is gone or takes no changes any more: each is made anew when
    # it is wanted next.
    if isinstance(context.sqlalchemy_exception, exc.DBAPIError) and _is_lost(context.sqlalchemy_exception):
        context.is_disconnect = True


def _note_warnings(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    driver: Any = connection
    info = record.info

    def note(diagnostic: "Diagnostic") -> None:
        if diagnostic.sqlstate == _PG_WARNING:
            info[_WARNED] = True

    driver.add_notice_handler(note)


def forget_warnings(connection: sa.Connection) -> None:
    """Forget what the database warned of on this connection."""
    connection.info.pop(_WARNED, None)


def was_warned(connection: sa.Connection) -> bool:
    """Whether the database warned since then; a commit's only warning is that it did not wait for a standby."""
    return _WARNED in connection.info


def trouble_of(error: exc.SQLAlchemyError) -> Trouble:
    """Say what an error means for the transaction it happened in."""
    if not isinstance(error, exc.DBAPIError):
        return Trouble.OTHER
    if isinstance(error.orig, sqlite3.Error):
        return Trouble.OTHER
    if _sqlstate(error) in _PG_REPEAT:
        return Trouble.REPEAT
    return Trouble.LOST if error.connection_invalidated or _is_lost(error) else Trouble.OTHER


def _is_lost(error: exc.DBAPIError) -> bool:
    code = _sqlstate(error)
    return code in _PG_LOST or code.startswith("08") if code else isinstance(error, exc.OperationalError)


def store_error_of(error: exc.SQLAlchemyError) -> StoreError:
    """Give the error that whoever asked is told; all are temporary."""
    if isinstance(error, exc.TimeoutError):
        return StoreUnavailable("all connections to the database are in use")
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    text = " ".join(str(cause).split())[:300]
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return Refused(f"the database refuses: {text}")
    if isinstance(cause, sqlite3.Error):
        return _sqlite_error(getattr(cause, "sqlite_errorname", "") or "", text)
    return _postgresql_error(_sqlstate(error) if isinstance(error, exc.DBAPIError) else None, text)


def _postgresql_error(code: str | None, text: str) -> StoreError:
    if code == _PG_FULL:
        return DiskFull(f"the database has no room: {text}")
    if code == _PG_LOCKED:
        return MailboxLocked(f"the database is busy: {text}")
    if code in _PG_DAMAGED:
        return StoreCorrupt(f"the database is damaged: {text}")
    return StoreUnavailable(f"the database answers: {text}")


def _sqlite_error(name: str, text: str) -> StoreError:
    """Translate a result code. sqlite.org/rescode.html."""
    if name == "SQLITE_FULL":
        return DiskFull(f"the database has no room: {text}")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return MailboxLocked(f"the database is busy: {text}")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorrupt(f"the database is damaged: {text}")
    return StoreUnavailable(f"the database answers: {text}")


def _sqlstate(error: exc.DBAPIError) -> str | None:
    code: Any = getattr(error.orig, "sqlstate", None)
    return code if isinstance(code, str) else None
