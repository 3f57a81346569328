"""The tables of a database come to be whole or not at all, and are those that the schema says."""

import ast
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.schema import CreateIndex, CreateTable

from msgstore.config.loader import settings_from
from msgstore.model.address import MailboxId
from msgstore.model.errors import ConfigError, StoreUnavailable
from msgstore.model.folder import INBOX
from msgstore.store.sql import schema
from msgstore.store.sql.database import SCHEMA_VERSION, Database
from msgstore.store.sql.dialect import open_engine
from msgstore.store.sql.upgrading import alembic_config
from msgstore.wiring import require_data_dir
from tests.sql_room import sql_store

pytestmark = pytest.mark.timeout(60)

ALICE: Final = MailboxId("alice", "example.com")
SOURCES: Final = Path(schema.__file__).parent

CATALOG: Final = """
select table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default)
    from information_schema.columns where table_schema = 'public'
union all select conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
    from pg_constraint where connamespace = 'public'::regnamespace
union all select indexname, indexdef from pg_indexes where schemaname = 'public'
union all select relname, reloptions::text
    from pg_class where relnamespace = 'public'::regnamespace and reloptions is not null
order by 1, 2
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mail.sqlite"
    found: str = request.getfixturevalue("database")
    return found


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    made = open_engine(url, connections=2)
    yield made
    made.dispose()


def migrate(url: str, directory: Path) -> None:
    store = sql_store(url, directory)
    store.check_health()
    store.close()


def described(connection: sa.Connection) -> list[tuple[object, ...]]:
    """Give everything the database knows of its tables, but for Alembic's own."""
    if connection.dialect.name == "sqlite":
        query = "select name, sql from sqlite_master where sql is not null order by name"
    else:
        query = CATALOG
    rows = [tuple(row) for row in connection.exec_driver_sql(query)]
    return [row for row in rows if "alembic_version" not in str(row)]


def tables(engine: sa.Engine) -> set[str]:
    with engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_a_migrated_database_has_the_tables_of_the_schema(url: str, engine: sa.Engine, tmp_path: Path) -> None:
    with engine.connect() as connection:
        schema.metadata.create_all(connection)
        of_schema = described(connection)
        connection.rollback()

    migrate(url, tmp_path)

    with engine.connect() as connection:
        migrated = described(connection)
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": schema.metadata}
        )
        differences = compare_metadata(context, schema.metadata)
    assert len(of_schema) > len(schema.metadata.tables)
    assert migrated == of_schema
    assert differences == []


def test_the_schema_version_is_the_newest_step_and_steps_are_numbered() -> None:
    steps = ScriptDirectory.from_config(alembic_config())

    revisions = [step.revision for step in steps.walk_revisions()]

    assert steps.get_heads() == [SCHEMA_VERSION]
    assert all(re.fullmatch(r"\d{4}", revision) for revision in revisions)
    assert revisions == sorted(revisions, reverse=True)


def test_a_step_names_no_table_of_the_schema_which_goes_on() -> None:
    steps = list((SOURCES / "migrations" / "versions").glob("v*.py"))

    imported = {
        node.module
        for step in steps
        for node in ast.walk(ast.parse(step.read_text()))
        if isinstance(node, ast.ImportFrom)
    }

    assert len(steps) >= 1
    assert not {name for name in imported if name is None or name.startswith("msgstore")}


def test_a_step_that_fails_halfway_leaves_nothing_and_is_done_again(
    url: str, engine: sa.Engine, tmp_path: Path
) -> None:
    with engine.connect() as connection:
        # In the way of the very last table.
        connection.exec_driver_sql("create table seen (n int)")
        connection.commit()
    store = sql_store(url, tmp_path)

    with pytest.raises(StoreUnavailable, match="seen"):
        store.create_mailbox(ALICE)

    assert tables(engine) == {"seen"}
    with engine.connect() as connection:
        connection.exec_driver_sql("drop table seen")
        connection.commit()
    store.create_mailbox(ALICE)
    assert store.folder(ALICE, INBOX).stat().messages == 0
    assert tables(engine) == {*schema.metadata.tables, "alembic_version"}
    store.close()


def test_nodes_that_start_at_once_make_the_tables_once(url: str, engine: sa.Engine, tmp_path: Path) -> None:
    # SQLite has one machine, whose processes share a directory; here they share none, so not even a gate.
    stores = [sql_store(url, tmp_path / str(number)) for number in range(4)]
    start = threading.Barrier(len(stores))
    failed: list[Exception] = []

    def run(number: int) -> None:
        start.wait()
        try:
            stores[number].create_mailbox(ALICE)
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert tables(engine) == {*schema.metadata.tables, "alembic_version"}
    assert {store.folder(ALICE, INBOX).stat().uidvalidity for store in stores} == {
        stores[0].folder(ALICE, INBOX).stat().uidvalidity
    }
    for store in stores:
        store.close()


@pytest.fixture
def newer(url: str, engine: sa.Engine, tmp_path: Path) -> str:
    """The URL of a database that a later version of this program has worked with."""
    migrate(url, tmp_path)
    with engine.connect() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '0999'")
        connection.commit()
    return url


