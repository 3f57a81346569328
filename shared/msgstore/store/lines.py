"""Line ends counted and converted in a stream, wherever it is cut.  Pure."""

from typing import Final

__all__ = ["HEADER_LIMIT_OCTETS", "HeaderBlock", "LineEnds", "to_crlf", "to_lf"]

HEADER_LIMIT_OCTETS: Final = 256 * 1024
"""Longer headers are stored whole; only what filters see of them is cut."""


class LineEnds:
    """Counts octets and what they become when every line end is CRLF."""

    __slots__ = ("_crlf", "_ended_in_cr", "_lf", "octets")

    def __init__(self) -> None:
        self.octets = 0
        self._lf = 0
        self._crlf = 0
        self._ended_in_cr = False

    def feed(self, chunk: bytes) -> None:
        """Count a further piece."""
        if not chunk:
            return
        self.octets += len(chunk)
        self._lf += chunk.count(b"\n")
        self._crlf += chunk.count(b"\r\n")
        if self._ended_in_cr and chunk[0] == 0x0A:
            self._crlf += 1
        self._ended_in_cr = chunk[-1] == 0x0D

    @property
    def wire_octets(self) -> int:
        """Size as POP3 and IMAP clients receive it."""
        return self.octets + self._lf - self._crlf


class HeaderBlock:
    """Keeps the first octets of a message up to the empty line, at most :data:`HEADER_LIMIT_OCTETS` of them."""

    __slots__ = ("_held", "is_complete")

    def __init__(self) -> None:
        self._held = bytearray()
        self.is_complete = False

    def feed(self, chunk: bytes) -> None:
        """Look at a further piece; costs nothing once the header has ended."""
        if self.is_complete:
            return
        # The empty line may begin up to three octets before the cut: LF CR | LF.
        start = max(len(self._held) - 3, 0)
        self._held += chunk[: HEADER_LIMIT_OCTETS - len(self._held)]
        end = _header_end(self._held, start)
        if end:
            del self._held[end:]
        self.is_complete = end > 0 or len(self._held) >= HEADER_LIMIT_OCTETS

    def wipe(self) -> None:
        """Overwrite what was kept; it takes no more."""
        self._held[:] = bytes(len(self._held))
        self._held.clear()
        self.is_complete = True

    def __bytes__(self) -> bytes:
        return bytes(self._held)


def _header_end(held: bytearray, start: int) -> int:
    """Give the offset just behind the empty line, 0 while it has not come."""
    if held.startswith(b"\r\n"):
        return 2
    if held.startswith(b"\n"):
        return 1
    crlf = held.find(b"\n\r\n", start)
    # Of the body nothing is looked at: the other kind of empty line counts only in front of the first one.
    lf = held.find(b"\n\n", start, crlf + 1 if crlf >= 0 else len(held))
    if lf >= 0:
        return lf + 2
    return crlf + 3 if crlf >= 0 else 0


def to_crlf(whole: bytes | bytearray) -> bytes | bytearray:
    """Turn every line end of a whole message into CRLF; gives the message itself where nothing is to be turned."""
    if whole.count(b"\n") == whole.count(b"\r\n"):
        return whole
    return whole.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def to_lf(chunk: bytes, *, held_cr: bool) -> tuple[bytes, bool]:
    """Turn CRLF into LF in one piece of a stream; a CR without LF stays.

    ``held_cr`` says that the piece before ended in a CR which was held back; the second part of the answer says so of
    this piece.  The caller writes a last held CR itself.
    """
    if held_cr:
        chunk = b"\r" + chunk
    if chunk.endswith(b"\r"):
        return chunk[:-1].replace(b"\r\n", b"\n"), True
    return chunk.replace(b"\r\n", b"\n"), False
