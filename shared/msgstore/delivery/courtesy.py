"""Who must not get an automatic reply.  Pure.

RFC 3834 §2, RFC 5230 §§4.5-4.6; the answer names the reason, for the trace and the log.
"""

import contextlib
import re
from collections.abc import Iterable, Sequence
from email.utils import getaddresses
from typing import Final

from msgstore.mime.automatic import says_automatic
from msgstore.mime.headers import fields
from msgstore.model.address import Address, fold_domain, fold_local_part, parse_address
from msgstore.model.errors import InvalidAddress

__all__ = [
    "is_automatic",
    "is_same_address",
    "is_system_address",
    "reason_against_notification",
    "reason_against_reply",
]

_SYSTEM: Final = frozenset(
    {"mailer-daemon", "listserv", "majordomo", "listproc", "mailer_daemon", "noreply", "no-reply", "do-not-reply",
     "donotreply", "bounce", "bounces", "uucp"}
)  # fmt: skip
"""Local-parts behind which nobody reads.  Postmaster is not among them: people are. RFC 5230 §4.6."""

_SYSTEM_FORM: Final = re.compile(
    r"owner-.*|.*-(?:request|owner|relay|bounces?|confirm|errors)|(?:srs[01][=+-]|prvs=).*"
)
"""Lists and rewritten reverse-paths; a VERP address is none that a person wrote."""

_LIST_FIELDS: Final = frozenset(
    b"list-" + one
    for one in (b"id", b"help", b"subscribe", b"unsubscribe", b"post", b"owner", b"archive", b"unsubscribe-post")
)
_RECIPIENT_FIELDS: Final = frozenset((b"to", b"cc", b"bcc", b"resent-to", b"resent-cc", b"resent-bcc"))
_BULK: Final = frozenset((b"bulk", b"list", b"junk", b"auto_reply"))
_REPLY_WORDS: Final = frozenset((b"all", b"oof", b"autoreply"))
"""Words of X-Auto-Response-Suppress that stand for replies like ours. [MS-OXCMAIL] §2.2.3.2.14."""

_VALUE_LIMIT_OCTETS: Final = 32 << 10


def reason_against_reply(
    reverse_path: Address | None, header: bytes, *, own: Iterable[Address], separator: str = "+"
) -> str | None:
    """Say why this message must not be answered by a machine; None when it may be.

    ``own`` are the addresses of the user: the mailbox, the forward-path, and those the script names.
    """
    if reverse_path is None or reverse_path.domain is None:
        return "null reverse-path" if reverse_path is None else "reverse-path without a domain"
    mine = {_folded(one, separator) for one in own}
    if _folded(reverse_path, separator) in mine:
        return "own address"
    if is_system_address(reverse_path):
        return "system address"
    found = tuple(fields(header))
    against = _reason_in(found)
    if against is not None:
        return against
    named = (value for name, value in found if name in _RECIPIENT_FIELDS)
    is_named = any(_folded(one, separator) in mine for one in _addresses_in(named))
    return None if is_named else "own address not among the recipients"


def reason_against_notification(header: bytes) -> str | None:
    """Say why this message must not be told of; only other automatic mail is, to end loops. RFC 5436 §2.7."""
    return "Auto-Submitted" if is_automatic(header) else None


def is_automatic(header: bytes) -> bool:
    """Whether Auto-Submitted says anything but "no". RFC 3834 §5."""
    return any(name == b"auto-submitted" and says_automatic(value) for name, value in fields(header))


def is_system_address(address: Address) -> bool:
    """Whether nobody reads what is sent there."""
    local = fold_local_part(address.local_part)
    return local in _SYSTEM or local.partition("+")[0] in _SYSTEM or _SYSTEM_FORM.fullmatch(local) is not None


def is_same_address(one: Address, other: Address, *, separator: str = "+") -> bool:
    """Whether two addresses reach the same user, detail and case aside."""
    return _folded(one, separator) == _folded(other, separator)


def _reason_in(found: Sequence[tuple[bytes, bytes]]) -> str | None:
    for name, value in found:
        words = {word.strip() for word in value.lower().split(b",")}
        if name in _LIST_FIELDS:
            return "mailing list"
        if name == b"auto-submitted" and says_automatic(value):
            return "Auto-Submitted"
        if name == b"precedence" and _first_word(value) in _BULK:
            return "Precedence"
        if name == b"x-auto-response-suppress" and words & _REPLY_WORDS:
            return "X-Auto-Response-Suppress"
    return None


def _first_word(value: bytes) -> bytes:
    """Give a value's word without parameters and comments."""
    return re.split(rb"[;( \t]", value.strip().lower(), maxsplit=1)[0]


def _addresses_in(values: Iterable[bytes]) -> Iterable[Address]:
    # One value at a time: a broken one must not hide the addresses of the others.
    for value in values:
        try:
            pairs = getaddresses([value[:_VALUE_LIMIT_OCTETS].decode("utf-8", "replace")])
        except RecursionError:
            # A thousand parentheses; whoever writes these waits for no answer.
            continue
        for _, spec in pairs:
            with contextlib.suppress(InvalidAddress):
                yield parse_address(spec)


def _folded(address: Address, separator: str) -> tuple[str, str]:
    local = fold_local_part(address.local_part)
    base = (local.partition(separator)[0] if separator else "") or local
    try:
        return base, "" if address.domain is None else fold_domain(address.domain)
    except InvalidAddress:
        return base, address.domain or ""
