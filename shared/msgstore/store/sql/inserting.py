"""The statements that every delivery runs, as text: one for all rows of a batch."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["BlobRow", "MessageRow", "Raised", "insert_blobs", "insert_messages", "insert_new", "put", "raise_folders"]


class MessageRow(NamedTuple):
    """One row of ``message``, its columns in this order."""

    mailbox_id: uuid.UUID
    folder_id: int
    uid: int
    modseq: int
    blob_id: uuid.UUID
    delivery_key: uuid.UUID
    guid: str
    uidl: str | None
    octets: int
    stored_octets: int
    internal_date: int
    flags: int
    keywords: str | None
    sealed: bool


class BlobRow(NamedTuple):
    """One row of ``blob``."""

    mailbox_id: uuid.UUID
    blob_id: uuid.UUID
    data: bytes | None
    ref: str | None


class Raised(NamedTuple):
    """What is added to one row of ``folder``; UIDNEXT and modseq are as they are then."""

    uidnext: int
    modseq: int
    messages: int
    unseen: int
    octets: int
    mailbox_id: uuid.UUID
    folder_id: int


_TYPES: Final = {
    MessageRow: "uuid[], int[], bigint[], bigint[], uuid[], uuid[], text[], text[], bigint[], bigint[], bigint[], "
    "smallint[], text[], bool[]",
    BlobRow: "uuid[], uuid[], bytea[], text[]",
    Raised: "bigint[], bigint[], bigint[], bigint[], bigint[], uuid[], int[]",
}


def _arrays(kind: type[MessageRow | BlobRow | Raised]) -> str:
    return "unnest(" + ", ".join(f"%b::{name}" for name in _TYPES[kind].split(", ")) + ")"


def _columns(kind: type[MessageRow | BlobRow | Raised]) -> str:
    return ", ".join(kind._fields)


def _marks(kind: type[MessageRow | BlobRow | Raised]) -> str:
    return ", ".join("?" for _ in kind._fields)


_MESSAGES: Final = (
    f"insert into message ({_columns(MessageRow)}) values ({_marks(MessageRow)})",
    f"insert into message ({_columns(MessageRow)}) select * from {_arrays(MessageRow)}",
)
_BLOBS: Final = (
    f"insert into blob ({_columns(BlobRow)}) values ({_marks(BlobRow)}) on conflict do nothing",
    f"insert into blob ({_columns(BlobRow)}) select * from {_arrays(BlobRow)} on conflict do nothing",
)
_RAISE: Final = (
    """
    update folder set uidnext = ?, modseq = ?, messages = messages + ?, unseen = unseen + ?, octets = octets + ?
    where mailbox_id = ? and folder_id = ?
    """,
    f"""
    update folder as f set uidnext = r.uidnext, modseq = r.modseq, messages = f.messages + r.messages,
        unseen = f.unseen + r.unseen, octets = f.octets + r.octets
    from {_arrays(Raised)} as r({_columns(Raised)})
    where f.mailbox_id = r.mailbox_id and f.folder_id = r.folder_id
    """,
)


def insert_messages(connection: sa.Connection, rows: Sequence[MessageRow]) -> None:
    """Insert messages; their UIDs are free, because their folder is locked."""
    _run(connection, _MESSAGES, rows)


def insert_blobs(connection: sa.Connection, rows: Sequence[BlobRow]) -> None:
    """Insert bodies, or where they lie; one that is there is the same."""
    _run(connection, _BLOBS, rows)


def raise_folders(connection: sa.Connection, rows: Sequence[Raised]) -> None:
    """Write what was added to folders into their rows."""
    _run(connection, _RAISE, rows)


def insert_new(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, object]]) -> None:
    """Insert what is not there yet; rows whose key is taken are left as they are."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).on_conflict_do_nothing(), list(rows))


def put(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
    """Insert rows, or write them over those whose key they have."""
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=values), rows)


def _run(connection: sa.Connection, statement: tuple[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        values = [tuple(value.bytes if type(value) is uuid.UUID else value for value in row) for row in rows]
        connection.exec_driver_sql(statement[0], values)
    else:
        # All values of a column in one array: the server parses, plans and answers once.
        connection.exec_driver_sql(statement[1], tuple(list(column) for column in zip(*rows, strict=True)))
