"""Rewriting reverse-paths of mail that is sent on, and finding the way back.  Pure.

The Sender Rewriting Scheme as its draft and libsrs2 have it, so that the other programs of a site can read what is
written here: ``SRS0=hash=time=domain=local@us``, and ``SRS1=hash=host==hash=time=domain=local@us`` for what another
forwarder rewrote before.  The hash is HMAC-SHA1 over lower-case text, in base64, cut; it is compared without case,
because some servers on the way fold local-parts.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from msgstore.model.address import LOCAL_PART_LIMIT_OCTETS, Address, fold_domain, parse_address
from msgstore.model.errors import InvalidAddress

__all__ = ["Srs", "SrsFault", "parse_secrets"]

_HASH_LENGTH: Final = 4
"""Characters; longer ones are believed too, shorter ones are not. libsrs2."""

_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DAY_SECONDS: Final = 86_400
_DAYS: Final = 1024
"""Two digits; after them the count of days begins anew."""

_TAG: Final = re.compile(r"SRS([01])[=+-]", re.IGNORECASE)
_FLAGS: Final = re.IGNORECASE | re.DOTALL
_FIRST: Final = re.compile(r"SRS0[=+-](?P<hash>[^=]*)=(?P<time>[^=]*)=(?P<domain>[^=]*)=(?P<local>.+)", _FLAGS)
_LATER: Final = re.compile(r"SRS1[=+-](?P<hash>[^=]*)=(?P<host>[^=]*)=(?P<rest>[=+-].+)", _FLAGS)


class SrsFault(Exception):
    """An address that looks rewritten and is not ours, or not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Srs:
    """The scheme with its secrets.

    Raises:
        ValueError: there is no secret.
    """

    domain: str
    """Of rewritten addresses; bounces for it have to come here."""

    secrets: tuple[bytes, ...]
    """The first signs, all are believed."""

    days: int = 21

    def __post_init__(self) -> None:
        if not self.secrets or not all(self.secrets):
            raise ValueError("rewriting needs a secret")

    def is_ours(self, address: Address) -> bool:
        """Whether an address has our domain and the look of a rewritten one."""
        if address.domain is None or not _TAG.match(address.local_part):
            return False
        try:
            return fold_domain(address.domain) == fold_domain(self.domain)
        except InvalidAddress:
            return False

    def rewrite(self, address: Address, *, at_seconds: float) -> Address:
        """Give the reverse-path to send with; the address itself where none can be made that is short enough.

        Raises:
            InvalidAddress: its domain is none.
        """
        if address.domain is None:
            return address
        domain = fold_domain(address.domain)
        first, later = _FIRST.fullmatch(address.local_part), _LATER.fullmatch(address.local_part)
        if later is not None:
            local = self._later(later["host"], later["rest"])
        elif first is not None:
            local = self._later(domain, address.local_part[4:])
        else:
            time = _written_day(at_seconds)
            hashed = self._hash(self.secrets[0], time, domain, address.local_part)
            local = f"SRS0={hashed}={time}={domain}={address.local_part}"
        if len(local.encode("utf-8")) > LOCAL_PART_LIMIT_OCTETS:
            return address
        return Address(local_part=local, domain=self.domain)

    def restore(self, address: Address, *, at_seconds: float) -> Address:
        """Give the address that was rewritten to this one; for SRS1 the one that the first forwarder wrote.

        Raises:
            SrsFault: it was not made with one of our secrets, or is too old.
        """
        later = _LATER.fullmatch(address.local_part)
        if later is not None:
            self._check(later["hash"], later["host"], later["rest"])
            return _address(f"SRS0{later['rest']}", later["host"])
        first = _FIRST.fullmatch(address.local_part)
        if first is None:
            raise SrsFault("is cut or broken")
        self._check(first["hash"], first["time"], first["domain"], first["local"])
        age = (int(at_seconds) // _DAY_SECONDS - _read_day(first["time"])) % _DAYS
        # A day ahead is a clock that is a little fast.
        if self.days < age < _DAYS - 1:
            raise SrsFault(f"is {age} days old")
        return _address(first["local"], first["domain"])

    def _later(self, host: str, rest: str) -> str:
        return f"SRS1={self._hash(self.secrets[0], host, rest)}={host}={rest}"

    def _check(self, given: str, *words: str) -> None:
        if len(given) < _HASH_LENGTH:
            raise SrsFault("has a short hash")
        told = given.lower().encode("utf-8", "replace")
        wanted = [self._hash(secret, *words, length=len(given)).lower().encode() for secret in self.secrets]
        # In constant time: how near a guess came is not told.
        if not any(hmac.compare_digest(one, told) for one in wanted):
            raise SrsFault("has a wrong hash")

    @staticmethod
    def _hash(secret: bytes, *words: str, length: int = _HASH_LENGTH) -> str:
        text = "".join(words).encode("utf-8", "surrogatepass").lower()
        return base64.b64encode(hmac.digest(secret, text, hashlib.sha1)).decode("ascii")[:length]


def parse_secrets(content: bytes) -> tuple[bytes, ...]:
    """Read a file of secrets, one a line, blanks around them and empty lines left out."""
    return tuple(filter(None, (line.strip() for line in content.splitlines())))


def _address(local_part: str, domain: str) -> Address:
    try:
        # Through the grammar: what a hash vouches for was an address once, but the parts are to be one again.
        return parse_address(str(Address(local_part=local_part, domain=domain)))
    except InvalidAddress as error:
        raise SrsFault("does not hold an address") from error


def _written_day(at_seconds: float) -> str:
    day = int(at_seconds) // _DAY_SECONDS
    return _DIGITS[day >> 5 & 31] + _DIGITS[day & 31]


def _read_day(text: str) -> int:
    if len(text) != 2 or any(digit not in _DIGITS for digit in text.upper()):
        raise SrsFault("has no time")
    return _DIGITS.index(text[0].upper()) * 32 + _DIGITS.index(text[1].upper())
