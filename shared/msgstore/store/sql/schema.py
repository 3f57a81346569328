"""The tables.  Every key begins with ``mailbox_id``; ids are made here, never by the database.

Sizes are octets, dates are seconds since 1970 UTC, flags are the bits of :data:`FLAG_BITS`.
"""

import functools
import os
import time
import uuid
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from msgstore.model.address import MailboxId
from msgstore.model.folder import DELIMITER, FolderName
from msgstore.model.message import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

__all__ = [
    "FLAG_BITS",
    "INLINE_LIMIT_OCTETS",
    "SEEN_BIT",
    "Place",
    "blob",
    "blob_gc",
    "can_be_text",
    "expunged",
    "flags_of",
    "flags_to_bits",
    "folder",
    "folder_name",
    "id_of_mailbox",
    "keyword",
    "keywords_of",
    "keywords_to_text",
    "mailbox",
    "message",
    "metadata",
    "new_id",
    "removed",
    "script",
    "seen",
    "subscription",
]

INLINE_LIMIT_OCTETS: Final = 128 * 1024
"""Larger bodies lie elsewhere: from here on files are cheaper than rows, to write and to read."""

FLAG_BITS: Final = {ANSWERED: 1, DELETED: 2, DRAFT: 4, FLAGGED: 8, SEEN: 16}

SEEN_BIT: Final = FLAG_BITS[SEEN]

_MAILBOXES: Final = uuid.UUID("6d736773-746f-5265-8d61-696c626f7865")
"""The namespace in which addresses become ids. RFC 9562 §5.5."""

_FLAG_SETS: Final = tuple(
    frozenset(flag for flag, bit in FLAG_BITS.items() if bits & bit) for bits in range(2 ** len(FLAG_BITS))
)


