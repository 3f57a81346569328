"""Trace lines that final delivery puts before a message. RFC 5321 §4.4.

Everything a peer said is made harmless first: printable ASCII alone gets into Received, so no line can be forged.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

__all__ = ["TraceFacts", "trace_lines"]

_COMMENT_UNSAFE: Final = re.compile(r"[^!-'*-\[\]-~]+")
"""What may not stand bare in a comment: blanks, controls, parentheses, backslash, non-ASCII."""

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFacts:
    """What the trace lines say."""

    return_path: str | None
    """Reverse-path without brackets; empty for the null path, None for mail that is sent on: RFC 5321 §4.4."""

    delivered_to: str | None
    """Set only when the message has exactly one recipient: it would differ between links of one body."""

    helo: str | None
    address: str | None
    name: str | None
    protocol: str
    hostname: str
    transaction: str
    for_path: str | None
    """Forward-path, only when there is exactly one: RFC 5321 §7.2 forbids to show the others."""

    at_seconds: float


def trace_lines(facts: TraceFacts) -> bytes:
    """Write Return-Path, Delivered-To and Received, each ended by CRLF, as far as they are wanted."""
    lines = [] if facts.return_path is None else [f"Return-Path: <{_one_line(facts.return_path)}>"]
    if facts.delivered_to is not None:
        lines.append(f"Delivered-To: {_one_line(facts.delivered_to)}")
    lines.append(f"Received: from {_safe(facts.helo) or 'unknown'}{_connection(facts)}")
    by, protocol = _safe(facts.hostname), _safe(facts.protocol)
    lines.append(f"\tby {by} (msgstore) with {protocol} id {_made_safe(facts.transaction)}")
    # A path outside of ASCII or with blanks would need encoding that Received does not have; it is left out.
    if facts.for_path is not None and not _COMMENT_UNSAFE.search(facts.for_path):
        lines.append(f"\tfor <{facts.for_path}>")
    lines[-1] += ";"
    lines.append(f"\t{_date(int(facts.at_seconds))}")
    lines.append("")
    return "\r\n".join(lines).encode("utf-8", "replace")


@lru_cache(maxsize=16)
def _date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def _connection(facts: TraceFacts) -> str:
    if facts.name is None and facts.address is None:
        return ""
    name, address = _safe(facts.name), _safe(facts.address)
    words = [name] if name else []
    if address:
        words.append(f"[IPv6:{address}]" if ":" in address else f"[{address}]")
    return f" ({' '.join(words)})" if words else ""


def _made_safe(text: str | None) -> str:
    return _COMMENT_UNSAFE.sub("_", text)[:255] if text else ""


_safe = lru_cache(maxsize=1024)(_made_safe)
"""For what few peers say again and again."""


def _one_line(text: str) -> str:
    return _CONTROLS.sub("_", text)
