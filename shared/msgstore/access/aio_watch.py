"""A watch of the client for asyncio."""

import asyncio
import contextlib
from types import TracebackType
from typing import Protocol, Self

from msgstore.access import entries
from msgstore.access.aio_body import Asker
from msgstore.access.events import Events
from msgstore.access.watchshapes import WatchEvent, WatchStarted

__all__ = ["Listening", "Watch"]


class Watcher(Protocol):
    """The client, seen from a watch."""

    async def next_event(self, watch: int, timeout_seconds: float | None = None) -> WatchEvent | None:
        """Wait for the next event of a watch; None where none comes in time."""
        ...

    async def stop_watch(self, watch: int) -> None:
        """End a watch."""
        ...


class Listening(Asker):
    """What a client does with events of its watches."""

    def __init__(self) -> None:
        self._events = Events()
        self._event_came = asyncio.Event()
        self._ended: Exception | None = None
        """Why the connection is of no use any more."""

    async def next_event(self, watch: int, timeout_seconds: float | None = None) -> WatchEvent | None:
        """Wait for the next event of a watch; None where none comes in time.

        Raises:
            AccessError, OSError: the connection ended.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while (event := self._events.take(watch)) is None:
                    if self._ended is not None:
                        raise self._ended
                    self._event_came.clear()
                    await self._event_came.wait()
                return event
        return None

    async def stop_watch(self, watch: int) -> None:
        """End a watch; what it told and nobody read is dropped."""
        await self.ask(entries.WATCH_STOP, watch=watch)
        self._events.forget(watch)


class Watch:
    """A watch of folders: an asynchronous iterator of events, and a context manager that stops it."""

    def __init__(self, client: Watcher, started: WatchStarted) -> None:
        self.client = client
        self.started = started
        """``watch`` and, by folder, the uidvalidity and modseq from which events are told."""

    async def next_event(self, timeout_seconds: float | None = None) -> WatchEvent | None:
        """Wait for the next event; None where none comes in time."""
        return await self.client.next_event(self.started.watch, timeout_seconds)

    async def stop(self) -> None:
        """End the watch."""
        await self.client.stop_watch(self.started.watch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        event = await self.next_event()
        if event is None:
            raise StopAsyncIteration
        return event
