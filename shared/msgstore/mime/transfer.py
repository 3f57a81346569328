"""Content-Transfer-Encoding undone in a stream, wherever it is cut; broken input gives what can be made of it.

RFC 2045 §6.  Pure.
"""

import binascii
import re
from typing import Final, Protocol

__all__ = ["TransferDecoder", "decoder_for"]

_NOT_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_PADDING: Final = re.compile(rb"=+")
_ESCAPE: Final = re.compile(rb"=(?:([0-9A-Fa-f]{2})|\r?\n)")
_TAIL_LIMIT_OCTETS: Final = 8192
"""Blanks at the end of a piece that may turn out to be at the end of a line."""


class TransferDecoder(Protocol):
    """Decodes one body."""

    def feed(self, octets: bytes) -> bytes:
        """Decode a further piece."""
        ...

    def close(self) -> bytes:
        """Give what was held back."""
        ...


class _Identity:
    def feed(self, octets: bytes) -> bytes:
        return octets

    def close(self) -> bytes:
        return b""


class _Base64:
    """Passes over what is no base64; padding ends a quantum, and what follows begins another."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        pieces = _PADDING.split(octets.translate(None, _NOT_BASE64))
        found = [self._quanta(piece, is_padded=True) for piece in pieces[:-1]]
        found.append(self._quanta(pieces[-1], is_padded=False))
        return b"".join(found)

    def close(self) -> bytes:
        return self._quanta(b"", is_padded=True)

    def _quanta(self, piece: bytes, *, is_padded: bool) -> bytes:
        digits = self._held + piece
        whole = len(digits) // 4 * 4
        self._held = digits[whole:]
        last = b""
        if is_padded and len(self._held) >= 2:
            last = binascii.a2b_base64(self._held + b"=" * (4 - len(self._held)))
            self._held = b""
        return binascii.a2b_base64(digits[:whole]) + last


class _QuotedPrintable:
    """Escapes that are none stay as they stand; blanks at line ends go. RFC 2045 §6.7."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        octets = self._held + octets
        end = len(octets.rstrip(b" \t\r"))
        if len(octets) - end > _TAIL_LIMIT_OCTETS:
            end = len(octets)
        escape = octets.rfind(b"=", max(end - 2, 0), end)
        end = escape if escape >= 0 else end
        self._held = octets[end:]
        return _undone(octets[:end])

    def close(self) -> bytes:
        held, self._held = self._held, b""
        return _undone(held.rstrip(b" \t\r")).removesuffix(b"=")


def _undone(octets: bytes) -> bytes:
    if any(mark in octets for mark in (b" \n", b"\t\n", b" \r\n", b"\t\r\n")):
        *lines, last = octets.split(b"\n")
        octets = b"\n".join([*map(_without_blanks, lines), last])
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)) if found[1] else b"", octets)


def _without_blanks(line: bytes) -> bytes:
    bare = line.removesuffix(b"\r")
    return bare.rstrip(b" \t") + line[len(bare) :]


def decoder_for(encoding: str) -> TransferDecoder | None:
    """Give a decoder; None for an encoding nobody knows, whose content then means nothing. RFC 2045 §6.4."""
    match encoding:
        case "base64":
            return _Base64()
        case "quoted-printable":
            return _QuotedPrintable()
        case "7bit" | "8bit" | "binary":
            return _Identity()
        case _:
            return None
