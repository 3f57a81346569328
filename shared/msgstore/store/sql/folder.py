"""One folder in the database: the handle that readers and writers use."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import MessageExpunged, MessageNotFound
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Body, BodyFacts, Hold, StagedMessage
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Appended, Cell, Changes, Column, Copied, FlagChange, FlagsOutcome, Restored
from msgstore.store.body import OctetsBody
from msgstore.store.sql import changing, schema, transferring
from msgstore.store.sql.house import SqlHouse
from msgstore.store.sql.places import FolderRow, find_folder
from msgstore.store.sql.rows import INFO_COLUMNS, info_of, query_of, table_of

__all__ = ["SqlFolder"]

_T = TypeVar("_T")

_message: Final = schema.message.c
_BODY: Final = sa.select(_message.octets, _message.sealed, schema.blob.c.data, schema.blob.c.ref).join_from(
    schema.message,
    schema.blob,
    sa.and_(schema.blob.c.mailbox_id == _message.mailbox_id, schema.blob.c.blob_id == _message.blob_id),
)


class SqlFolder:
    """See :class:`msgstore.model.mailbox.Folder`; every call is one transaction."""

    def __init__(self, house: SqlHouse, mailbox: MailboxId, name: FolderName) -> None:
        self._house = house
        self.mailbox: Final = mailbox
        self.name: Final = name

    def stat(self) -> FolderStatus:
        """Count messages and octets: the row of the folder says it."""
        return self._read(lambda _, folder: folder.status)

    def list(self, *, after_uid: int = 0, limit: int | None = None) -> tuple[MessageInfo, ...]:
        """Give messages above a UID, ascending."""

        def infos(connection: sa.Connection, folder: FolderRow) -> tuple[MessageInfo, ...]:
            query = query_of(folder, INFO_COLUMNS, after_uid=after_uid, limit=limit)
            return tuple(info_of(folder, row) for row in connection.execute(query))

        return self._read(infos)

    def rows(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[tuple[Cell, ...]]:
        """Give columns of messages, row by row."""
        table = self.table(columns, after_uid=after_uid, last_uid=last_uid, limit=limit)
        return list(zip(*table, strict=True))

    def table(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[Sequence[Cell]]:
        """Give columns of messages, column by column."""

        def cells(connection: sa.Connection, folder: FolderRow) -> Sequence[Sequence[Cell]]:
            wanted = [_message.uid, *(_message[name] for name in columns)]
            query = query_of(folder, wanted, after_uid=after_uid, last_uid=last_uid, limit=limit)
            return table_of(folder, columns, connection.execute(query).all())

        return self._read(cells)

    def retrieve(self, uid: Uid) -> Body:
        """Open one message: read whole where it lies in a row, else opened where it lies."""

        def found(connection: sa.Connection, folder: FolderRow) -> Any:
            row = connection.execute(_BODY.where(folder.place.of(schema.message), _message.uid == uid)).first()
            if row is None:
                kind = MessageExpunged if uid < folder.uidnext else MessageNotFound
                raise kind(f"{self.mailbox} has no message {uid} in {self.name}")
            return row

        octets, sealed, data, ref = self._read(found)
        facts = BodyFacts(octets, sealed)
        return OctetsBody(data, facts) if ref is None else self._house.bodies.open(ref, facts)

    def append(
        self,
        staged: StagedMessage,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        internal_date: float | None = None,
    ) -> Appended:
        """Put a staged message here, in one batch with deliveries."""
        self._read(lambda _, folder: folder)
        slot = self._house.file(
            staged, self.mailbox, self.name, flags=flags, keywords=keywords, internal_date=internal_date
        )
        return Appended(uid=slot.uid, uidvalidity=slot.uidvalidity, modseq=slot.modseq)

    def set_flags(
        self,
        uids: Sequence[Uid],
        change: FlagChange,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        unchanged_since: int | None = None,
    ) -> FlagsOutcome:
        """Change flags and keywords under one new modseq."""
        return self._write(
            lambda connection, folder: changing.set_flags(
                connection, folder, uids, change, flags=flags, keywords=keywords, unchanged_since=unchanged_since
            )
        )

    def seal(self, blobs: Mapping[Uid, StagedMessage], *, again: bool = False) -> tuple[Uid, ...]:
        """Put blobs into the places of the messages they were made of."""
        bodies = {uid: self._house.parcel(staged, self.mailbox, self.name) for uid, staged in sorted(blobs.items())}
        return self._write(
            lambda connection, folder: changing.seal(
                connection, folder, bodies, again=again, now=self._house.clock.time()
            )
        )

    def restore(self, messages: Sequence[Restored], *, uidnext: int = 1) -> None:
        """Put messages of another store here under the UIDs they had."""
        parcels = [
            self._house.parcel(
                one.staged,
                self.mailbox,
                self.name,
                flags=one.flags,
                keywords=one.keywords,
                internal_date=one.internal_date,
            )
            for one in messages
        ]
        self._write(
            lambda connection, folder: transferring.restore(
                connection, folder, messages, parcels=parcels, uidnext=uidnext
            )
        )

    def align(self, messages: Sequence[MessageInfo], *, vanished: Sequence[Uid] = (), modseq: int = 0) -> None:
        """Bring what is here in line with the folder it came from."""
        self._write(
            lambda connection, folder: changing.align(
                connection,
                folder,
                messages,
                vanished=vanished,
                modseq=modseq,
                now=self._house.clock.time(),
                keeps=self._house.keeps_removed,
            )
        )

    def copy(self, uids: Sequence[Uid], to: FolderName) -> Copied:
        """Put messages into another folder too; the bodies are shared."""
        return self._transfer(uids, to, is_move=False)

    def move(self, uids: Sequence[Uid], to: FolderName) -> Copied:
        """Put messages into another folder, in one transaction."""
        return self._transfer(uids, to, is_move=True)

    def changes(self, since_modseq: int) -> Changes:
        """Say what happened after a modseq."""
        return self._read(lambda connection, folder: changing.changes(connection, folder, since_modseq))

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        """Remove messages; where removed mail is kept for a while, their bodies stay for it."""
        return self._write(
            lambda connection, folder: changing.expunge(
                connection, folder, uids, now=self._house.clock.time(), keeps=self._house.keeps_removed
            )
        )

    def try_hold(self, *, shared: bool = False) -> Hold | None:
        """Hold the folder on this machine."""
        return self._house.hold(self._read(lambda _, folder: folder).place, shared=shared)

    def _transfer(self, uids: Sequence[Uid], to: FolderName, *, is_move: bool) -> Copied:
        def work(connection: sa.Connection) -> Copied:
            return transferring.transfer(
                connection, (self.mailbox, self.name), to, uids, is_move=is_move, now=self._house.clock.time()
            )

        copied = self._house.database.write(work)
        self._house.changed(self.mailbox, self.name, to)
        return copied

    def _read(self, work: Callable[[sa.Connection, FolderRow], _T]) -> _T:
        return self._house.database.read(
            lambda connection: work(connection, find_folder(connection, self.mailbox, self.name))
        )

    def _write(self, work: Callable[[sa.Connection, FolderRow], _T]) -> _T:
        result = self._house.database.write(
            lambda connection: work(connection, find_folder(connection, self.mailbox, self.name, lock=True))
        )
        self._house.changed(self.mailbox, self.name)
        return result
