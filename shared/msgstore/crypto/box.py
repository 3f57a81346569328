"""Sealed messages: a NaCl box from a key pair of the moment to the recipient's.

A blob is ``ephemeral public key 32 | nonce 24 | tag 16 | ciphertext``, 72 octets more than the message, without header
or magic; the algorithm is named beside it.  Sealing and opening write into one buffer, which the caller may give: the
message and the blob are all that is in memory.  Only the whole blob can be opened, as its tag covers all of it.

Blobs of the older suite are the same, octet for octet.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgstore.crypto.secret import PublicKey, Secret, SecretKey
from msgstore.crypto.sodium import (
    KEY_OCTETS,
    NONCE_OCTETS,
    TAG_OCTETS,
    Buffer,
    Writable,
    box_open,
    box_seal,
    fill_random,
    shared_key,
)
from msgstore.model.envelope import SEAL_ALGORITHM, SEAL_OVERHEAD_OCTETS
from msgstore.model.keys import BlobIsPlaintext, BlobNotOpened, BlobTruncated, KeyMalformed, SealAlgorithmUnknown

__all__ = [
    "ALGORITHM",
    "OVERHEAD_OCTETS",
    "check_algorithm",
    "looks_like_plaintext",
    "open_into",
    "open_sealed",
    "seal",
    "seal_into",
]

ALGORITHM: Final = SEAL_ALGORITHM
"""Name in the envelope."""

_BOX_AT: Final = KEY_OCTETS + NONCE_OCTETS
OVERHEAD_OCTETS: Final = SEAL_OVERHEAD_OCTETS
"""What a blob has more than its message: 72."""

assert _BOX_AT + TAG_OCTETS == OVERHEAD_OCTETS

_PLAIN: Final = re.compile(rb"(?:>?From |[!-9;-~]+[ \t]*:|[!-9;-~]+\Z)[\t\r\n -~]*")
"""Up to a field name that fills the place. RFC 5322 §3.6.8."""


def check_algorithm(name: str) -> None:
    """Refuse what is sealed in a way that cannot be opened here; the name is compared without case.

    Raises:
        SealAlgorithmUnknown: it is another one.
    """
    if name.lower() != ALGORITHM:
        raise SealAlgorithmUnknown(f"{name[:64]!r} is no known algorithm; known is {ALGORITHM}")


def seal(message: Buffer, recipient: PublicKey) -> bytearray:
    """Seal a message; two blobs of one message are never alike.

    Raises:
        KeyMalformed: with the public key anybody could open the blob.
    """
    blob = bytearray(len(message) + OVERHEAD_OCTETS)
    seal_into(blob, message, recipient)
    return blob


def seal_into(target: Writable, message: Buffer, recipient: PublicKey) -> None:
    """Seal into a buffer 72 octets longer than the message, of memory or of a mapped file.

    ``message`` may be ``target[72:]``: it is then sealed where it stands.

    Raises:
        KeyMalformed: with the public key anybody could open the blob; nothing was written.
        ValueError: the buffer has another length.
    """
    if len(target) != len(message) + OVERHEAD_OCTETS:
        raise ValueError(f"the blob of {len(message)} octets has {OVERHEAD_OCTETS} more, not {len(target)}")
    nonce = bytearray(NONCE_OCTETS)
    fill_random(nonce)
    key = bytearray(KEY_OCTETS)
    with SecretKey.generate() as ephemeral, Secret(key), memoryview(target) as blob:
        if not shared_key(key, recipient.octets, ephemeral.octets()):
            raise KeyMalformed("the public key is of low order")
        # The box first: what stands in front of it may still belong to the message.
        with blob[_BOX_AT:] as box:
            box_seal(box, message, nonce, key)
        blob[:KEY_OCTETS] = ephemeral.public.octets
        blob[KEY_OCTETS:_BOX_AT] = nonce


def open_sealed(blob: Buffer, keys: SecretKey | Iterable[SecretKey], *, octets: int | None = None) -> bytearray:
    """Open a blob with the first of the keys that fits; ``octets`` is the length of the message, where it is known.

    Raises:
        BlobTruncated: there are fewer octets than a blob has, or than this one had.
        BlobIsPlaintext: it is the text of a message.
        BlobNotOpened: no key fits, or the blob was changed.
        KeyWiped: a key is not there any more.
    """
    message = bytearray(max(len(blob) - OVERHEAD_OCTETS, 0))
    open_into(message, blob, keys, octets=octets)
    return message


def open_into(
    target: Writable, blob: Buffer, keys: SecretKey | Iterable[SecretKey], *, octets: int | None = None
) -> SecretKey:
    """Open a blob into a buffer 72 octets shorter; give the key that fitted.  Nothing is written where none does.

    Raises:
        BlobTruncated, BlobIsPlaintext, BlobNotOpened, KeyWiped: as for :func:`open_sealed`.
        ValueError: the buffer has another length.
    """
    _check_form(blob, octets)
    if len(target) != len(blob) - OVERHEAD_OCTETS:
        raise ValueError(f"the message of {len(blob)} octets has {OVERHEAD_OCTETS} less, not {len(target)}")
    key = bytearray(KEY_OCTETS)
    with memoryview(blob) as whole, whole[_BOX_AT:] as box, Secret(key):
        public, nonce = bytes(whole[:KEY_OCTETS]), bytes(whole[KEY_OCTETS:_BOX_AT])
        # X25519 passes over one bit of the key, RFC 7748 §5; a blob in which somebody turned it was changed.
        tried = () if public[-1] & 0x80 else (keys,) if isinstance(keys, SecretKey) else keys
        for secret in tried:
            if shared_key(key, public, secret.octets()) and box_open(target, box, nonce, key):
                return secret
    raise BlobNotOpened(f"no key opens the {len(blob)} octets: sealed for another key, or changed")


def looks_like_plaintext(beginning: Buffer) -> bool:
    """Whether octets begin as the text of a message does: a field name or the line of an mbox file, and ASCII.

    Told from 72 octets on, of which a blob's first 56 are chance: they look so in less than one of 10 to the 20th.
    """
    return len(beginning) >= OVERHEAD_OCTETS and _PLAIN.fullmatch(bytes(beginning[:OVERHEAD_OCTETS])) is not None


def _check_form(blob: Buffer, octets: int | None) -> None:
    if len(blob) < OVERHEAD_OCTETS:
        raise BlobTruncated(f"a sealed message has at least {OVERHEAD_OCTETS} octets, not {len(blob)}")
    if looks_like_plaintext(blob):
        raise BlobIsPlaintext("the message is not sealed")
    if octets is not None and len(blob) != octets + OVERHEAD_OCTETS:
        raise BlobTruncated(f"{len(blob)} octets are there of {octets + OVERHEAD_OCTETS}")
