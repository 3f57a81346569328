"""Arguments and results of the methods that change folders, flags and places of messages; a door to msgspec."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from msgstore.access.mailshapes import Cell, Count, FolderArgs, Modseq, Uids
from msgstore.access.shapes import SessionArgs, Short

__all__ = [
    "CreateArgs",
    "FlagWords",
    "FolderMade",
    "QuotaArgs",
    "QuotaResult",
    "RenameArgs",
    "RescanArgs",
    "RescanResult",
    "SetFlagsArgs",
    "SetFlagsResult",
    "TransferArgs",
    "TransferResult",
]

FlagWords = Annotated[tuple[Annotated[str, Meta(max_length=255)], ...], Meta(max_length=256)]
"""Flags or keywords; which words they may be is the server's to check."""


class CreateArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """A folder to make; ``special_use`` is an attribute of RFC 6154, compared without case."""

    special_use: Short | None = None


class FolderMade(Struct, kw_only=True, frozen=True):
    """The folder that is there now."""

    uidvalidity: int


class RenameArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """A folder and its new name."""

    new_folder: Short


class QuotaArgs(SessionArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Whose quota."""

    mailbox: Short | None = None


class QuotaResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a mailbox holds and may hold; a limit that is absent is none."""

    used_octets: int
    used_messages: int
    limit_octets: int | None = None
    limit_messages: int | None = None


class RescanArgs(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What to count anew: a mailbox, that of the session where none is named, or one folder of it."""

    session: Short | None = None
    mailbox: Short | None = None
    folder: Short | None = None


class RescanResult(Struct, kw_only=True, frozen=True):
    """What was looked at; ``repaired`` counts what was known wrongly before."""

    folders: int
    messages: int
    repaired: int


class SetFlagsArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """A change of flags; messages that changed after ``unchanged_since`` are left alone. RFC 7162 §3.1.3."""

    uids: Uids
    change: Literal["set", "add", "remove"]
    flags: FlagWords
    keywords: FlagWords
    unchanged_since: Modseq | None = None


class SetFlagsResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Rows of the messages as they are now; with ``next_uid`` those above it are left to ``message.list``."""

    fields: tuple[str, ...]
    messages: tuple[tuple[Cell, ...], ...]
    modified: Uids
    missing: Uids
    modseq: int
    """Of the folder, after the change."""

    next_uid: Count | None = None


class TransferArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Messages and where they are to go, in the same mailbox."""

    uids: Uids
    to_folder: Short


class TransferResult(Struct, kw_only=True, frozen=True):
    """Both lists ascend and pair off one by one; ``uidvalidity`` is that of the destination. RFC 4315 §3."""

    uidvalidity: int
    from_uids: Uids
    to_uids: Uids
    missing: Uids
