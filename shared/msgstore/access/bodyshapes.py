"""Arguments and results of the methods that bring messages in: uploads, append, deliver; a door to msgspec."""

from typing import Annotated, Final, Literal, Protocol, TypeAlias

from msgspec import Meta, Struct

from msgstore.access.changeshapes import FlagWords
from msgstore.access.mailshapes import Count, FolderArgs
from msgstore.access.shapes import Short

__all__ = [
    "INLINE_OCTETS",
    "AppendArgs",
    "AppendResult",
    "DeliverArgs",
    "DeliverResult",
    "DiscardArgs",
    "Encryption",
    "FiledPlace",
    "HasDescriptor",
    "MessageSource",
    "OneResult",
    "RecipientShape",
    "RedirectShape",
    "RelayClient",
    "RelaySpam",
    "StageArgs",
    "StageResult",
    "WriteArgs",
    "WriteResult",
]

INLINE_OCTETS: Final = 128 * 1024
"""A message up to here may stand in its request; so may one write of a larger one."""

InlineBody = Annotated[bytes, Meta(max_length=INLINE_OCTETS)]


class HasDescriptor(Protocol):
    """An open file, as clients are given it."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...


MessageSource: TypeAlias = bytes | HasDescriptor
"""A message that is sent: its octets, or a file whose whole content it is."""


class StageArgs(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A message that is going to be uploaded, with its size where it is known."""

    octets: Count | None = None


class StageResult(Struct, kw_only=True, frozen=True):
    """Names the upload on this connection."""

    handle: int


class WriteArgs(Struct, kw_only=True, frozen=True):
    """The next octets of an upload; ``offset`` is how many have come before."""

    handle: Count
    offset: Count
    data: InlineBody


class WriteResult(Struct, kw_only=True, frozen=True):
    """How many octets have come."""

    octets: int


class DiscardArgs(Struct, kw_only=True, frozen=True):
    """An upload that nobody wants."""

    handle: Count


class Encryption(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a message was sealed before it came; it is kept octet for octet."""

    algorithm: Short
    encrypted: bool


class AppendArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True, rename={"way": "as"}):
    """A message for a folder: ``body``, or what was ``staged``, or the descriptor that comes with the request."""

    flags: FlagWords | None = None
    keywords: FlagWords | None = None
    internal_date: Annotated[int, Meta(ge=-(2**40), le=2**40)] | None = None
    encryption: Encryption | None = None
    body: InlineBody | None = None
    staged: Count | None = None
    way: Literal["fd"] | None = None


class AppendResult(Struct, kw_only=True, frozen=True):
    """Where the message lies, durably."""

    uid: int
    uidvalidity: int
    modseq: int


class RecipientShape(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One RCPT. RFC 3461 §4."""

    forward_path: Short
    orcpt: Short | None = None
    notify: tuple[Literal["NEVER", "SUCCESS", "FAILURE", "DELAY"], ...] | None = None


class RelayClient(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whom the relay has the message from."""

    address: Short | None = None
    name: Short | None = None
    helo: Short | None = None


class RelaySpam(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a scanner said."""

    is_spam: bool
    score: float
    checker: Short | None = None
    action: Short | None = None


class DeliverArgs(Struct, kw_only=True, frozen=True, omit_defaults=True, rename={"way": "as"}):
    """A message for its recipients; ``reverse_path`` absent is the null path."""

    recipients: Annotated[tuple[RecipientShape, ...], Meta(min_length=1, max_length=1000)]
    client: RelayClient
    reverse_path: Short | None = None
    received_at: Annotated[float, Meta(ge=0)] | None = None
    transaction: Short | None = None
    body_type: Literal["7BIT", "8BITMIME", "BINARYMIME"] | None = None
    smtputf8: bool | None = None
    forwarded: bool | None = None
    spam: RelaySpam | None = None
    encryption: Encryption | None = None
    body: InlineBody | None = None
    staged: Count | None = None
    way: Literal["fd"] | None = None


class FiledPlace(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One place where the message lies; ``uid`` is absent where readers assign it."""

    mailbox: str
    folder: str
    uidvalidity: int | None = None
    uid: int | None = None


class RedirectShape(Struct, kw_only=True, frozen=True):
    """One address the message went on to."""

    address: str
    local: bool


class OneResult(Struct, kw_only=True, frozen=True):
    """What became of one recipient."""

    forward_path: str
    outcome: Literal["stored", "redirected", "discarded", "rejected", "failed"]
    code: int
    status: str
    temporary: bool
    text: str
    filed: tuple[FiledPlace, ...]
    redirects: tuple[RedirectShape, ...]


class DeliverResult(Struct, kw_only=True, frozen=True):
    """One for each recipient in the order given, duplicates included."""

    results: tuple[OneResult, ...]
