"""Jobs that wait for the disk, driven side by side so that one wait serves all of them.

A job is a generator that gives what it has to wait for.  One thread drives all there are in rounds: it takes those
that came meanwhile, runs every job up to its next wait, and has all the waits settled at once, the first of a new job
together with the last of an older one.  A lone job starts at once, and the busier the server the more share a wait.
One thread does what sixteen would do in turns, without their fight for the interpreter, and one commit of a journal
is enough for all.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Generic, TypeVar

from msgstore.model.errors import Overloaded
from msgstore.service.offload import Offload
from msgstore.telemetry.log import gathered, logger

__all__ = ["Together"]

log = logger(__name__)

_T = TypeVar("_T")
_W = TypeVar("_W")

ROUND_LIMIT: Final = 64
"""Jobs in a round; more would only wait longer for each other."""

STUCK_SECONDS: Final = 1.0
"""A round that takes so long may take for ever: another thread drives the jobs that came since."""


class _Job(Generic[_W]):
    __slots__ = ("begin", "is_over", "result", "steps", "then", "trouble")

    def __init__(
        self, begin: Callable[[], Generator[_W, None, Any]], then: Callable[[Any, BaseException | None], None]
    ) -> None:
        self.begin = begin
        self.then = then
        self.is_over = False
        self.steps: Generator[_W, None, Any] | None = None
        self.result: Any = None
        self.trouble: BaseException | None = None

    def go_on(self) -> list[_W]:
        """Run to the next wait and give it; nothing when the job is over."""
        try:
            if self.steps is None:
                self.steps = self.begin()
            return [next(self.steps)]
        except StopIteration as end:
            self.is_over = True
            self.result = end.value
        # Whatever it is belongs to the caller, in another thread.
        except BaseException as error:  # noqa: BLE001
            self.is_over = True
            self.trouble = error
        return []

    def fail(self, error: BaseException) -> None:
        """End the job with an error, its own tidying up done."""
        assert self.steps is not None
        try:
            self.steps.throw(error)
        except BaseException as last:  # noqa: BLE001
            self.trouble = last
        else:
            self.steps.close()
            self.trouble = error


class Together(Generic[_W]):
    """Drives jobs together on a thread of an :class:`Offload`.  Every method is called in the thread of its loop.

    ``settle`` is called in a worker thread with what the jobs of a round wait for; it puts each outcome, errors too,
    where its job looks for it.
    """

    def __init__(self, offload: Offload, settle: Callable[[Sequence[_W]], None], *, waiting_limit: int = 4096) -> None:
        self._offload = offload
        self._settle = settle
        self._waiting_limit = waiting_limit
        # Both are filled at one end by one thread and emptied at the other end by another one.
        self._waiting: deque[_Job[_W]] = deque()
        self._finished: deque[_Job[_W]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake_is_due = False
        self._drivers = 0
        self._rounds = 0
        self._alarm: asyncio.TimerHandle | None = None

    def submit(
        self, begin: Callable[[], Generator[_W, None, _T]], then: Callable[[_T | None, BaseException | None], None]
    ) -> None:
        """Run ``begin()`` and all its steps in a thread; ``then(result, error)`` is called in the loop at its end.

        Raises:
            Overloaded: too many wait; nothing was begun.
            RuntimeError: the threads are closed.
        """
        if len(self._waiting) >= self._waiting_limit:
            raise Overloaded(f"{len(self._waiting)} jobs are waiting")
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        if not self._drivers:
            self._start_driver()
        self._waiting.append(_Job(begin, then))
        if self._alarm is None:
            self._alarm = loop.call_later(STUCK_SECONDS, self._look_after, self._rounds)

    def submit_alone(
        self, begin: Callable[[], Generator[_W, None, _T]], then: Callable[[_T | None, BaseException | None], None]
    ) -> None:
        """Like :meth:`submit`, for a job that would keep the others waiting.

        Raises:
            Overloaded: too many wait; nothing was begun.
            RuntimeError: the threads are closed.
        """
        job = _Job[_W](begin, then)
        self._offload.post(self._drive_alone, job, then=lambda _, error: then(job.result, error or job.trouble))

    # In the loop.

    def _start_driver(self) -> None:
        """Begin to drive what waits.

        Raises:
            Overloaded, RuntimeError: there is no thread for it.
        """
        self._offload.post(self._drive, then=self._driver_ended)
        self._drivers += 1

    def _driver_ended(self, _result: None, _error: BaseException | None) -> None:
        self._drivers -= 1
        if self._waiting and not self._drivers:
            # They came when the driver had looked for the last time.
            try:
                self._start_driver()
            except (Overloaded, RuntimeError) as error:
                lost = list(self._waiting)
                self._waiting.clear()
                for job in lost:
                    _call(job, error)

    def _look_after(self, rounds: int) -> None:
        self._alarm = None
        if not self._waiting:
            return
        if self._rounds == rounds and self._offload.has_free_thread:
            self._start_driver()
        assert self._loop is not None
        self._alarm = self._loop.call_later(STUCK_SECONDS, self._look_after, self._rounds)

    def _hand_back(self) -> None:
        # Before the queue is emptied: a thread that appends behind our last look must see that a wake-up is needed.
        self._wake_is_due = False
        while self._finished:
            job = self._finished.popleft()
            _call(job, job.trouble)

    # In a worker thread.

    def _drive(self) -> None:
        running: list[_Job[_W]] = []
        while True:
            self._take_waiting(running)
            if not running:
                return
            going = self._go_on(running)
            still_running = [job for job, _ in going]
            if len(going) < len(running):
                self._finish([job for job in running if job.is_over])
            running = self._settle_for(still_running, [wait for _, wait in going])
            self._rounds += 1

    def _take_waiting(self, running: list[_Job[_W]]) -> None:
        while len(running) < ROUND_LIMIT:
            try:
                running.append(self._waiting.popleft())
            except IndexError:
                return

    @staticmethod
    def _go_on(running: Sequence[_Job[_W]]) -> list[tuple[_Job[_W], _W]]:
        """Run every job to its next wait; what they log is written at once."""
        with gathered():
            return [(job, wait) for job in running for wait in job.go_on()]

    def _settle_for(self, jobs: list[_Job[_W]], waits: Sequence[_W]) -> list[_Job[_W]]:
        """Settle the waits of these jobs and give those that can go on."""
        if not waits:
            return []
        try:
            self._settle(waits)
        except BaseException as error:  # noqa: BLE001
            for job in jobs:
                job.fail(error)
            self._finish(jobs)
            return []
        return jobs

    def _finish(self, jobs: Sequence[_Job[_W]]) -> None:
        self._finished.extend(jobs)
        if not self._wake_is_due:
            self._wake_is_due = True
            assert self._loop is not None
            # The loop may be closed by now; then nobody waits for the results any more.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._hand_back)

    def _drive_alone(self, job: _Job[_W]) -> None:
        running = [job]
        while running:
            going = self._go_on(running)
            try:
                self._settle([wait for _, wait in going])
            except BaseException as error:  # noqa: BLE001
                job.fail(error)
                return
            running = [job for job, _ in going]


def _call(job: _Job[Any], error: BaseException | None) -> None:
    try:
        job.then(job.result, error)
    # One who fails to take his result must not keep the others from theirs.
    except Exception as trouble:  # noqa: BLE001
        log.error("service.callback_crashed", error=trouble)  # noqa: TRY400 - the event logger adds the trace
