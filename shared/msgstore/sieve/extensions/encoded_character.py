"""``encoded-character``: octets and characters written as numbers.  RFC 5228 §2.4.2.4."""

import re
from typing import Final

from msgstore.sieve.registry import Extension

__all__ = ["EXTENSIONS", "decode_characters"]

_BLANK: Final = r"(?:[ \t]|\r\n)"
_SEQUENCE: Final = re.compile(
    rf"\$\{{(?:(hex):{_BLANK}*+([0-9A-F]{{1,2}}(?:{_BLANK}++[0-9A-F]{{1,2}})*+){_BLANK}*+"
    rf"|(unicode):{_BLANK}*+([0-9A-F]++(?:{_BLANK}++[0-9A-F]++)*+){_BLANK}*+)\}}",
    re.IGNORECASE,
)


def decode_characters(text: str) -> str:
    """Put in what the sequences stand for; octets beside one another may form a character.

    Raises:
        ValueError: a number is no Unicode character.
    """
    if "${" not in text:
        return text
    pieces: list[bytes] = []
    at = 0
    for found in _SEQUENCE.finditer(text):
        pieces.append(text[at : found.start()].encode("utf-8", "surrogateescape"))
        if found[1]:
            pieces.append(bytes(int(pair, 16) for pair in found[2].split()))
        else:
            pieces.append("".join(map(_character, found[4].split())).encode())
        at = found.end()
    if not pieces:
        return text
    pieces.append(text[at:].encode("utf-8", "surrogateescape"))
    return b"".join(pieces).decode("utf-8", "surrogateescape")


def _character(digits: str) -> str:
    number = int(digits.lstrip("0")[:8] or "0", 16)
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise ValueError(f"{digits[:12]} is no Unicode character")
    return chr(number)


EXTENSIONS: Final = (
    Extension(
        capability="encoded-character", rfc="RFC 5228 §2.4.2.4", rewrites=(decode_characters,), can_be_late=False
    ),
)
