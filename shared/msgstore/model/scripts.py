"""The Sieve scripts of one user: several under names, at most one of them active."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from msgstore.model.errors import MsgstoreError, StoreError
from msgstore.model.result import EnhancedStatus

__all__ = [
    "NAME_LIMIT_CHARACTERS",
    "SCRIPTS_LIMIT",
    "SCRIPT_LIMIT_OCTETS",
    "InvalidScriptName",
    "RefusedByScript",
    "ScriptExists",
    "ScriptInfo",
    "ScriptIsActive",
    "ScriptNotFound",
    "ScriptShelf",
    "ScriptTooLarge",
    "ScriptUnreadable",
    "StoredScript",
    "TooManyScripts",
    "check_script",
    "check_script_name",
]

SCRIPT_LIMIT_OCTETS: Final = 256 * 1024
"""Largest script that is kept or run: what installations before this one allowed."""

SCRIPTS_LIMIT: Final = 64
"""Scripts of one mailbox; clients keep a handful, and a list of them stays one frame."""

NAME_LIMIT_CHARACTERS: Final = 128
"""What a server has to take at least; longer names are refused, never cut. RFC 5804 §1.6."""

_SEPARATORS: Final = "\u2028\u2029"
"""Line and paragraph separator. RFC 5804 §1.6."""


class ScriptNotFound(StoreError):
    """There is no script of that name."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "NO_SCRIPT"


class ScriptExists(StoreError):
    """A script of that name is there already."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "SCRIPT_EXISTS"


class ScriptIsActive(StoreError):
    """The active script stays until another one is active, or none. RFC 5804 §2.10."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "SCRIPT_ACTIVE"


class InvalidScriptName(StoreError):
    """No script can have that name. RFC 5804 §1.6."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "INVALID_NAME"


class ScriptUnreadable(StoreError):
    """A script is there and cannot be read now; mail for its user waits."""

    status = EnhancedStatus(4, 2, 0)


class RefusedByScript(MsgstoreError):
    """A script refuses the message; ``text`` is for the peer, its lines separated by LF. RFC 5429."""

    reply_code = 550
    status = EnhancedStatus(5, 7, 1)

    def __init__(self, text: str) -> None:
        super().__init__("refused by a script")
        self.reply_text = text


class ScriptTooLarge(StoreError):
    """The script is above the limit for one script."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "TOO_LARGE"

    def __init__(self) -> None:
        super().__init__(f"the script has more than {SCRIPT_LIMIT_OCTETS} octets")
        self.limit_octets = SCRIPT_LIMIT_OCTETS


class TooManyScripts(StoreError):
    """The mailbox holds as many scripts as it may."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "OVER_QUOTA"

    def __init__(self) -> None:
        super().__init__(f"there are {SCRIPTS_LIMIT} scripts already")


def check_script_name(name: str) -> None:
    """Let pass what can name a script.

    Raises:
        InvalidScriptName: it is empty, too long, or holds control characters, separators or lone surrogates.

    RFC 5804 §1.6.
    """
    if not 1 <= len(name) <= NAME_LIMIT_CHARACTERS:
        raise InvalidScriptName(f"the name of a script has 1 to {NAME_LIMIT_CHARACTERS} characters")
    if any(unicodedata.category(one) in ("Cc", "Cs") or one in _SEPARATORS for one in name):
        raise InvalidScriptName("the name of a script holds no control characters and no line separators")


def check_script(name: str, content: bytes) -> None:
    """Let pass what a shelf keeps.

    Raises:
        InvalidScriptName, ScriptTooLarge: as the names say.
    """
    check_script_name(name)
    if len(content) > SCRIPT_LIMIT_OCTETS:
        raise ScriptTooLarge


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptInfo:
    """One script in a list."""

    name: str
    octets: int
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScript:
    """A script as it was put."""

    name: str
    content: bytes


class ScriptShelf(Protocol):
    """Scripts of one mailbox; every change is durable on return, and a reader sees the old script or the new one.

    Names are Net-Unicode of 1 to 128 characters without control characters (RFC 5804 §1.6); whatever they hold, none
    of them is a path.  What a script says is not looked at here.
    """

    def list(self) -> Sequence[ScriptInfo]:
        """Give all scripts, ascending by name.

        Raises:
            MailboxNotFound, StoreError: the shelf cannot be looked at.
        """
        ...

    def read(self, name: str) -> bytes:
        """Give a script.

        Raises:
            ScriptNotFound: there is none of that name.
            StoreError: it cannot be read.
        """
        ...

    def active(self) -> StoredScript | None:
        """Give the active script; None where no script is active.  Asked for each delivery, so it has to be cheap.

        Raises:
            StoreError: it is there and cannot be read; that is never "no script".
        """
        ...

    def put(self, name: str, content: bytes) -> None:
        """Put a script in the place of one of that name, or beside the others.

        Raises:
            InvalidScriptName: no script can have that name.
            ScriptTooLarge, TooManyScripts: as the names say.
            MailboxNotFound: there is no such mailbox.
            StoreError: the disk refuses; nothing has changed.
        """
        ...

    def activate(self, name: str | None) -> None:
        """Make a script the active one, or with None none of them, in one step.

        Raises:
            ScriptNotFound: there is none of that name.
            StoreError: the disk refuses; nothing has changed.
        """
        ...

    def rename(self, name: str, to: str) -> None:
        """Give a script another name; an active one stays active.

        Raises:
            ScriptNotFound, ScriptExists, InvalidScriptName, StoreError: as the names say.
        """
        ...

    def remove(self, name: str) -> None:
        """Take a script away.

        Raises:
            ScriptNotFound: there is none of that name.
            ScriptIsActive: it is the active one.
            StoreError: the disk refuses.
        """
        ...
