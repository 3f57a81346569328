"""The tables of the first version, spelled out: they stay what they were when ``schema`` goes on."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0001"
down_revision: Final = None

_NO_ROWID: Final = {"sqlite_with_rowid": False}
"""The primary key is how rows are found, so on SQLite they lie in its order and not beside an index of it."""


def upgrade() -> None:
    """Make the tables."""
    _make_mailboxes()
    _make_folders()
    _make_messages()
    _make_bodies()
    _make_scripts()


def _make_mailboxes() -> None:
    op.create_table(
        "mailbox",
        _id("mailbox_id", key=True),
        _text("local_part"),
        _text("domain"),
        _big("removed_at", null=True),
        _big("uidvalidity", 0),
        sa.Column("last_folder", sa.Integer(), nullable=False, server_default=sa.text("0")),
        _big("tree_changes", 0),
        sa.Column("quota_mark", sa.Integer(), nullable=False, server_default=sa.text("0")),
        _text("active_script", null=True),
        _big("script_stamp", 0),
    )
    op.create_index("mailbox_by_script_stamp", "mailbox", ["script_stamp"])
    op.create_table("subscription", _id("mailbox_id", key=True), _text("name", key=True), **_NO_ROWID)


def _make_folders() -> None:
    op.create_table(
        "folder",
        *_place(),
        _text("name"),
        _text("guid"),
        _text("special_use", null=True),
        _big("uidvalidity"),
        _big("uidnext", 1),
        _big("modseq", 1),
        _big("min_modseq", 0),
        _big("messages", 0),
        _big("unseen", 0),
        _big("octets", 0),
        sa.UniqueConstraint("mailbox_id", "name", name="folder_one_mailbox_id_name"),
        postgresql_with={"fillfactor": 50},
        **_NO_ROWID,
    )
    op.create_table("keyword", *_place(), _text("folded", key=True), _text("spelling"), **_NO_ROWID)


def _make_messages() -> None:
    op.create_table(
        "message",
        *_place(),
        _big("uid", key=True),
        _big("modseq"),
        _id("blob_id"),
        _id("delivery_key"),
        _text("guid"),
        _text("uidl", null=True),
        _big("octets"),
        _big("stored_octets"),
        _big("internal_date"),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        _text("keywords", null=True),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.UniqueConstraint(
            "mailbox_id", "delivery_key", "folder_id", name="message_one_mailbox_id_delivery_key_folder_id"
        ),
        **_NO_ROWID,
    )
    op.create_index("message_by_modseq", "message", ["mailbox_id", "folder_id", "modseq"])
    op.create_index("message_by_blob", "message", ["mailbox_id", "blob_id"])
    op.create_table("expunged", *_place(), _big("uid", key=True), _big("modseq"), _big("at"), **_NO_ROWID)
    op.create_index("expunged_by_modseq", "expunged", ["mailbox_id", "folder_id", "modseq"])
    op.create_table(
        "removed",
        _id("mailbox_id", key=True),
        _id("removed_id", key=True),
        _text("folder_name"),
        _id("blob_id"),
        _text("guid"),
        _big("octets"),
        _big("stored_octets"),
        _big("internal_date"),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        _text("keywords", null=True),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        _big("removed_at"),
    )
    op.create_index("removed_by_blob", "removed", ["mailbox_id", "blob_id"])


def _make_bodies() -> None:
    op.create_table(
        "blob",
        _id("mailbox_id", key=True),
        _id("blob_id", key=True),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        _text("ref", null=True),
    )
    outside = sa.text("ref is not null")
    op.create_index("blob_by_ref", "blob", ["ref"], sqlite_where=outside, postgresql_where=outside)
    if op.get_bind().dialect.name == "postgresql":
        # Mail that is sealed or encoded does not get smaller, and a part of what is not compressed is read as a part.
        op.execute("alter table blob alter column data set storage external")
    op.create_table("blob_gc", _id("mailbox_id", key=True), _id("blob_id", key=True), _text("ref"), _big("at"))


def _make_scripts() -> None:
    op.create_table(
        "script",
        _id("mailbox_id", key=True),
        _text("name", key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "seen",
        _id("mailbox_id", key=True),
        _text("kind", key=True),
        sa.Column("mark", sa.LargeBinary(), primary_key=True),
        _big("at"),
        _big("until"),
        **_NO_ROWID,
    )


def _place() -> tuple[sa.Column[Any], ...]:
    return _id("mailbox_id", key=True), sa.Column("folder_id", sa.Integer(), primary_key=True, autoincrement=False)


def _id(name: str, *, key: bool = False) -> sa.Column[Any]:
    kind = sa.LargeBinary(16).with_variant(postgresql.UUID(as_uuid=True), "postgresql")
    return sa.Column(name, kind, primary_key=key, nullable=False)


def _text(name: str, *, key: bool = False, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), primary_key=key, nullable=null)


def _big(name: str, default: int | None = None, *, key: bool = False, null: bool = False) -> sa.Column[Any]:
    server = None if default is None else sa.text(str(default))
    return sa.Column(name, sa.BigInteger(), primary_key=key, autoincrement=False, nullable=null, server_default=server)
