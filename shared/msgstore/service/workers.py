"""Worker processes: fork them, watch them, restart them, end them.

The parent forks before any loop or thread exists and never starts either, so it may fork again at any time.  Also one
worker is a process of its own: then a crash is restarted without losing the listen queue, and there is one way only.
"""

import errno
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgstore.service.channel import DEFAULT_BEAT_SECONDS, FrameKind, FrameReader, WorkerChannel
from msgstore.service.notify import Notifier
from msgstore.service.page import PageServer
from msgstore.telemetry.log import logger

__all__ = ["PoolSettings", "SnapshotHub", "WorkerPool", "supervise"]

log = logger(__name__)

_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 30.0
_SETTLED_SECONDS: Final = 10.0
"""A worker that lived that long is restarted as if it were the first time."""

_TICK_SECONDS: Final = 1.0
_LAST_WORDS: Final = 64
"""Reads of at most one MiB from the socket of a worker that has died."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class SnapshotHub(Protocol):
    """Where snapshots of metrics go, and the page made from them; ``msgstore.telemetry.metrics.MetricsHub`` is one."""

    def update(self, worker: str, snapshot: bytes) -> None:
        """Take the newest snapshot of one worker."""
        ...

    def bury(self, worker: str) -> None:
        """Keep what a dead worker counted and drop what it was doing."""
        ...

    def page(self) -> bytes:
        """Give the page."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How a pool of workers behaves."""

    workers: int
    """How many."""

    grace_seconds: float
    """Time the workers have after SIGTERM before SIGKILL; longer than their own grace."""

    first_delay_seconds: float = _FIRST_DELAY_SECONDS
    """Wait before a worker that died young is started again; doubles each time."""

    content_type: str = "text/plain; version=0.0.4; charset=utf-8"
    """Of the page of metrics."""


@dataclass(slots=True)
class _Worker:
    """One place in the pool and the process that fills it."""

    index: int
    delay_seconds: float
    pid: int = 0
    end: socket.socket | None = None
    reader: FrameReader = field(default_factory=FrameReader)
    generation: int = 0
    is_ready: bool = False
    started_at: float = 0.0
    beat_at: float = 0.0
    start_at: float = 0.0
    """When it is to be started again, while it has no process."""

    @property
    def name(self) -> str:
        """Name of this process in logs and in the hub; a successor has another."""
        return f"{self.index}.{self.generation}"


