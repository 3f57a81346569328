"""One socket pair between a worker and its parent: ready, alive, snapshots of metrics.

A frame is one letter, four octets of length in network order, and the payload.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from enum import Enum
from typing import Final

__all__ = ["DEFAULT_BEAT_SECONDS", "FrameKind", "FrameReader", "WorkerChannel"]

_HEAD: Final = struct.Struct("!cI")

FRAME_LIMIT_OCTETS: Final = 64 << 20
"""A snapshot with a thousand domains has about one MiB; more than this is not ours."""


class FrameKind(Enum):
    """What a worker says."""

    READY = b"R"
    """It accepts connections."""

    BEAT = b"B"
    """Its probe has succeeded."""

    SNAPSHOT = b"S"
    """The payload is what its metrics are now."""


DEFAULT_BEAT_SECONDS: Final = 10.0
"""How often a worker probes itself where no watchdog wants it more often."""


class WorkerChannel:
    """The worker's end; its methods may be called in any thread and block until the parent has room."""

    def __init__(self, end: socket.socket, *, index: int = 0, beat_seconds: float = DEFAULT_BEAT_SECONDS) -> None:
        self.socket: Final = end
        """Becomes readable, with nothing to read, when the parent is gone: then the worker stops."""

        self.index: Final = index
        """Which worker this is, from 0; a restarted one has the number of its predecessor."""

        self.beat_seconds: Final = beat_seconds
        """How often the worker has to :meth:`beat`."""

        self._lock = threading.Lock()

    def ready(self) -> None:
        """Say that connections are accepted; the parent reports READY when every worker has said so."""
        self._send(FrameKind.READY, b"")

    def beat(self) -> None:
        """Say that the probe of :func:`msgstore.service.lifecycle.beat_while_healthy` has succeeded."""
        self._send(FrameKind.BEAT, b"")

    def send_snapshot(self, snapshot: bytes) -> None:
        """Hand over the metrics of this worker; the last one stays counted when the worker dies."""
        self._send(FrameKind.SNAPSHOT, snapshot)

    def _send(self, kind: FrameKind, payload: bytes) -> None:
        with self._lock:
            try:
                self.socket.sendall(_HEAD.pack(kind.value, len(payload)) + payload)
            except (BrokenPipeError, ConnectionResetError):
                # The parent is gone; whoever watches the socket ends this worker.
                return


class FrameReader:
    """Pure decoder of what workers say; takes any cut of the stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> Iterator[tuple[FrameKind, bytes]]:
        """Give the frames that are complete now.

        Raises:
            ValueError: this is no frame, or one above the limit.
        """
        self._buffer += octets
        while len(self._buffer) >= _HEAD.size:
            letter, octets_due = _HEAD.unpack_from(self._buffer)
            kind = FrameKind(letter)
            if octets_due > FRAME_LIMIT_OCTETS:
                raise ValueError(f"a frame of {octets_due} octets")
            end = _HEAD.size + octets_due
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            yield kind, payload
