"""What is said about a message outside of it: envelope, recipients, encryption, spam verdict."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from msgstore.model.address import Address, MailboxId
from msgstore.model.user import NO_QUOTA, Quota

__all__ = [
    "SEAL_ALGORITHM",
    "SEAL_OVERHEAD_OCTETS",
    "BodyType",
    "ClientIdentity",
    "EncryptionInfo",
    "Envelope",
    "Forward",
    "Recipient",
    "SpamVerdict",
]

SEAL_ALGORITHM: Final = "x25519-xsalsa20-poly1305"
"""How messages are sealed: a NaCl box, behind the ephemeral public key and the nonce."""

SEAL_OVERHEAD_OCTETS: Final = 72
"""What a sealed message has more than the message in it."""


class BodyType(Enum):
    """How the client declared the content. RFC 1652 §3, RFC 3030 §3."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"
    BINARY_MIME = "BINARYMIME"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIdentity:
    """Who handed the message over, as far as a trusted peer or the socket told."""

    helo: str | None = None
    """Argument of LHLO, or what a trusted peer said about its own client."""

    address: str | None = None
    """IP address; None on a Unix socket without a trusted statement."""

    name: str | None = None
    """Host name, verified by whoever told us."""

    protocol: str = "LMTP"
    """The word after ``with`` in Received. RFC 3848."""

    session_id: str | None = None
    """Names the connection in logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionInfo:
    """How the message is sealed; the README's ``Envelope.Encryption``."""

    algorithm: str
    """:data:`SEAL_ALGORITHM`, in any case; others cannot be kept."""

    encrypted: bool
    plaintext_octets: int | None = None
    """Octets of the message that is sealed, as whoever sealed it says; None where nothing was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpamVerdict:
    """What a scanner said, from a trusted peer only; a header is never one."""

    is_spam: bool
    score: float
    checker: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A forward-path already resolved to a mailbox."""

    forward_path: Address
    """As the client wrote it."""

    mailbox: MailboxId
    detail: str | None = None
    """What followed the separator; ``""`` when nothing did, None without a separator. RFC 5233 §4."""

    orcpt: str | None = None
    """Original recipient as the client gave it, case kept. RFC 3461 §4.2."""

    notify: tuple[str, ...] = ()
    """Keywords of NOTIFY; empty when not given. RFC 3461 §4.1."""

    quota: Quota = NO_QUOTA
    """Limits of the mailbox; none where a trusted peer said that they do not count."""

    forward: "Forward | None" = None
    """Where the mail goes instead; None for the mailbox."""

    seal_to: bytes | None = None
    """32 octets X25519, to which the mailbox gets the message sealed; None where it gets it as it comes."""

    may_wait: bool = False
    """Whether a script of the mailbox may have to wait for more than the disk, as for a server it sends mail to."""

    @property
    def mailboxes(self) -> "tuple[Recipient, ...]":
        """The recipients whose mailboxes get the message here: this one, or those of its forward."""
        return (self,) if self.forward is None else self.forward.local


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What becomes of mail for an address that is forwarded: all of it, or nothing yet."""

    local: tuple[Recipient, ...]
    """With the same forward-path, and no forward of their own."""

    remote: tuple[Address, ...]
    """Elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What MAIL and RCPT said, before any header was read."""

    reverse_path: Address | None
    """None is the null reverse-path ``<>``: such mail is never answered."""

    recipients: tuple[Recipient, ...]
    """In RCPT order; a repeated forward-path stays repeated. RFC 2033 §4.2."""

    received_at: float
    """Seconds since 1970 UTC."""

    client: ClientIdentity
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    declared_octets: int | None = None
    """SIZE of MAIL; None when not given. RFC 1870."""

    envid: str | None = None
    """ENVID of MAIL, case kept. RFC 3461 §4.4."""

    ret: str | None = None
    """RET of MAIL: FULL or HDRS. RFC 3461 §4.3."""

    transaction: str | None = None
    """Id that a trusted peer gives to this hand-over and repeats when it tries again."""

    encryption: EncryptionInfo | None = None
    spam: SpamVerdict | None = None

    @property
    def is_sealed(self) -> bool:
        """Whether the message was sealed before it came."""
        return self.encryption is not None and self.encryption.encrypted
