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

_MARKED: Final = {
    "utf_16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf_32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
"""Charsets whose order of octets stands in the text, and the marks that say it."""


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
        self._codec = _codec_of(charset)
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""
        if self._codec not in _MARKED:
            self._decoder = codecs.getincrementaldecoder(self._codec)("replace")

    def feed(self, octets: bytes) -> str:
        """Decode a further piece."""
        if self._decoder is not None:
            return self._decoder.decode(octets)
        self._head += octets
        return self._begun() if len(self._head) >= 4 else ""

    def close(self) -> str:
        """Give what a cut character becomes."""
        begun = self._begun() if self._decoder is None else ""
        assert self._decoder is not None
        return begun + self._decoder.decode(b"", final=True)

    def _begun(self) -> str:
        """Without a mark the high octet comes first; Python's decoders raise there. RFC 2781 §4.3."""
        marks = _MARKED[self._codec]
        codec = self._codec if self._head.startswith(marks) else f"{self._codec}_be"
        self._decoder = codecs.getincrementaldecoder(codec)("replace")
        return self._decoder.decode(self._head)


def decoded(octets: bytes, charset: str) -> str:
    """Decode a whole text."""
    decoder = CharsetDecoder(charset)
    return decoder.feed(octets) + decoder.close()
