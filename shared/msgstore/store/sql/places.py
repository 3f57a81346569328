"""Mailboxes and folders inside a transaction: found, locked, made."""

import secrets
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MailboxNotFound, StoreUnavailable
from msgstore.model.folder import DEFAULT_FOLDERS, INBOX, FolderName, FolderStatus, SpecialUse
from msgstore.store.sql import schema
from msgstore.store.sql.inserting import insert_new
from msgstore.store.sql.schema import Place, id_of_mailbox

__all__ = ["Box", "FolderRow", "find_folder", "find_folders", "lock_box", "make_box", "require_box"]

UIDVALIDITY_LIMIT: Final = 2**32 - 1

_COLUMNS: Final = (
    schema.folder.c.folder_id,
    schema.folder.c.name,
    schema.folder.c.guid,
    schema.folder.c.special_use,
    schema.folder.c.uidvalidity,
    schema.folder.c.uidnext,
    schema.folder.c.modseq,
    schema.folder.c.min_modseq,
    schema.folder.c.messages,
    schema.folder.c.unseen,
    schema.folder.c.octets,
)
_ONE: Final = sa.select(*_COLUMNS).where(
    schema.folder.c.mailbox_id == sa.bindparam("mailbox_id"), schema.folder.c.name == sa.bindparam("name")
)
_SOME: Final = (
    sa.select(schema.folder.c.mailbox_id, *_COLUMNS)
    .where(
        sa.tuple_(schema.folder.c.mailbox_id, schema.folder.c.name).in_(
            sa.bindparam("wanted", expanding=True, type_=sa.types.TupleType(schema.folder.c.mailbox_id.type, sa.Text()))
        )
    )
    # Everybody who needs several takes them in this order, so that no two wait for each other.
    .order_by(schema.folder.c.mailbox_id, schema.folder.c.folder_id)
)
_BOX: Final = sa.select(
    schema.mailbox.c.uidvalidity,
    schema.mailbox.c.last_folder,
    schema.mailbox.c.removed_at,
).where(schema.mailbox.c.mailbox_id == sa.bindparam("mailbox_id"))


@dataclass(frozen=True, slots=True)
class FolderRow:
    """What is kept of a folder."""

    place: Place
    name: str
    guid: str
    special_use: str | None
    uidvalidity: int
    uidnext: int
    modseq: int
    min_modseq: int
    messages: int
    unseen: int
    octets: int

    @property
    def status(self) -> FolderStatus:
        """Give what readers are told."""
        return FolderStatus(
            messages=self.messages,
            octets=self.octets,
            unseen=self.unseen,
            uidvalidity=self.uidvalidity,
            uidnext=self.uidnext,
            modseq=self.modseq,
        )


def find_folder(connection: sa.Connection, mailbox: MailboxId, name: FolderName, *, lock: bool = False) -> FolderRow:
    """Give the row of a folder; with ``lock`` nobody else changes anything in it before the transaction ends.

    Raises:
        MailboxNotFound, FolderNotFound: it is not there.
    """
    mailbox_id = id_of_mailbox(mailbox)
    statement = _ONE.with_for_update(key_share=True) if lock else _ONE
    found = connection.execute(statement, {"mailbox_id": mailbox_id, "name": str(name)}).first()
    if found is None:
        require_box(connection, mailbox)
        raise FolderNotFound(f"{mailbox} has no folder {name}")
    return _row(mailbox_id, found)


def find_folders(
    connection: sa.Connection, wanted: Collection[tuple[MailboxId, FolderName]], *, lock: bool
) -> dict[tuple[MailboxId, FolderName], FolderRow]:
    """Give the rows of those folders that are there, locked one after the other in one order for all."""
    names = {(id_of_mailbox(mailbox), str(name)): (mailbox, name) for mailbox, name in wanted}
    statement = _SOME.with_for_update(key_share=True) if lock else _SOME
    rows = connection.execute(statement, {"wanted": list(names)}).all()
    return {names[row[0], row.name]: _row(row[0], row[1:]) for row in rows}


def _row(mailbox_id: uuid.UUID, values: Any) -> FolderRow:
    return FolderRow(Place(mailbox_id, values[0]), *values[1:])


