"""From the wire to the octets of the message: pure decoders of DATA and BDAT that take any cut of the stream."""

from typing import Final

__all__ = ["CountDecoder", "DotDecoder"]

_END: Final = b"\r\n.\r\n"
"""The only end of DATA: every laxer one lets a sender smuggle commands. RFC 5321 §4.1.1.4."""

_BEGINNINGS: Final = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
"""Proper prefixes of the end, longest first."""

_LINE_SAMPLE_OCTETS: Final = 1 << 12
"""How far bare LF are looked for: who sends them does so from the first line on, and counting costs like decoding."""


class DotDecoder:
    """Finds the end of DATA and undoes dot-stuffing; changes nothing else, NUL and bare CR and LF included.

    RFC 5321 §4.5.2.
    """

    __slots__ = ("_held", "_sampled", "_skip", "has_bare_lf", "has_nul", "is_finished", "rest")

    def __init__(self) -> None:
        self._held = b"\r\n"  # the line end of the DATA command: a dot may stand right behind it
        self._skip = 2
        self._sampled = 0
        self.is_finished = False
        """Whether the end has been seen; no more may be fed then."""

        self.rest = b""
        """What followed the end."""

        self.has_nul = False
        """Whether an octet of the message is NUL."""

        self.has_bare_lf = False
        """Whether an LF without CR stands in about the first 4 KiB."""

    def feed(self, octets: bytes) -> bytes:
        """Take octets of the wire and give those of the message that are certain now, perhaps none."""
        assert not self.is_finished
        text = self._held + octets
        end = text.find(_END)
        if end >= 0:
            self.is_finished = True
            self.rest = text[end + 5 :]
            text = text[: end + 2]
        else:
            keep = next((len(prefix) for prefix in _BEGINNINGS if text.endswith(prefix)), 0)
            if keep:
                self._held = text[-keep:]
                text = text[:-keep]
            else:
                self._held = b""
        if not text:
            return text
        if b"\r\n." in text:
            text = text.replace(b"\r\n.", b"\r\n")
        if self._skip:
            text = text[self._skip :]
            self._skip = 0
        self._look_at(text)
        return text

    def _look_at(self, text: bytes) -> None:
        if b"\0" in text:
            self.has_nul = True
        if self._sampled < _LINE_SAMPLE_OCTETS and not self.has_bare_lf:
            sample = text[: _LINE_SAMPLE_OCTETS - self._sampled]
            self._sampled += len(sample)
            # A CRLF never comes apart here except at the end of the sample, and then its LF is not in it.
            self.has_bare_lf = sample.count(b"\n") != sample.count(b"\r\n")


class CountDecoder:
    """Cuts a BDAT chunk out of the stream by its size; every octet is content. RFC 3030 §2."""

    __slots__ = ("_due", "has_bare_lf", "has_nul", "is_finished", "rest")

    def __init__(self, octets: int) -> None:
        self._due = octets
        self.is_finished = octets == 0
        """Whether the whole chunk has come; no more may be fed then."""

        self.rest = b""
        """What followed the chunk."""

        self.has_nul = False
        self.has_bare_lf = False
        """Always false: in a chunk no line end means anything."""

    def feed(self, octets: bytes) -> bytes:
        """Take octets of the wire and give those of the chunk."""
        assert not self.is_finished
        if len(octets) < self._due:
            self._due -= len(octets)
            text = octets
        else:
            text, self.rest = octets[: self._due], octets[self._due :]
            self._due = 0
            self.is_finished = True
        if b"\0" in text:
            self.has_nul = True
        return text
