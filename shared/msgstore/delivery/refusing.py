"""The text of a refusal, as it fits into the reply of one recipient.  Pure."""

import re
from typing import Final

__all__ = ["protocol_text"]

_REPLY_LIMIT_OCTETS: Final = 240
"""Of a reply with all its lines: Exim's driver for Unix sockets reads into 256."""

_BEFORE_AND_AFTER: Final = len("550 5.7.1 ") + len("\r\n")
_UNSAFE: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_CUT: Final = "..."


def protocol_text(reason: str, *, utf8: bool, is_exact: bool) -> str | None:
    """Give the lines of the reply, separated by LF; None where the reason does not fit and ``is_exact``.

    Without ``is_exact`` it is cut, and what cannot be sent becomes ``?``. RFC 5429 §§2.1.1, 2.2.
    """
    text = reason.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    shown = _UNSAFE.sub(" ", text)
    if not utf8 and not shown.isascii():
        if is_exact:
            return None
        shown = shown.encode("ascii", "replace").decode("ascii")
    lines = [line.rstrip() for line in shown.split("\n")]
    if _octets(lines) <= _REPLY_LIMIT_OCTETS:
        return "\n".join(lines)
    return None if is_exact else "\n".join(_cut(lines))


def _octets(lines: list[str]) -> int:
    return sum(_BEFORE_AND_AFTER + len(line.encode("utf-8")) for line in lines)


def _cut(lines: list[str]) -> list[str]:
    """Drop lines, and of the last one characters, until the rest and three dots fit."""
    kept = list(lines)
    while len(kept) > 1 and _octets(kept[:-1]) + _BEFORE_AND_AFTER + len(_CUT) > _REPLY_LIMIT_OCTETS:
        kept.pop()
    room = _REPLY_LIMIT_OCTETS - _octets(kept[:-1]) - _BEFORE_AND_AFTER - len(_CUT)
    last = kept[-1].encode("utf-8")[: max(room, 0)].decode("utf-8", "ignore")
    return [*kept[:-1], last + _CUT]
