"""The password file of one domain: ``user:hash:mailbox[:more]``, read again when it changes.

Lines that begin with ``#`` and blank ones are skipped and kept; so are fields after the third.  A hash that begins
with ``!`` is switched off, as in shadow(5): the user exists and cannot log in, mail for them waits at the sender.
Names are looked up as written first and then folded.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from msgstore.auth.files import FileStamp, locked, read_small, replace_file, stamp_of
from msgstore.model.address import fold_local_part
from msgstore.telemetry.log import logger

__all__ = ["PasswdEntry", "PasswdFile", "parse_passwd"]

PASSWD_NAME: Final = "passwd"  # noqa: S105 (a file name)
_MODE: Final = 0o640
_FIELD: Final = re.compile(r"[^:\r\n\x00]*")

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswdEntry:
    """One line.

    Raises:
        ValueError: a field holds a colon or a line end.
    """

    user: str
    stored_hash: str
    """As in the file, without the mark of a disabled user."""

    mailbox: str
    """Local-part that names the mailbox; the user where the file says nothing."""

    enabled: bool = True
    rest: tuple[str, ...] = ()
    """Fields after the third, kept as they are."""

    def __post_init__(self) -> None:
        if not self.user or not all(
            _FIELD.fullmatch(f) for f in (self.user, self.stored_hash, self.mailbox, *self.rest)
        ):
            raise ValueError("a field of a password line is empty or holds a colon or a line end")

    def line(self) -> str:
        """Give the line without its end."""
        mark = "" if self.enabled else "!"
        return ":".join((self.user, mark + self.stored_hash, self.mailbox, *self.rest))


def parse_passwd(text: str) -> Iterator[PasswdEntry | str]:
    """Give each line as an entry, or as it is when it is a comment, blank or broken."""
    for line in text.split("\n"):
        entry = None if line.lstrip().startswith("#") else _entry(line.rstrip("\r"))
        yield line if entry is None else entry


def _entry(line: str) -> PasswdEntry | None:
    user, *fields = line.split(":")
    if not user or not fields:
        return None
    stored, mailbox, *rest = (*fields, "") if len(fields) == 1 else fields
    return PasswdEntry(
        user=user,
        stored_hash=stored.removeprefix("!"),
        mailbox=mailbox or user,
        enabled=not stored.startswith("!"),
        rest=tuple(rest),
    )


class PasswdFile:
    """The users of one domain, as the file says now; safe in every thread.

    Methods that take ``directory`` want a descriptor of the domain's directory and raise OSError when the file cannot
    be read: that is never "no such user".
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._stamp: FileStamp | None = None
        self._exact: Mapping[str, PasswdEntry] = {}
        self._folded: Mapping[str, PasswdEntry] = {}

    def refresh(self, directory: int) -> None:
        """Read the file if it changed; a missing one means no users."""
        with self._guard:
            if self._stamp is not None and stamp_of(directory, PASSWD_NAME) == self._stamp:
                return
            found = read_small(directory, PASSWD_NAME)
            content, stamp = (b"", None) if found is None else found
            # A stamp from this very moment would hide the next change.
            self._stamp = stamp if stamp is not None and stamp.is_settled else None
            entries = [e for e in parse_passwd(content.decode("utf-8", "replace")) if isinstance(e, PasswdEntry)]
            # The first line of a name wins, as in passwd(5).
            self._exact = {entry.user: entry for entry in reversed(entries)}
            self._folded = {fold_local_part(entry.user): entry for entry in reversed(entries)}

    @property
    def content(self) -> object:
        """What was read last; another object after every reading."""
        return self._exact

    def find(self, local_part: str) -> PasswdEntry | None:
        """Look a user up in what was read last."""
        return self._exact.get(local_part) or self._folded.get(fold_local_part(local_part))

    def entries(self) -> tuple[PasswdEntry, ...]:
        """Give all users read last, by name."""
        return tuple(sorted(self._exact.values(), key=lambda entry: entry.user))

    def add(self, directory: int, entry: PasswdEntry) -> bool:
        """Add a user, durably; False, and nothing changes, when there is one of that name in any case."""
        with locked(directory):
            self.refresh(directory)
            if self.find(entry.user) is not None:
                return False
            self._write(directory, entry.user, entry)
        self.refresh(directory)
        return True

    def put(self, directory: int, entry: PasswdEntry) -> None:
        """Add a user or change one with the same name, durably; other lines stay as they are."""
        self._edit(directory, entry.user, entry)

    def remove(self, directory: int, user: str) -> None:
        """Take a user out, durably."""
        self._edit(directory, user, None)

    def replace_hash(self, directory: int, old: PasswdEntry, stored_hash: str) -> bool:
        """Change a hash if the line is still ``old``; False when somebody else changed it meanwhile."""
        with locked(directory):
            return self.replace_hash_locked(directory, old, stored_hash)

    def replace_hash_locked(self, directory: int, old: PasswdEntry, stored_hash: str) -> bool:
        """Do what :meth:`replace_hash` does for somebody who holds the lock of the directory."""
        self.refresh(directory)
        if self._exact.get(old.user) != old:
            return False
        new = PasswdEntry(
            user=old.user, stored_hash=stored_hash, mailbox=old.mailbox, enabled=old.enabled, rest=old.rest
        )
        self._write(directory, old.user, new)
        self.refresh(directory)
        return True

    def _edit(self, directory: int, user: str, entry: PasswdEntry | None) -> None:
        with locked(directory):
            self._write(directory, user, entry)
        self.refresh(directory)

    @staticmethod
    def _write(directory: int, user: str, entry: PasswdEntry | None) -> None:
        found = read_small(directory, PASSWD_NAME)
        text = "" if found is None else found[0].decode("utf-8", "surrogateescape")
        line = None if entry is None else entry.line()
        lines: list[str] = []
        written = False
        for old, raw in zip(parse_passwd(text), text.split("\n"), strict=True):
            if not isinstance(old, PasswdEntry) or old.user != user:
                lines.append(raw)
            elif line is not None and not written:
                lines.append(line + ("\r" if raw.endswith("\r") else ""))
                written = True
        if line is not None and not written:
            # After the last line, whether or not it has an end.
            lines[-1:] = [line, ""] if not lines[-1] else [lines[-1], line, ""]
        replace_file(directory, PASSWD_NAME, "\n".join(lines).encode("utf-8", "surrogateescape"), mode=_MODE)
