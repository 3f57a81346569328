"""Slots of a keyring: its key (KEK) under a password or to a recovery key; and reading its fields with care.

RFC 5869; see :mod:`msgstore.crypto.keyring` for the form.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from msgstore.crypto.keywrap import Derivation, derive
from msgstore.crypto.password import PasswordProfile
from msgstore.crypto.secret import PublicKey, Secret, SecretKey
from msgstore.crypto.sodium import (
    AEAD_TAG_OCTETS,
    KEY_OCTETS,
    NONCE_OCTETS,
    SALT_OCTETS,
    SEALED_BOX_OCTETS,
    Buffer,
    aead_open,
    aead_seal,
    fill_random,
    sealed_box,
    sealed_box_open,
    wipe,
)
from msgstore.model.keys import KeyAlgorithmUnknown, KeyMalformed

__all__ = [
    "Fields",
    "base64_text",
    "password_slot",
    "read_number",
    "read_object",
    "read_octets",
    "read_text",
    "recovery_slot",
    "unwrap_recovery_slot",
    "unwrap_slot",
]

_INFO: Final = "maildancer/keyring-wrap/v1"
"""As every existing keyring has it, octet for octet."""

_PASSWORD_SLOT: Final = "primary"  # noqa: S105 (a name)
_WRAPPED_KEK_OCTETS: Final = NONCE_OCTETS + KEY_OCTETS + AEAD_TAG_OCTETS

Fields: TypeAlias = Mapping[str, object]
"""One object of the file."""


def unwrap_slot(slot: Fields, password: Buffer) -> Secret | None:
    """Open a passphrase slot; None when it is for another password or was changed.

    Raises:
        KeyMalformed, KeyAlgorithmUnknown, KeyCostTooHigh: it cannot be tried.
        WrongPassword: the password is empty or over 1024 octets.
    """
    wrapped = read_octets(slot, "wrapped_kek", _WRAPPED_KEK_OCTETS)
    kek = bytearray(KEY_OCTETS)
    with _wrap_key(password, _derivation(read_object(slot.get("kdf")))) as key:
        nonce, box = wrapped[:NONCE_OCTETS], wrapped[NONCE_OCTETS:]
        return Secret(kek) if aead_open(kek, box, nonce, key.octets(), aad=_slot_aad(slot)) else None


def password_slot(kek: Secret, password: Buffer, profile: PasswordProfile) -> Fields:
    """Make a passphrase slot.

    Raises:
        WrongPassword: the password is empty or over 1024 octets.
    """
    how = Derivation(
        salt=secrets.token_bytes(SALT_OCTETS), passes=profile.passes, memory_kib=profile.memory_kib, lanes=1
    )
    named: Fields = {"slot_type": "passphrase", "slot_id": _PASSWORD_SLOT}
    wrapped = bytearray(_WRAPPED_KEK_OCTETS)
    with _wrap_key(password, how) as key, memoryview(wrapped) as view:
        fill_random(view[:NONCE_OCTETS])
        nonce = bytes(view[:NONCE_OCTETS])
        aead_seal(view[NONCE_OCTETS:], kek.octets(), nonce, key.octets(), aad=_slot_aad(named))
    kdf = {
        "algorithm": "argon2id",
        "salt": base64_text(how.salt),
        "time": how.passes,
        "memory": how.memory_kib,
        "threads": how.lanes,
        "key_len": how.octets,
        "info": _INFO,
    }
    return {**named, "wrapped_kek": base64_text(wrapped), "kdf": kdf}


def _derivation(kdf: Fields) -> Derivation:
    if read_text(kdf, "algorithm") != "argon2id" or read_text(kdf, "info") != _INFO:
        raise KeyAlgorithmUnknown("a slot of the keyring is derived in a way that is not known here")
    return Derivation(
        salt=read_octets(kdf, "salt"),
        passes=read_number(kdf, "time"),
        memory_kib=read_number(kdf, "memory"),
        lanes=read_number(kdf, "threads"),
        octets=read_number(kdf, "key_len"),
    )


def _wrap_key(password: Buffer, how: Derivation) -> Secret:
    """HKDF-SHA256 without salt, one block. RFC 5869 §2."""
    with derive(password, how) as ikm:
        prk = hmac.digest(bytes(KEY_OCTETS), ikm.octets(), "sha256")
    made = hmac.digest(prk, _INFO.encode("ascii") + b"\x01", "sha256")
    key = Secret(bytearray(made))
    for octets in (prk, made):
        wipe(octets)
    return key


def _slot_aad(slot: Fields) -> bytes:
    return read_text(slot, "slot_id").encode("utf-8")


def read_object(value: object) -> Fields:
    """Take a value for an object.

    Raises:
        KeyMalformed: it is none.
    """
    if not isinstance(value, dict):
        raise KeyMalformed("the keyring has no object where there must be one")
    return cast("Fields", value)


def read_number(fields: Fields, name: str) -> int:
    """Give a field that is a number from 0 to 2^63 - 1.

    Raises:
        KeyMalformed: it is none.
    """
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise KeyMalformed(f"{name} of the keyring is no number")
    return value


def read_text(fields: Fields, name: str) -> str:
    """Give a field that is text and not empty.

    Raises:
        KeyMalformed: it is none.
    """
    value = fields.get(name)
    if not isinstance(value, str) or not value or any("\ud800" <= character <= "\udfff" for character in value):
        raise KeyMalformed(f"{name} of the keyring is no text")
    return value


def read_octets(fields: Fields, name: str, length: int | None = None) -> bytes:
    """Give a field of octets in base64, of ``length`` where one is given.

    Raises:
        KeyMalformed: it is none.
    """
    text = read_text(fields, name)
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyMalformed(f"{name} of the keyring is not base64") from error
    # Bits that no octet uses must be zero, or one key would have several forms.
    if base64_text(octets) != text or (length is not None and len(octets) != length):
        raise KeyMalformed(f"{name} of the keyring has a wrong length or form")
    return octets


def base64_text(octets: Buffer) -> str:
    """Write octets in base64, padded. RFC 4648 §4."""
    return base64.b64encode(octets).decode("ascii")


def unwrap_recovery_slot(slot: Fields, key: SecretKey) -> Secret | None:
    """Open an escrow slot; None when it is for another recovery key or was changed.

    Raises:
        KeyMalformed: it is no such slot.
    """
    kek = bytearray(KEY_OCTETS)
    box = read_octets(slot, "wrapped_kek", KEY_OCTETS + SEALED_BOX_OCTETS)
    return Secret(kek) if sealed_box_open(kek, box, key.public.octets, key.octets()) else None


def recovery_slot(kek: Secret, slot_id: str, public: PublicKey) -> Fields:
    """Make an escrow slot.

    Raises:
        KeyMalformed: the public key is of low order.
    """
    box = bytearray(KEY_OCTETS + SEALED_BOX_OCTETS)
    if not sealed_box(box, kek.octets(), public.octets):
        raise KeyMalformed("the public key is of low order")
    return {"slot_type": "escrow", "slot_id": slot_id, "wrapped_kek": base64_text(box)}
