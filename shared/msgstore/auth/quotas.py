"""Limits of single users: the file ``quota`` in a domain's directory.

A line is ``user:octets:messages``; an empty number leaves what the domain says, 0 means no limit.
"""

import re
from dataclasses import dataclass
from typing import Final

from msgstore.auth.userlines import UserLines

__all__ = ["QuotaLine", "QuotaLines"]

QUOTA_NAME: Final = "quota"
_LINE: Final = re.compile(r"([^:#\s][^:]*):([0-9]{0,18}):([0-9]{0,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLine:
    """Limits of one user; None leaves what the domain says, 0 means no limit."""

    octets: int | None = None
    messages: int | None = None


class QuotaLines(UserLines[QuotaLine]):
    """The limits of one domain's users."""

    def __init__(self) -> None:
        super().__init__(QUOTA_NAME)

    @staticmethod
    def read(text: str) -> tuple[str, QuotaLine] | None:
        """Read ``user:octets:messages``."""
        found = _LINE.fullmatch(text)
        return None if found is None else (found[1], QuotaLine(octets=_number(found[2]), messages=_number(found[3])))

    @staticmethod
    def written(user: str, line: QuotaLine) -> str:
        """Write it."""
        return f"{user}:{_text(line.octets)}:{_text(line.messages)}"


def _number(text: str) -> int | None:
    return int(text) if text else None


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
