"""Transactions: begun, repeated where they lost against another one, committed, and what their errors mean."""

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from msgstore.model.errors import ConfigError, StoreUnavailable
from msgstore.model.store import Uncertain
from msgstore.store.sql.dialect import (
    Refused,
    Trouble,
    forget_warnings,
    is_sqlite,
    open_engine,
    store_error_of,
    trouble_of,
    was_warned,
)
from msgstore.store.sql.locks import Gate

__all__ = ["SCHEMA_VERSION", "Database"]

SCHEMA_VERSION: Final = "0001"
"""The newest step of ``migrations``.  Versions are four digits, so that the later one is the greater."""

_TRIES: Final = 6
_PAUSE_SECONDS: Final = 0.01

_T = TypeVar("_T")


class Database:
    """One database; safe in every thread, made after the process was forked.

    ``gate`` is what writers of SQLite pass.
    """

    def __init__(self, url: str, *, gate: Gate | None = None) -> None:
        self.engine: Final = open_engine(url)
        self.is_sqlite: Final = is_sqlite(self.engine)
        # PostgreSQL orders its writers itself, and one that waits there must not keep the machine's others waiting.
        self._gate = gate if self.is_sqlite else None
        self._is_ready = False

    def read(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Run ``work`` on the database as it is at its first look, whatever happens meanwhile.

        Raises:
            StoreError: the database cannot be asked now.
            MsgstoreError: what ``work`` raises.
        """
        return self._repeated(lambda: self._read_once(work))

    def write(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Run a transaction and commit it; ``work`` is run again where it lost against another one.

        Raises:
            Uncertain: the connection was lost while it was committed: it was done or not.
            StoreError: it was not done.
            MsgstoreError: what ``work`` raises; nothing is changed then.
        """
        return self._repeated(lambda: self._write_once(work))

    def _repeated(self, once: Callable[[], _T]) -> _T:
        self._make_ready()
        was_lost = False
        for tried in range(1, _TRIES + 1):
            try:
                return once()
            except exc.SQLAlchemyError as error:
                trouble = trouble_of(error)
                again = trouble is Trouble.REPEAT or (trouble is Trouble.LOST and not was_lost)
                if not again or tried == _TRIES:
                    raise store_error_of(error) from error
                was_lost = was_lost or trouble is Trouble.LOST
                time.sleep(_PAUSE_SECONDS * tried * random.random())  # noqa: S311 - only to part two that collide
            except (OverflowError, UnicodeError) as error:
                # The driver's own, about a value that it has no form for.
                raise Refused(f"the database has no place for a value: {error}") from error
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close all connections; the next use opens them again."""
        self.engine.dispose()
        if self._gate is not None:
            self._gate.close()

    def _read_once(self, work: Callable[[sa.Connection], _T]) -> _T:
        with self._connected(writes=False) as connection:
            return work(connection)

    def _write_once(self, work: Callable[[sa.Connection], _T]) -> _T:
        with self._gate.passed() if self._gate else nullcontext(), self._connected(writes=True) as connection:
            try:
                result = work(connection)
            except BaseException:
                with suppress(exc.SQLAlchemyError):
                    connection.rollback()
                raise
            self._commit(connection)
            return result

    def _commit(self, connection: sa.Connection) -> None:
        forget_warnings(connection)
        try:
            connection.commit()
        except exc.SQLAlchemyError as error:
            if trouble_of(error) is Trouble.LOST:
                raise Uncertain(f"whether it was committed is not known: {store_error_of(error)}") from error
            raise
        if was_warned(connection):
            # Somebody ended the wait for the standby: it is committed here, and lost if this server is.
            raise Uncertain("it is committed, and not yet on a standby")

    @contextmanager
    def _connected(self, *, writes: bool) -> Generator[sa.Connection]:
        if self.is_sqlite:
            options: dict[str, object] = {"writes": writes}
        else:
            # One statement sees one moment; several of a reader have to see the same one.
            options = {"isolation_level": "READ COMMITTED" if writes else "REPEATABLE READ"}
        with self.engine.connect() as connection:
            yield connection.execution_options(**options)

    def require_known(self) -> None:
        """Ask, once and before a daemon starts, whether the tables are ones that this program knows or can make.

        Raises:
            ConfigError: they are of a newer version, or the database cannot be one that keeps what it has committed.
            StoreError: it cannot be asked now.
        """
        try:
            self._check_version(self._version())
        except exc.NotSupportedError as error:
            raise ConfigError((f"store.dsn: {store_error_of(error)}",)) from error
        except exc.SQLAlchemyError as error:
            raise store_error_of(error) from error

    def _make_ready(self) -> None:
        if self._is_ready:
            return
        try:
            version = self._version()
            self._check_version(version)
            if version != SCHEMA_VERSION:
                # Alembic is loaded where it has something to do.
                from msgstore.store.sql.upgrading import upgrade  # noqa: PLC0415

                self._write_once(upgrade)
        except exc.SQLAlchemyError as error:
            raise store_error_of(error) from error
        except ConfigError as error:
            raise StoreUnavailable(str(error)) from error
        self._is_ready = True

    def _check_version(self, version: str | None) -> None:
        if version is not None and version > SCHEMA_VERSION:
            fault = f"store: the tables of the database are of version {version}, made by a newer msgstore than this"
            raise ConfigError((fault,))

    def _version(self) -> str | None:
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.scalar(sa.text("select version_num from alembic_version"))
            return found
