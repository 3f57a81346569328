"""Header fields of a message, as octets: split, look up.

Line ends may be CRLF or LF.  The block ends at the first empty line; a line that is no field and no continuation ends
it too, because what follows is body to every reader.
"""

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["HEADER_LIMIT_OCTETS", "field_values", "fields"]

HEADER_LIMIT_OCTETS: Final = 256 * 1024
"""Header fields beyond this count as absent."""

_FIELDS_LIMIT: Final = 1000

_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)\n")
"""A name of printable ASCII without colon, the value, its continuations. RFC 5322 §2.2, §4.5.8."""


def fields(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give name in lower case and unfolded value of each field in order, at most 1000 of them."""
    position, count = 0, 0
    block = block[:HEADER_LIMIT_OCTETS]
    while count < _FIELDS_LIMIT:
        found = _FIELD.match(block, position)
        if found is None:
            return
        yield found[1].lower(), found[2].replace(b"\r", b"").replace(b"\n", b"").strip(b" \t")
        position, count = found.end(), count + 1


def field_values(block: bytes, name: bytes) -> tuple[bytes, ...]:
    """Give the unfolded values of every field of this name, in order; the name in lower case."""
    return tuple(value for field, value in fields(block) if field == name)
