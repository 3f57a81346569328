"""One page over HTTP, served from the parent's own selector: the metrics of all workers.

Not prometheus_client's server: that one starts a thread, and a process that forks must not have any.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

__all__ = ["PageServer"]

_MAX_READERS: Final = 16
"""Prometheus needs one."""

_REQUEST_LIMIT_OCTETS: Final = 16 << 10
_READER_SECONDS: Final = 10.0
"""A reader that is slower is dropped."""


@dataclass(slots=True)
class _Reader:
    """One connection."""

    connection: socket.socket
    give_up_at: float
    request: bytearray = field(default_factory=bytearray)
    reply: memoryview | None = None


class PageServer:
    """Answers ``GET /metrics`` at one listening socket; never blocks."""

    def __init__(
        self,
        listening: socket.socket,
        page: Callable[[], bytes],
        *,
        content_type: str,
        selector: selectors.BaseSelector,
    ) -> None:
        self._listening = listening
        self._page = page
        self._content_type = content_type
        self._selector = selector
        self._readers: dict[int, _Reader] = {}
        listening.setblocking(False)
        selector.register(listening, selectors.EVENT_READ, self._accept)

    def sweep(self) -> None:
        """Drop readers that take too long."""
        now = time.monotonic()
        for reader in [one for one in self._readers.values() if one.give_up_at < now]:
            self._drop(reader)

    def close(self) -> None:
        """Drop all readers and leave the selector; the listening socket stays its owner's."""
        for reader in list(self._readers.values()):
            self._drop(reader)
        self._selector.unregister(self._listening)

    def forget(self) -> None:
        """Close what a forked child inherited, without touching the selector that it shares with its parent."""
        for reader in self._readers.values():
            reader.connection.close()
        self._listening.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        if len(self._readers) >= _MAX_READERS:
            connection.close()
            return
        connection.setblocking(False)
        reader = _Reader(connection, time.monotonic() + _READER_SECONDS)
        self._readers[connection.fileno()] = reader
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read(reader))

    def _read(self, reader: _Reader) -> None:
        try:
            octets = reader.connection.recv(_REQUEST_LIMIT_OCTETS)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        reader.request += octets
        if not octets or len(reader.request) > _REQUEST_LIMIT_OCTETS:
            self._drop(reader)
        elif b"\r\n\r\n" in reader.request:
            reader.reply = memoryview(self._answer(bytes(reader.request)))
            self._selector.modify(reader.connection, selectors.EVENT_WRITE, lambda: self._write(reader))

    def _write(self, reader: _Reader) -> None:
        assert reader.reply is not None
        try:
            sent = reader.connection.send(reader.reply)
        except BlockingIOError:
            return
        except OSError:
            sent = len(reader.reply)
        reader.reply = reader.reply[sent:]
        if not reader.reply:
            self._drop(reader)

    def _drop(self, reader: _Reader) -> None:
        self._readers.pop(reader.connection.fileno(), None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(reader.connection)
        reader.connection.close()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return self._response("405 Method Not Allowed", "text/plain", b"", with_body=True)
        if path not in (b"/", b"/metrics"):
            return self._response("404 Not Found", "text/plain", b"", with_body=True)
        return self._response("200 OK", self._content_type, self._page(), with_body=method == b"GET")

    @staticmethod
    def _response(status: str, content_type: str, body: bytes, *, with_body: bool) -> bytes:
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + (body if with_body else b"")
