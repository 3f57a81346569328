"""Sending a staged message on to addresses elsewhere, in pieces, as it came."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from msgstore.delivery.composing import text_field
from msgstore.delivery.rewriting import Rewriter
from msgstore.mime.trace import TraceFacts, trace_lines
from msgstore.model.address import Address, fold_domain
from msgstore.model.envelope import BodyType, Envelope, Recipient
from msgstore.model.errors import (
    DirectoryUnavailable,
    InvalidAddress,
    OutboundRefused,
    OutboundUnavailable,
)
from msgstore.model.interfaces import Outbound, StagedMessage, Submission
from msgstore.model.result import EnhancedStatus
from msgstore.model.submission import SubmissionRecipient
from msgstore.telemetry.log import logger

__all__ = ["REDIRECTED_FROM", "SEND_EVENTS", "Forwarder", "Redirection", "SendCounter", "SendEvent"]

log = logger(__name__)

SendEvent = Literal["sent_on", "send_refused", "send_unavailable"]
SEND_EVENTS: Final[tuple[SendEvent, ...]] = ("sent_on", "send_refused", "send_unavailable")

_LOGGED: Final[Mapping[SendEvent, str]] = {one: f"delivery.{one}" for one in SEND_EVENTS}
_NEEDS_CONVERSION: Final = EnhancedStatus(5, 6, 3)
"""Conversion required but not supported. RFC 3463 §3.7."""


REDIRECTED_FROM: Final = "X-Sieve-Redirected-From"
"""Names the mailbox whose script sent a message on, by which one that comes back is known: the field of Pigeonhole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirection:
    """What is otherwise where a script sends a message on, and not a forward."""

    mailbox: str
    """Whose script it is."""

    reverse_path: Address | None
    """What to send with; one that is foreign is rewritten as that of a forward is."""

    pieces: Iterable[bytes] | None = None
    """An edited message, with line ends of either kind; None sends it as it came.  Begins anew each time."""

    notify: tuple[str, ...] | None = None
    """None leaves what RCPT said."""

    ret: str | None = None
    """None leaves what MAIL said."""


class SendCounter(Protocol):
    """Where messages that are sent on are counted."""

    def count_event(self, event: str, amount: float = 1) -> None:
        """Count one of :data:`SEND_EVENTS`."""
        ...


