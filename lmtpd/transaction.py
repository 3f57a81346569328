"""What a peer said: about itself and its client, and in MAIL and RCPT; the envelope made of it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lmtpd.commands import MailCommand
from msgstore.model.address import MailboxId
from msgstore.model.envelope import ClientIdentity, Envelope, Recipient

__all__ = ["XCLIENT_ATTRIBUTES", "XFORWARD_ATTRIBUTES", "Statement", "Transaction"]

XFORWARD_ATTRIBUTES: Final = frozenset({"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"})
"""What Postfix sends; PORT and SOURCE are read and not kept."""

XCLIENT_ATTRIBUTES: Final = frozenset({"NAME", "ADDR", "PORT", "PROTO", "HELO", "SESSION", "IDENT"})
"""PORT is read and not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Who is at the other end, by the socket and by the words of a trusted peer."""

    is_trusted: bool = False
    address: str | None = None
    """IP address of a TCP peer."""

    client: Mapping[str, str | None] = dataclasses.field(default_factory=dict[str, str | None])
    """XCLIENT; holds until the connection ends."""

    forward: Mapping[str, str | None] = dataclasses.field(default_factory=dict[str, str | None])
    """XFORWARD; holds until the transaction ends."""

    def with_client(self, attributes: Mapping[str, str | None]) -> "Statement":
        """Add what XCLIENT said."""
        return dataclasses.replace(self, client={**self.client, **attributes}, forward={})

    def with_forward(self, attributes: Mapping[str, str | None]) -> "Statement":
        """Add what XFORWARD said."""
        return dataclasses.replace(self, forward={**self.forward, **attributes})

    def without_forward(self) -> "Statement":
        """Forget XFORWARD."""
        return dataclasses.replace(self, forward={}) if self.forward else self

    def identity(self, *, lhlo: str, session_id: str, smtputf8: bool) -> ClientIdentity:
        """Say who handed the message over; what a trusted peer said is stronger than what we see."""
        said = {**self.client, **self.forward}
        if not said:
            protocol = "UTF8LMTP" if smtputf8 else "LMTP"
            return ClientIdentity(helo=lhlo, address=self.address, protocol=protocol, session_id=session_id)
        return ClientIdentity(
            helo=said.get("HELO", lhlo),
            address=said.get("ADDR", self.address),
            name=said.get("NAME"),
            protocol=said.get("PROTO") or ("UTF8LMTP" if smtputf8 else "LMTP"),
            session_id=said.get("SESSION") or session_id,
        )


class Transaction:
    """State from MAIL to the end of the message."""

    __slots__ = ("has_failed", "is_handed_over", "mail", "mailboxes", "received_at", "recipients")

    def __init__(self, mail: MailCommand, received_at: float) -> None:
        self.mail: Final = mail
        self.received_at: Final = received_at
        """Seconds since 1970 UTC."""

        self.recipients: list[Recipient] = []
        """Accepted ones, in order, repeated ones too: each gets its reply."""

        self.mailboxes: set[MailboxId] = set()
        """Each holds one slot."""

        self.is_handed_over = False
        """Whether an intake owns the slots."""

        self.has_failed = False
        """Whether only RSET helps."""

    def envelope(self, statement: Statement, *, lhlo: str, session_id: str) -> Envelope:
        """Make the envelope."""
        mail = self.mail
        return Envelope(
            reverse_path=mail.reverse_path,
            recipients=tuple(self.recipients),
            received_at=self.received_at,
            client=statement.identity(lhlo=lhlo, session_id=session_id, smtputf8=mail.smtputf8),
            body_type=mail.body_type,
            smtputf8=mail.smtputf8,
            declared_octets=mail.declared_octets,
            envid=mail.envid,
            ret=mail.ret,
            transaction=statement.forward.get("IDENT") or statement.client.get("IDENT"),
            spam=mail.spam,
            encryption=mail.encryption,
        )
