"""Sealed messages read here, for a session that gave its keys: in memory, a few at a time, wiped when they are done."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from msgstore.crypto import SecretKey, open_sealed
from msgstore.crypto.sodium import wipe
from msgstore.model.interfaces import Body, BodyFacts
from msgstore.model.keys import SealError

__all__ = ["OpenedMail", "opened_mail"]

_AT_ONCE: Final = threading.BoundedSemaphore(2)
"""Each holds a message twice, sealed and opened; threads wait here rather than fill the memory."""

_CHUNK_OCTETS: Final = 64 * 1024


@contextmanager
def opened_mail(body: Body, keys: Sequence[SecretKey]) -> Generator["OpenedMail | None"]:
    """Open a sealed message for the time of the block; None where none of the keys opens it: it is damaged or foreign.

    Raises:
        StoreError: it cannot be read.
        KeyWiped: the session ended meanwhile.
    """
    with _AT_ONCE:
        try:
            text = open_sealed(b"".join(body.chunks()), keys)
        except SealError:
            yield None
            return
        try:
            yield OpenedMail(text)
        finally:
            wipe(text)


class OpenedMail:
    """A message in memory, read as any other."""

    facts: BodyFacts | None = None

    def __init__(self, text: bytearray) -> None:
        self._text = text

    @property
    def stored_octets(self) -> int:
        """Octets of the message."""
        return len(self._text)

    def read(self, offset: int, octets: int) -> bytes:
        """Give a range."""
        return bytes(self._text[offset : offset + octets])

    def chunks(self) -> Iterator[bytes]:
        """Give all of it in pieces."""
        for offset in range(0, len(self._text), _CHUNK_OCTETS):
            yield self.read(offset, _CHUNK_OCTETS)

    def fileno(self) -> int | None:
        """There is no file."""
        return None

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return
