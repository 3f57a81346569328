"""Whether mail of single users is sealed: the file ``encryption`` in a domain's directory.

A line is ``user:policy``, where a policy is ``off``, ``opportunistic`` or ``required``; who has none is subject to that
of the domain.
"""

import re
from typing import Final, cast

from msgstore.auth.userlines import UserLines
from msgstore.model.user import EncryptionPolicy

__all__ = ["PolicyLines"]

POLICY_NAME: Final = "encryption"
_LINE: Final = re.compile(r"([^:#\s][^:]*):(off|opportunistic|required)")


class PolicyLines(UserLines[EncryptionPolicy]):
    """The policies of one domain's users."""

    def __init__(self) -> None:
        super().__init__(POLICY_NAME)

    @staticmethod
    def read(text: str) -> tuple[str, EncryptionPolicy] | None:
        """Read ``user:policy``."""
        found = _LINE.fullmatch(text)
        return None if found is None else (found[1], cast("EncryptionPolicy", found[2]))

    @staticmethod
    def written(user: str, line: EncryptionPolicy) -> str:
        """Write it."""
        return f"{user}:{line}"
