"""What became of one recipient: enhanced status, outcome, delivery result."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NewType

if TYPE_CHECKING:
    from msgstore.model.address import Address, MailboxId
    from msgstore.model.folder import FolderName
    from msgstore.model.message import Uid

__all__ = ["OK", "DeliveryId", "DeliveryResult", "EnhancedStatus", "Filed", "Outcome"]

DeliveryId = NewType("DeliveryId", str)
"""Names one delivery to one recipient, in every log line and in the reply; printable ASCII, no blank."""


@dataclass(frozen=True, slots=True, order=True)
class EnhancedStatus:
    """An enhanced mail system status code, ``class.subject.detail``. RFC 3463 §2."""

    kind: int
    """2 success, 4 temporary, 5 permanent."""

    subject: int
    detail: int

    def __post_init__(self) -> None:
        if self.kind not in (2, 4, 5) or not (0 <= self.subject <= 999 and 0 <= self.detail <= 999):
            raise ValueError(f"{self.kind}.{self.subject}.{self.detail} is no enhanced status")

    def __str__(self) -> str:
        return f"{self.kind}.{self.subject}.{self.detail}"


OK: Final = EnhancedStatus(2, 0, 0)
"""Done, nothing more to say. RFC 3463 §3.1."""


class Outcome(Enum):
    """What was done with the message for one recipient."""

    STORED = "stored"
    REDIRECTED = "redirected"
    DISCARDED = "discarded"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """One place where the message now lies, durably."""

    mailbox: "MailboxId"
    folder: "FolderName"
    uidvalidity: int | None = None
    uid: "Uid | None" = None
    """None where the backend lets readers assign UIDs (Maildir)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryResult:
    """The one result of one recipient; never summed up over recipients. RFC 2033 §4.2."""

    forward_path: "Address"
    outcome: Outcome
    reply_code: int
    """Basic LMTP code, for example 250."""

    status: EnhancedStatus
    text: str
    """May be shown to a remote peer: no internals, no secrets."""

    delivery_id: DeliveryId
    filed: tuple[Filed, ...] = ()

    def __post_init__(self) -> None:
        if self.reply_code // 100 != self.status.kind:
            raise ValueError(f"{self.reply_code} and {self.status} contradict each other")

    @property
    def is_success(self) -> bool:
        """Whether the peer may forget the message for this recipient."""
        return self.reply_code < 300
