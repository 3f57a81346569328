"""Opened messages."""

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from msgstore.model.bodies import BodyFacts
from msgstore.model.errors import StoreUnavailable, store_error_from

__all__ = ["FileBody", "OctetsBody"]

CHUNK_OCTETS: Final = 65536


class FileBody:
    """A message that is a file; owns the descriptor it is given."""

    def __init__(self, fd: int, facts: BodyFacts | None = None) -> None:
        self.facts = facts
        self._fd = fd
        self._octets = os.fstat(fd).st_size

    @property
    def stored_octets(self) -> int:
        """Size of the file."""
        return self._octets

    def read(self, offset: int, octets: int) -> bytes:
        """Give at most ``octets`` octets from ``offset``; short only at the end.

        Raises:
            StoreError: the disk answers with an error, or the body is closed.
        """
        if self._fd < 0:
            raise StoreUnavailable("the body is closed")
        pieces: list[bytes] = []
        wanted = max(octets, 0)
        try:
            while wanted and (piece := os.pread(self._fd, min(wanted, 1 << 20), offset)):
                pieces.append(piece)
                offset += len(piece)
                wanted -= len(piece)
        except OSError as error:
            raise store_error_from(error) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def chunks(self) -> Iterator[bytes]:
        """Give the whole message in pieces of at most 64 KiB."""
        offset = 0
        while piece := self.read(offset, CHUNK_OCTETS):
            yield piece
            offset += len(piece)

    def fileno(self) -> int | None:
        """The read-only descriptor; None once closed."""
        return self._fd if self._fd >= 0 else None

    def close(self) -> None:
        """Close the descriptor; harmless to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OctetsBody:
    """A message held in memory."""

    def __init__(self, octets: bytes | bytearray, facts: BodyFacts | None = None) -> None:
        """Octets that can change stay the caller's, who wipes them when the body is not used any more."""
        self.facts = facts
        self._octets = octets

    @property
    def stored_octets(self) -> int:
        """Length of the message."""
        return len(self._octets)

    def read(self, offset: int, octets: int) -> bytes:
        """Give at most ``octets`` octets from ``offset``; short only at the end."""
        return bytes(self._octets[offset : offset + max(octets, 0)])

    def chunks(self) -> Iterator[bytes]:
        """Give the whole message in pieces of at most 64 KiB."""
        for offset in range(0, len(self._octets), CHUNK_OCTETS):
            yield bytes(self._octets[offset : offset + CHUNK_OCTETS])

    def fileno(self) -> int | None:
        """Nothing: there is no file."""
        return None

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
