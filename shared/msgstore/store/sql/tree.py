"""The folders of one mailbox in the database."""

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderExists, FolderHasChildren, FolderNotFound, ReservedFolderName
from msgstore.model.folder import INBOX, FolderInfo, FolderName, SpecialUse
from msgstore.store.levels import check_new, check_rename, levels_above, renamed_with_children
from msgstore.store.sql import schema
from msgstore.store.sql.changing import drop_blobs
from msgstore.store.sql.house import SqlHouse
from msgstore.store.sql.inserting import insert_new
from msgstore.store.sql.places import Box, find_folder, lock_box, require_box
from msgstore.store.sql.schema import can_be_text, id_of_mailbox
from msgstore.store.sql.transferring import transfer

__all__ = ["SqlTree", "make_missing"]

_T = TypeVar("_T")

_folder: Final = schema.folder.c


class SqlTree:
    """See :class:`msgstore.model.mailbox.FolderTree`; every call is one transaction under the lock of the mailbox."""

    def __init__(self, house: SqlHouse, mailbox: MailboxId) -> None:
        self._house = house
        self.mailbox: Final = mailbox
        self._id: Final = id_of_mailbox(mailbox)

    def list(self) -> tuple[FolderInfo, ...]:
        """Give all folders, INBOX first."""

        def infos(connection: sa.Connection) -> tuple[FolderInfo, ...]:
            require_box(connection, self.mailbox)
            rows = connection.execute(
                sa.select(_folder.name, _folder.special_use).where(_folder.mailbox_id == self._id)
            ).all()
            subscribed = set(
                connection.scalars(
                    sa.select(schema.subscription.c.name).where(schema.subscription.c.mailbox_id == self._id)
                )
            )
            uses = {schema.folder_name(row.name): row.special_use for row in rows}
            parents = {name.parent for name in uses}
            return tuple(
                FolderInfo(
                    name=name,
                    special_use=None if uses[name] is None else SpecialUse(uses[name]),
                    subscribed=str(name) in subscribed,
                    has_children=name in parents,
                )
                for name in sorted(uses, key=lambda name: (not name.is_inbox, name))
            )

        return self._house.database.read(infos)

    def exists(self, name: FolderName) -> bool:
        """Whether such a folder is there now."""

        def found(connection: sa.Connection) -> bool:
            try:
                find_folder(connection, self.mailbox, name)
            except FolderNotFound:
                return False
            return True

        return self._house.database.read(found)

    def guid(self, name: FolderName) -> str | None:
        """Give what names the folder for ever."""
        return self._house.database.read(lambda connection: find_folder(connection, self.mailbox, name).guid)

    def create(self, name: FolderName, *, special_use: SpecialUse | None = None) -> None:
        """Make a folder and the levels above it."""

        def work(_: sa.Connection, box: Box) -> None:
            known = box.names()
            if name in known:
                raise FolderExists(f"{self.mailbox} has a folder {name}")
            check_new(name)
            now = self._house.clock.time()
            make_missing(box, levels_above(name), known, now=now)
            box.add_folder(name, now=now, special_use=special_use)

        self._write(work)

    def delete(self, name: FolderName) -> None:
        """Remove a folder with its messages."""

        def work(connection: sa.Connection, box: Box) -> None:
            if name.is_inbox:
                raise ReservedFolderName("INBOX cannot be removed")
            row = find_folder(connection, self.mailbox, name, lock=True)
            if any(other.parent == name for other in box.names()):
                raise FolderHasChildren(f"{name} has folders below it")
            blobs = set(
                connection.scalars(sa.select(schema.message.c.blob_id).where(row.place.of(schema.message)).distinct())
            )
            for table in (schema.message, schema.expunged, schema.keyword, schema.folder):
                connection.execute(sa.delete(table).where(row.place.of(table)))
            drop_blobs(connection, self._id, blobs, now=self._house.clock.time())

        self._write(work, name)

    def rename(self, name: FolderName, to: FolderName) -> None:
        """Give a folder and those below it other names."""

        def work(connection: sa.Connection, box: Box) -> None:
            check_rename(name, to)
            find_folder(connection, self.mailbox, name)
            known = box.names()
            if to in known:
                raise FolderExists(f"{self.mailbox} has a folder {to}")
            now = self._house.clock.time()
            make_missing(box, levels_above(to), known, now=now)
            if name.is_inbox:
                box.add_folder(to, now=now)
                place = find_folder(connection, self.mailbox, INBOX, lock=True).place
                uids = list(connection.scalars(sa.select(schema.message.c.uid).where(place.of(schema.message))))
                transfer(connection, (self.mailbox, INBOX), to, uids, is_move=True, now=now)
                return
            for old, new in renamed_with_children(name, to, known):
                connection.execute(
                    sa.update(schema.folder)
                    .where(_folder.mailbox_id == self._id, _folder.name == str(old))
                    .values(name=str(new))
                )
                self._move_subscription(connection, old, new)

        self._write(work, name)

    def restore(
        self,
        name: FolderName,
        *,
        uidvalidity: int,
        uidnext: int,
        guid: str | None = None,
        special_use: SpecialUse | None = None,
    ) -> None:
        """Make a folder as another store had it."""

        def work(connection: sa.Connection, box: Box) -> None:
            known = box.names()
            now = self._house.clock.time()
            kept = guid if guid is not None and can_be_text(guid) else secrets.token_hex(16)
            if name not in known:
                check_new(name)
                make_missing(box, levels_above(name), known, now=now)
                box.add_folder(
                    name, now=now, special_use=special_use, uidvalidity=uidvalidity, uidnext=uidnext, guid=kept
                )
                return
            row = find_folder(connection, self.mailbox, name, lock=True)
            if row.uidnext > 1:
                raise FolderExists(f"{self.mailbox} has messages in {name}, or had some")
            box.note_uidvalidity(uidvalidity)
            connection.execute(
                sa.update(schema.folder)
                .where(row.place.of(schema.folder))
                .values(
                    uidvalidity=uidvalidity,
                    uidnext=uidnext,
                    guid=kept,
                    special_use=row.special_use if special_use is None else special_use.value,
                    # Whoever has seen it under this UIDVALIDITY knows its modseq.
                    modseq=row.modseq if row.uidvalidity == uidvalidity else 1,
                )
            )

        self._write(work, name)

    def subscribe(self, name: FolderName, *, wanted: bool = True) -> None:
        """Note that the user wants to see a folder, or not."""

        def work(connection: sa.Connection, _: Box) -> None:
            table = schema.subscription
            if wanted:
                insert_new(connection, table, [{"mailbox_id": self._id, "name": str(name)}])
            else:
                connection.execute(sa.delete(table).where(table.c.mailbox_id == self._id, table.c.name == str(name)))

        self._write(work)

    def _move_subscription(self, connection: sa.Connection, old: FolderName, new: FolderName) -> None:
        table = schema.subscription
        is_old = sa.and_(table.c.mailbox_id == self._id, table.c.name == str(old))
        if connection.execute(sa.delete(table).where(is_old)).rowcount:
            insert_new(connection, table, [{"mailbox_id": self._id, "name": str(new)}])

    def _write(self, work: Callable[[sa.Connection, Box], _T], *concerned: FolderName) -> _T:
        def locked(connection: sa.Connection) -> _T:
            box = lock_box(connection, self.mailbox)
            result = work(connection, box)
            box.save()
            return result

        result = self._house.database.write(locked)
        self._house.changed(self.mailbox, None, *concerned)
        return result


def make_missing(box: Box, levels: tuple[FolderName, ...], known: "list[FolderName]", *, now: float) -> None:
    """Make those folders that are not there."""
    for level in levels:
        if level not in known:
            box.add_folder(level, now=now)
