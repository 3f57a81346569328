"""How the memory backend tells of changes: after every step under its lock the watched places are compared."""

import os
import threading
from collections.abc import Callable
from typing import Final

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.mailbox import ChangedPlace

__all__ = ["MemoryChanges"]


class MemoryChanges:
    """See :class:`msgstore.model.mailbox.ChangeSource`; ``state_of`` gives something that is another after a change."""

    def __init__(
        self, state_of: Callable[[ChangedPlace], object], *, lock: threading.RLock, on_close: Callable[[object], None]
    ) -> None:
        self._state_of = state_of
        self._lock = lock
        self._on_close = on_close
        self._fd: Final = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._known: dict[ChangedPlace, object] = {}
        self._changed: dict[ChangedPlace, None] = {}

    def fileno(self) -> int:
        """Readable when something changed."""
        return self._fd

    def watch(self, mailbox: MailboxId, folder: FolderName | None) -> bool:
        """Tell of a place from now on."""
        place = (mailbox, folder)
        with self._lock:
            self._known.setdefault(place, self._state_of(place))
        return True

    def unwatch(self, mailbox: MailboxId, folder: FolderName | None) -> None:
        """Tell no more of a place."""
        with self._lock:
            self._known.pop((mailbox, folder), None)
            self._changed.pop((mailbox, folder), None)

    def read(self) -> tuple[ChangedPlace, ...]:
        """Give the places that changed."""
        with self._lock:
            found = tuple(self._changed)
            if found:
                self._changed.clear()
                os.eventfd_read(self._fd)
            return found

    def compare(self) -> None:
        """Note what changed; called under the lock."""
        for place, known in self._known.items():
            now = self._state_of(place)
            if now != known:
                self._known[place] = now
                if not self._changed:
                    os.eventfd_write(self._fd, 1)
                self._changed[place] = None

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:
            self._on_close(self)
            os.close(self._fd)
