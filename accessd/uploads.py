"""Messages on their way in: staged in pieces, inline, or read from a descriptor."""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from msgstore.access.codes import AccessError
from msgstore.model.errors import MessageTooLarge, store_error_from
from msgstore.model.interfaces import MessageStore, StagedMessage

__all__ = ["Source", "Upload", "Uploads", "staged_from"]

_CHUNK_OCTETS: Final = 256 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class Upload:
    """One message that is being staged; the lock keeps its writes in the order received."""

    staged: StagedMessage
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    is_closing: bool = False


class Uploads:
    """What one connection has staged.  Threads work on it, so an upload is discarded after its last use."""

    def __init__(
        self, limit: int, *, discard: Callable[[StagedMessage], None] = lambda staged: staged.discard()
    ) -> None:
        self._limit = limit
        self._discard = discard
        self._open: dict[int, Upload] = {}
        self._promised = 0
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def promise(self) -> None:
        """Keep a place for an upload that is about to begin; :meth:`add` or :meth:`forgo` follows.

        Raises:
            AccessError: BUSY where too many are open.
        """
        if len(self._open) + self._promised >= self._limit:
            raise AccessError("BUSY", f"at most {self._limit} messages are uploaded at a time", after_ms=0)
        self._promised += 1

    def forgo(self) -> None:
        """Give up a promised place."""
        self._promised -= 1

    def add(self, staged: StagedMessage) -> int:
        """Keep a staged message in the promised place and name it."""
        self._promised -= 1
        self._last += 1
        self._open[self._last] = Upload(staged=staged)
        return self._last

    def acquire(self, handle: int, *, key: str = "handle") -> Upload:
        """Give an upload for use; :meth:`give_back` has to follow.

        Raises:
            AccessError: INVALID where the handle names nothing.
        """
        found = self._open.get(handle)
        if found is None:
            raise AccessError("INVALID", "no upload has this handle", key=key)
        found.users += 1
        return found

    def give_back(self, upload: Upload) -> None:
        """End a use."""
        upload.users -= 1
        if upload.is_closing and not upload.users:
            self._discard(upload.staged)

    def discard(self, handle: int) -> None:
        """Give up an upload; harmless where the handle names nothing."""
        upload = self._open.pop(handle, None)
        if upload is None:
            return
        upload.is_closing = True
        if not upload.users:
            self._discard(upload.staged)

    def discard_all(self) -> None:
        """Give up everything: the connection has ended."""
        for handle in list(self._open):
            self.discard(handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the octets of one message are; exactly one of the three."""

    body: bytes | None = None
    staged: StagedMessage | None = None
    descriptor: int | None = None
    """Not ours: whoever gave it closes it, and its owner may still change the file."""

    def chunks(self, limit_octets: int) -> Iterator[bytes]:
        """Give the octets in pieces; blocks.

        Raises:
            AccessError: INVALID where the descriptor is no regular file.
            StoreError: it cannot be read, or is larger than the limit.
        """
        if self.staged is not None:
            yield from self.staged.chunks()
        elif self.body is not None:
            yield self.body
        elif self.descriptor is not None:
            yield from _file_chunks(self.descriptor, limit_octets)


def staged_from(
    store: MessageStore, source: Source, limit_octets: int, *, sealed: bool = False
) -> tuple[StagedMessage, Callable[[], None]]:
    """Give a source as a staged message, and what has to be called at its end; blocks.

    What is sealed is staged anew as such: until now nobody had said so.

    Raises:
        AccessError, StoreError: as for :meth:`Source.chunks`.
    """
    if source.staged is not None and not sealed:
        return source.staged, lambda: None
    staged = store.stage(sealed=sealed)
    try:
        for chunk in source.chunks(limit_octets):
            staged.write(chunk)
    except BaseException:
        staged.discard()
        raise
    return staged, staged.discard


def _file_chunks(descriptor: int, limit_octets: int) -> Iterator[bytes]:
    try:
        # Reading anything else could wait for its owner for ever.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AccessError("INVALID", "the descriptor is no regular file", key="as")
        offset = 0
        while piece := os.pread(descriptor, _CHUNK_OCTETS, offset):
            offset += len(piece)
            if offset > limit_octets:
                raise MessageTooLarge(limit_octets=limit_octets)
            yield piece
    except OSError as error:
        raise store_error_from(error) from error
