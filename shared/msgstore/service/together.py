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
from msgstore.telemetry.log import gathered

__all__ = ["Together"]

_T = TypeVar("_T")
_W = TypeVar("_W")

GROUPS: Final = 1
"""At work at once: one waits for the disk while the other one computes."""

GROUP_LIMIT: Final = 32
"""Jobs in a group; more would only wait longer for each other."""

STUCK_SECONDS: Final = 1.0
"""Without a group's end for so long a further one may start: jobs on a dead disk must not hold up the others."""


class _Job(Generic[_W]):
    __slots__ = ("begin", "future", "result", "steps", "trouble")

    def __init__(self, begin: Callable[[], Generator[_W, None, Any]], future: asyncio.Future[Any]) -> None:
        self.begin = begin
        self.future = future
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
        # Whatever it is belongs to the caller who awaits the future, in another thread.
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

    def hand_back(self) -> None:
        """In the loop: complete the future."""
        if self.future.done():
            return
        if self.trouble is None:
            self.future.set_result(self.result)
        elif isinstance(self.trouble, StopIteration):
            self.future.set_exception(RuntimeError("a job raised StopIteration"))
        else:
            self.future.set_exception(self.trouble)


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

    def submit(self, begin: Callable[[], Generator[_W, None, _T]]) -> "asyncio.Future[_T]":
        """Run ``begin()`` and all its steps in a thread and give the future of what it returns.

        Raises:
            Overloaded: too many wait; nothing was begun.
            RuntimeError: the threads are closed.
        """
        if len(self._waiting) >= self._waiting_limit:
            raise Overloaded(f"{len(self._waiting)} jobs are waiting")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._waiting.append(_Job(begin, future))
        if self._groups < GROUPS:
            try:
                self._start()
            except (Overloaded, RuntimeError):
                if not self._groups:
                    # Nobody is at work whose end would take it along.
                    self._waiting.pop()
                    raise
        elif self._alarm is None:
            self._alarm = loop.call_later(STUCK_SECONDS, self._look_after, self._ended)
        return future

    def submit_alone(self, begin: Callable[[], Generator[_W, None, _T]]) -> "asyncio.Future[_T]":
        """Like :meth:`submit`, for a job that would keep a group waiting.

        Raises:
            Overloaded: too many wait; nothing was begun.
            RuntimeError: the threads are closed.
        """
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        job = _Job(begin, future)
        self._offload.submit(self._work, [job]).add_done_callback(lambda _: job.hand_back())
        return future

    def _start(self) -> None:
        """Begin one group of those that wait.

        Raises:
            Overloaded, RuntimeError: it cannot be begun; all still wait.
        """
        group = [self._waiting.popleft() for _ in range(min(GROUP_LIMIT, len(self._waiting)))]
        try:
            end = self._offload.submit(self._work, group)
        except BaseException:
            self._waiting.extendleft(reversed(group))
            raise
        self._groups += 1
        end.add_done_callback(lambda _: self._ended_with(group))

    def _ended_with(self, group: Sequence[_Job[_W]]) -> None:
        self._groups -= 1
        self._ended += 1
        for job in group:
            job.hand_back()
        self._start_waiting()

    def _start_waiting(self) -> None:
        while self._waiting and self._groups < GROUPS:
            try:
                self._start()
            except (Overloaded, RuntimeError) as error:
                if self._groups:
                    return
                for job in self._waiting:
                    job.trouble = error
                    job.hand_back()
                self._waiting.clear()

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
        running = [job for job in group if not job.future.cancelled()]
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
