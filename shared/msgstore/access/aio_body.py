"""Opened messages of the client for asyncio."""

import asyncio
import os
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from msgstore.access import entries
from msgstore.access.entries import Method
from msgstore.access.mailshapes import RetrieveResult

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

    def __init__(self, client: "Asker", opened: RetrieveResult, descriptor: int | None) -> None:
        self.opened = opened
        """``octets``, ``stored_octets``, ``crlf``, ``dots``, ``sealed``."""

        self._client = client
        self._descriptor = descriptor

    def fileno(self) -> int | None:
        """The read-only descriptor, for sendfile from ``opened.fd_offset``; None where the body came otherwise."""
        return self._descriptor

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the octets as stored, in pieces; the disk is read in a thread."""
        opened = self.opened
        if opened.body is not None:
            if opened.body:
                yield opened.body
        elif self._descriptor is not None:
            start, end = opened.fd_offset or 0, (opened.fd_offset or 0) + (opened.fd_octets or 0)
            for offset in range(start, end, _CHUNK_OCTETS):
                octets = min(_CHUNK_OCTETS, end - offset)
                yield await asyncio.to_thread(os.pread, self._descriptor, octets, offset)
        else:
            for offset in range(0, opened.stored_octets, _CHUNK_OCTETS):
                yield await self._client.ask(
                    entries.MESSAGE_READ, handle=opened.handle, offset=offset, octets=_CHUNK_OCTETS
                )

    async def read(self) -> bytes:
        """Give all octets as stored."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def close(self) -> None:
        """Give the descriptor or the handle back; harmless to repeat."""
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
