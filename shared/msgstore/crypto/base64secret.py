"""Base64 of secrets, from buffer to buffer: what the standard library returns can never be wiped. RFC 4648 §4."""

from typing import Final

from msgstore.crypto.sodium import Buffer

__all__ = ["decode_secret", "encode_secret"]

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_PAD: Final = ord("=")


def encode_secret(octets: Buffer) -> bytearray:
    """Write octets as text, padded; the caller wipes it."""
    text = bytearray((len(octets) + 2) // 3 * 4)
    for at in range(0, len(octets), 3):
        some = min(3, len(octets) - at)
        group = sum(octets[at + index] << (16 - 8 * index) for index in range(some))
        for index in range(4):
            is_there = index <= some
            text[at // 3 * 4 + index] = _ALPHABET[group >> (18 - 6 * index) & 63] if is_there else _PAD
    return text


def decode_secret(text: Buffer) -> bytearray:
    """Read what :func:`encode_secret` writes, and nothing else; the caller wipes it.

    Raises:
        ValueError: it is not that, or has bits that no octet uses.
    """
    if len(text) % 4:
        raise ValueError("base64 comes in groups of four")
    pads = sum(text[-1 - index] == _PAD for index in range(min(2, len(text))))
    if pads == 1 and text[-1] != _PAD:
        raise ValueError("base64 ends with what it is padded with")
    octets = bytearray(len(text) // 4 * 3 - pads)
    for at in range(0, len(text), 4):
        own = pads if at + 4 == len(text) else 0
        group = 0
        for index in range(4 - own):
            value = _VALUES.get(text[at + index])
            if value is None:
                raise ValueError("a character is none of base64")
            group |= value << (18 - 6 * index)
        if group & ((1 << 8 * own) - 1):
            raise ValueError("base64 has bits that no octet uses")
        for index in range(3 - own):
            octets[at // 4 * 3 + index] = group >> (16 - 8 * index) & 255
    return octets
