"""Passwords under argon2id, in the form existing installations hold.

``$argon2id$v=19$m=65536,t=3,p=4$<salt>$<hash>``: a stored hash sets its own cost, so it is parsed and bounded before
any work: ``m=4 GiB`` would take the machine down.  A check costs up to 256 MiB and half a second without the GIL;
callers run a bounded number of them at once.

RFC 9106; formats: PHC string format.
"""

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from typing import Final

from nacl import pwhash
from nacl.exceptions import CryptoError

__all__ = [
    "LANES_LIMIT",
    "MEMORY_LIMIT_KIB",
    "PASSWORD_LIMIT_OCTETS",
    "PROFILES",
    "TIME_LIMIT",
    "PasswordProfile",
    "decoy_hash",
    "hash_password",
    "is_usable_hash",
    "needs_rehash",
    "verify_password",
]

PASSWORD_LIMIT_OCTETS: Final = 1024
"""Nobody types more; a peer that sends more gets the answer of a wrong password."""

MEMORY_LIMIT_KIB: Final = 256 * 1024
"""Four times what the older suite uses."""

TIME_LIMIT: Final = 10
LANES_LIMIT: Final = 4
_FORM: Final = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,10}),t=(\d{1,10}),p=(\d{1,10})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{21,172})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordProfile:
    """Cost of new hashes."""

    memory_kib: int
    passes: int


PROFILES: Final = {
    "standard": PasswordProfile(memory_kib=64 * 1024, passes=3),
    "testing": PasswordProfile(memory_kib=8, passes=1),
}
"""``standard`` is what the older suite uses (RFC 9106 §4, second choice); ``testing`` protects nothing."""


def hash_password(password: bytes | bytearray, profile: PasswordProfile) -> str:
    """Make a stored hash with a fresh salt.

    Raises:
        ValueError: the password is empty or over 1024 octets.
    """
    if not 0 < len(password) <= PASSWORD_LIMIT_OCTETS:
        raise ValueError(f"a password has 1 to {PASSWORD_LIMIT_OCTETS} octets")
    made = pwhash.argon2id.str(bytes(password), opslimit=profile.passes, memlimit=profile.memory_kib * 1024)
    return made.rstrip(b"\0").decode("ascii")


def verify_password(stored: str, password: bytes | bytearray) -> bool:
    """Whether ``password`` fits ``stored``; False too for a hash of another scheme or beyond the bounds."""
    if not is_usable_hash(stored) or not 0 < len(password) <= PASSWORD_LIMIT_OCTETS:
        return False
    try:
        return bool(pwhash.verify(stored.encode("ascii"), bytes(password)))
    except CryptoError:
        return False


def is_usable_hash(stored: str) -> bool:
    """Whether ``stored`` is argon2id within the bounds of this module."""
    return _parsed(stored) is not None


def needs_rehash(stored: str, profile: PasswordProfile) -> bool:
    """Whether ``stored`` costs less than ``profile`` asks for."""
    found = _parsed(stored)
    return found is None or found.memory_kib < profile.memory_kib or found.passes < profile.passes


def decoy_hash(profile: PasswordProfile) -> str:
    """Make a hash that no password fits and that costs as much as a real one; for users that do not exist."""
    salt = base64.b64encode(secrets.token_bytes(16)).rstrip(b"=").decode("ascii")
    digest = base64.b64encode(secrets.token_bytes(32)).rstrip(b"=").decode("ascii")
    return f"$argon2id$v=19$m={profile.memory_kib},t={profile.passes},p=1${salt}${digest}"


def _parsed(stored: str) -> PasswordProfile | None:
    found = _FORM.fullmatch(stored)
    if found is None:
        return None
    memory, passes, lanes = (int(found[group]) for group in (1, 2, 3))
    within = 8 <= memory <= MEMORY_LIMIT_KIB and 1 <= passes <= TIME_LIMIT and 1 <= lanes <= LANES_LIMIT
    if not within or not (_is_base64(found[4]) and _is_base64(found[5])):
        return None
    return PasswordProfile(memory_kib=memory, passes=passes)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
