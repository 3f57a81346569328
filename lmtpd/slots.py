"""Deliveries to one mailbox at a time: a counter for each mailbox in use, and a queue of those who wait."""

import asyncio
from collections import deque
from typing import Final

from msgstore.model.address import MailboxId

__all__ = ["MailboxSlots"]


class MailboxSlots:
    """Counts transactions by mailbox, so that one busy mailbox cannot take every worker thread.

    Used in the thread of the event loop only.
    """

    def __init__(self, limit: int, *, wait_seconds: float) -> None:
        self._limit: Final = limit
        self._wait_seconds: Final = wait_seconds
        self._taken: dict[MailboxId, int] = {}
        self._waiting: dict[MailboxId, deque[asyncio.Future[bool]]] = {}

    def take(self, mailbox: MailboxId) -> bool:
        """Take a slot if one is free."""
        taken = self._taken.get(mailbox, 0)
        if taken >= self._limit:
            return False
        self._taken[mailbox] = taken + 1
        return True

    def wait(self, mailbox: MailboxId) -> "asyncio.Future[bool]":
        """Queue for a slot; the future becomes true with the slot taken, or false when it took too long.

        A future that is cancelled leaves the queue.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(self._wait_seconds, self._give_up, future)
        future.add_done_callback(lambda _: timer.cancel())
        self._waiting.setdefault(mailbox, deque()).append(future)
        return future

    def release(self, mailbox: MailboxId) -> None:
        """Give a slot back, or on to whoever waits longest."""
        queue = self._waiting.get(mailbox)
        while queue:
            future = queue.popleft()
            if not future.done():
                future.set_result(True)
                return
        self._waiting.pop(mailbox, None)
        taken = self._taken[mailbox] - 1
        if taken:
            self._taken[mailbox] = taken
        else:
            del self._taken[mailbox]

    @staticmethod
    def _give_up(future: "asyncio.Future[bool]") -> None:
        if not future.done():
            future.set_result(False)
