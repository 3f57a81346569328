"""A small file in a domain's directory with one line for each user it is about, read again when it changes."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

from msgstore.auth.files import FileStamp, locked, read_small, replace_file, stamp_of
from msgstore.model.address import fold_local_part

__all__ = ["UserLines"]

_MODE = 0o640

Line = TypeVar("Line")


class UserLines(ABC, Generic[Line]):
    """What one file of a domain says of its users now; safe in every thread.

    Lines that are not understood are passed over and kept; of two lines for one user the first counts, as in the
    password file.  Methods that take ``directory`` want a descriptor of the domain's directory and raise OSError when
    the file cannot be read: that is never "nothing is said".
    """

    def __init__(self, name: str) -> None:
        """``name`` is that of the file."""
        self._name = name
        self._guard = threading.Lock()
        self._stamp: FileStamp | None = None
        self._is_known = False
        self._lines: Mapping[str, Line] = {}

    @staticmethod
    @abstractmethod
    def read(text: str) -> tuple[str, Line] | None:
        """Read the name of a user and what is said; None where a line is not understood."""

    @staticmethod
    @abstractmethod
    def written(user: str, line: Line) -> str:
        """Give what :meth:`read` reads."""

    def refresh(self, directory: int) -> None:
        """Read the file if it changed; a missing one says nothing."""
        with self._guard:
            if self._is_known and stamp_of(directory, self._name) == self._stamp:
                return
            found = read_small(directory, self._name)
            content, stamp = (b"", None) if found is None else found
            self._stamp = stamp
            # A stamp from this very moment would hide the next change.
            self._is_known = stamp is None or stamp.is_settled
            self._lines = self._parsed(content.decode("utf-8", "replace"))

    @property
    def content(self) -> object:
        """What was read last; another object after every reading."""
        return self._lines

    def find(self, user: str) -> Line | None:
        """Give the line of a user; None where there is none."""
        return self._lines.get(fold_local_part(user))

    def put(self, directory: int, user: str, line: Line | None) -> None:
        """Set the line of a user, or take it out, durably; other lines stay as they are."""
        with locked(directory):
            found = read_small(directory, self._name)
            text = "" if found is None else found[0].decode("utf-8", "surrogateescape")
            kept = [one for one in text.splitlines() if self._user_of(one) != fold_local_part(user)]
            if line is not None:
                kept.append(self.written(user, line))
            content = "".join(f"{one}\n" for one in kept).encode("utf-8", "surrogateescape")
            replace_file(directory, self._name, content, mode=_MODE)
        self.refresh(directory)

    def _parsed(self, text: str) -> dict[str, Line]:
        lines: dict[str, Line] = {}
        for one in text.splitlines():
            found = self.read(one)
            if found is not None:
                lines.setdefault(fold_local_part(found[0]), found[1])
        return lines

    def _user_of(self, line: str) -> str | None:
        found = self.read(line)
        return None if found is None else fold_local_part(found[0])