class _Id(sa.types.TypeDecorator[uuid.UUID]):
    """A UUID: 16 octets on SQLite, where SQLAlchemy's own type would take 32 characters."""

    impl = sa.LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        return dialect.type_descriptor(sa.LargeBinary(16))

    def process_bind_param(self, value: uuid.UUID | None, dialect: sa.Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else value.bytes

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> uuid.UUID | None:
        return value if value is None or dialect.name == "postgresql" else uuid.UUID(bytes=value)


_HAS_REF: Final = sa.text("ref is not null")

metadata: Final = sa.MetaData(
    naming_convention={"ix": "%(table_name)s_by_%(column_0_N_name)s", "uq": "%(table_name)s_one_%(column_0_N_name)s"}
)


def _mailbox_id() -> sa.Column[uuid.UUID]:
    return sa.Column("mailbox_id", _Id, primary_key=True)


def _number(name: str, default: int | None = None, *, null: bool = False) -> sa.Column[int]:
    server = None if default is None else sa.text(str(default))
    return sa.Column(name, sa.BigInteger, nullable=null, server_default=server)


mailbox: Final = sa.Table(
    "mailbox",
    metadata,
    _mailbox_id(),
    sa.Column("local_part", sa.Text, nullable=False),
    sa.Column("domain", sa.Text, nullable=False),
    _number("removed_at", null=True),  # the row stays: what is made anew begins above its values
    _number("uidvalidity", 0),  # the highest given out
    sa.Column("last_folder", sa.Integer, nullable=False, server_default=sa.text("0")),  # the highest folder_id
    _number("tree_changes", 0),  # counts changes to the list of folders
    sa.Column("quota_mark", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("active_script", sa.Text),
    _number("script_stamp", 0),  # when scripts were changed, in milliseconds since 1970 UTC
    sa.Index("mailbox_by_script_stamp", "script_stamp"),
)

folder: Final = sa.Table(
    "folder",
    metadata,
    _mailbox_id(),
    sa.Column("folder_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),  # levels separated by the delimiter
    sa.Column("guid", sa.Text, nullable=False),
    sa.Column("special_use", sa.Text),
    _number("uidvalidity"),
    _number("uidnext", 1),
    _number("modseq", 1),
    _number("min_modseq", 0),  # what happened before that is not remembered whole
    _number("messages", 0),
    _number("unseen", 0),
    _number("octets", 0),
    sa.UniqueConstraint("mailbox_id", "name"),
    # Every change of a folder rewrites its row: room for that in the page, and no index is touched.
    postgresql_with={"fillfactor": 50},
    sqlite_with_rowid=False,
)

keyword: Final = sa.Table(
    "keyword",
    metadata,
    _mailbox_id(),
    sa.Column("folder_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("folded", sa.Text, primary_key=True),
    sa.Column("spelling", sa.Text, nullable=False),  # the first one counts
    sqlite_with_rowid=False,
)

message: Final = sa.Table(
    "message",
    metadata,
    _mailbox_id(),
    sa.Column("folder_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("modseq"),
    sa.Column("blob_id", _Id, nullable=False),
    sa.Column("delivery_key", _Id, nullable=False),
    sa.Column("guid", sa.Text, nullable=False),
    sa.Column("uidl", sa.Text),  # none: made of UID and UIDVALIDITY
    _number("octets"),
    _number("stored_octets"),
    _number("internal_date"),
    sa.Column("flags", sa.SmallInteger, nullable=False),
    sa.Column("keywords", sa.Text),  # ascending, separated by blanks
    sa.Column("sealed", sa.Boolean, nullable=False),
    sa.Index("message_by_modseq", "mailbox_id", "folder_id", "modseq"),
    sa.UniqueConstraint("mailbox_id", "delivery_key", "folder_id"),
    sa.Index("message_by_blob", "mailbox_id", "blob_id"),
    sqlite_with_rowid=False,
)

expunged: Final = sa.Table(
    "expunged",
    metadata,
    _mailbox_id(),
    sa.Column("folder_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("modseq"),
    _number("at"),
    sa.Index("expunged_by_modseq", "mailbox_id", "folder_id", "modseq"),
    sqlite_with_rowid=False,
)

removed: Final = sa.Table(
    "removed",
    metadata,
    _mailbox_id(),
    sa.Column("removed_id", _Id, primary_key=True),
    sa.Column("folder_name", sa.Text, nullable=False),
    sa.Column("blob_id", _Id, nullable=False),
    sa.Column("guid", sa.Text, nullable=False),
    _number("octets"),
    _number("stored_octets"),
    _number("internal_date"),
    sa.Column("flags", sa.SmallInteger, nullable=False),
    sa.Column("keywords", sa.Text),
    sa.Column("sealed", sa.Boolean, nullable=False),
    _number("removed_at"),
    sa.Index("removed_by_blob", "mailbox_id", "blob_id"),
)

blob: Final = sa.Table(
    "blob",
    metadata,
    _mailbox_id(),
    sa.Column("blob_id", _Id, primary_key=True),
    sa.Column("data", sa.LargeBinary),
    sa.Column("ref", sa.Text),  # where a body lies that is too large for the row
    sa.Index(
        "blob_by_ref", "ref", sqlite_where=sa.text("ref is not null"), postgresql_where=sa.text("ref is not null")
    ),
)

blob_gc: Final = sa.Table(
    "blob_gc",
    metadata,
    _mailbox_id(),
    sa.Column("blob_id", _Id, primary_key=True),
    sa.Column("ref", sa.Text, nullable=False),
    _number("at"),
)

subscription: Final = sa.Table(
    "subscription", metadata, _mailbox_id(), sa.Column("name", sa.Text, primary_key=True), sqlite_with_rowid=False
)

script: Final = sa.Table(
    "script",
    metadata,
    _mailbox_id(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)


seen: Final = sa.Table(
    "seen",  # what scripts did
    metadata,
    _mailbox_id(),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("mark", sa.LargeBinary, primary_key=True),
    _number("at"),
    _number("until"),
    sqlite_with_rowid=False,
)


class Place:
    """The two ids that name a folder's rows."""

    __slots__ = ("folder_id", "mailbox_id")

    def __init__(self, mailbox_id: uuid.UUID, folder_id: int) -> None:
        self.mailbox_id: Final = mailbox_id
        self.folder_id: Final = folder_id

    def of(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """Give the condition that rows of ``table`` belong here."""
        return sa.and_(table.c.mailbox_id == self.mailbox_id, table.c.folder_id == self.folder_id)


def folder_name(text: str) -> FolderName:
    """Read the name of a folder as its row has it; nothing is folded."""
    return FolderName(tuple(text.split(DELIMITER)))


@functools.lru_cache(maxsize=65_536)
def id_of_mailbox(name: MailboxId) -> uuid.UUID:
    """Give the id of a mailbox, the same on every machine and for ever."""
    return uuid.uuid5(_MAILBOXES, str(name))


def new_id() -> uuid.UUID:
    """Make an id that sorts by the time it was made, so that new rows lie side by side. RFC 9562 §5.7."""
    octets = bytearray((time.time_ns() // 1_000_000).to_bytes(6) + os.urandom(10))
    octets[6] = octets[6] & 0x0F | 0x70
    octets[8] = octets[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(octets))


def can_be_text(text: str) -> bool:
    """Whether a text can stand in a column: UTF-8, without NUL, which PostgreSQL refuses, and not empty."""
    return text != "" and "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def flags_to_bits(flags: frozenset[str]) -> int:
    """Give the bits of system flags; what is none has no bit."""
    return sum(FLAG_BITS.get(flag, 0) for flag in flags)


def flags_of(bits: int) -> frozenset[str]:
    """Give the system flags of bits."""
    return _FLAG_SETS[bits & 31]


def keywords_to_text(keywords: frozenset[str]) -> str | None:
    """Give keywords, which are atoms, as one text."""
    return " ".join(sorted(keywords)) or None


def keywords_of(text: str | None) -> frozenset[str]:
    """Read what :func:`keywords_to_text` gave."""
    return frozenset(text.split(" ")) if text else frozenset()
