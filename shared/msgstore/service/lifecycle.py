"""The event loop of one process from its start to its exit code; the only door to uvloop."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from msgstore.model.errors import ConfigError, MsgstoreError
from msgstore.service.offload import Offload
from msgstore.telemetry.log import logger

__all__ = ["Lifecycle", "beat_while_healthy", "run"]

log = logger(__name__)

EXIT_OK: Final = os.EX_OK
"""The end was asked for."""

GC_THRESHOLD: Final = 20_000
"""Objects made and not freed before the collector looks at the young ones."""


class Lifecycle:
    """What a running program learns from outside: stop, and read the settings again."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._reloads: list[Callable[[], None]] = []

    @property
    def is_stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask for the end; what is going on is finished first.  Repeating it changes nothing."""
        self._stop.set()

    async def stopped(self) -> None:
        """Wait until the end is asked for."""
        await self._stop.wait()

    def on_reload(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called in the loop at SIGHUP; its MsgstoreError is logged and changes nothing."""
        self._reloads.append(callback)

    def reload(self) -> None:
        """Call what :meth:`on_reload` collected."""
        for callback in self._reloads:
            try:
                callback()
            except MsgstoreError as error:
                log.error("service.reload_failed", error=error)  # noqa: TRY400 - the event logger adds the trace


def run(main: Callable[[Lifecycle], Coroutine[Any, Any, None]], *, use_uvloop: bool = True) -> int:
    """Run ``main`` in an event loop of its own until it returns, and give the exit code.

    SIGTERM and SIGINT call :meth:`Lifecycle.stop`, SIGHUP calls :meth:`Lifecycle.reload`.  The loop is uvloop's when
    that is installed and wanted.  The code is 0 at a good end, 78 (EX_CONFIG) for a ConfigError and 70 (EX_SOFTWARE)
    for anything else that comes out of ``main``, which is logged.

    sysexits(3).
    """
    # What lives by now lives to the end: the collector need not look at it again, and pages shared with a parent stay
    # shared.  Requests leave few cycles behind, so it may look less often.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(wanted=use_uvloop)) as runner:
            runner.run(_with_signals(main))
    except ConfigError as error:
        for fault in error.faults:
            log.error("service.misconfigured", reason=fault)  # noqa: TRY400 - the event logger adds the trace
        return os.EX_CONFIG
    # The outermost frame of a process: what nobody understood becomes a line and an exit code.
    except Exception as error:  # noqa: BLE001
        log.error("service.crashed", error=error)  # noqa: TRY400 - the event logger adds the trace
        return os.EX_SOFTWARE
    return EXIT_OK


async def beat_while_healthy(
    beat: Callable[[], None],
    probe: Callable[[], None],
    offload: Offload,
    *,
    every_seconds: float,
) -> None:
    """Run ``probe`` in a worker thread again and again and call ``beat`` after each success, until cancelled.

    A beat therefore means: the loop turned, a worker thread was free and the probe succeeded.  A bare timer would go
    on beating for a program that hangs.
    """
    while True:
        try:
            await offload.run(probe)
        except MsgstoreError as error:
            log.error("service.probe_failed", error=error)  # noqa: TRY400 - the event logger adds the trace
        else:
            beat()
        await asyncio.sleep(every_seconds)


async def _with_signals(main: Callable[[Lifecycle], Coroutine[Any, Any, None]]) -> None:
    lifecycle = Lifecycle()
    loop = asyncio.get_running_loop()
    handled = {signal.SIGTERM: lifecycle.stop, signal.SIGINT: lifecycle.stop, signal.SIGHUP: lifecycle.reload}
    for number, callback in handled.items():
        loop.add_signal_handler(number, callback)
    try:
        await main(lifecycle)
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


def _loop_factory(*, wanted: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not wanted:
        return None
    try:
        import uvloop  # noqa: PLC0415 - an optional extra, and only this function may know it
    except ImportError:
        return None
    return uvloop.new_event_loop
