"""Users: who somebody is after authentication."""

from dataclasses import dataclass
from typing import Final, Literal

from msgstore.model.address import MailboxId

__all__ = ["NO_QUOTA", "EncryptionPolicy", "Quota", "User"]

EncryptionPolicy = Literal["off", "opportunistic", "required"]
"""Whether mail is sealed: never, where there is a key, or else it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Limits of one mailbox; None means no limit."""

    octets: int | None = None
    messages: int | None = None
    is_final: bool = False
    """Whether mail over it goes back at once; else it waits at the sender."""

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.octets is not None or self.messages is not None


NO_QUOTA: Final = Quota()
"""No limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user of a hosted domain."""

    username: str
    """The name as the password file has it; case kept."""

    mailbox: MailboxId
    enabled: bool = True
    quota: Quota = NO_QUOTA
    encryption: EncryptionPolicy | None = None
    """The user's own policy; None leaves what the domain says."""

    max_sends_per_hour: int | None = None
