"""Mail that this host sends on: who it is from and for, and what has to be said beside the message."""

from dataclasses import dataclass

from msgstore.model.address import Address
from msgstore.model.envelope import BodyType

__all__ = ["Submission", "SubmissionRecipient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRecipient:
    """One address that mail is sent to."""

    address: Address
    orcpt: str | None = None
    """Original recipient, as in RCPT. RFC 3461 §4.2."""

    notify: tuple[str, ...] = ()
    """Keywords of NOTIFY; empty leaves it to the server. RFC 3461 §4.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The envelope of one message that is sent on.

    Raises:
        ValueError: there is no recipient.
    """

    reverse_path: Address | None
    """None is the null reverse-path ``<>``."""

    recipients: tuple[SubmissionRecipient, ...]
    octets: int | None = None
    """Size of the message; None when it is not known. RFC 1870."""

    body_type: BodyType = BodyType.EIGHT_BIT_MIME
    smtputf8: bool = False
    """Whether the header holds UTF-8; addresses are looked at by whoever sends. RFC 6531 §3.4."""

    envid: str | None = None
    """ENVID, in xtext. RFC 3461 §4.4."""

    ret: str | None = None
    """FULL or HDRS. RFC 3461 §4.3."""

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("mail is sent to somebody")
