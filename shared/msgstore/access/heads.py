"""Where the header of a message ends, and its first lines; for the server and for clients that have it at hand."""

__all__ = ["end_of_header", "end_of_lines", "head_of"]


def end_of_header(seen: bytes | bytearray, fresh: int = 0) -> int:
    """Find the octet after the empty line; -1 while it has not come.  ``fresh`` is where unknown octets begin."""
    if seen.startswith(b"\n"):
        return 1
    if seen.startswith(b"\r\n"):
        return 2
    start = max(0, fresh - 3)
    ends = [found + len(mark) for mark in (b"\n\n", b"\n\r\n") if (found := seen.find(mark, start)) >= 0]
    return min(ends, default=-1)


def end_of_lines(seen: bytes | bytearray, start: int, lines: int) -> int:
    """Find the octet after so many lines, or the end."""
    at = start
    for _ in range(lines):
        found = seen.find(b"\n", at)
        if found < 0:
            return len(seen)
        at = found + 1
    return at


def head_of(text: bytes | bytearray, lines: int | None) -> tuple[bytes, bytes | None]:
    """Give the header block with its empty line, and ``lines`` lines of the body when asked."""
    end = end_of_header(text)
    end = len(text) if end < 0 else end
    stop = end if lines is None else end_of_lines(text, end, lines)
    return bytes(text[:end]), None if lines is None else bytes(text[end:stop])
