"""Stores in databases for tests: SQLite in a directory, PostgreSQL in a private cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.store.disk import Disk
from msgstore.store.sql.bodies import FileBodies
from msgstore.store.sql.store import SqlStore
from tests.postgres_room import Postgres

__all__ = ["each_url", "mail_database", "mail_template", "sql_store", "sqlite_store"]


def sql_store(url: str, directory: Path, **more: object) -> SqlStore:
    """Open a store whose files lie in a directory."""
    bodies = FileBodies(Disk(), str(directory / "bodies"))
    return SqlStore(url, data_dir=str(directory), bodies=bodies, **more)  # type: ignore[arg-type]  # of a test


def sqlite_store(directory: Path, **more: object) -> SqlStore:
    """Open a store that lies in a directory whole."""
    return sql_store(f"sqlite:///{directory}/mail.sqlite", directory, **more)


@pytest.fixture(scope="session")
def mail_template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the tables, for others to be copied from: making them anew costs as much as many tests."""
    name = postgres.fresh_database()
    store = sql_store(postgres.dsn(name), tmp_path_factory.mktemp("template"))
    store.check_health()
    store.close()
    return name


@pytest.fixture
def mail_database(postgres: Postgres, mail_template: str) -> Iterator[str]:
    """The URL of a database with the tables and nothing in them."""
    name = postgres.fresh_database(template=mail_template)
    yield postgres.dsn(name)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def each_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mail.sqlite"
    url: str = request.getfixturevalue("mail_database")
    return url
