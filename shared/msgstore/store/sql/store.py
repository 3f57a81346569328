"""The database backend: mailboxes, deliveries, looking after what is kept."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound, MsgstoreError, store_error_from
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Clock, Filing, Folder, FolderTree, Hold, StagedMessage, Wait
from msgstore.model.outcomes import Finding, Removed, Usage
from msgstore.model.result import Filed
from msgstore.store.clock import SystemClock
from msgstore.store.disk import Disk
from msgstore.store.spool import Spool
from msgstore.store.sql import schema
from msgstore.store.sql.active import ActiveScripts, stamp_of
from msgstore.store.sql.batcher import Batcher
from msgstore.store.sql.bodies import LargeBodies
from msgstore.store.sql.changing import note_outside
from msgstore.store.sql.database import Database
from msgstore.store.sql.filing import file_parcels
from msgstore.store.sql.folder import SqlFolder
from msgstore.store.sql.locks import Gate, hold_folder
from msgstore.store.sql.looking_after import check_box, collect_bodies, forget_tombstones, sweep
from msgstore.store.sql.parcels import Parcel, Parcels, Slot, SqlStaged
from msgstore.store.sql.places import make_box, require_box
from msgstore.store.sql.records import SqlRecords
from msgstore.store.sql.removed import RemovedMail
from msgstore.store.sql.schema import Place, flags_to_bits, id_of_mailbox, new_id
from msgstore.store.sql.shelf import SqlScripts
from msgstore.store.sql.tree import SqlTree
from msgstore.store.sql.watching import SqlChanges
from msgstore.store.staging import StagedFile

__all__ = ["SqlStore"]

LOCKS_NAME: Final = ".msgstore-locks"
_TABLES: Final = tuple(table for table in schema.metadata.sorted_tables if table is not schema.mailbox)


class SqlStore:
    """See :class:`msgstore.model.interfaces.MessageStore`; the package's docstring says how it is made.

    ``data_dir`` is where this machine stages messages and keeps its locks; ``url`` names the database.
    """

    def __init__(
        self,
        url: str,
        *,
        data_dir: str,
        bodies: LargeBodies,
        disk: Disk | None = None,
        clock: Clock | None = None,
        default_folders: bool = True,
        keeps_removed: bool = False,
    ) -> None:
        self.clock: Final[Clock] = clock or SystemClock()
        self.bodies: Final = bodies
        self.keeps_removed: Final = keeps_removed
        self._disk = disk or Disk()
        self._locks_directory = f"{data_dir}/{LOCKS_NAME}"
        self.database: Final = Database(url, gate=Gate(self._locks_directory, disk=self._disk))
        self.active_scripts: Final = ActiveScripts(self.database, clock=self.clock)
        self._spool = Spool(self._disk, data_dir)
        self._default_folders = default_folders
        self._batcher = Batcher(self._commit)
        self._guard = threading.Lock()
        self._sources: list[SqlChanges] = []

    def create_mailbox(self, mailbox: MailboxId) -> None:
        """Make the mailbox and its default folders."""

        def work(connection: sa.Connection) -> None:
            make_box(connection, mailbox, now=self.clock.time(), default_folders=self._default_folders)

        self.database.write(work)
        self.changed(mailbox, None)

    def mailbox_exists(self, mailbox: MailboxId) -> bool:
        """Whether the mailbox has a place here."""
        try:
            self._require(mailbox)
        except MailboxNotFound:
            return False
        return True

    def remove_mailbox(self, mailbox: MailboxId) -> None:
        """Remove the mailbox with all its mail; what it was given out stays noted, so that none comes back."""

        def work(connection: sa.Connection) -> list[FolderName]:
            mailbox_id = id_of_mailbox(mailbox)
            box = schema.mailbox.c
            connection.execute(
                sa.update(schema.mailbox)
                .where(box.mailbox_id == mailbox_id, box.removed_at.is_(None))
                .values(
                    removed_at=int(self.clock.time()),
                    tree_changes=box.tree_changes + 1,
                    quota_mark=0,
                    active_script=None,
                    script_stamp=stamp_of(self.clock),
                )
            )
            names = connection.scalars(sa.select(schema.folder.c.name).where(schema.folder.c.mailbox_id == mailbox_id))
            known = [schema.folder_name(name) for name in names]
            note_outside(connection, schema.blob.c.mailbox_id == mailbox_id, now=self.clock.time())
            for table in _TABLES:
                if table is not schema.blob_gc:
                    connection.execute(sa.delete(table).where(table.c.mailbox_id == mailbox_id))
            return known

        names = self.database.write(work)
        self.active_scripts.forget(id_of_mailbox(mailbox))
        self.changed(mailbox, None, *names)

    def folder(self, mailbox: MailboxId, name: FolderName) -> Folder:
        """Give a handle."""
        self._require(mailbox)
        return SqlFolder(self, mailbox, name)

    def folders(self, mailbox: MailboxId) -> FolderTree:
        """Give the folder tree."""
        self._require(mailbox)
        return SqlTree(self, mailbox)

    def scripts(self, mailbox: MailboxId) -> SqlScripts:
        """Give the scripts of a mailbox."""
        return SqlScripts(self, mailbox)

    def stage(self, *, expected_octets: int | None = None, sealed: bool = False) -> StagedMessage:
        """Begin a message; one that fits into a row touches no disk."""
        del expected_octets
        return SqlStaged(self._new_file, sealed=sealed)

    def deliver(self, staged: StagedMessage, filings: Sequence[Filing]) -> Iterator[Filed | MsgstoreError]:
        """Put a staged message into every place, in one batch with others."""
        for answer in self.deliver_in_steps(staged, filings):
            if isinstance(answer, Wait):
                self.settle((answer,))
            else:
                yield answer

    def deliver_in_steps(
        self, staged: StagedMessage, filings: Sequence[Filing]
    ) -> Iterator[Filed | MsgstoreError | Wait]:
        """Put a staged message into every place; what is waited for is the commit."""
        parcels: dict[tuple[MailboxId, FolderName], Parcel | MsgstoreError] = {}
        bodies: dict[MailboxId, Parcel] = {}
        for filing in filings:
            place = (filing.mailbox, filing.folder)
            if place not in parcels:
                try:
                    parcels[place] = self._parcel_for(staged, filing, bodies)
                except MsgstoreError as error:
                    parcels[place] = error
        wait = Parcels([parcel for parcel in parcels.values() if isinstance(parcel, Parcel)])
        if wait.parcels:
            yield wait
        for filing in filings:
            parcel = parcels[filing.mailbox, filing.folder]
            outcome = parcel.outcome if isinstance(parcel, Parcel) else parcel
            assert outcome is not None, "what a delivery waits for is settled before it goes on"
            if isinstance(outcome, MsgstoreError):
                yield outcome
            else:
                yield Filed(
                    mailbox=filing.mailbox, folder=filing.folder, uidvalidity=outcome.uidvalidity, uid=outcome.uid
                )

    def settle(self, waits: Sequence[Wait]) -> None:
        """Commit everything waited for in as few transactions as there can be."""
        parcels = [parcel for wait in waits if isinstance(wait, Parcels) for parcel in wait.parcels]
        self._batcher.run(parcels)

    def usage(self, mailbox: MailboxId) -> Usage:
        """Say what the mailbox holds: the rows of its folders say it."""

        def counted(connection: sa.Connection) -> Usage:
            require_box(connection, mailbox)
            table = schema.folder.c
            octets, messages = connection.execute(
                sa.select(sa.func.sum(table.octets), sa.func.sum(table.messages)).where(
                    table.mailbox_id == id_of_mailbox(mailbox)
                )
            ).one()
            return Usage(octets=int(octets or 0), messages=int(messages or 0))

        return self.database.read(counted)

    def recount(self, mailbox: MailboxId) -> Usage:
        """Count, and mend the rows of folders where they say something else."""
        self.check(mailbox, repair=True)
        return self.usage(mailbox)

    def removed(self, mailbox: MailboxId) -> tuple[Removed, ...]:
        """Give what can still be brought back."""
        return RemovedMail(self, mailbox).all()

    def undelete(self, mailbox: MailboxId, removed: Sequence[Removed]) -> int:
        """Bring messages back under new UIDs."""
        return RemovedMail(self, mailbox).undelete(removed)

    def purge_removed(self, mailbox: MailboxId, *, before: float) -> int:
        """Remove for good what was expunged before a time."""
        return RemovedMail(self, mailbox).purge(before=before)

    def quota_mark(self, mailbox: MailboxId) -> int:
        """Give the threshold that the owner was told last."""
        query = sa.select(schema.mailbox.c.quota_mark).where(schema.mailbox.c.mailbox_id == id_of_mailbox(mailbox))
        return self.database.read(lambda connection: connection.scalar(query) or 0)

    def set_quota_mark(self, mailbox: MailboxId, percent: int) -> None:
        """Remember a threshold."""
        statement = (
            sa.update(schema.mailbox)
            .where(schema.mailbox.c.mailbox_id == id_of_mailbox(mailbox))
            .values(quota_mark=percent)
        )
        self.database.write(lambda connection: connection.execute(statement))

    def control_directory(self, mailbox: MailboxId) -> None:
        """Nothing of a mailbox is in a directory here."""
        self._require(mailbox)

    def records(self) -> SqlRecords:
        """Give what remembers what scripts did."""
        return SqlRecords(self.database, disk=self._disk, locks_directory=self._locks_directory)

    def check(self, mailbox: MailboxId, *, repair: bool = False) -> tuple[Finding, ...]:
        """Compare what the rows of folders say with what is there, and look for every body."""
        now = self.clock.time()

        def look(connection: sa.Connection) -> tuple[Finding, ...]:
            return check_box(connection, mailbox, self.bodies, repair=repair, now=now)

        return self.database.write(look) if repair else self.database.read(look)

    def reindex(self, mailbox: MailboxId) -> None:
        """Count everything anew; nothing else is kept that could be found out again."""
        self.recount(mailbox)

    def compact(self, mailbox: MailboxId) -> None:
        """Forget old tombstones, and take away large bodies whose rows are gone for a while."""
        now = self.clock.time()
        self.database.write(lambda connection: forget_tombstones(connection, mailbox, now=now))
        collect_bodies(self.database, self.bodies, now=now, mailbox=mailbox)

    def sweep(self) -> int:
        """Take away large bodies that nothing names any more."""
        return sweep(self.database, self.bodies, now=self.clock.time())

    def watch_changes(self) -> SqlChanges:
        """Tell of changes."""
        source = SqlChanges(self.database, on_close=self._forget_source)
        with self._guard:
            self._sources.append(source)
        return source

    def check_health(self) -> None:
        """Write into the database, and where messages are staged."""
        # Changes nothing, and is refused where nothing can be changed: by a standby, say.
        nobody = sa.update(schema.mailbox).where(schema.mailbox.c.mailbox_id == UUID(int=0)).values(quota_mark=0)
        self.database.write(lambda connection: connection.execute(nobody))
        try:
            self._spool.check()
        except OSError as error:
            raise store_error_from(error) from error
        self.bodies.check_health()

    def close(self) -> None:
        """Give back connections and descriptors."""
        self.database.close()
        self.bodies.close()
        self._spool.close()

    # For the handles.

    def parcel(
        self,
        staged: StagedMessage,
        mailbox: MailboxId,
        folder: FolderName,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        internal_date: float | None = None,
    ) -> Parcel:
        """Make what a transaction needs of a staged message."""
        assert isinstance(staged, SqlStaged), "a message is stored by the store that staged it"
        blob_id, file = new_id(), staged.file()
        return Parcel(
            mailbox=mailbox,
            folder=folder,
            blob_id=blob_id,
            data=staged.content() if file is None else None,
            ref=None if file is None else self.bodies.keep(blob_id, file),
            octets=staged.wire_octets,
            stored_octets=staged.octets,
            sealed=staged.is_sealed,
            flags=flags_to_bits(flags),
            keywords=keywords,
            internal_date=int(self.clock.time() if internal_date is None else internal_date),
        )

    def file(
        self,
        staged: StagedMessage,
        mailbox: MailboxId,
        folder: FolderName,
        *,
        flags: frozenset[str],
        keywords: frozenset[str],
        internal_date: float | None,
    ) -> Slot:
        """Put a staged message into a folder."""
        parcel = self.parcel(staged, mailbox, folder, flags=flags, keywords=keywords, internal_date=internal_date)
        self._batcher.run([parcel])
        if isinstance(parcel.outcome, Slot):
            return parcel.outcome
        assert parcel.outcome is not None
        raise parcel.outcome

    def hold(self, place: Place, *, shared: bool) -> Hold | None:
        """Hold a folder on this machine."""
        return hold_folder(self._disk, self._locks_directory, place, shared=shared)

    def changed(self, mailbox: MailboxId, *folders: FolderName | None) -> None:
        """Tell whoever watches that something was committed."""
        for source in list(self._sources):
            source.compare([(mailbox, folder) for folder in folders])

    def _commit(self, parcels: Sequence[Parcel]) -> list[Slot | MsgstoreError]:
        answers = self.database.write(
            lambda connection: file_parcels(
                connection, parcels, now=self.clock.time(), default_folders=self._default_folders
            )
        )
        for source in list(self._sources):
            source.compare({parcel.place for parcel in parcels})
        return answers

    def _parcel_for(self, staged: StagedMessage, filing: Filing, bodies: dict[MailboxId, Parcel]) -> Parcel:
        """Make the parcel of a filing; two for one mailbox share the body."""
        first = bodies.get(filing.mailbox)
        if first is None:
            first = bodies[filing.mailbox] = self.parcel(
                staged,
                filing.mailbox,
                filing.folder,
                flags=filing.flags,
                keywords=filing.keywords,
                internal_date=filing.internal_date,
            )
            return first
        return replace(
            first,
            folder=filing.folder,
            key=new_id(),
            flags=flags_to_bits(filing.flags),
            keywords=filing.keywords,
            internal_date=int(self.clock.time() if filing.internal_date is None else filing.internal_date),
        )

    def _require(self, mailbox: MailboxId) -> None:
        self.database.read(lambda connection: require_box(connection, mailbox))

    def _new_file(self) -> StagedFile:
        try:
            area = self._spool.area()
        except OSError as error:
            raise store_error_from(error) from error
        return StagedFile(area, name=new_id().hex)

    def _forget_source(self, source: SqlChanges) -> None:
        with self._guard:
            self._sources = [one for one in self._sources if one is not source]
