"""Arguments and results of the methods about folders and messages; one of the three doors to msgspec.

``mailbox`` and ``folder`` may be left out only in a session that holds the exclusive maildrop.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from msgstore.access.shapes import SessionArgs, Short

__all__ = [
    "Cell",
    "Count",
    "DeleteArgs",
    "DeleteResult",
    "ExpungeArgs",
    "ExpungeResult",
    "Fault",
    "FetchArgs",
    "FetchResult",
    "FolderArgs",
    "FolderCounts",
    "FolderListArgs",
    "FolderListResult",
    "FolderRow",
    "FolderStatusArgs",
    "FolderStatusResult",
    "HeadersArgs",
    "HeadersResult",
    "ListArgs",
    "ListResult",
    "Modseq",
    "OpenArgs",
    "OpenResult",
    "ReadArgs",
    "ReleaseArgs",
    "RetrieveArgs",
    "RetrieveResult",
    "Sealed",
    "StatResult",
    "Uid",
    "UidItem",
    "Uids",
    "UndeleteArgs",
    "UndeleteResult",
]

Uid = Annotated[int, Meta(ge=1, le=2**32 - 1)]
UidItem = int | tuple[Uid, Uid | None]
"""A uid, or first and last with both included; ``[first, nil]`` is first and everything above.

The number alone carries no bounds here, because msgspec 0.22 mixes up the bounds of a number and the length of a tuple
in one union and crashes (measured); ``contract.check`` looks at them instead.
"""

Uids = tuple[UidItem, ...]
Count = Annotated[int, Meta(ge=0)]
Modseq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""RFC 7162 §3.1.1 keeps to 63 bits."""

Cell = int | str | bool | tuple[str, ...] | None
"""One value of a row of message.list."""

Fault = tuple[str, str, dict[str, object]]
"""``[code, message, data]`` where one part of a result failed."""


