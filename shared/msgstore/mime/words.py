"""Header values as text: encoded words decoded.  Pure, within a cap.

RFC 2047 §2, with what senders get wrong: words longer than 75 characters, and characters cut between two words of one
charset.  A word that cannot be decoded stays as it stands.
"""

import binascii
import re
from typing import Final

from msgstore.mime.charset import decoded

__all__ = ["VALUE_LIMIT_OCTETS", "decode_words"]

VALUE_LIMIT_OCTETS: Final = 32 * 1024
"""Of a value no more is decoded; the rest counts as absent."""

_WORD: Final = re.compile(rb"=\?([!-<>@-~]{1,80})\?([BbQq])\?([^?\s]*)\?=")
_ESCAPE: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_BLANK: Final = b" \t\r\n"


def decode_words(value: bytes) -> str:
    """Give an unfolded header value as text."""
    value = value[:VALUE_LIMIT_OCTETS]
    if b"=?" not in value:
        return value.decode("utf-8", "replace")
    pieces: list[tuple[str, list[bytes]]] = []
    at = 0
    for found in _WORD.finditer(value):
        octets = _octets_of(found[2], found[3])
        if octets is None:
            continue
        between = value[at : found.start()]
        charset = found[1].partition(b"*")[0].decode("ascii").lower()
        # Blanks between two words are there only to keep them apart. RFC 2047 §6.2.
        if between.strip(_BLANK) or not pieces:
            pieces.append(("utf-8", [between]))
            pieces.append((charset, [octets]))
        elif pieces[-1][0] == charset:
            pieces[-1][1].append(octets)
        else:
            pieces.append((charset, [octets]))
        at = found.end()
    pieces.append(("utf-8", [value[at:]]))
    return "".join(decoded(b"".join(octets), charset) for charset, octets in pieces)


def _octets_of(encoding: bytes, text: bytes) -> bytes | None:
    if encoding in b"Qq":
        return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), text.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
