"""Telling of changes: those of this process at once, those of other processes and machines by asking every second."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import StoreError
from msgstore.model.folder import FolderName
from msgstore.model.mailbox import ChangedPlace
from msgstore.store.sql import schema
from msgstore.store.sql.database import Database
from msgstore.store.sql.schema import id_of_mailbox
from msgstore.store.telling import Telling

__all__ = ["SqlChanges"]

ASK_SECONDS: Final = 1.0
_PIECE: Final = 250

_folder: Final = schema.folder.c
_box: Final = schema.mailbox.c
_FOLDERS: Final = sa.select(_folder.mailbox_id, _folder.name, _folder.uidvalidity, _folder.modseq).where(
    sa.tuple_(_folder.mailbox_id, _folder.name).in_(
        sa.bindparam("wanted", expanding=True, type_=sa.types.TupleType(_folder.mailbox_id.type, sa.Text()))
    )
)
_BOXES: Final = sa.select(_box.mailbox_id, _box.tree_changes, _box.removed_at).where(
    _box.mailbox_id.in_(sa.bindparam("wanted", expanding=True))
)


class SqlChanges:
    """See :class:`msgstore.model.mailbox.ChangeSource`; one query tells of all places that are watched."""

    def __init__(self, database: Database, *, on_close: Callable[["SqlChanges"], None]) -> None:
        self._database = database
        self._on_close = on_close
        self._telling: Final = Telling()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="sql-changes", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Readable when something changed."""
        return self._telling.fd

    def watch(self, mailbox: MailboxId, folder: FolderName | None) -> bool:
        """Tell of a place from now on."""
        place = (mailbox, folder)
        state = self._states([place])[place]
        with self._lock:
            self._telling.watch(place, state)
        return True

    def unwatch(self, mailbox: MailboxId, folder: FolderName | None) -> None:
        """Tell no more of a place."""
        with self._lock:
            self._telling.unwatch((mailbox, folder))

    def read(self) -> tuple[ChangedPlace, ...]:
        """Give the places that changed."""
        with self._lock:
            return self._telling.read()

    def compare(self, places: Iterable[ChangedPlace]) -> None:
        """Look whether these are watched and changed; where the database cannot be asked the next look tells."""
        with self._lock:
            watched = [place for place in places if self._telling.watches(place)]
        if not watched:
            return
        with suppress(StoreError):
            states = self._states(watched)
            with self._lock:
                for place, state in states.items():
                    self._telling.note(place, state)

    def close(self) -> None:
        """Give the descriptor back."""
        self._closed.set()
        self._thread.join()
        self._on_close(self)
        self._telling.close()

    def _ask(self) -> None:
        while not self._closed.wait(ASK_SECONDS):
            with self._lock:
                places = self._telling.places()
            self.compare(places)

    def _states(self, places: list[ChangedPlace]) -> dict[ChangedPlace, object]:
        """Give something for each place that is another after a change."""
        states: dict[ChangedPlace, object] = {place: None for place in places}  # noqa: C420 - None is no state
        for start in range(0, len(places), _PIECE):
            piece = places[start : start + _PIECE]
            folders = {(id_of_mailbox(box), str(name)): (box, name) for box, name in piece if name is not None}
            boxes = {id_of_mailbox(box): (box, name) for box, name in piece if name is None}

            asked = (folders, boxes)
            states |= self._database.read(lambda connection, asked=asked: _look(connection, *asked))  # type: ignore[misc]
        return states


def _look(
    connection: sa.Connection, folders: dict[tuple[UUID, str], ChangedPlace], boxes: dict[UUID, ChangedPlace]
) -> dict[ChangedPlace, object]:
    states: dict[ChangedPlace, object] = {}
    if folders:
        for mailbox_id, name, uidvalidity, modseq in connection.execute(_FOLDERS, {"wanted": list(folders)}):
            states[folders[mailbox_id, name]] = (uidvalidity, modseq)
    if boxes:
        for mailbox_id, tree_changes, removed_at in connection.execute(_BOXES, {"wanted": list(boxes)}):
            states[boxes[mailbox_id]] = (tree_changes, removed_at)
    return states