def require_box(connection: sa.Connection, mailbox: MailboxId) -> None:
    """Let pass what has a place here.

    Raises:
        MailboxNotFound: it has none.
    """
    found = connection.execute(_BOX, {"mailbox_id": id_of_mailbox(mailbox)}).first()
    if found is None or found.removed_at is not None:
        raise MailboxNotFound(f"there is no mailbox {mailbox}")


class Box:
    """A mailbox that is locked: its list of folders is this transaction's alone."""

    def __init__(self, connection: sa.Connection, mailbox: MailboxId, row: Any) -> None:
        self._connection = connection
        self.mailbox: Final = mailbox
        self.mailbox_id: Final = id_of_mailbox(mailbox)
        self._uidvalidity: int = row.uidvalidity
        self._last_folder: int = row.last_folder

    def names(self) -> list[FolderName]:
        """Give the names of all folders."""
        query = sa.select(schema.folder.c.name).where(schema.folder.c.mailbox_id == self.mailbox_id)
        return [schema.folder_name(name) for name in self._connection.scalars(query)]

    def add_folder(
        self,
        name: FolderName,
        *,
        now: float,
        special_use: SpecialUse | None = None,
        uidvalidity: int | None = None,
        uidnext: int = 1,
        guid: str | None = None,
    ) -> FolderRow:
        """Make a folder; its UIDVALIDITY is above every earlier one of the mailbox where none is given."""
        if uidvalidity is None:
            uidvalidity = max(int(now), self._uidvalidity + 1)
            if uidvalidity > UIDVALIDITY_LIMIT:
                raise StoreUnavailable(f"{self.mailbox} has had the highest UIDVALIDITY there is")
        self.note_uidvalidity(uidvalidity)
        self._last_folder += 1
        row = FolderRow(
            Place(self.mailbox_id, self._last_folder),
            str(name),
            guid or secrets.token_hex(16),
            None if special_use is None else special_use.value,
            uidvalidity,
            uidnext,
            modseq=1,
            min_modseq=0,
            messages=0,
            unseen=0,
            octets=0,
        )
        self._connection.execute(
            sa.insert(schema.folder),
            {
                "mailbox_id": self.mailbox_id,
                "folder_id": row.place.folder_id,
                "name": row.name,
                "guid": row.guid,
                "special_use": row.special_use,
                "uidvalidity": uidvalidity,
                "uidnext": uidnext,
            },
        )
        return row

    def note_uidvalidity(self, uidvalidity: int) -> None:
        """Begin above this from now on."""
        self._uidvalidity = max(self._uidvalidity, uidvalidity)

    def save(self, **more: object) -> None:
        """Note that the list of folders changed, and what was given out."""
        self._connection.execute(
            sa.update(schema.mailbox)
            .where(schema.mailbox.c.mailbox_id == self.mailbox_id)
            .values(
                uidvalidity=self._uidvalidity,
                last_folder=self._last_folder,
                tree_changes=schema.mailbox.c.tree_changes + 1,
                **more,
            )
        )


def lock_box(connection: sa.Connection, mailbox: MailboxId) -> Box:
    """Lock a mailbox.

    Raises:
        MailboxNotFound: there is none.
    """
    row = connection.execute(_BOX.with_for_update(key_share=True), {"mailbox_id": id_of_mailbox(mailbox)}).first()
    if row is None or row.removed_at is not None:
        raise MailboxNotFound(f"there is no mailbox {mailbox}")
    return Box(connection, mailbox, row)


def make_box(connection: sa.Connection, mailbox: MailboxId, *, now: float, default_folders: bool) -> None:
    """Make a mailbox with its folders; harmless when it is there."""
    mailbox_id = id_of_mailbox(mailbox)
    insert_new(
        connection,
        schema.mailbox,
        [{"mailbox_id": mailbox_id, "local_part": mailbox.local_part, "domain": mailbox.domain}],
    )
    row = connection.execute(_BOX.with_for_update(key_share=True), {"mailbox_id": mailbox_id}).one()
    if row.last_folder and row.removed_at is None:
        return
    box = Box(connection, mailbox, row)
    folders = ((INBOX, None), *(DEFAULT_FOLDERS if default_folders else ()))
    for name, special_use in folders:
        box.add_folder(name, now=now, special_use=special_use)
    box.save(removed_at=None)
