"""A recovery key as people write it down: ``XXXXX-XXXXX-…``, 60 characters with a check of 4 octets.

Base32 of the private key and the beginning of its SHA-256; case, blanks and dashes do not matter, ``0 1 8`` are read
as the letters they look like.  RFC 4648 §6.
"""

import base64
import binascii
import hashlib
from typing import Final

from msgstore.crypto.secret import SecretKey
from msgstore.crypto.sodium import KEY_OCTETS, Buffer, wipe
from msgstore.model.keys import KeyMalformed

__all__ = ["decode_recovery", "encode_recovery"]

_CHECK_OCTETS: Final = 4
_GROUP: Final = 5
_BLANKS: Final = b" -\t\r\n"
_ALIKE: Final = bytes.maketrans(b"018", b"OIB")


def encode_recovery(key: SecretKey) -> str:
    """Write a recovery key; the text is as secret as the key and stays in memory."""
    with key.octets() as octets:
        text = base64.b32encode(bytes(octets) + _check(octets)).decode("ascii").rstrip("=")
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def decode_recovery(text: Buffer) -> SecretKey:
    """Read what :func:`encode_recovery` wrote, or somebody copied by hand.

    Raises:
        KeyMalformed: a character is missing, too many or another one.
    """
    bare = bytes(text).translate(_ALIKE, _BLANKS).upper()
    try:
        found = bytearray(base64.b32decode(bare + b"=" * (-len(bare) % 8)))
    except (binascii.Error, ValueError):
        raise KeyMalformed("that is no recovery key") from None
    key, check = found[:KEY_OCTETS], found[KEY_OCTETS:]
    wipe(found)
    if len(found) != KEY_OCTETS + _CHECK_OCTETS or bytes(check) != _check(key):
        wipe(key)
        raise KeyMalformed("that is no recovery key, or a character of it is wrong")
    return SecretKey(key)


def _check(key: Buffer) -> bytes:
    digest = hashlib.sha256(b"msgstore recovery key")
    digest.update(key)
    return digest.digest()[:_CHECK_OCTETS]