def test_the_tables_of_a_newer_version_are_refused_and_left_alone(
    newer: str, engine: sa.Engine, tmp_path: Path
) -> None:
    store = sql_store(newer, tmp_path)

    with pytest.raises(StoreUnavailable, match="newer msgstore"):
        store.create_mailbox(ALICE)

    with engine.connect() as connection:
        assert connection.exec_driver_sql("select version_num from alembic_version").scalar() == "0999"
        assert connection.exec_driver_sql("select count(*) from mailbox").scalar() == 0
    store.close()


def test_a_daemon_does_not_start_on_the_tables_of_a_newer_version(newer: str, tmp_path: Path) -> None:
    kind = newer.partition(":")[0]
    store = {"backend": kind, "dsn": newer.removeprefix("sqlite:///")}

    with pytest.raises(ConfigError, match="version 0999"):
        require_data_dir(settings_from({"data_dir": str(tmp_path), "store": store}))


def test_tables_whose_version_nobody_knows_are_refused(url: str, engine: sa.Engine, tmp_path: Path) -> None:
    migrate(url, tmp_path)
    with engine.connect() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '0000'")
        connection.commit()
    database = Database(url)

    with pytest.raises(StoreUnavailable, match="not known"):
        database.read(lambda connection: connection.execute(sa.text("select 1")))

    database.close()


def test_a_daemon_starts_on_a_database_that_is_away_or_has_no_tables_yet(tmp_path: Path) -> None:
    away = f"postgresql://nobody@/nothing?host={tmp_path}"

    require_data_dir(settings_from({"data_dir": str(tmp_path), "store": {"backend": "postgresql", "dsn": away}}))
    require_data_dir(settings_from({"data_dir": str(tmp_path), "store": {"backend": "sqlite"}}))
    require_data_dir(settings_from({"data_dir": str(tmp_path)}))


def test_a_database_that_does_not_keep_what_it_commits_is_refused_at_the_start(tmp_path: Path) -> None:
    # Without shared memory SQLite has no write-ahead log.
    name = f"file:{tmp_path}/mail.sqlite?vfs=unix-dotfile&uri=true"
    database = Database(f"sqlite:///{name}")
    store = sql_store(f"sqlite:///{name}", tmp_path)

    with pytest.raises(ConfigError, match="journal_mode"):
        database.require_known()
    with pytest.raises(StoreUnavailable, match="journal_mode"):
        store.create_mailbox(ALICE)

    database.close()
    store.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_database_has_either_name_and_what_its_address_says_comes_before_what_we_would(
    mail_database: str, scheme: str
) -> None:
    said = "application_name=mine&options=-c%20lock_timeout%3D7000"
    engine = open_engine(f"{scheme}:{mail_database.partition(':')[2]}&{said}")
    names = ("application_name", "lock_timeout", "statement_timeout")
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"show {name}").scalar() for name in names]
    engine.dispose()

    assert found == ["mine", "7s", "30s"]


def test_bodies_in_postgresql_are_kept_as_they_are(mail_database: str) -> None:
    engine = open_engine(mail_database)
    query = "select attstorage from pg_attribute where attrelid = 'blob'::regclass and attname = 'data'"
    with engine.connect() as connection:
        storage = connection.exec_driver_sql(query).scalar()
    engine.dispose()

    assert storage in ("e", b"e")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql+psycopg"])
def test_every_key_begins_with_the_mailbox_and_no_table_needs_more_than_rows(kind: str) -> None:
    dialect = sa.make_url(f"{kind}://").get_dialect()()
    unwanted = r"serial|identity|generated|autoincrement|sequence|nextval|trigger|\boid\b|references"

    for table in schema.metadata.tables.values():
        text = str(CreateTable(table).compile(dialect=dialect)).lower()

        assert next(iter(table.primary_key)).name == "mailbox_id"
        for constraint in table.constraints:
            if isinstance(constraint, sa.UniqueConstraint):
                assert next(iter(constraint.columns)).name == "mailbox_id"
        for index in table.indexes:
            assert not index.unique
            text += str(CreateIndex(index).compile(dialect=dialect)).lower()
        assert not table.foreign_keys
        assert not re.search(unwanted, text)


def test_nothing_in_the_package_needs_what_many_servers_do_not_have() -> None:
    unwanted = re.compile(
        r"create\s+(or\s+replace\s+)?(trigger|function|sequence|rule|extension)|nextval|\bserial\b|sa\.(Sequence|Identity)"
        r"|autoincrement=True|\blo_\w+\(|\b(un)?listen\s+[\w\"]|\bnotify\b|pg_notify|advisory",
        re.IGNORECASE,
    )
    found = {
        (path.name, match.group().lower())
        for path in SOURCES.rglob("*.py")
        for match in unwanted.finditer(code_of(path))
    }

    assert found == {("upgrading.py", "advisory")}


def code_of(path: Path) -> str:
    """Give the source of a module without what it says about itself."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return ast.unparse(tree)


def test_a_database_file_is_opened_as_the_check_says(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/mail.sqlite", tmp_path)

    with sqlite3.connect(tmp_path / "mail.sqlite") as connection:
        mode = connection.execute("pragma journal_mode").fetchone()
    connection.close()

    assert mode == ("wal",)
