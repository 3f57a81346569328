"""A watch of the blocking client."""

from types import TracebackType
from typing import Protocol, Self

from msgstore.access.watchshapes import WatchEvent, WatchStarted

__all__ = ["Watch"]


class Watcher(Protocol):
    """The client, seen from a watch."""

    def next_event(self, watch: int, timeout_seconds: float | None = None) -> WatchEvent | None:
        """Wait for the next event of a watch; None where none comes in time."""
        ...

    def stop_watch(self, watch: int) -> None:
        """End a watch."""
        ...


class Watch:
    """A watch of folders; a context manager that stops it."""

    def __init__(self, client: Watcher, started: WatchStarted) -> None:
        self.client = client
        self.started = started
        """``watch`` and, by folder, the uidvalidity and modseq from which events are told."""

    def next_event(self, timeout_seconds: float | None = None) -> WatchEvent | None:
        """Wait for the next event; None where none comes in time."""
        return self.client.next_event(self.started.watch, timeout_seconds)

    def stop(self) -> None:
        """End the watch."""
        self.client.stop_watch(self.started.watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
