"""Jobs that wait for the disk, driven side by side so that one wait serves all of them.

A job is a generator that gives what it has to wait for; a thread runs every job of a group up to its next wait, has all
the waits settled at once, and goes on.  While a group is at work the next one gathers: a lone job starts at once, and
the busier the server the larger its groups.  One thread does what sixteen would do in turns, without their fight for
the interpreter, and one sync of a journal is enough for all.
"""

import asyncio
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

GROUPS: Final = 1
"""At work at once: one waits for the disk while the other one computes."""

GROUP_LIMIT: Final = 32
"""Jobs in a group; more would only wait longer for each other."""

STUCK_SECONDS: Final = 1.0
"""Without a group's end for so long a further one may start: jobs on a dead disk must not hold up the others."""


class _Job(Generic[_W]):
    __slots__ = ("begin", "result", "steps", "then", "trouble")

    def __init__(
        self, begin: Callable[[], Generator[_W, None, Any]], then: Callable[[Any, BaseException | None], None]
    ) -> None:
        self.begin = begin
        self.then = then
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
            self.result = end.value
        # Whatever it is belongs to the caller, in another thread.
        except BaseException as error:  # noqa: BLE001
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
    """Groups jobs on the threads of an :class:`Offload`.  Every method is called in the thread of its loop.

    ``settle`` is called in a worker thread with what the jobs of a group wait for; it puts each outcome, errors too,
    where its job looks for it.
    """

    def __init__(self, offload: Offload, settle: Callable[[Sequence[_W]], None], *, waiting_limit: int = 4096) -> None:
        self._offload = offload
        self._settle = settle
        self._waiting_limit = waiting_limit
        self._waiting: deque[_Job[_W]] = deque()
        self._groups = 0
        self._ended = 0
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
        self._waiting.append(_Job(begin, then))
        if self._groups < GROUPS:
            try:
                self._start()
            except (Overloaded, RuntimeError):
                if not self._groups:
                    # Nobody is at work whose end would take it along.
                    self._waiting.pop()
                    raise
        elif self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(STUCK_SECONDS, self._look_after, self._ended)

    def submit_alone(
        self, begin: Callable[[], Generator[_W, None, _T]], then: Callable[[_T | None, BaseException | None], None]
    ) -> None:
        """Like :meth:`submit`, for a job that would keep a group waiting.

        Raises:
            Overloaded: too many wait; nothing was begun.
            RuntimeError: the threads are closed.
        """
        job = _Job[_W](begin, then)
        self._offload.post(self._work, [job], then=lambda _, error: then(job.result, error or job.trouble))

    def _start(self) -> None:
        """Begin one group of those that wait.

        Raises:
            Overloaded, RuntimeError: it cannot be begun; all still wait.
        """
        group = [self._waiting.popleft() for _ in range(min(GROUP_LIMIT, len(self._waiting)))]
        try:
            self._offload.post(self._work, group, then=lambda _, error: self._end(group, error))
        except BaseException:
            self._waiting.extendleft(reversed(group))
            raise
        self._groups += 1

    def _end(self, group: Sequence[_Job[_W]], error: BaseException | None) -> None:
        self._groups -= 1
        self._ended += 1
        # The disk is not to wait for what follows from these results.
        self._start_waiting()
        for job in group:
            _call(job, error or job.trouble)

    def _start_waiting(self) -> None:
        while self._waiting and self._groups < GROUPS:
            try:
                self._start()
            except (Overloaded, RuntimeError) as error:
                if self._groups:
                    return
                lost = list(self._waiting)
                self._waiting.clear()
                for job in lost:
                    _call(job, error)

    def _look_after(self, ended: int) -> None:
        self._alarm = None
        if not self._waiting:
            return
        if self._ended == ended and self._offload.has_free_thread:
            self._start()
        if self._waiting:
            self._alarm = asyncio.get_running_loop().call_later(STUCK_SECONDS, self._look_after, self._ended)

    def _work(self, group: Sequence[_Job[_W]]) -> None:
        """In a worker thread: drive a group to the end of all its jobs; what they log is written at once."""
        with gathered():
            self._drive(group)

    def _drive(self, group: Sequence[_Job[_W]]) -> None:
        running = list(group)
        while running:
            going = [(job, wait) for job in running for wait in job.go_on()]
            running = [job for job, _ in going]
            if not going:
                return
            try:
                self._settle([wait for _, wait in going])
            except BaseException as error:  # noqa: BLE001
                for job in running:
                    job.fail(error)
                return


def _call(job: _Job[Any], error: BaseException | None) -> None:
    try:
        job.then(job.result, error)
    # One who fails to take his result must not keep the others from theirs.
    except Exception as trouble:  # noqa: BLE001
        log.error("service.callback_crashed", error=trouble)  # noqa: TRY400 - the event logger adds the trace
