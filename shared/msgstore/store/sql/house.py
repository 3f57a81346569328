"""The store as its folders, trees and scripts see it."""

from typing import Protocol

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Clock, Hold, StagedMessage
from msgstore.store.sql.active import ActiveScripts
from msgstore.store.sql.bodies import LargeBodies
from msgstore.store.sql.database import Database
from msgstore.store.sql.parcels import Parcel, Slot
from msgstore.store.sql.schema import Place

__all__ = ["SqlHouse"]


class SqlHouse(Protocol):
    """What stands behind the handles."""

    @property
    def database(self) -> Database:
        """Runs transactions."""
        ...

    @property
    def bodies(self) -> LargeBodies:
        """Where bodies lie that are too large for a row."""
        ...

    @property
    def active_scripts(self) -> ActiveScripts:
        """Remembers the active scripts."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    @property
    def keeps_removed(self) -> bool:
        """Whether expunged mail can be brought back for a while."""
        ...

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
        """Make what a transaction needs of a staged message; a large body is kept by then, durably."""
        ...

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
        ...

    def hold(self, place: Place, *, shared: bool) -> Hold | None:
        """Hold a folder against other sessions."""
        ...

    def changed(self, mailbox: MailboxId, *folders: FolderName | None) -> None:
        """Tell whoever watches that something was committed; None is the list of folders."""
        ...
