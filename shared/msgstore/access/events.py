"""Events of watches at a client, until they are asked for.  Pure."""

from collections import deque
from typing import Final

from msgstore.access import contract, entries
from msgstore.access.codes import AccessError
from msgstore.access.conversation import Told
from msgstore.access.watchshapes import WatchEvent

__all__ = ["Events"]

_LIMIT: Final = 1000
"""Of one watch, unread; more become a ``resync`` for each folder."""


class Events:
    """What each watch was told; bounded, however long nobody asks."""

    def __init__(self) -> None:
        self._by_watch: dict[int, deque[WatchEvent]] = {}

    def put(self, told: Told) -> bool:
        """Keep something the server said; false where it is no event of a watch."""
        if told.method != entries.WATCH_EVENT.name or len(told.args) != 1:
            return False
        try:
            event = contract.typed(told.args[0], WatchEvent)
        except AccessError:
            return False
        waiting = self._by_watch.setdefault(event.watch, deque())
        waiting.append(event)
        if len(waiting) > _LIMIT:
            folders = dict.fromkeys(one.folder for one in waiting if one.kind != "alive")
            last = {one.folder: one.modseq for one in waiting}
            waiting.clear()
            for folder in folders:
                waiting.append(
                    WatchEvent(
                        watch=event.watch, mailbox=event.mailbox, kind="resync", folder=folder, modseq=last[folder]
                    )
                )
        return True

    def take(self, watch: int) -> WatchEvent | None:
        """Give the oldest event of a watch; None where there is none."""
        waiting = self._by_watch.get(watch)
        return waiting.popleft() if waiting else None

    def forget(self, watch: int) -> None:
        """Drop what is left of a watch that was stopped."""
        self._by_watch.pop(watch, None)
