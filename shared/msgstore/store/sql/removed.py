"""Expunged mail that can still be brought back, and what is done away with for good."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.outcomes import Removed
from msgstore.store.levels import levels_above
from msgstore.store.sql import schema
from msgstore.store.sql.changing import drop_blobs
from msgstore.store.sql.filing import Growth, respelled
from msgstore.store.sql.house import SqlHouse
from msgstore.store.sql.inserting import MessageRow, insert_messages, raise_folders
from msgstore.store.sql.places import Box, FolderRow, find_folder, lock_box, require_box
from msgstore.store.sql.schema import flags_of, id_of_mailbox, new_id
from msgstore.store.sql.tree import make_missing

__all__ = ["RemovedMail"]

_removed: Final = schema.removed.c


class RemovedMail:
    """The removed mail of one mailbox."""

    def __init__(self, house: SqlHouse, mailbox: MailboxId) -> None:
        self._house = house
        self._mailbox = mailbox
        self._id: Final = id_of_mailbox(mailbox)

    def all(self) -> tuple[Removed, ...]:
        """Give what is there, oldest first."""

        def listed(connection: sa.Connection) -> tuple[Removed, ...]:
            require_box(connection, self._mailbox)
            rows = connection.execute(self._query().order_by(_removed.removed_at, _removed.removed_id))
            return tuple(
                Removed(
                    folder=schema.folder_name(row.folder_name),
                    key=row.removed_id.hex,
                    octets=row.octets,
                    flags=flags_of(row.flags),
                    removed_at=row.removed_at,
                )
                for row in rows
            )

        return self._house.database.read(listed)

    def undelete(self, removed: Sequence[Removed]) -> int:
        """Bring messages back under new UIDs."""
        keys = [UUID(one.key) for one in removed]

        def work(connection: sa.Connection) -> tuple[int, list[FolderName]]:
            box = lock_box(connection, self._mailbox)
            rows = [
                row
                for key in keys
                if (row := connection.execute(self._query().where(_removed.removed_id == key)).first()) is not None
            ]
            names = sorted({schema.folder_name(row.folder_name) for row in rows})
            for name in names:
                folder = self._folder(connection, box, name)
                self._put_back(connection, folder, [row for row in rows if row.folder_name == str(name)])
            if rows:
                box.save()
            return len(rows), names

        back, names = self._house.database.write(work)
        self._house.changed(self._mailbox, *names)
        return back

    def purge(self, *, before: float) -> int:
        """Remove for good what was expunged before a time."""

        def work(connection: sa.Connection) -> int:
            lock_box(connection, self._mailbox)
            old = sa.and_(_removed.mailbox_id == self._id, _removed.removed_at < before)
            rows = connection.execute(sa.select(_removed.blob_id).where(old)).all()
            connection.execute(sa.delete(schema.removed).where(old))
            drop_blobs(connection, self._id, {row.blob_id for row in rows}, now=self._house.clock.time())
            return len(rows)

        return self._house.database.write(work)

    def _query(self) -> sa.Select[Any]:
        return sa.select(schema.removed).where(_removed.mailbox_id == self._id)

    def _folder(self, connection: sa.Connection, box: Box, name: FolderName) -> FolderRow:
        known = box.names()
        now = self._house.clock.time()
        make_missing(box, (*levels_above(name), name), known, now=now)
        return find_folder(connection, self._mailbox, name, lock=True)

    def _put_back(self, connection: sa.Connection, folder: FolderRow, rows: Sequence[Any]) -> None:
        growth = Growth(folder)
        messages: list[MessageRow] = []
        for row in rows:
            slot = growth.add(row.octets, row.flags)
            messages.append(
                MessageRow(
                    self._id,
                    folder.place.folder_id,
                    slot.uid,
                    slot.modseq,
                    row.blob_id,
                    new_id(),
                    row.guid,
                    None,
                    row.octets,
                    row.stored_octets,
                    row.internal_date,
                    row.flags,
                    respelled(connection, folder.place, row.keywords),
                    row.sealed,
                )
            )
            connection.execute(
                sa.delete(schema.removed).where(_removed.mailbox_id == self._id, _removed.removed_id == row.removed_id)
            )
        insert_messages(connection, messages)
        raise_folders(connection, [growth.raised()])
