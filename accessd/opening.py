"""Sealed messages read here, for a session that gave its keys: in memory, a few at a time, wiped when they are done."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

from msgstore.crypto import SecretKey, open_sealed
from msgstore.crypto.sodium import wipe
from msgstore.model.interfaces import Body
from msgstore.model.keys import SealError
from msgstore.store.body import OctetsBody

__all__ = ["opened_mail"]

_AT_ONCE: Final = threading.BoundedSemaphore(2)
"""Each holds a message twice, sealed and opened; threads wait here rather than fill the memory."""


@contextmanager
def opened_mail(body: Body, keys: Sequence[SecretKey]) -> Generator[OctetsBody | None]:
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
            yield OctetsBody(text)
        finally:
            wipe(text)
