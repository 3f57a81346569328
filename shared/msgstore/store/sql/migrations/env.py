"""Alembic's entry: runs the steps on the connection that the caller gives, within the caller's transaction."""

from typing import cast

import sqlalchemy as sa
from alembic import context

from msgstore.store.sql.schema import metadata

__all__: list[str] = []

connection = cast("sa.Connection", context.config.attributes["connection"])
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
