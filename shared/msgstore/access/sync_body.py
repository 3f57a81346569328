"""Opened messages of the blocking client, and the one read of a socket that keeps descriptors."""

import array
import os
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from msgstore.access import entries
from msgstore.access.entries import Method
from msgstore.access.frames import READ_OCTETS, FrameRefused
from msgstore.access.mailshapes import RetrieveResult

__all__ = ["Body", "receive_from"]

Result = TypeVar("Result")

_CHUNK_OCTETS: Final = 64 * 1024
_DESCRIPTOR_SPACE: Final = socket.CMSG_SPACE(2 * array.array("i").itemsize)
"""Room for one descriptor and to notice a second one, which is refused."""


class Asker(Protocol):
    """The client, seen from an opened message."""

    def ask(self, method: Method[Any, Result], **args: object) -> Result:
        """Call a method by its entry of the contract and give its typed result."""
        ...


class Body:
    """An opened message, however its octets come; a context manager."""

    def __init__(self, client: Asker, opened: RetrieveResult, descriptor: int | None) -> None:
        self.opened = opened
        """``octets``, ``stored_octets``, ``crlf``, ``dots``, ``sealed``."""

        self._client = client
        self._descriptor = descriptor

    def fileno(self) -> int | None:
        """The read-only descriptor, for sendfile from ``opened.fd_offset``; None where the body came otherwise."""
        return self._descriptor

    def chunks(self) -> Iterator[bytes]:
        """Give the octets as stored, in pieces."""
        opened = self.opened
        if opened.body is not None:
            if opened.body:
                yield opened.body
        elif self._descriptor is not None:
            start, end = opened.fd_offset or 0, (opened.fd_offset or 0) + (opened.fd_octets or 0)
            for offset in range(start, end, _CHUNK_OCTETS):
                yield os.pread(self._descriptor, min(_CHUNK_OCTETS, end - offset), offset)
        else:
            for offset in range(0, opened.stored_octets, _CHUNK_OCTETS):
                yield self._client.ask(entries.MESSAGE_READ, handle=opened.handle, offset=offset, octets=_CHUNK_OCTETS)

    def read(self) -> bytes:
        """Give all octets as stored."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Give the descriptor or the handle back; harmless to repeat."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        elif self.opened.handle is not None:
            self._client.ask(entries.MESSAGE_RELEASE, handle=self.opened.handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def receive_from(connected: socket.socket, limit_octets: int = READ_OCTETS) -> tuple[bytes, tuple[int, ...]]:
    """Read octets and the descriptor that may come with them; empty octets mean the end.

    Raises:
        FrameRefused: more than one descriptor came, or the kernel had to drop one; whatever came is closed.
        OSError: the connection failed.

    unix(7), SCM_RIGHTS.
    """
    octets, extra, flags, _ = connected.recvmsg(limit_octets, _DESCRIPTOR_SPACE, socket.MSG_CMSG_CLOEXEC)
    found = array.array("i")
    for level, kind, content in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    if len(found) > 1 or flags & socket.MSG_CTRUNC:
        for descriptor in found:
            os.close(descriptor)
        raise FrameRefused("a descriptor was lost or came uncalled for")
    return octets, tuple(found)
