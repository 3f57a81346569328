"""mailto URIs, as a notification names its recipients.  Pure.

RFC 6068, and RFC 5436 §2.7 for what such a URI may not say.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from msgstore.model.address import Address, parse_address
from msgstore.model.errors import InvalidAddress

__all__ = ["Mailto", "parse_mailto"]

_URI_LIMIT: Final = 4096
_RECIPIENTS_LIMIT: Final = 50
_ESCAPED: Final = re.compile(r"(?:[A-Za-z0-9!$'()*+,;:@/._~-]|%[0-9A-Fa-f]{2})*")
"""RFC 3986 §3.3 ``pchar`` and the slash, without ``=`` and ``&``, which RFC 6068 §2 takes out."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
_UNSAFE: Final = frozenset(
    {"from", "sender", "auto-submitted", "received", "return-path", "message-id", "date", "bcc", "apparently-to",
     "delivered-to", "dkim-signature", "references", "in-reply-to", "mime-version", "reply-to"}
)  # fmt: skip
"""Fields that a URI cannot set: those that RFC 5436 §2.7 and RFC 6068 §4 name, and what is ours to say."""

_OURS: Final = ("content-", "resent-", "list-", "x-msgstore-", "arc-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailto:
    """What a URI says, unsafe fields left out."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    subject: str | None = None
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Other fields, in order."""


def parse_mailto(uri: str) -> Mailto:
    """Read a mailto URI; percent escapes are decoded once and after the URI was cut into its parts.

    Raises:
        ValueError: it is none, names nobody, or more than 50 addresses; the text says why.
    """
    scheme, found, rest = uri.partition(":")
    if not found or scheme.lower() != "mailto" or len(uri) > _URI_LIMIT:
        raise ValueError("is not a mailto URI of bounded length")
    path, _, query = rest.partition("?")
    to = _addresses(path)
    cc: tuple[Address, ...] = ()
    subject: str | None = None
    body: str | None = None
    headers: list[tuple[str, str]] = []
    for part in filter(None, query.split("&")):
        name, found, value = part.partition("=")
        name = _decoded(name).lower()
        if not found or not _NAME.fullmatch(name):
            raise ValueError(f"has a header field without a name or a value: {part!r}")
        if name == "to":
            to += _addresses(value)
        elif name == "cc":
            cc += _addresses(value)
        elif name == "subject":
            subject = _decoded(value)
        elif name == "body":
            body = _decoded(value)
        elif name not in _UNSAFE and not name.startswith(_OURS):
            headers.append((name, _decoded(value)))
    if not to and not cc:
        raise ValueError("names no recipient")
    if len(to) + len(cc) > _RECIPIENTS_LIMIT:
        raise ValueError(f"names more than {_RECIPIENTS_LIMIT} recipients")
    return Mailto(to=_once(to), cc=_once(cc), subject=subject, body=body, headers=tuple(headers))


def _addresses(text: str) -> tuple[Address, ...]:
    found: list[Address] = []
    # Cut first: an escaped comma is part of an address, a bare one stands between two.
    for one in filter(None, text.split(",")):
        written = _decoded(one).strip()
        try:
            address = parse_address(written)
        except InvalidAddress as error:
            raise ValueError(f"names what is no address: {written!r}") from error
        if address.domain is None:
            raise ValueError(f"names an address without a domain: {written!r}")
        found.append(address)
    return tuple(found)


def _decoded(text: str) -> str:
    if not _ESCAPED.fullmatch(text):
        raise ValueError(f"holds characters that have to be escaped: {text!r}")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: {text!r}") from error


def _once(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(addresses))
