"""What stands between the event loop and a session: it receives into memory that is wiped when it was taken.

A loop that receives by itself keeps what came last in a buffer of its own, where a message that is to be sealed would
stay in plain text until the next one comes.  A session is a Protocol, as everything of aiosmtpd is, and a loop lends
such a one no buffer.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Receiving"]

_READ_OCTETS: Final = 256 * 1024
_received: Final = memoryview(bytearray(_READ_OCTETS))
"""Of every connection of this process: it is empty again before the next one is read from."""


class Receiver(Protocol):
    """A session, seen from the loop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer is there."""
        ...

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        ...

    def data_received(self, data: bytes) -> None:
        """Octets of the peer have come."""
        ...

    def eof_received(self) -> bool | None:
        """It sends no more."""
        ...

    def pause_writing(self) -> None:
        """It does not read."""
        ...

    def resume_writing(self) -> None:
        """It reads again."""
        ...


class Receiving(asyncio.BufferedProtocol):
    """Gives a session what comes; else it only passes on what the loop says."""

    def __init__(self, session: Receiver) -> None:
        self._session = session
        self._take: Callable[[bytes], None] = session.data_received

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next octets go."""
        del sizehint
        return _received

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was received, and wipe the place."""
        octets = bytes(_received[:nbytes])
        _received[:nbytes] = bytes(nbytes)
        self._take(octets)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass it on."""
        self._session.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._session.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._session.eof_received()

    def pause_writing(self) -> None:
        """Pass it on."""
        self._session.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._session.resume_writing()
