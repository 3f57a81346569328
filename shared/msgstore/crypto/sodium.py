"""The few functions of libsodium that work on buffers of the caller, and so can be followed by a wipe.

What ``nacl.bindings`` gives back is ``bytes``, which nobody can clear, and for a message one copy more than is needed.
These write into a ``bytearray``, a ``memoryview`` or an ``mmap`` instead; the GIL is free meanwhile.  Lengths are
checked here: below this line nothing is.
"""

from importlib import import_module
from typing import Final, Protocol, TypeAlias, cast

from nacl import bindings

__all__ = [
    "AEAD_TAG_OCTETS",
    "KEY_OCTETS",
    "NONCE_OCTETS",
    "SEALED_BOX_OCTETS",
    "TAG_OCTETS",
    "Buffer",
    "Writable",
    "aead_open",
    "aead_seal",
    "argon2id",
    "box_open",
    "box_seal",
    "fill_random",
    "public_of",
    "sealed_box",
    "sealed_box_open",
    "secretbox_open",
    "secretbox_seal",
    "shared_key",
    "wipe",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Octets that are read; contiguous."""

Writable: TypeAlias = bytearray | memoryview
"""Octets that are written; contiguous."""

KEY_OCTETS: Final = 32
"""Of every key here."""

NONCE_OCTETS: Final = 24
"""Of a box, a secretbox and XChaCha20-Poly1305."""

TAG_OCTETS: Final = 16
"""Of a box and a secretbox; stands before the ciphertext."""

AEAD_TAG_OCTETS: Final = 16
"""Of XChaCha20-Poly1305; stands behind the ciphertext."""

SEALED_BOX_OCTETS: Final = 48
"""What a sealed box has more than its content."""

SALT_OCTETS: Final = 16
"""The only length of a salt that libsodium's argon2id takes."""


class _Foreign(Protocol):
    def from_buffer(self, kind: str, octets: Buffer) -> object: ...
    def memmove(self, target: object, source: object, octets: int) -> None: ...


class _Library(Protocol):
    """As in libsodium's headers; 0 is success."""

    def crypto_box_beforenm(self, *arguments: object) -> int: ...
    def crypto_box_easy_afternm(self, *arguments: object) -> int: ...
    def crypto_box_open_easy_afternm(self, *arguments: object) -> int: ...
    def crypto_secretbox_easy(self, *arguments: object) -> int: ...
    def crypto_secretbox_open_easy(self, *arguments: object) -> int: ...
    def crypto_box_seal(self, *arguments: object) -> int: ...
    def crypto_box_seal_open(self, *arguments: object) -> int: ...
    def crypto_scalarmult_base(self, *arguments: object) -> int: ...
    def crypto_aead_xchacha20poly1305_ietf_encrypt(self, *arguments: object) -> int: ...
    def crypto_aead_xchacha20poly1305_ietf_decrypt(self, *arguments: object) -> int: ...
    def crypto_pwhash(self, *arguments: object) -> int: ...
    def randombytes(self, target: object, octets: int, /) -> None: ...
    def sodium_memzero(self, target: object, octets: int, /) -> None: ...


class _Module(Protocol):
    ffi: _Foreign
    lib: _Library


# The names behind nacl.bindings, which has initialised the library when it was imported; a test holds them to it.
_MODULE: Final = cast("_Module", import_module("nacl._sodium"))
_FFI: Final = _MODULE.ffi
_LIB: Final = _MODULE.lib
_NULL: Final = cast("object", getattr(_FFI, "NULL"))  # noqa: B009 (no part of the Protocol's meaning)

assert bindings.crypto_box_NONCEBYTES == NONCE_OCTETS
assert bindings.crypto_box_SEALBYTES == SEALED_BOX_OCTETS


def wipe(octets: Buffer) -> None:
    """Overwrite octets with zeros.

    ``bytes`` are for a value that a function of the standard library has just made and nobody else holds.
    """
    if len(octets):
        _LIB.sodium_memzero(_FFI.from_buffer("unsigned char[]", octets), len(octets))


def fill_random(target: Writable) -> None:
    """Fill a buffer from the kernel's generator."""
    if len(target):
        _LIB.randombytes(_at(target), len(target))


def public_of(secret: Buffer) -> bytes:
    """Compute the public key of a private key. RFC 7748 §6.1."""
    _expect(secret, KEY_OCTETS)
    public = bytearray(KEY_OCTETS)
    _LIB.crypto_scalarmult_base(_at(public), _at(secret))
    return bytes(public)


def shared_key(target: Writable, public: Buffer, secret: Buffer) -> bool:
    """Write the key of a box between two; False for a public key of low order, with which everybody shares one."""
    for octets in (target, public, secret):
        _expect(octets, KEY_OCTETS)
    return _LIB.crypto_box_beforenm(_at(target), _at(public), _at(secret)) == 0


def box_seal(target: Writable, message: Buffer, nonce: Buffer, key: Buffer) -> None:
    """Write tag and ciphertext; ``target`` is 16 octets longer than ``message`` and may overlap it."""
    _box_lengths(target, message, nonce, key)
    _LIB.crypto_box_easy_afternm(_at(target), _at(message), len(message), _at(nonce), _at(key))


def box_open(target: Writable, box: Buffer, nonce: Buffer, key: Buffer) -> bool:
    """Write the message; False, and nothing is written, when the tag does not fit."""
    _box_lengths(box, target, nonce, key)
    return _LIB.crypto_box_open_easy_afternm(_at(target), _at(box), len(box), _at(nonce), _at(key)) == 0


def secretbox_seal(target: Writable, message: Buffer, nonce: Buffer, key: Buffer) -> None:
    """Write tag and ciphertext; ``target`` is 16 octets longer than ``message``."""
    _box_lengths(target, message, nonce, key)
    _LIB.crypto_secretbox_easy(_at(target), _at(message), len(message), _at(nonce), _at(key))


def secretbox_open(target: Writable, box: Buffer, nonce: Buffer, key: Buffer) -> bool:
    """Write the message; False when the tag does not fit."""
    _box_lengths(box, target, nonce, key)
    return _LIB.crypto_secretbox_open_easy(_at(target), _at(box), len(box), _at(nonce), _at(key)) == 0


def sealed_box(target: Writable, message: Buffer, public: Buffer) -> bool:
    """Write a box that only the owner of ``public`` opens; False for a public key of low order."""
    _expect(public, KEY_OCTETS)
    _expect(target, len(message) + SEALED_BOX_OCTETS)
    return _LIB.crypto_box_seal(_at(target), _at(message), len(message), _at(public)) == 0


def sealed_box_open(target: Writable, box: Buffer, public: Buffer, secret: Buffer) -> bool:
    """Write what is in a sealed box; False when it is for another key or damaged."""
    _expect(public, KEY_OCTETS)
    _expect(secret, KEY_OCTETS)
    _expect(box, len(target) + SEALED_BOX_OCTETS)
    return _LIB.crypto_box_seal_open(_at(target), _at(box), len(box), _at(public), _at(secret)) == 0


def aead_seal(target: Writable, message: Buffer, nonce: Buffer, key: Buffer, *, aad: bytes) -> None:
    """Write ciphertext and tag of XChaCha20-Poly1305 (IETF)."""
    _aead_lengths(target, message, nonce, key)
    _LIB.crypto_aead_xchacha20poly1305_ietf_encrypt(
        _at(target), _NULL, _at(message), len(message), _at(aad), len(aad), _NULL, _at(nonce), _at(key)
    )


def aead_open(target: Writable, box: Buffer, nonce: Buffer, key: Buffer, *, aad: bytes) -> bool:
    """Write the message; False when the tag does not fit it or ``aad``."""
    _aead_lengths(box, target, nonce, key)
    done = _LIB.crypto_aead_xchacha20poly1305_ietf_decrypt(
        _at(target), _NULL, _NULL, _at(box), len(box), _at(aad), len(aad), _at(nonce), _at(key)
    )
    return done == 0


def argon2id(target: Writable, password: Buffer, salt: bytes, *, passes: int, memory_kib: int) -> bool:
    """Derive with one lane; False when the memory is not to be had. RFC 9106 §3."""
    _expect(salt, SALT_OCTETS)
    done = _LIB.crypto_pwhash(
        _at(target),
        len(target),
        _FFI.from_buffer("char[]", password),
        len(password),
        _at(salt),
        passes,
        memory_kib * 1024,
        bindings.crypto_pwhash_ALG_ARGON2ID13,
    )
    return done == 0


def _at(octets: Buffer) -> object:
    return _FFI.from_buffer("unsigned char[]", octets)


def _expect(octets: Buffer, length: int) -> None:
    if len(octets) != length:
        raise ValueError(f"a buffer of {length} octets is needed, not of {len(octets)}")


def _box_lengths(box: Buffer, message: Buffer, nonce: Buffer, key: Buffer) -> None:
    _expect(box, len(message) + TAG_OCTETS)
    _expect(nonce, NONCE_OCTETS)
    _expect(key, KEY_OCTETS)


def _aead_lengths(box: Buffer, message: Buffer, nonce: Buffer, key: Buffer) -> None:
    _expect(box, len(message) + AEAD_TAG_OCTETS)
    _expect(nonce, NONCE_OCTETS)
    _expect(key, KEY_OCTETS)
