"""Users: who somebody is after authentication."""

from dataclasses import dataclass

from msgstore.model.address import MailboxId

__all__ = ["Quota", "User"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Limits of one mailbox; None means no limit."""

    octets: int | None = None
    messages: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user of a hosted domain."""

    username: str
    """The name as the password file has it; case kept."""

    mailbox: MailboxId
    enabled: bool = True
    quota: Quota = Quota()
    public_key: bytes | None = None
    """32 octets X25519; None when the user has no key."""

    max_sends_per_hour: int | None = None
