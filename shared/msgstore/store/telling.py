"""Which watched places changed, and a descriptor that is readable while there are any."""

import os
from typing import Final

from msgstore.model.mailbox import ChangedPlace

__all__ = ["Telling"]


class Telling:
    """States of watched places; whoever uses it from several threads holds a lock."""

    def __init__(self) -> None:
        self.fd: Final = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._known: dict[ChangedPlace, object] = {}
        self._changed: dict[ChangedPlace, None] = {}

    def places(self) -> list[ChangedPlace]:
        """Give the places that are watched."""
        return list(self._known)

    def watches(self, place: ChangedPlace) -> bool:
        """Whether a place is watched."""
        return place in self._known

    def watch(self, place: ChangedPlace, state: object) -> None:
        """Watch a place, which is in this state; one that is watched already stays as it is."""
        self._known.setdefault(place, state)

    def unwatch(self, place: ChangedPlace) -> None:
        """Watch a place no more."""
        self._known.pop(place, None)
        self._changed.pop(place, None)

    def note(self, place: ChangedPlace, state: object) -> None:
        """Compare the state of a place, if it is watched, with the one before."""
        if place not in self._known or self._known[place] == state:
            return
        self._known[place] = state
        if not self._changed:
            os.eventfd_write(self.fd, 1)
        self._changed[place] = None

    def read(self) -> tuple[ChangedPlace, ...]:
        """Give the places that changed since the last call."""
        found = tuple(self._changed)
        if found:
            self._changed.clear()
            os.eventfd_read(self.fd)
        return found

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
