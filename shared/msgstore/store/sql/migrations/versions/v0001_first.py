"""The tables of the first version."""

from typing import Final

from alembic import op

from msgstore.store.sql.schema import metadata

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make the tables."""
    metadata.create_all(op.get_bind())
