"""A file with private keys under a password, in whichever form it has: the keyring or the older one.

It is a keyring if and only if it begins with ``{`` and is JSON: the salt of the older form may begin with ``{`` too.
"""

import json
from datetime import datetime
from typing import Literal, Self, TypeAlias

from msgstore.crypto.keyring import KEY_FILE_LIMIT_OCTETS, Keyring, OpenKeyring
from msgstore.crypto.keywrap import LEGACY_OCTETS, unwrap_legacy, wrap_legacy
from msgstore.crypto.password import PasswordProfile
from msgstore.crypto.secret import SecretKey
from msgstore.crypto.sodium import Buffer
from msgstore.model.keys import KeyMalformed, WrongRecoveryKey

__all__ = [
    "Form",
    "OpenKeys",
    "OpenLegacyKey",
    "as_keyring",
    "check_key_file",
    "open_key_file",
    "recover_key_file",
    "wrap_again",
]

Form: TypeAlias = Literal["keyring", "legacy"]
"""As the access socket names them."""


class OpenLegacyKey:
    """The one key of an older file while it is open; wiped at the end of a ``with`` block."""

    def __init__(self, key: SecretKey) -> None:
        """Take the key over."""
        self.active = key

    @property
    def keys(self) -> tuple[SecretKey, ...]:
        """The key alone, as a keyring gives all of its keys."""
        return (self.active,)

    def wipe(self) -> None:
        """Wipe the key."""
        self.active.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.wipe()


OpenKeys: TypeAlias = OpenKeyring | OpenLegacyKey
"""What reads mail: ``keys``, ``active``, ``wipe()``, and a ``with`` block at whose end they are wiped."""


def check_key_file(content: bytes) -> Form:
    """Tell the form of a file, and that it has one; no password is needed.

    Raises:
        KeyMalformed: it is neither a keyring nor of the length of the older form.
        KeyAlgorithmUnknown: it is a keyring of another version.
    """
    if _is_keyring(content):
        Keyring.parse(content)
        return "keyring"
    if len(content) != LEGACY_OCTETS:
        raise KeyMalformed(f"{len(content)} octets are neither a keyring nor a wrapped key")
    return "legacy"


def open_key_file(content: bytes, password: Buffer) -> OpenKeys:
    """Open a file with a password.

    Raises:
        WrongPassword: the password does not open it.
        KeyMalformed, KeyAlgorithmUnknown, KeyCostTooHigh, KeyDamaged: nobody's password can.
    """
    if _is_keyring(content):
        return Keyring.parse(content).open(password)
    return OpenLegacyKey(unwrap_legacy(content, password))


def recover_key_file(content: bytes, key: SecretKey) -> OpenKeyring:
    """Open a file with a recovery key.

    Raises:
        WrongRecoveryKey: it opens nothing there; the older form knows none.
        KeyMalformed, KeyAlgorithmUnknown, KeyDamaged: nobody's key can.
    """
    if check_key_file(content) == "legacy":
        raise WrongRecoveryKey("the key is wrapped in the older form, which knows no recovery key")
    return Keyring.parse(content).recover(key)


def wrap_again(keys: OpenKeys, password: Buffer, profile: PasswordProfile) -> bytes:
    """Give the file under another password, in the form it had; other passwords open it no more.

    Raises:
        WrongPassword: the password is empty or over 1024 octets.
    """
    if isinstance(keys, OpenLegacyKey):
        return wrap_legacy(keys.active, password)
    keys.set_password(password, profile)
    return keys.wrapped().content()


def as_keyring(keys: OpenKeys, password: Buffer, profile: PasswordProfile, now: datetime) -> OpenKeyring:
    """Give keys a keyring where they have none yet, under the password; the older form holds one key and no more.

    Raises:
        WrongPassword: the password is empty or over 1024 octets.
    """
    if isinstance(keys, OpenKeyring):
        return keys
    with keys:
        return OpenKeyring.create(keys.active, password, profile, now)


def _is_keyring(content: bytes) -> bool:
    if not content.lstrip(b" \t\r\n").startswith(b"{") or len(content) > KEY_FILE_LIMIT_OCTETS:
        return False
    try:
        json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True
