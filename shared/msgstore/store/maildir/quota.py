"""``maildirsize``: what a mailbox holds, as Maildir++ programs share it.  Pure.

The first line says the limits, ``<octets>S,<messages>C``; each further one is a count of octets and messages, the first
of them what was there when everything was counted, the others what came and went since.  Whoever changes the mailbox
appends a line; whoever finds the file too long, broken or doubtful counts anew.  The limits are for other programs:
ours come from the settings, and 0 stands for none.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["SIZE_LIMIT_OCTETS", "SURE_SECONDS", "Counted", "difference", "parse_maildirsize", "written"]

SIZE_LIMIT_OCTETS: Final = 5120
"""A file of this size or more is counted anew, as every program of Maildir++ does."""

SURE_SECONDS: Final = 900.0
"""After this time a count that would refuse mail is made again."""

_LIMITS: Final = re.compile(rb"(?:[0-9]{1,18}[SC](?:,|$))*|NOQUOTA")
_LINE: Final = re.compile(rb" *(-?[0-9]{1,18}) +(-?[0-9]{1,18}) *")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the lines add up to."""

    octets: int
    messages: int
    lines: int
    """More than one say that something was added since everything was counted."""


def parse_maildirsize(content: bytes) -> Counted | None:
    """Add the lines up; None where everything has to be counted anew."""
    if len(content) >= SIZE_LIMIT_OCTETS or not content.endswith(b"\n"):
        return None
    limits, *lines = content[:-1].split(b"\n")
    if _LIMITS.fullmatch(limits) is None or not lines:
        return None
    octets = messages = 0
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        octets, messages = octets + int(found[1]), messages + int(found[2])
    if octets < 0 or messages < 0:
        return None
    return Counted(octets=octets, messages=messages, lines=len(lines))


def written(*, octets: int, messages: int) -> bytes:
    """Give a file that holds one count."""
    return b"0S,0C\n" + difference(octets=octets, messages=messages)


def difference(*, octets: int, messages: int) -> bytes:
    """Give a line."""
    return b"%d %d\n" % (octets, messages)