class FolderArgs(SessionArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Names a folder."""

    mailbox: Short | None = None
    folder: Short | None = None


class OpenArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Names the maildrop to hold; the inbox where no folder is named."""

    wait_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None


class OpenResult(Struct, kw_only=True, frozen=True):
    """The maildrop at the moment of opening."""

    uidvalidity: int
    uidnext: int
    modseq: int
    messages: int
    octets: int


class StatResult(OpenResult, kw_only=True, frozen=True):
    """Counts of a folder."""

    unseen: int


class FolderStatusArgs(SessionArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Names several folders."""

    folders: tuple[Short, ...]
    mailbox: Short | None = None


class FolderCounts(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Counts of one folder of many, or why there are none."""

    messages: int | None = None
    octets: int | None = None
    unseen: int | None = None
    uidvalidity: int | None = None
    uidnext: int | None = None
    modseq: int | None = None
    error: Fault | None = None


class FolderStatusResult(Struct, kw_only=True, frozen=True):
    """For each name as it was asked."""

    folders: dict[str, FolderCounts]


class FolderListArgs(SessionArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Which folders; ``*`` in a pattern is anything, ``%`` anything within a level. RFC 9051 §6.3.9."""

    mailbox: Short | None = None
    pattern: Annotated[str, Meta(max_length=512)] | None = None
    subscribed: bool | None = None
    counts: bool | None = None


class FolderRow(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One folder in a listing."""

    name: str
    subscribed: bool
    has_children: bool
    special_use: str | None = None
    counts: StatResult | None = None


class FolderListResult(Struct, kw_only=True, frozen=True):
    """Folders of a mailbox."""

    delimiter: str
    folders: tuple[FolderRow, ...]


class ListArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Which messages and what of them; by columns a whole folder comes in few pages, and without ``since_modseq``."""

    uids: Uids | None = None
    fields: (
        tuple[
            Literal[
                "uid",
                "uidl",
                "octets",
                "flags",
                "modseq",
                "stored_octets",
                "keywords",
                "internal_date",
                "guid",
                "sealed",
            ],
            ...,
        ]
        | None
    ) = None
    since_modseq: Modseq | None = None
    after_uid: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    limit: Annotated[int, Meta(ge=1)] | None = None
    by: Literal["rows", "columns"] | None = None


class ListResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One page of rows, ascending by uid; with ``next_uid`` as the next ``after_uid`` when there are more.

    ``vanished`` answers ``since_modseq``, all of it with the first page; absent it is not known any more.  By columns
    ``messages`` is empty and each of ``fields`` has its values in ``columns``: those of uidl and guid as one text with
    a line feed between them, those of flags and keywords as numbers of ``sets``, counted from 0.
    """

    fields: tuple[str, ...]
    messages: tuple[tuple[Cell, ...], ...]
    uidvalidity: int
    uidnext: int
    modseq: int
    next_uid: int | None = None
    vanished: Uids | None = None
    columns: dict[str, str | list[int | bool | None]] | None = None
    sets: tuple[tuple[str, ...], ...] | None = None


class RetrieveArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True, rename={"way": "as"}):
    """Which message and how it is to come; ``offset`` and ``octets`` cut a slice."""

    uid: Uid
    way: Literal["auto", "inline", "handle", "fd"] | None = None
    offset: Count | None = None
    octets: Count | None = None


class Sealed(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How a message is sealed."""

    algorithm: str
    key_id: str | None = None
    damaged: bool = False
    """Whether it can be opened by nobody: too short, plain text, or none of the user's keys fits.

    The server says so of what it can see without a key, our clients of the rest too.  The octets come as they are.
    """


class RetrieveResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A message: ``body``, or a ``handle``, or the descriptor that comes with this response."""

    uid: int
    octets: int
    stored_octets: int
    crlf: bool
    """All line ends are CRLF."""

    dots: bool
    """Some line may begin with a dot; never false when one does."""

    sealed: Sealed | None = None
    body: bytes | None = None
    handle: int | None = None
    fd: int | None = None
    fd_offset: int | None = None
    fd_octets: int | None = None


class FetchArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Which messages, all of them where ``uids`` is absent."""

    uids: Uids | None = None
    after_uid: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None


class FetchResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Messages ascending by uid, with ``next_uid`` as the next ``after_uid`` when there may be more.

    Each has its ``body``, but for those too large for this way: ``message.retrieve`` gives them.  A uid that names no
    message any more is left out.
    """

    messages: tuple[RetrieveResult, ...]
    next_uid: int | None = None


class HeadersArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Which header, and how many lines of the body more."""

    uid: Uid
    lines: Count | None = None


class HeadersResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The header block with its empty line, as stored."""

    headers: bytes
    octets: int
    lines: bytes | None = None


class ReadArgs(Struct, kw_only=True, frozen=True):
    """A range of an opened message."""

    handle: Count
    offset: Count
    octets: Annotated[int, Meta(ge=0, le=256 * 1024)]


class ReleaseArgs(Struct, kw_only=True, frozen=True):
    """An opened message that is not needed any more."""

    handle: Count


class DeleteArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Messages to mark."""

    uids: Uids


class DeleteResult(Struct, kw_only=True, frozen=True):
    """What is marked now by this call, and what there was no message for."""

    marked: Uids
    missing: Uids


class UndeleteArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """Marks to take away; None is all of them."""

    uids: Uids | None = None


class UndeleteResult(Struct, kw_only=True, frozen=True):
    """What is still marked."""

    marked: Uids


class ExpungeArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """What to remove for good: what this session marked, or what carries the flag for it, narrowed by ``uids``."""

    which: Literal["marked", "flagged"] | None = None
    uids: Uids | None = None


class ExpungeResult(Struct, kw_only=True, frozen=True):
    """What is gone for good, and what could not be removed."""

    expunged: Uids
    failed: Uids
    modseq: int
