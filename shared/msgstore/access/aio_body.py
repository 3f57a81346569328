"""Opened messages of the client for asyncio."""

import asyncio
import os
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from msgstore.access import entries
from msgstore.access.entries import Method
from msgstore.access.mailshapes import RetrieveResult
from msgstore.access.sync_body import WHOLE
from msgstore.crypto.sodium import wipe

__all__ = ["Asker", "Body"]

Result = TypeVar("Result")

_CHUNK_OCTETS: Final = 256 * 1024
"""One trip to a thread or to the server for each; as much as ``message.read`` gives at once."""


class Asker(Protocol):
    """The client, seen from a message."""

    async def ask(self, method: Method[Any, Result], **args: object) -> Result:
        """Call a method."""
        ...


class Body:
    """An opened message, however its octets come; an asynchronous context manager."""

    def __init__(
        self,
        client: "Asker",
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

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the octets, or the part that was asked for, in pieces; of what was opened here the plain ones.

        The disk is read in a thread.
        """
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
                octets = min(_CHUNK_OCTETS, end - offset)
                yield await asyncio.to_thread(os.pread, self._descriptor, octets, offset)
        else:
            start, end, _ = self._part.indices(opened.stored_octets)
            for offset in range(start, end, _CHUNK_OCTETS):
                octets = min(_CHUNK_OCTETS, end - offset)
                yield await self._client.ask(entries.MESSAGE_READ, handle=opened.handle, offset=offset, octets=octets)

    async def read(self) -> bytes:
        """Give all of :meth:`chunks` at once."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def close(self) -> None:
        """Give the descriptor or the handle back; harmless to repeat."""
        text, self._text = self._text, None
        if text is not None:
            wipe(text)
            return
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        elif self.opened.handle is not None:
            await self._client.ask(entries.MESSAGE_RELEASE, handle=self.opened.handle)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
