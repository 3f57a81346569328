"""Envelope addresses: local-part, domain, detail, and the one place where case and IDNA are folded.

An :class:`Address` keeps what the peer said; a :class:`MailboxId` is the folded name under which mail is kept.
The grammar is our own and total: octets that are not an address raise ``InvalidAddress`` and nothing else, whatever
the peer sent.  Encoded words, comments and folding white space are never interpreted, because a decoder in this place
turns ``=?utf-8?b?Li4vLi4v?=`` into ``../../``.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

from msgstore.model.errors import InvalidAddress

__all__ = [
    "ADDRESS_LIMIT_OCTETS",
    "LOCAL_PART_LIMIT_OCTETS",
    "Address",
    "MailboxId",
    "fold_domain",
    "fold_local_part",
    "parse_address",
    "split_detail",
]

ADDRESS_LIMIT_OCTETS: Final = 320
"""A local-part of 64, the at sign and a domain of 255 octets.  RFC 5321 §4.5.3.1.1-2."""

LOCAL_PART_LIMIT_OCTETS: Final = 128
"""Twice the least that RFC 5321 §4.5.3.1.1 asks for: list managers encode whole addresses (VERP) in local-parts."""

DOMAIN_LIMIT_OCTETS: Final = 255
"""RFC 5321 §4.5.3.1.2."""

_ATEXT: Final = r"[^\x00-\x20\"(),.:;<>@\[\\\]\x7f]"
"""Beside it stand the characters of ASCII that are none, here and below: a set that names all others beyond ASCII takes
the compiler of patterns, and so the start of every process, ten times as long."""

_DOT_STRING: Final = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
_DOT_STRING_ALONE: Final = re.compile(_DOT_STRING)
_QUOTED: Final = r'"(?:[^\x00-\x1f"\\\x7f]|\\[\x20-\x7e])*"'
_LETTER: Final = r"[^\x00-/:-@\[-\^`{-\x7f]"
_LETTER_OR_HYPHEN: Final = r"[^\x00-,./:-@\[-\^`{-\x7f]"
_LABEL: Final = rf"{_LETTER}(?:{_LETTER_OR_HYPHEN}*{_LETTER})?"
_DOMAIN: Final = rf"{_LABEL}(?:\.{_LABEL})*\.?"
_LITERAL: Final = r"\[(?:IPv6:[0-9A-Fa-f:.]+|[0-9]{1,3}(?:\.[0-9]{1,3}){3})\]"
_ADDRESS: Final = re.compile(rf"(?P<local>{_DOT_STRING}|{_QUOTED})(?:@(?P<domain>{_DOMAIN}|{_LITERAL}))?")
"""RFC 5321 §4.1.2 with the UTF-8 of RFC 6531 §3.3.  Alternatives begin with different characters: it is linear."""

_UNSAFE_IN_NAMES: Final = re.compile(r"[\x00-\x1f\x7f/\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One mail address as a peer wrote it; compared as delivered, without folding."""

    local_part: str
    """Without quotes and quoting backslashes; case kept."""

    domain: str | None
    """As written, without a trailing dot; None for a bare local-part such as ``<postmaster>``."""

    def __str__(self) -> str:
        local = _written(self.local_part)
        return local if self.domain is None else f"{local}@{self.domain}"

    @property
    def is_ascii(self) -> bool:
        """Whether the address can be sent to a peer without SMTPUTF8 (RFC 6531 §3.2)."""
        return self.local_part.isascii() and (self.domain is None or self.domain.isascii())


@dataclass(frozen=True, slots=True)
class MailboxId:
    """The folded name of one user's mail: ``base@domain``, without detail.

    Both parts are safe as one component of a path: no slash, no control character, not empty, not ``.`` or ``..``,
    no leading dot.

    Raises:
        InvalidAddress: a part is not safe.
    """

    local_part: str
    domain: str

    def __post_init__(self) -> None:
        for part in (self.local_part, self.domain):
            if not part or part.startswith(".") or _UNSAFE_IN_NAMES.search(part) or len(_octets(part)) > 200:
                raise InvalidAddress(f"{self.local_part}@{self.domain}", "cannot name a mailbox")

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain}"

    @classmethod
    def parse(cls, text: str) -> "MailboxId":
        """Fold ``text``, an address with a domain, to the mailbox it names; a detail is not looked for.

        Raises:
            InvalidAddress: ``text`` is not an address, has no domain or cannot name a mailbox.
        """
        address = parse_address(text)
        if address.domain is None:
            raise InvalidAddress(text, "has no domain")
        return cls(fold_local_part(address.local_part), fold_domain(address.domain))


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address:
    """Read one address without angle brackets, bare local-parts included.

    Raises:
        InvalidAddress: the text is not an address or longer than a limit of this module.

    RFC 5321 §4.1.2, RFC 6531 §3.3.
    """
    if len(text) > ADDRESS_LIMIT_OCTETS:
        raise InvalidAddress(text[:80], "is too long")
    found = _ADDRESS.fullmatch(text)
    if found is None or not _is_utf8(text):
        raise InvalidAddress(text, "is not an address")
    local, domain = found["local"], found["domain"]
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    if not local or len(_octets(local)) > LOCAL_PART_LIMIT_OCTETS:
        raise InvalidAddress(text, "has an empty or too long local-part")
    if domain is not None and len(_octets(domain)) > DOMAIN_LIMIT_OCTETS:
        raise InvalidAddress(text, "has a too long domain")
    return Address(local_part=local, domain=None if domain is None else domain.rstrip("."))


@lru_cache(maxsize=4096)
def fold_domain(domain: str) -> str:
    """Give the form under which a domain is hosted: lower case, A-labels, no trailing dot.

    Raises:
        InvalidAddress: a label is not valid in IDNA 2008 with the mapping of UTS 46.

    RFC 5890 §2.3.2.1, RFC 6531 §3.2.
    """
    bare = domain.rstrip(".")
    if bare.isascii():
        return bare.lower()
    try:
        return idna.encode(bare, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidAddress(domain, "is not a domain") from error


def fold_local_part(local_part: str) -> str:
    """Give the form under which a local-part is looked up: NFC and lower case.

    RFC 5321 §2.4 leaves the case of a local-part to the host that owns it; this is that host's choice.
    """
    return local_part.lower() if local_part.isascii() else unicodedata.normalize("NFC", local_part.casefold())


def split_detail(local_part: str, separator: str) -> tuple[str, str | None]:
    """Split a local-part at the first ``separator`` into user and detail.

    The detail is None where no separator stands and ``""`` where nothing follows it: Sieve tells the two apart.

    Raises:
        ValueError: ``separator`` is empty.

    RFC 5233 §4.
    """
    user, found, detail = local_part.partition(separator)
    return user, detail if found else None


@lru_cache(maxsize=4096)
def _written(local_part: str) -> str:
    if _DOT_STRING_ALONE.fullmatch(local_part):
        return local_part
    return '"' + re.sub(r'(["\\])', r"\\\1", local_part) + '"'


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
