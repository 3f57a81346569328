"""From octets to characters, whatever a message calls their charset.  Pure, and linear whatever comes."""

import codecs
from encodings.aliases import aliases
from typing import Final

__all__ = ["CharsetDecoder", "decoded"]

_KNOWN: Final = frozenset(aliases) | frozenset(aliases.values())
"""Names outside of Python's own list are never looked up: each would stay in its cache for ever."""

_NO_CHARSETS: Final = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec", "mbcs"}
    | {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "unicode_internal"}
)
"""Codecs that turn octets into something else, or take the square of the time."""


def _codec_of(charset: str) -> str:
    """Give the codec for the name of a charset; ASCII where nobody knows it.

    Unlabelled text and text that calls itself ASCII is read as UTF-8, which is the same where the label is true.
    """
    name = charset.strip().lower().replace("-", "_").replace(" ", "_")
    if name in ("", "us_ascii", "ascii"):
        return "utf_8"
    found = aliases.get(name, name)
    return found if found in _KNOWN and found not in _NO_CHARSETS else "ascii"


class CharsetDecoder:
    """Decodes a stream; what fits no character becomes U+FFFD."""

    def __init__(self, charset: str) -> None:
        self._decoder = codecs.getincrementaldecoder(_codec_of(charset))("replace")

    def feed(self, octets: bytes) -> str:
        """Decode a further piece."""
        return self._decoder.decode(octets)

    def close(self) -> str:
        """Give what a cut character becomes."""
        return self._decoder.decode(b"", final=True)


def decoded(octets: bytes, charset: str) -> str:
    """Decode a whole text."""
    decoder = CharsetDecoder(charset)
    return decoder.feed(octets) + decoder.close()
