"""What a script decided, as values; others carry it out.

Order matters: actions are carried out as they stand in the verdict.  A message that an action carries is the one it
works on; None is the message as it came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar, cast

from msgstore.model.folder import INBOX, FolderName
from msgstore.sieve.message import EditedMessage

__all__ = [
    "Action",
    "Debug",
    "Discard",
    "Ereject",
    "FileInto",
    "Keep",
    "Notify",
    "Redirect",
    "Reject",
    "Report",
    "Vacate",
    "changed",
    "fcc_of",
    "folder_of",
]


_Action = TypeVar("_Action", bound="Action")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Base of all actions."""

    cancels_keep: ClassVar[bool] = True
    """Whether the implicit keep falls; not for an action whose ``copy`` is true. RFC 5228 §2.10.2, RFC 3894 §3."""

    clashes: ClassVar[tuple[str, ...]] = ()
    """Names of action classes that it cannot stand beside."""

    line: int = 0
    """Of the command in its script."""

    script: str = ""
    """Name of the script."""

    copy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Action):
    """File into INBOX."""

    flags: tuple[str, ...] = ()
    """Flags and keywords; each once, without regard to case."""

    message: EditedMessage | None = None
    implicit: bool = False
    """Whether no command asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInto(Action):
    """File into a folder."""

    folder: FolderName
    flags: tuple[str, ...] = ()
    message: EditedMessage | None = None
    create: bool = False
    """Whether a missing folder is made; without it a missing one is an error. RFC 5490 §3.2."""

    special_use: str | None = None
    """The folder with this attribute goes before the named one. RFC 8579 §4."""

    mailbox_id: str | None = None
    """The folder with this id goes before the named one. RFC 9042 §4.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect(Action):
    """Send on to an address, under the reverse-path that the message has."""

    address: str
    """Ready for RCPT; never empty, no line end. With :attr:`list_name` it is empty."""

    list_name: str | None = None
    """The members of this external list instead of an address. RFC 6134 §2.4."""

    message: EditedMessage | None = None
    notify: str | None = None
    """NOTIFY of RCPT; None where the script does not say. RFC 6009 §4."""

    ret: str | None = None
    """RET of MAIL. RFC 6009 §4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard(Action):
    """Do nothing, silently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(Action):
    """Refuse with exactly this text, by protocol or MDN; the MDN holds the message as it came. RFC 5429 §2.2."""

    clashes: ClassVar[tuple[str, ...]] = ("Reject", "Ereject", "Vacate", "Keep", "FileInto", "Redirect")
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ereject(Action):
    """Refuse by protocol. RFC 5429 §2.1."""

    clashes: ClassVar[tuple[str, ...]] = ("Reject", "Ereject", "Vacate", "Keep", "FileInto", "Redirect")
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacate(Action):
    """Reply that the user is away, if nobody has told this sender in the period; it may be sent.

    Headers, loops and lists have been looked at; whether the sender had this reply is for the record of who carries it
    out, and the record is made after sending. RFC 5230 §4.
    """

    cancels_keep: ClassVar[bool] = False
    clashes: ClassVar[tuple[str, ...]] = ("Vacate",)
    to: str
    """The reverse-path of the message."""

    sender: str | None
    """The ``:from`` of the script; None for the user's own address."""

    subject: str
    reason: str
    """Plain text, or header and body of a MIME entity."""

    is_mime: bool
    handle: str
    """Hex digest that names this response, for every sender the same."""

    seconds: int
    """Period in which the sender is not told again; 0 tells every time."""

    own_address: str
    """The address of the user that the message was sent to."""

    in_reply_to: str | None
    references: tuple[str, ...]
    fcc: FileInto | None = None
    """Where a copy of the reply goes; its message is not set. RFC 8580."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Action):
    """Tell somebody that a message came. RFC 5435 §3."""

    cancels_keep: ClassVar[bool] = False
    method: str
    """The URI."""

    importance: int
    """1 high, 2 normal, 3 low."""

    sender: str | None
    options: tuple[tuple[str, str], ...] = ()
    message: str
    """Text; of a mailto notification its subject."""

    recipients: tuple[str, ...] = ()
    """Of a mailto notification, each once. RFC 5436 §2."""

    headers: tuple[tuple[str, str], ...] = ()
    """Of a mailto notification, from its URI; none that would forge anything."""

    body: str = ""
    fcc: FileInto | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Debug(Action):
    """A line for the user's log: vnd.dovecot.debug."""

    cancels_keep: ClassVar[bool] = False
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Action):
    """Send a report about the message: vnd.dovecot.report, RFC 5965."""

    cancels_keep: ClassVar[bool] = False
    feedback_type: str
    text: str
    address: str
    headers_only: bool
    message: EditedMessage | None = None


def folder_of(action: Action) -> FolderName | None:
    """Give the folder that the action files into; None where it files nowhere that is known yet."""
    if isinstance(action, Keep):
        return INBOX
    if isinstance(action, FileInto) and action.special_use is None and action.mailbox_id is None:
        return action.folder
    return None


def changed(action: _Action, fields: Mapping[str, object]) -> _Action:
    """Give the action with some fields set."""
    return replace(action, **cast("dict[str, Any]", fields)) if fields else action


def fcc_of(fields: Mapping[str, object]) -> FileInto | None:
    """Give where a copy of a reply is filed, out of the fields that tags set; None where nothing is said."""
    fcc = fields.get("fcc")
    if not isinstance(fcc, FileInto):
        return None
    changes = {name.removeprefix("fcc."): value for name, value in fields.items() if name.startswith("fcc.")}
    return changed(fcc, changes)
