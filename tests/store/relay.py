"""A relay between a client and PostgreSQL that cuts the line where a test wants it cut."""

import contextlib
import socket
import threading
from collections.abc import Generator
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy.engine import make_url

from tests.postgres_room import PORT

__all__ = ["Cut", "Relay", "relayed"]

COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""A simple query. postgresql.org/docs/current/protocol-message-formats.html."""


class Cut(Enum):
    """Where the line is cut."""

    BEFORE_COMMIT = "before"
    """The server never sees it, and undoes the transaction."""

    AFTER_COMMIT = "after"
    """The server has done it, and the client never hears of it."""


class Relay:
    """Passes octets on between Unix sockets, each connection with two threads."""

    def __init__(self, listener: socket.socket, server: str) -> None:
        self._listener = listener
        self._server = server
        self._guard = threading.Lock()
        self._cut: Cut | None = None
        self._left: int | None = None
        self._refusals = 0
        self._open: list[socket.socket] = []
        self.cuts = 0
        """Lines cut so far."""

        self.octets = 0
        """Octets that clients sent so far."""

    def cut(self, where: Cut) -> None:
        """Cut the line at the next COMMIT."""
        with self._guard:
            self._cut = where

    def cut_after(self, octets: int) -> None:
        """Cut the line after so many more octets of a client."""
        with self._guard:
            self._left = octets

    def calm(self) -> None:
        """Cut no line from now on."""
        with self._guard:
            self._cut, self._left = None, None

    def refuse(self, connections: int) -> None:
        """Hang up on so many new connections."""
        with self._guard:
            self._refusals = connections

    def run(self) -> None:
        """Take connections until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._take(client)

    def close(self) -> None:
        """End everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            _hang_up(one)
            one.close()

    def _take(self, client: socket.socket) -> None:
        with self._guard:
            is_refused = self._refusals > 0
            self._refusals -= is_refused
        if is_refused:
            client.close()
            return
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        self._open += [client, server]
        # What the client asked for after which the answer must not come through.
        is_deaf = threading.Event()
        for work in (self._to_server, self._to_client):
            threading.Thread(target=work, args=(client, server, is_deaf), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, is_deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while octets := client.recv(65536):
                passed = self._passed(octets, is_deaf)
                server.sendall(passed)
                if len(passed) < len(octets):
                    break
        _hang_up(client)
        _hang_up(server)

    def _passed(self, octets: bytes, is_deaf: threading.Event) -> bytes:
        with self._guard:
            self.octets += len(octets)
            if self._left is not None:
                if self._left < len(octets):
                    octets, self._left = octets[: self._left], None
                    self.cuts += 1
                else:
                    self._left -= len(octets)
            if self._cut is not None and COMMIT in octets:
                where, self._cut = self._cut, None
                self.cuts += 1
                if where is Cut.BEFORE_COMMIT:
                    return octets[: octets.index(COMMIT)]
                is_deaf.set()
        return octets

    def _to_client(self, client: socket.socket, server: socket.socket, is_deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while octets := server.recv(65536):
                if is_deaf.is_set():
                    break
                client.sendall(octets)
        _hang_up(client)
        _hang_up(server)


@contextlib.contextmanager
def relayed(url: str, directory: Path) -> Generator[tuple[Relay, str]]:
    """Put a relay before the server of ``url``; gives it and the URL through it."""
    parsed = make_url(url)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(directory / f".s.PGSQL.{PORT}"))
    listener.listen(64)
    relay = Relay(listener, f"{parsed.query['host']}/.s.PGSQL.{PORT}")
    thread = threading.Thread(target=relay.run, daemon=True)
    thread.start()
    try:
        yield relay, f"postgresql://{quote(parsed.username or '', '')}@/{parsed.database}?host={directory}&port={PORT}"
    finally:
        relay.close()
        thread.join()


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