class WorkerPool:
    """The parent's side; :meth:`run` blocks until every worker is gone."""

    def __init__(
        self,
        work: Callable[[WorkerChannel], int],
        settings: PoolSettings,
        *,
        notifier: Notifier | None = None,
        hub: SnapshotHub | None = None,
        page_socket: socket.socket | None = None,
    ) -> None:
        self._work = work
        self._settings = settings
        self._notifier = notifier or Notifier()
        self._hub = hub
        self._selector = selectors.DefaultSelector()
        self._workers = [
            _Worker(index=index, delay_seconds=settings.first_delay_seconds) for index in range(settings.workers)
        ]
        self._signal_reader, self._signal_writer = socket.socketpair()
        self._signal_reader.setblocking(False)
        self._signal_writer.setblocking(False)
        self._selector.register(self._signal_reader, selectors.EVENT_READ, self._on_signals)
        self._page: PageServer | None = None
        if hub is not None and page_socket is not None:
            self._page = PageServer(page_socket, hub.page, content_type=settings.content_type, selector=self._selector)
        self._exit_code = os.EX_OK
        self._kill_at: float | None = None
        self._was_ready = False
        self._pinged_at = 0.0

    def run(self) -> int:
        """Start the workers, keep them running until SIGTERM or SIGINT, and give the exit code.

        The code is 0 after a stop that was asked for, and the worker's own when one could not use its configuration.
        Call it from the main thread of a process without other threads.
        """
        before = {number: signal.signal(number, _ignore) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(self._signal_writer.fileno(), warn_on_full_buffer=False)
        try:
            while self._kill_at is None or any(worker.pid for worker in self._workers):
                self._start_due()
                for key, _ in self._selector.select(self._next_tick()):
                    act: Callable[[], None] = key.data
                    act()
                self._look_after()
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._close()
        return self._exit_code

    def stop(self, exit_code: int = os.EX_OK) -> None:
        """Ask every worker to finish and end; :meth:`run` returns when all are gone."""
        if self._kill_at is not None:
            return
        self._exit_code = exit_code
        self._kill_at = time.monotonic() + self._settings.grace_seconds
        self._notifier.stopping("draining")
        self._signal_all(signal.SIGTERM)

    def _start_due(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if self._kill_at is None and not worker.pid and worker.start_at <= now:
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        mine, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal between fork and the child's own handlers would be written to the parent's wake-up socket.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become_worker(worker, theirs, mine)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        mine.setblocking(False)
        now = time.monotonic()
        worker.pid, worker.end, worker.reader = pid, mine, FrameReader()
        worker.generation += 1
        worker.is_ready, worker.started_at, worker.beat_at = False, now, now
        self._selector.register(mine, selectors.EVENT_READ, lambda: self._on_frames(worker))
        log.info("service.worker_started", worker=worker.index, pid=pid)

    def _become_worker(self, worker: _Worker, theirs: socket.socket, mine: socket.socket) -> None:
        """Run in the child; never returns."""
        code = os.EX_SOFTWARE
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            mine.close()
            for other in self._workers:
                if other.end is not None:
                    other.end.close()
            if self._page is not None:
                self._page.forget()
            self._signal_reader.close()
            self._signal_writer.close()
            self._selector.close()
            code = self._work(WorkerChannel(theirs, index=worker.index, beat_seconds=self._beat_seconds()))
        # The outermost frame of this process: it must not run on into the parent's code.
        except BaseException as error:  # noqa: BLE001
            log.error("service.worker_crashed", error=error, worker=worker.index)  # noqa: TRY400 - the event logger adds the trace
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _beat_seconds(self) -> float:
        """Three beats in the time after which the manager takes us for dead: one may be late."""
        watchdog_seconds = self._notifier.watchdog_seconds
        return DEFAULT_BEAT_SECONDS if watchdog_seconds is None else min(DEFAULT_BEAT_SECONDS, watchdog_seconds / 3)

    def _on_signals(self) -> None:
        for number in self._signal_reader.recv(4096):
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop()
            elif number == signal.SIGHUP:
                self._signal_all(signal.SIGHUP)
        self._reap()

    def _on_frames(self, worker: _Worker) -> None:
        if worker.end is None:
            # Its end was noticed a moment ago, by the signal that was handled in the same turn.
            return
        try:
            octets = worker.end.recv(1 << 20)
            frames = list(worker.reader.feed(octets))
        except BlockingIOError:
            return
        except (OSError, ValueError):
            octets, frames = b"", []
        for kind, payload in frames:
            if kind is FrameKind.SNAPSHOT:
                if self._hub is not None:
                    self._hub.update(worker.name, payload)
            else:
                worker.beat_at = time.monotonic()
                worker.is_ready = worker.is_ready or kind is FrameKind.READY
        if not octets:
            self._hang_up(worker)
        if not self._was_ready and all(one.is_ready for one in self._workers) and self._kill_at is None:
            self._was_ready = True
            self._notifier.ready(f"healthy, {len(self._workers)} workers")
            log.info("service.ready", workers=len(self._workers))

    def _hang_up(self, worker: _Worker) -> None:
        if worker.end is not None:
            self._selector.unregister(worker.end)
            worker.end.close()
            worker.end = None

    def _reap(self) -> None:
        for worker in self._workers:
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    self._bury(worker, os.waitstatus_to_exitcode(status))

    def _bury(self, worker: _Worker, exit_code: int) -> None:
        if worker.end is not None:
            # What the worker said last is still in the socket; bounded, should anything else hold it open.
            for _ in range(_LAST_WORDS):
                self._read_last_words(worker)
        self._hang_up(worker)
        if self._hub is not None:
            self._hub.bury(worker.name)
        now = time.monotonic()
        pid, worker.pid = worker.pid, 0
        if self._kill_at is not None:
            if exit_code:
                log.warning("service.worker_ended", worker=worker.index, pid=pid, code=exit_code)
            return
        if exit_code == os.EX_CONFIG and not worker.is_ready:
            # Starting it again cannot help; the operator has to change something first.
            self.stop(os.EX_CONFIG)
            return
        is_settled = now - worker.started_at >= _SETTLED_SECONDS
        worker.delay_seconds = self._settings.first_delay_seconds if is_settled else worker.delay_seconds
        worker.start_at = now + worker.delay_seconds
        log.error("service.worker_died", worker=worker.index, pid=pid, code=exit_code, again_in=worker.delay_seconds)
        worker.delay_seconds = min(_LONGEST_DELAY_SECONDS, worker.delay_seconds * 2)

    def _read_last_words(self, worker: _Worker) -> None:
        if worker.end is not None:
            self._on_frames(worker)

    def _look_after(self) -> None:
        now = time.monotonic()
        self._reap()
        if self._page is not None:
            self._page.sweep()
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._signal_all(signal.SIGKILL)
            return
        every = self._notifier.watchdog_seconds
        if every is not None and now - self._pinged_at >= every / 3:
            living = [worker for worker in self._workers if worker.pid and worker.is_ready]
            if living and all(now - worker.beat_at < every for worker in living):
                self._pinged_at = now
                self._notifier.watchdog()

    def _next_tick(self) -> float:
        now = time.monotonic()
        due = [worker.start_at - now for worker in self._workers if not worker.pid and self._kill_at is None]
        if self._kill_at is not None:
            due.append(self._kill_at - now)
        if self._notifier.watchdog_seconds is not None:
            due.append(self._notifier.watchdog_seconds / 4)
        return max(0.01, min([_TICK_SECONDS, *due]))

    def _signal_all(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.pid:
                try:
                    os.kill(worker.pid, number)
                except OSError as error:
                    assert error.errno == errno.ESRCH  # noqa: PT017

    def _close(self) -> None:
        for worker in self._workers:
            self._hang_up(worker)
        if self._page is not None:
            self._page.close()
        self._selector.close()
        self._signal_reader.close()
        self._signal_writer.close()


def supervise(
    work: Callable[[WorkerChannel], int],
    settings: PoolSettings,
    *,
    notifier: Notifier | None = None,
    hub: SnapshotHub | None = None,
    page_socket: socket.socket | None = None,
) -> int:
    """Keep ``settings.workers`` processes running ``work`` and give the exit code of the whole.

    ``work`` runs in each child, after fork, and gives the child's exit code.  Sockets that are open now are inherited.
    ``hub`` takes the snapshots that workers send; its page is served at ``page_socket``, which stays the caller's.
    """
    return WorkerPool(work, settings, notifier=notifier, hub=hub, page_socket=page_socket).run()


def _ignore(_number: int, _frame: object) -> None:
    """Let the wake-up socket do the work; the default action must not happen."""
