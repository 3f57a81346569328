"""From the wire to the octets of the message: pure decoders of DATA and BDAT that take any cut of the stream."""

from typing import Final

__all__ = ["CountDecoder", "DotDecoder"]

_END: Final = b"\r\n.\r\n"
"""The only end of DATA: every laxer one lets a sender smuggle commands. RFC 5321 §4.1.1.4."""

_STUFFED_DOT: Final = b"\r\n."
"""RFC 5321 §4.5.2."""

_BEGINNINGS: Final = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
"""Proper prefixes of the end, longest first."""

_LAST_OF_BEGINNINGS: Final = (b"\r", b"\n", b".")

_LINE_SAMPLE_OCTETS: Final = 1 << 12
"""How far bare LF are looked for: who sends them does so from the first line on, and counting costs like decoding."""

_REACH_OCTETS: Final = 256 << 10
"""What the event loop reads at once at most, so the pieces of a large message are passed on uncut."""


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

    @property
    def reach(self) -> int:
        """How many octets are worth giving at once."""
        return _REACH_OCTETS

    def feed(self, octets: bytes) -> bytes:
        """Take octets of the wire and give those of the message that are certain now, perhaps none."""
        assert not self.is_finished
        text = self._held + octets
        self._held = b""
        # One look at every octet: the end is a stuffed dot too, so where there is none there is no end either.
        pieces = text.split(_STUFFED_DOT)
        if len(pieces) > 1 and _END in text:
            last = _piece_behind_end(pieces)
            self.is_finished = True
            self.rest = _STUFFED_DOT.join(pieces[last:])[2:]
            pieces[last:] = [b""]
        elif text.endswith(_LAST_OF_BEGINNINGS):
            keep = next((len(prefix) for prefix in _BEGINNINGS if text.endswith(prefix)), 0)
            self._held = text[len(text) - keep :]
            pieces = text[: len(text) - keep].split(_STUFFED_DOT)
        text = b"\r\n".join(pieces)
        if not text:
            return text
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


def _piece_behind_end(pieces: list[bytes]) -> int:
    """Find the piece that begins with the second line end of the end, which the next dot may have taken for its own."""
    return next(
        index
        for index in range(1, len(pieces))
        if pieces[index].startswith(b"\r\n") or (not pieces[index] and index + 1 < len(pieces))
    )


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

    @property
    def reach(self) -> int:
        """How many octets are worth giving at once: what is due, so that none are cut off in vain."""
        return self._due

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
