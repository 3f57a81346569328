"""Opened messages of the blocking client, and the one read of a socket that keeps descriptors."""

import array
import os
import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from msgstore.access import entries
from msgstore.access.entries import Method
from msgstore.access.frames import READ_OCTETS, FrameRefused
from msgstore.access.mailshapes import RetrieveResult
from msgstore.crypto.sodium import wipe

__all__ = ["WHOLE", "Body", "part_of", "receive_from"]

Result = TypeVar("Result")

_CHUNK_OCTETS: Final = 64 * 1024
WHOLE: Final = slice(None)
_DESCRIPTOR_SPACE: Final = socket.CMSG_SPACE(2 * array.array("i").itemsize)
"""Room for one descriptor and to notice a second one, which is refused."""


class Asker(Protocol):
    """The client, seen from an opened message."""

    def ask(self, method: Method[Any, Result], **args: object) -> Result:
        """Call a method by its entry of the contract and give its typed result."""
        ...


class Body:
    """An opened message, however its octets come; a context manager."""

    def __init__(
        self,
        client: Asker,
        opened: RetrieveResult,
        descriptor: int | None,
        *,
        text: bytearray | None = None,
        part: slice = WHOLE,
    ) -> None:
        """``text`` is a message that came sealed and was opened, which is this body's from now on."""
        self.opened = opened
        """``octets``, ``stored_octets``, ``crlf``, ``dots``, ``sealed`` of the whole message as it is read here."""

        self.was_sealed = text is not None or opened.sealed is not None
        self._client = client
        self._descriptor = descriptor
        self._text = text
        self._part = part
        """Of ``text``, or of what a handle gives; other ways bring no more than was asked for."""

    def fileno(self) -> int | None:
        """The read-only descriptor, for sendfile from ``opened.fd_offset``; None where the body came otherwise."""
        return self._descriptor

    def chunks(self) -> Iterator[bytes]:
        """Give the octets, or the part that was asked for, in pieces; of what was opened here the plain ones."""
        opened, text = self.opened, self._text
        if text is not None:
            start, end, _ = self._part.indices(len(text))
            for offset in range(start, end, _CHUNK_OCTETS):
                yield bytes(text[offset : min(end, offset + _CHUNK_OCTETS)])
        elif opened.body is not None:
            if opened.body:
                yield opened.body
        elif self._descriptor is not None:
            start, end = opened.fd_offset or 0, (opened.fd_offset or 0) + (opened.fd_octets or 0)
            for offset in range(start, end, _CHUNK_OCTETS):
                yield os.pread(self._descriptor, min(_CHUNK_OCTETS, end - offset), offset)
        else:
            start, end, _ = self._part.indices(opened.stored_octets)
            for offset in range(start, end, _CHUNK_OCTETS):
                octets = min(_CHUNK_OCTETS, end - offset)
                yield self._client.ask(entries.MESSAGE_READ, handle=opened.handle, offset=offset, octets=octets)

    def read(self) -> bytes:
        """Give all of :meth:`chunks` at once."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Give the descriptor or the handle back; harmless to repeat."""
        text, self._text = self._text, None
        if text is not None:
            wipe(text)
            return
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


def part_of(args: Mapping[str, object]) -> slice:
    """Say which part of a message the arguments of ``message.retrieve`` ask for."""
    offset, octets = args.get("offset") or 0, args.get("octets")
    assert isinstance(offset, int)
    return slice(offset, offset + octets if isinstance(octets, int) else None)


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
