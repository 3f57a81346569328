"""The two ends of a connection's socket: octets and descriptors in, octets and descriptors out."""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from msgstore.access.concealed import wipe_sent
from msgstore.access.frames import FrameRefused
from msgstore.access.sync import receive_from

__all__ = ["Inbox", "Outbox"]

_STALL_SECONDS: Final = 60.0
"""A peer that takes nothing for so long is gone."""

_OUTBOX_LIMIT_OCTETS: Final = 1024 * 1024
"""Above this nothing more is read from a peer that does not read."""

_GATHER_OCTETS: Final = 256 * 1024


class Inbox:
    """Reads octets, and the descriptors that came with them, which wait here for the request that names them."""

    def __init__(self, connected: socket.socket, *, allows: Callable[[], bool]) -> None:
        self._socket = connected
        self._allows = allows
        """Whether the peer may send descriptors."""

        self._descriptors: deque[int] = deque()

    def require_named(self, *, is_within_object: bool) -> None:
        """Make sure, when every request that has come is taken, that none of the descriptors was left.

        Raises:
            FrameRefused: what is left can belong to half an object alone, and there is none.
        """
        if len(self._descriptors) > is_within_object:
            raise FrameRefused("a descriptor that no request names")

    def receive(self) -> bytes:
        """Read once what has come; empty octets are the end.

        Raises:
            FrameRefused: a descriptor came uncalled for; it is closed.
            BlockingIOError, InterruptedError: nothing has come yet.
            OSError: the connection failed.
        """
        octets, found = receive_from(self._socket)
        self._descriptors.extend(found)
        if found and not self._allows():
            raise FrameRefused("descriptors were not agreed on in rpc.hello")
        return octets

    def take(self) -> int | None:
        """Give the descriptor of the next request that names one; it is the caller's now."""
        return self._descriptors.popleft() if self._descriptors else None

    def drop(self) -> None:
        """Close what no request has named."""
        while self._descriptors:
            os.close(self._descriptors.popleft())


class Outbox:
    """Frames that wait to be sent, some with a descriptor.

    What the socket takes at once is sent at once; the writer sends the rest, and while it is at work it alone sends.
    A frame that is a ``bytearray`` holds secrets: it is sent from where it stands, and wiped as soon as it has left.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._waiting: deque[tuple[bytes | bytearray, int | None]] = deque()
        self.octets = 0
        """Waiting."""

        self._more = asyncio.Event()
        self._is_writing = False
        self._closed = False
        self.on_progress: Callable[[], None] = lambda: None
        """Called when something has left."""

    @property
    def is_full(self) -> bool:
        """Whether the peer does not read as fast as it asks."""
        return self.octets > _OUTBOX_LIMIT_OCTETS

    def put(self, octets: bytes | bytearray, descriptor: int | None = None) -> None:
        """Queue a frame; it and the descriptor are the outbox's from here on."""
        if self._closed:
            if descriptor is not None:
                os.close(descriptor)
            wipe_sent(octets)
            return
        if not self._waiting and not self._is_writing:
            sent = self._send_now(octets, descriptor)
            if sent == len(octets):
                wipe_sent(octets)
                return
            if sent:
                whole, octets, descriptor = octets, octets[sent:], None
                wipe_sent(whole)
        self._waiting.append((octets, descriptor))
        self.octets += len(octets)
        self._more.set()

    def _send_now(self, octets: bytes | bytearray, descriptor: int | None) -> int:
        """Send what the socket takes; the descriptor goes with the first octet, and is closed here then."""
        try:
            if descriptor is None:
                return self._socket.send(octets)
            sent = socket.send_fds(self._socket, [octets], [descriptor])
        except OSError:
            # Full, or broken: the writer waits for it, or finds out.
            return 0
        os.close(descriptor)
        return sent

    def finish(self) -> None:
        """Let :meth:`send_all` return once everything has left."""
        self._closed = True
        self._more.set()

    def drop(self) -> None:
        """Close what was never sent."""
        self._closed = True
        for octets, descriptor in self._waiting:
            wipe_sent(octets)
            if descriptor is not None:
                os.close(descriptor)
        self._waiting.clear()

    async def send_all(self) -> None:
        """Send until finished.

        Raises:
            OSError, TimeoutError: the peer is gone.
        """
        while True:
            await self._more.wait()
            while self._waiting:
                self._is_writing = True
                octets, descriptor = self._next()
                try:
                    async with asyncio.timeout(_STALL_SECONDS):
                        if descriptor is None:
                            await asyncio.get_running_loop().sock_sendall(self._socket, octets)
                        else:
                            await self._send_with(octets, descriptor)
                finally:
                    wipe_sent(octets)
                self.octets -= len(octets)
                self._is_writing = False
                self.on_progress()
            self._more.clear()
            if self._closed:
                return

    def _next(self) -> tuple[bytes | bytearray, int | None]:
        octets, descriptor = self._waiting.popleft()
        if descriptor is not None or not self._waiting or len(octets) > _GATHER_OCTETS or isinstance(octets, bytearray):
            return octets, descriptor
        parts, total = [octets], len(octets)
        while self._waiting:
            part, descriptor = self._waiting[0]
            if descriptor is not None or isinstance(part, bytearray) or total + len(part) > _GATHER_OCTETS:
                break
            self._waiting.popleft()
            parts.append(part)
            total += len(part)
        return b"".join(parts), None

    async def _send_with(self, octets: bytes | bytearray, descriptor: int) -> None:
        """Send a frame and its descriptor in a call that nothing else shares. unix(7), SCM_RIGHTS."""
        try:
            while True:
                try:
                    sent = socket.send_fds(self._socket, [octets], [descriptor])
                    break
                except BlockingIOError:
                    await _writable(self._socket, asyncio.get_running_loop())
        finally:
            os.close(descriptor)
        if sent < len(octets):
            with memoryview(octets) as whole, whole[sent:] as rest:
                await asyncio.get_running_loop().sock_sendall(self._socket, rest)


async def _writable(connected: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    """Wait until the socket takes octets."""
    ready = asyncio.Event()
    number = connected.fileno()
    loop.add_writer(number, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(number)
