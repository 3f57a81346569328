"""Arguments and results of the methods about keys; a door to msgspec.  An octet string of a key has 32 octets."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from msgstore.access.shapes import Password, SessionArgs, Short

__all__ = [
    "HasKeyResult",
    "KeyAddressArgs",
    "NewPasswordArgs",
    "OpenKeyArgs",
    "PublicKeyResult",
    "WrappedKeyResult",
]


class KeyAddressArgs(Struct, kw_only=True, frozen=True):
    """An address mail is for."""

    address: Short


class PublicKeyResult(Struct, kw_only=True, frozen=True):
    """What mail for the address is sealed to."""

    public_key: bytes


class HasKeyResult(Struct, kw_only=True, frozen=True):
    """Whether there is a key; one that cannot be read is an error and never False."""

    has: bool


class WrappedKeyResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The file with the user's private keys, which the password opens."""

    form: Literal["keyring", "legacy"]
    key_file: bytes
    next_key_file: bytes | None = None
    """The same keys under another password, where a change of it was cut short: one of the two opens."""


class NewPasswordArgs(SessionArgs, kw_only=True, frozen=True):
    """The password and the one that takes its place; the keys are wrapped anew with it."""

    old: Password
    new: Password


class OpenKeyArgs(SessionArgs, kw_only=True, frozen=True):
    """One private key with which the server may read for this session; called once for each."""

    private_key: Annotated[bytes, Meta(max_length=1024)]
