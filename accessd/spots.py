"""When watched places are looked at: at once where something tells of a change, and from time to time anyway.

A spot looks in a worker thread, never twice at the same time; what is told meanwhile makes one more look.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from msgstore.model.errors import MsgstoreError
from msgstore.service.offload import Offload
from msgstore.telemetry.log import logger

__all__ = ["Pace", "Spot"]

log = logger(__name__)
_Look = TypeVar("_Look")

_PAUSE_SECONDS: Final = 0.02
"""Between two looks: a burst of changes becomes a few events."""

_RETRY_SECONDS: Final = 1.0
"""After a look that failed or found no thread."""

SURE_SECONDS: Final = 1.2
"""After a look that was asked for: times of directories are coarse, and a change may hide behind the one before it."""


class Pace:
    """How often places are looked at where nothing tells of changes."""

    def __init__(self, poll_seconds: float) -> None:
        self.poll_seconds: Final = poll_seconds
        self.untold_seconds: Final = max(min(poll_seconds, 1.0), poll_seconds / 12)
        """Where only looking helps."""


class Spot(Generic[_Look]):
    """One place; everything here runs in the event loop but ``question``, which runs in a worker thread."""

    def __init__(
        self,
        name: str,
        *,
        offload: Offload,
        pace: Pace,
        question: Callable[[], Callable[[], _Look]],
        answer: Callable[[_Look, float], bool],
    ) -> None:
        """``question`` gives what is run in a thread; ``answer`` takes its result and the time at which it was begun.

        ``answer`` says whether the store tells of changes of this place unasked.
        """
        self._name = name
        self._offload = offload
        self._pace = pace
        self._question = question
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._is_looking = False
        self._is_wanted = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_told = False
        self._not_before = 0.0
        self._arm(pace.poll_seconds)

    def poke(self) -> None:
        """Something may have changed: look soon, and once more when the clocks have moved on."""
        if not self._is_closed:
            self._is_wanted = True
            wait = self._not_before - self._loop.time()
            if wait <= 0:
                self._begin()
            elif not self._is_looking:
                self._arm(wait)

    def close(self) -> None:
        """Look no more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        if self._is_looking or self._is_closed:
            return
        was_wanted, self._is_wanted = self._is_wanted, False
        began = self._loop.time()

        def then(look: _Look | None, error: BaseException | None) -> None:
            self._looked(look, error, began=began, was_wanted=was_wanted)

        try:
            self._offload.post(self._question(), then=then)
        except MsgstoreError:
            # Every thread is busy and the queue is full.
            self._is_wanted = was_wanted
            self._arm(_RETRY_SECONDS)
            return
        self._is_looking = True

    def _looked(self, look: _Look | None, error: BaseException | None, *, began: float, was_wanted: bool) -> None:
        if self._is_closed:
            return
        # Nothing else may begin a look before this one is dealt with.
        if error is None and look is not None:
            self._is_told = self._answer(look, began)
        else:
            log.warning("access.watch_look_failed", place=self._name, reason=str(error))
        self._is_looking = False
        self._not_before = self._loop.time() + _PAUSE_SECONDS
        if self._is_wanted:
            self._arm(_PAUSE_SECONDS)
        elif error is not None:
            self._arm(_RETRY_SECONDS)
        elif was_wanted:
            self._arm(min(SURE_SECONDS, self._pace.poll_seconds))
        else:
            self._arm(self._pace.poll_seconds if self._is_told else self._pace.untold_seconds)

    def _arm(self, seconds: float) -> None:
        if self._is_closed:
            # An answer may end its own spot.
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._begin)
