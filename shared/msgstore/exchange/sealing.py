"""Sealed mail on its way in and out; keys are the caller's, so that this package knows none.

A blob that comes is kept as it is.  Where the owner's key is at hand it also tells blobs that bear no mark, and whether
a message is here already: two blobs of one message are never alike.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from msgstore.exchange.values import ForeignMessage
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.store.lines import to_crlf

__all__ = ["PLAIN", "Coming", "Opener", "Sealer", "Sealing", "is_marked", "plain_octets"]

Opener: TypeAlias = Callable[[bytes], bytearray | None]
"""Opens a blob; None where no key opens it."""

Sealer: TypeAlias = Callable[[bytearray], bytearray]
"""Seals a message for its owner."""

_ALGORITHM: Final = "1"


def is_marked(mark: str | None) -> bool:
    """Tell a sealed message by the mark in its name; None is no mark.

    Raises:
        ValueError: it is sealed in a way that is not known here.
    """
    if mark not in (None, _ALGORITHM):
        raise ValueError("is sealed in a way that is not known here")
    return mark is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A message of a source as it is to be put."""

    chunks: Callable[[], Iterator[bytes]]
    """Gives what is to be put."""

    sealed: bool
    plain: bytearray | None
    """The message in the blob, where it is known."""

    was_sealed_here: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What is done about sealed mail."""

    seal: Sealer | None = None
    """Seals what comes in plain; None leaves it."""

    open: Opener | None = None
    """Opens what is sealed; None where no key is at hand."""

    def prepare(self, message: ForeignMessage) -> Coming:
        """Say what is to be put for a message of a source; one that is sealed or opened here is read for it.

        Raises:
            OSError: it cannot be read.
        """
        if self.open is not None and (message.sealed or self.seal is None):
            content = b"".join(message.chunks())
            plain = self.open(content)
            return Coming(chunks=lambda: iter((content,)), sealed=message.sealed or plain is not None, plain=plain)
        if message.sealed or self.seal is None:
            return Coming(chunks=message.chunks, sealed=message.sealed, plain=None)
        return self._sealed(b"".join(message.chunks()), self.seal)

    def _sealed(self, content: bytes, seal: Sealer) -> Coming:
        plain = None if self.open is None else self.open(content)
        if plain is not None:
            return Coming(chunks=lambda: iter((content,)), sealed=True, plain=plain)
        plain = bytearray(to_crlf(content))
        blob = bytes(seal(plain))
        return Coming(chunks=lambda: iter((blob,)), sealed=True, plain=plain, was_sealed_here=True)

    def opened(self, chunks: Iterable[bytes]) -> bytearray | None:
        """Open a blob that is kept here; None where that cannot be."""
        return None if self.open is None else self.open(b"".join(chunks))


PLAIN: Final = Sealing()
"""Everything is left as it is."""


def plain_octets(blob_octets: int) -> int:
    """Size of the message in a blob."""
    return max(blob_octets - SEAL_OVERHEAD_OCTETS, 0)
