"""Bringing a database to the tables this program needs, and refusing one that is ahead of it."""

import importlib.resources
import threading
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from msgstore.model.errors import ConfigError
from msgstore.store.sql.dialect import is_sqlite

__all__ = ["alembic_config", "upgrade"]

_LOCK: Final = 0x6D736773
"""Of the advisory lock that lets one node at a time change the tables."""

_TURN: Final = threading.Lock()
"""Alembic keeps the run it is in where all threads see it."""


def upgrade(connection: sa.Connection) -> None:
    """Make the tables, or add what they lack; all of it or nothing, in the transaction of the caller.

    Raises:
        ConfigError: the database was made by a version of this program that is newer than this.
        sqlalchemy.exc.SQLAlchemyError: the database answers with an error.
    """
    if not is_sqlite(connection.engine):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        with _TURN:
            command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigError((f"store: the tables of the database are not known to this program: {error}",)) from error


def alembic_config() -> Config:
    """Give Alembic's settings, with the steps that lie in this package."""
    config = Config()
    config.set_main_option("script_location", str(importlib.resources.files("msgstore.store.sql") / "migrations"))
    return config
