"""How the memory backend tells of changes: after every step under its lock the watched places are compared."""

import threading
from collections.abc import Callable
from typing import Final

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.mailbox import ChangedPlace
from msgstore.store.telling import Telling

__all__ = ["MemoryChanges"]


class MemoryChanges:
    """See :class:`msgstore.model.mailbox.ChangeSource`; ``state_of`` gives something that is another after a change."""

    def __init__(
        self, state_of: Callable[[ChangedPlace], object], *, lock: threading.RLock, on_close: Callable[[object], None]
    ) -> None:
        self._state_of = state_of
        self._lock = lock
        self._on_close = on_close
        self._telling: Final = Telling()

    def fileno(self) -> int:
        """Readable when something changed."""
        return self._telling.fd

    def watch(self, mailbox: MailboxId, folder: FolderName | None) -> bool:
        """Tell of a place from now on."""
        place = (mailbox, folder)
        with self._lock:
            self._telling.watch(place, self._state_of(place))
        return True

    def unwatch(self, mailbox: MailboxId, folder: FolderName | None) -> None:
        """Tell no more of a place."""
        with self._lock:
            self._telling.unwatch((mailbox, folder))

    def read(self) -> tuple[ChangedPlace, ...]:
        """Give the places that changed."""
        with self._lock:
            return self._telling.read()

    def compare(self) -> None:
        """Note what changed; called under the lock."""
        for place in self._telling.places():
            self._telling.note(place, self._state_of(place))

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:
            self._on_close(self)
            self._telling.close()
