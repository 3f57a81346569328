"""Limits of single users: the file ``quota`` in a domain's directory, read again when it changes.

A line is ``user:octets:messages``; an empty number leaves what the domain says, 0 means no limit.  Other lines are
passed over and kept.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgstore.auth.files import FileStamp, locked, read_small, replace_file, stamp_of
from msgstore.model.address import fold_local_part

__all__ = ["QuotaLine", "QuotaLines"]

QUOTA_NAME: Final = "quota"
_MODE: Final = 0o640
_LINE: Final = re.compile(r"([^:#\s][^:]*):([0-9]{0,18}):([0-9]{0,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLine:
    """Limits of one user; None leaves what the domain says, 0 means no limit."""

    octets: int | None = None
    messages: int | None = None


class QuotaLines:
    """The limits of one domain's users, as the file says now; safe in every thread.

    Methods that take ``directory`` want a descriptor of the domain's directory and raise OSError when the file cannot
    be read: that is never "no limit".
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._stamp: FileStamp | None = None
        self._is_known = False
        self._lines: Mapping[str, QuotaLine] = {}

    def refresh(self, directory: int) -> None:
        """Read the file if it changed; a missing one means no limits."""
        with self._guard:
            if self._is_known and stamp_of(directory, QUOTA_NAME) == self._stamp:
                return
            found = read_small(directory, QUOTA_NAME)
            content, stamp = (b"", None) if found is None else found
            self._stamp = stamp
            # A stamp from this very moment would hide the next change.
            self._is_known = stamp is None or stamp.is_settled
            self._lines = _parsed(content.decode("utf-8", "replace"))

    @property
    def content(self) -> object:
        """What was read last; another object after every reading."""
        return self._lines

    def find(self, user: str) -> QuotaLine | None:
        """Give the line of a user; None where there is none."""
        return self._lines.get(fold_local_part(user))

    def put(self, directory: int, user: str, line: QuotaLine | None) -> None:
        """Set the line of a user, or take it out, durably; other lines stay as they are."""
        with locked(directory):
            found = read_small(directory, QUOTA_NAME)
            text = "" if found is None else found[0].decode("utf-8", "surrogateescape")
            kept = [one for one in text.splitlines() if _user_of(one) != fold_local_part(user)]
            if line is not None:
                kept.append(f"{user}:{_written(line.octets)}:{_written(line.messages)}")
            content = "".join(f"{one}\n" for one in kept).encode("utf-8", "surrogateescape")
            replace_file(directory, QUOTA_NAME, content, mode=_MODE)
        self.refresh(directory)


def _parsed(text: str) -> dict[str, QuotaLine]:
    lines: dict[str, QuotaLine] = {}
    for one in text.splitlines():
        found = _LINE.fullmatch(one)
        if found is not None:
            # The first line of a name wins, as in the password file.
            lines.setdefault(fold_local_part(found[1]), QuotaLine(octets=_read(found[2]), messages=_read(found[3])))
    return lines


def _user_of(line: str) -> str | None:
    found = _LINE.fullmatch(line)
    return None if found is None else fold_local_part(found[1])


def _read(number: str) -> int | None:
    return int(number) if number else None


def _written(number: int | None) -> str:
    return "" if number is None else str(number)
