"""The one crossing from the event loop to worker threads.

The threads take jobs from one queue; what they finish is collected and handed back to the loop with one wake-up for
all of it.  A job costs a fraction of ``loop.run_in_executor``, whose futures exist twice and take three locks each.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar, TypeVarTuple

from msgstore.model.errors import Overloaded
from msgstore.telemetry.log import logger

__all__ = ["Offload"]

log = logger(__name__)

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_Then = Callable[[Any, BaseException | None], None]
_Job = tuple[asyncio.Future[Any] | None, _Then, Callable[..., Any], tuple[Any, ...]]
_Done = tuple[_Then, Any, BaseException | None]


class Offload:
    """A bounded set of worker threads for one event loop.

    Every method is called in the thread of that loop.  Threads start when they are needed and stay.
    """

    def __init__(self, threads: int, queue_limit: int, *, name: str = "offload") -> None:
        """Allow ``threads`` jobs at work and ``queue_limit`` waiting ones.

        Raises:
            ValueError: there is no thread, or the limit is negative.
        """
        if threads < 1 or queue_limit < 0:
            raise ValueError("at least one thread and no negative queue")
        self.threads: Final = threads
        self.queue_limit: Final = queue_limit
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[_Done] = deque()
        self._started: list[threading.Thread] = []
        self._pending = 0
        self._wake_is_due = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def running(self) -> int:
        """Jobs at work in threads now."""
        return min(self._pending, self.threads)

    @property
    def waiting(self) -> int:
        """Jobs in the queue now."""
        return max(0, self._pending - self.threads)

    @property
    def has_free_thread(self) -> bool:
        """Whether the next :meth:`submit` would be begun at once."""
        return self._pending < self.threads

    @property
    def is_full(self) -> bool:
        """Whether the next :meth:`submit` would be refused."""
        return self._pending >= self.threads + self.queue_limit

    def submit(self, function: Callable[[*_Ts], _T], *args: *_Ts) -> "asyncio.Future[_T]":
        """Begin ``function(*args)`` in a thread and give its future.

        A job whose future is cancelled before a thread took it is not run; one that runs goes on to its end.

        Raises:
            Overloaded: the queue is full; nothing was begun.
            RuntimeError: :meth:`close` was called.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._enqueue((future, _completion_of(future), function, args))
        return future

    def post(
        self,
        function: Callable[[*_Ts], _T],
        *args: *_Ts,
        then: Callable[[_T | None, BaseException | None], None],
    ) -> None:
        """Begin ``function(*args)`` in a thread and have ``then(result, error)`` called in the loop.

        Saves what a future costs: its callbacks wait for a turn of the loop of their own.

        Raises:
            Overloaded: the queue is full; nothing was begun.
            RuntimeError: :meth:`close` was called.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._enqueue((None, then, function, args))

    def _enqueue(self, job: _Job) -> None:
        if self._closed:
            raise RuntimeError("the worker threads are closed")
        if self.is_full:
            raise Overloaded(f"{self.waiting} jobs are waiting")
        self._pending += 1
        if self._pending > len(self._started) < self.threads:
            self._start_thread()
        self._jobs.put(job)

    async def run(self, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Run ``function(*args)`` in a thread and give what it returns or raises.

        Raises:
            Overloaded: the queue is full; nothing was begun.
        """
        return await self.submit(function, *args)

    def close(self) -> None:
        """Wait for every job that was submitted and end the threads; blocks, harmless to repeat."""
        self._closed = True
        for _ in self._started:
            self._jobs.put(None)
        for thread in self._started:
            thread.join()
        self._started.clear()

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._started)}"
        # Daemon threads: a worker that hangs on a dead disk must not keep a process alive after its grace is over.
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._started.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, then, function, args = job
            result: Any = None
            trouble: BaseException | None = None
            if future is None or not future.cancelled():
                try:
                    result = function(*args)
                # Whatever it is belongs to the caller, in another thread.
                except BaseException as error:  # noqa: BLE001
                    trouble = error
            self._done.append((then, result, trouble))
            # Nothing of a finished job may live on while this thread waits for the next one.
            del job, future, then, function, args, result, trouble
            if not self._wake_is_due:
                self._wake_is_due = True
                assert self._loop is not None
                # The loop may be closed by now; then nobody waits for the result any more.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._hand_back)

    def _hand_back(self) -> None:
        # Before the queue is emptied: a thread that appends behind our last look must see that a wake-up is needed.
        self._wake_is_due = False
        while self._done:
            then, result, trouble = self._done.popleft()
            self._pending -= 1
            try:
                then(result, trouble)
            # The results behind it must not get lost.
            except Exception as error:  # noqa: BLE001
                log.error("service.callback_crashed", error=error)  # noqa: TRY400 - the event logger adds the trace


def _completion_of(future: asyncio.Future[Any]) -> _Then:
    def complete(result: Any, trouble: BaseException | None) -> None:
        if future.done():
            return
        if trouble is None:
            future.set_result(result)
        elif isinstance(trouble, StopIteration):
            future.set_exception(RuntimeError("a job raised StopIteration"))
        else:
            future.set_exception(trouble)

    return complete
