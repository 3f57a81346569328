"""A message cut into what one request may carry, for both clients."""

import os
from collections.abc import Iterator

from msgstore.access.bodyshapes import INLINE_OCTETS, MessageSource

__all__ = ["pieces_of"]


def pieces_of(body: MessageSource) -> Iterator[bytes]:
    """Give a message in pieces; a file is read from its beginning, wherever it is read at.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(body, bytes):
        for offset in range(0, len(body), INLINE_OCTETS):
            yield body[offset : offset + INLINE_OCTETS]
        return
    offset = 0
    while piece := os.pread(body.fileno(), INLINE_OCTETS, offset):
        yield piece
        offset += len(piece)
