"""A private key under a password: the derivation, and the form that older installations have.

The older form is ``salt 32 | nonce 24 | secretbox of the private key 48``, 104 octets, under argon2id with 3 passes,
64 MiB and 4 lanes; nothing in it says so.  libsodium derives with one lane only, so those of more lanes are
argon2-cffi's, whose only door this is.  What a file asks for is bounded before any work: 4 GiB would take the machine
down.  A derivation costs up to 256 MiB without the GIL; callers run a bounded number at once.

RFC 9106.
"""

from dataclasses import dataclass
from typing import Final, Protocol, cast

from msgstore.crypto.password import LANES_LIMIT, MEMORY_LIMIT_KIB, PASSWORD_LIMIT_OCTETS, TIME_LIMIT
from msgstore.crypto.secret import Secret, SecretKey
from msgstore.crypto.sodium import (
    KEY_OCTETS,
    NONCE_OCTETS,
    SALT_OCTETS,
    TAG_OCTETS,
    Buffer,
    argon2id,
    fill_random,
    secretbox_open,
    secretbox_seal,
    wipe,
)
from msgstore.model.errors import KeyUnusable
from msgstore.model.keys import KeyCostTooHigh, KeyMalformed, WrongPassword

__all__ = ["LEGACY_OCTETS", "Derivation", "derive", "unwrap_legacy", "wrap_legacy"]

_LEGACY_SALT_OCTETS: Final = 32
_BOX_AT: Final = _LEGACY_SALT_OCTETS + NONCE_OCTETS
LEGACY_OCTETS: Final = _BOX_AT + KEY_OCTETS + TAG_OCTETS
"""The whole file: 104."""

_SALT_LIMIT_OCTETS: Final = 64
_LENGTHS: Final = range(16, 65)
_VERSION: Final = 0x13
_ARGON2ID: Final = 2
_NO_MEMORY: Final = -22
"""ARGON2_MEMORY_ALLOCATION_ERROR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """How a password becomes a key: argon2id.

    Raises:
        KeyMalformed: that is no derivation at all.
        KeyCostTooHigh: it would cost more than is ever spent on one.
    """

    salt: bytes
    passes: int
    memory_kib: int
    lanes: int
    octets: int = KEY_OCTETS
    """Length of what is derived."""

    def __post_init__(self) -> None:
        least = self.passes >= 1 and self.lanes >= 1 and self.memory_kib >= 8 * self.lanes
        if not least or not 8 <= len(self.salt) <= _SALT_LIMIT_OCTETS or self.octets not in _LENGTHS:
            raise KeyMalformed("the recorded derivation is none that argon2id has")
        if self.passes > TIME_LIMIT or self.memory_kib > MEMORY_LIMIT_KIB or self.lanes > LANES_LIMIT:
            raise KeyCostTooHigh(
                f"{self.memory_kib} KiB, {self.passes} passes and {self.lanes} lanes are asked for; at most "
                f"{MEMORY_LIMIT_KIB}, {TIME_LIMIT} and {LANES_LIMIT} are spent"
            )


class _Foreign(Protocol):
    NULL: object

    def from_buffer(self, kind: str, octets: Buffer) -> object: ...


class _Library(Protocol):
    def argon2_hash(self, *arguments: object) -> int: ...


class _Module(Protocol):
    @property
    def ffi(self) -> _Foreign: ...
    @property
    def lib(self) -> _Library: ...


def derive(password: Buffer, how: Derivation) -> Secret:
    """Derive a key from a password.

    Raises:
        WrongPassword: the password is empty or over 1024 octets, so it is nobody's.
        KeyUnusable: there is no memory for it now.
    """
    if not 0 < len(password) <= PASSWORD_LIMIT_OCTETS:
        raise WrongPassword("no key has a password of that length")
    key = bytearray(how.octets)
    if how.lanes == 1 and len(how.salt) == SALT_OCTETS:
        done = argon2id(key, password, how.salt, passes=how.passes, memory_kib=how.memory_kib)
    else:
        done = _in_lanes(key, password, how)
    if not done:
        raise KeyUnusable("there is no memory to derive the key with now")
    return Secret(key)


def unwrap_legacy(content: Buffer, password: Buffer) -> SecretKey:
    """Open the older form.

    Raises:
        KeyMalformed: it has not 104 octets.
        WrongPassword: the password does not open it, or it was changed: the form tells no more.
    """
    if len(content) != LEGACY_OCTETS:
        raise KeyMalformed(f"a wrapped key of the older form has {LEGACY_OCTETS} octets, not {len(content)}")
    salt, nonce = bytes(content[:_LEGACY_SALT_OCTETS]), bytes(content[_LEGACY_SALT_OCTETS:_BOX_AT])
    private = bytearray(KEY_OCTETS)
    with derive(password, _legacy(salt)) as key:
        if not secretbox_open(private, bytes(content[_BOX_AT:]), nonce, key.octets()):
            raise WrongPassword("the password does not open the key, or the key was changed")
    return SecretKey(private)


def wrap_legacy(key: SecretKey, password: Buffer) -> bytes:
    """Wrap a key in the older form, with a fresh salt; it costs 64 MiB whatever the settings say.

    Raises:
        WrongPassword: the password is empty or over 1024 octets.
    """
    content = bytearray(LEGACY_OCTETS)
    with memoryview(content) as view:
        fill_random(view[:_BOX_AT])
        salt, nonce = bytes(view[:_LEGACY_SALT_OCTETS]), bytes(view[_LEGACY_SALT_OCTETS:_BOX_AT])
        with derive(password, _legacy(salt)) as wrapping:
            secretbox_seal(view[_BOX_AT:], key.octets(), nonce, wrapping.octets())
    return bytes(content)


def _legacy(salt: bytes) -> Derivation:
    return Derivation(salt=salt, passes=3, memory_kib=64 * 1024, lanes=4)


def _in_lanes(target: bytearray, password: Buffer, how: Derivation) -> bool:
    # Loaded for those who need it: a client that opens keys of new installations does without.
    from argon2 import low_level  # noqa: PLC0415

    module = cast("_Module", low_level)
    foreign, library = module.ffi, module.lib
    at = foreign.from_buffer
    result = library.argon2_hash(
        how.passes,
        how.memory_kib,
        how.lanes,
        at("uint8_t[]", password),
        len(password),
        at("uint8_t[]", how.salt),
        len(how.salt),
        at("uint8_t[]", target),
        len(target),
        foreign.NULL,
        0,
        _ARGON2ID,
        _VERSION,
    )
    if result not in (0, _NO_MEMORY):
        wipe(target)
        raise KeyMalformed("the recorded derivation is none that argon2id has")
    return result == 0