class Forwarder:
    """Sends messages on; safe in every thread.

    ``is_hosted`` says whether a folded domain is ours: the reverse-path of such a sender stays what it is.
    """

    def __init__(
        self,
        outbound: Outbound,
        *,
        counter: SendCounter,
        hostname: str,
        is_hosted: Callable[[str], bool],
        rewriter: Rewriter | None = None,
    ) -> None:
        self._outbound = outbound
        self._counter = counter
        self._hostname = hostname
        self._is_hosted = is_hosted
        self._rewriter = rewriter

    def send_on(
        self,
        envelope: Envelope,
        recipient: Recipient,
        staged: StagedMessage,
        *,
        trace: bytes,
        targets: Iterable[Address],
        delivery_id: str,
        redirection: Redirection | None = None,
    ) -> None:
        """Send what is staged, behind its own ``trace`` lines, to all of ``targets`` or to none.

        Every target gets the trace lines of a hop and Delivered-To, or what names the script that sent it, by which a
        message that comes back is known.

        Raises:
            OutboundUnavailable: not now.
            OutboundRefused: never.
            StoreError: the staged message cannot be read.
        """
        addresses = tuple(targets)
        event: SendEvent = "send_unavailable"
        why: str | None = "the staged message cannot be read"
        try:
            submission, pieces = self._submission(
                envelope, recipient, staged, trace=trace, delivery_id=delivery_id, said=redirection
            )
            notify = recipient.notify if redirection is None or redirection.notify is None else redirection.notify
            told = tuple(SubmissionRecipient(address=one, orcpt=recipient.orcpt, notify=notify) for one in addresses)
            self._outbound.submit(submission(told), pieces)
            event, why = "sent_on", None
        except OutboundRefused as error:
            event, why = "send_refused", str(error)
            raise
        except OutboundUnavailable as error:
            why = str(error)
            raise
        finally:
            self._counter.count_event(event)
            log.info(
                _LOGGED[event],
                delivery_id=delivery_id,
                forward_path=str(recipient.forward_path),
                targets=",".join(map(str, addresses)),
                why=why,
            )

    def _submission(
        self,
        envelope: Envelope,
        recipient: Recipient,
        staged: StagedMessage,
        *,
        trace: bytes,
        delivery_id: str,
        said: Redirection | None,
    ) -> tuple[Callable[[tuple[SubmissionRecipient, ...]], Submission], Iterable[bytes]]:
        """Give what makes the submission for its recipients, and the message."""
        if envelope.body_type is BodyType.BINARY_MIME:
            raise OutboundRefused("binary content does not go through DATA", _NEEDS_CONVERSION)
        hop = self._hop(envelope, recipient, delivery_id, said)
        header = staged.header_block[len(trace) :]
        edited = None if said is None else said.pieces

        def submission(recipients: tuple[SubmissionRecipient, ...]) -> Submission:
            return Submission(
                reverse_path=self._reverse_path(envelope.reverse_path if said is None else said.reverse_path),
                recipients=recipients,
                octets=len(hop) + staged.octets - len(trace) if edited is None else None,
                # Peers that send eight bits do not always say so.
                body_type=BodyType.EIGHT_BIT_MIME,
                smtputf8=envelope.smtputf8 and not header.isascii(),
                envid=envelope.envid,
                ret=envelope.ret if said is None or said.ret is None else said.ret,
            )

        return submission, _Passage(hop, trace, staged) if edited is None else _Pieces(hop, edited)

    def _reverse_path(self, reverse_path: Address | None) -> Address | None:
        if reverse_path is None or self._rewriter is None:
            return reverse_path
        try:
            if reverse_path.domain is None or self._is_hosted(fold_domain(reverse_path.domain)):
                return reverse_path
            return self._rewriter.rewrite(reverse_path)
        except InvalidAddress:
            return reverse_path
        except DirectoryUnavailable as error:
            raise OutboundUnavailable(f"the reverse-path cannot be rewritten: {error}") from error

    def _hop(self, envelope: Envelope, recipient: Recipient, delivery_id: str, said: Redirection | None) -> bytes:
        client = envelope.client
        # A redirection says no Delivered-To: a copy that comes back is kept, while for a forward that is a loop.
        named = b"" if said is None else text_field(REDIRECTED_FROM, said.mailbox)
        return named + trace_lines(
            TraceFacts(
                return_path=None,
                delivered_to=str(recipient.forward_path) if said is None else None,
                helo=client.helo,
                address=client.address,
                name=client.name,
                protocol=client.protocol,
                hostname=self._hostname,
                transaction=delivery_id,
                for_path=str(recipient.forward_path),
                at_seconds=envelope.received_at,
            )
        )


class _Passage:
    """A staged message without our trace lines and behind those of this hop; begins anew each time."""

    def __init__(self, hop: bytes, trace: bytes, staged: StagedMessage) -> None:
        self._hop = hop
        self._trace = trace
        self._staged = staged

    def __iter__(self) -> Iterator[bytes]:
        yield self._hop
        chunks = self._staged.chunks()
        first = next(chunks, b"")
        # A store that keeps LF line ends gives them back.
        for trace in (self._trace, self._trace.replace(b"\r\n", b"\n")):
            if first.startswith(trace):
                yield first[len(trace) :]
                break
        else:
            raise OutboundUnavailable("the staged message does not begin as it was written")
        yield from chunks


class _Pieces:
    """An edited message behind the trace lines of this hop."""

    def __init__(self, hop: bytes, pieces: Iterable[bytes]) -> None:
        self._hop = hop
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield self._hop
        yield from self._pieces
