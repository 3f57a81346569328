"""Secrets in frames: what is encoded is a stand-in, so that the only copy of a secret is one that can be wiped.

A value that msgpack has seen lies in buffers that nobody can clear.  So a random name of the same length is encoded,
and the secret is put in its place in the finished frame, which is sent from where it stands and wiped.
"""

import secrets
from collections.abc import Mapping

from msgstore.crypto.secret import Secret
from msgstore.crypto.sodium import wipe

__all__ = ["filled", "stand_in", "wipe_sent"]


def stand_in(secret: Secret, known: dict[bytes, Secret]) -> bytes:
    """Give what stands for a secret in a frame, as long and found once, and note it in ``known``."""
    name = secrets.token_bytes(len(secret.octets()))
    known[name] = secret
    return name


def filled(octets: bytes, known: Mapping[bytes, Secret]) -> bytearray:
    """Put secrets where their stand-ins are; whoever gets the frame wipes it.

    Raises:
        KeyWiped: one is not there any more.
    """
    whole = bytearray(octets)
    with memoryview(whole) as view:
        for name, secret in known.items():
            at = whole.index(name)
            view[at : at + len(name)] = secret.octets()
    return whole


def wipe_sent(octets: bytes | bytearray) -> None:
    """Wipe a frame that has left, where it held secrets: then it is a ``bytearray``."""
    if isinstance(octets, bytearray):
        wipe(octets)
