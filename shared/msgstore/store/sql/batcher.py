"""Many deliveries in one transaction.

Whoever comes while a batch is on its way joins the next one; whoever finds none on its way takes everything that has
gathered and commits it for all of them, then hands the lead to the first of those that came meanwhile.  Nobody waits
for more to come, and no thread of its own is needed.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgstore.model.errors import MsgstoreError, StoreUnavailable
from msgstore.model.store import Uncertain
from msgstore.store.sql.dialect import Refused
from msgstore.store.sql.parcels import Parcel, Slot

__all__ = ["Batcher"]

PARCELS_LIMIT: Final = 128
OCTETS_LIMIT: Final = 4 << 20
"""Of one batch; what is larger goes alone."""

REPEATS: Final = 6
REPEAT_SECONDS: Final = 0.1
"""Doubled each time: about six seconds in all, which is longer than a standby takes to be promoted."""


class _Entry:
    """Parcels of one caller, and the lock it sleeps on until they are committed or the lead is its own."""

    __slots__ = ("is_done", "octets", "parcels", "wake")

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        self.parcels: Final = parcels
        self.octets: Final = sum(len(parcel.data or b"") for parcel in parcels)
        self.is_done = False
        self.wake: Final = threading.Lock()
        self.wake.acquire()


class Batcher:
    """Commits parcels; ``commit`` gives an answer for each of those it is given, or raises and none is committed."""

    def __init__(
        self,
        commit: Callable[[Sequence[Parcel]], Sequence[Slot | MsgstoreError]],
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._commit = commit
        self._pause = pause
        self._guard = threading.Lock()
        self._waiting: deque[_Entry] = deque()
        self._is_led = False

    def run(self, parcels: Sequence[Parcel]) -> None:
        """Commit these, with those of others; on return each has its outcome."""
        entry = _Entry(parcels)
        with self._guard:
            self._waiting.append(entry)
            leads = not self._is_led
            self._is_led = True
        if not leads:
            entry.wake.acquire()
            if entry.is_done:
                return
        batch = self._take()
        try:
            self._run_batch([parcel for one in batch for parcel in one.parcels])
        finally:
            self._hand_over(batch, entry)

    def _take(self) -> list[_Entry]:
        """Take what has gathered; the first of it is the leader's own."""
        taken: list[_Entry] = []
        parcels = octets = 0
        with self._guard:
            while self._waiting:
                first = self._waiting[0]
                parcels, octets = parcels + len(first.parcels), octets + first.octets
                if taken and (parcels > PARCELS_LIMIT or octets > OCTETS_LIMIT):
                    break
                taken.append(self._waiting.popleft())
        return taken

    def _hand_over(self, batch: Sequence[_Entry], own: _Entry) -> None:
        with self._guard:
            # The next batch sets out before those of this one go on.
            if self._waiting:
                self._waiting[0].wake.release()
            else:
                self._is_led = False
        for entry in batch:
            entry.is_done = True
            if entry is not own:
                entry.wake.release()

    def _run_batch(self, batch: Sequence[Parcel]) -> None:
        try:
            self._settle(batch)
        except MsgstoreError as error:
            if len(batch) == 1 or not isinstance(error, Refused):
                for parcel in batch:
                    parcel.outcome = error
                return
            # One of them is what the database refuses; the others are not to suffer from it.
            for parcel in batch:
                self._run_batch((parcel,))
        except BaseException as error:
            for parcel in batch:
                parcel.outcome = Uncertain(f"the batch was broken off: {error!r}")
            raise

    def _settle(self, batch: Sequence[Parcel]) -> None:
        """Commit, again and again while it is not known whether that was done."""
        unsure: Uncertain | None = None
        for tried in range(REPEATS + 1):
            try:
                answers = self._commit(batch)
            except Refused:
                raise
            except StoreUnavailable as error:
                if isinstance(error, Uncertain):
                    unsure = error
                if unsure is None:
                    raise
                # A database that is away says nothing about what it did before.
                if tried == REPEATS:
                    raise unsure from error
                for parcel in batch:
                    parcel.is_repeat = True
                self._pause(REPEAT_SECONDS * 2**tried)
            else:
                for parcel, answer in zip(batch, answers, strict=True):
                    parcel.outcome = answer
                return
