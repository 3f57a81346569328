"""Sending a staged message on to addresses elsewhere, in pieces, as it came."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, Protocol

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

__all__ = ["SEND_EVENTS", "Forwarder", "SendCounter", "SendEvent"]

log = logger(__name__)

SendEvent = Literal["sent_on", "send_refused", "send_unavailable"]
SEND_EVENTS: Final[tuple[SendEvent, ...]] = ("sent_on", "send_refused", "send_unavailable")

_LOGGED: Final[Mapping[SendEvent, str]] = {one: f"delivery.{one}" for one in SEND_EVENTS}
_NEEDS_CONVERSION: Final = EnhancedStatus(5, 6, 3)
"""Conversion required but not supported. RFC 3463 §3.7."""


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
    ) -> None:
        """Send what is staged, behind its own ``trace`` lines, to all of ``targets`` or to none.

        Every target gets the trace lines of a hop and Delivered-To, by which a message that comes back is known.

        Raises:
            OutboundUnavailable: not now.
            OutboundRefused: never.
            StoreError: the staged message cannot be read.
        """
        addresses = tuple(targets)
        event: SendEvent = "send_unavailable"
        why: str | None = "the staged message cannot be read"
        try:
            self._submit(envelope, recipient, staged, trace=trace, targets=addresses, delivery_id=delivery_id)
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

    def _submit(
        self,
        envelope: Envelope,
        recipient: Recipient,
        staged: StagedMessage,
        *,
        trace: bytes,
        targets: tuple[Address, ...],
        delivery_id: str,
    ) -> None:
        if envelope.body_type is BodyType.BINARY_MIME:
            raise OutboundRefused("binary content does not go through DATA", _NEEDS_CONVERSION)
        hop = self._hop(envelope, recipient, delivery_id)
        header = staged.header_block[len(trace) :]
        submission = Submission(
            reverse_path=self._reverse_path(envelope.reverse_path),
            recipients=tuple(
                SubmissionRecipient(address=one, orcpt=recipient.orcpt, notify=recipient.notify) for one in targets
            ),
            octets=len(hop) + staged.octets - len(trace),
            # Peers that send eight bits do not always say so.
            body_type=BodyType.EIGHT_BIT_MIME,
            smtputf8=envelope.smtputf8 and not header.isascii(),
            envid=envelope.envid,
            ret=envelope.ret,
        )
        self._outbound.submit(submission, _Passage(hop, trace, staged))

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

    def _hop(self, envelope: Envelope, recipient: Recipient, delivery_id: str) -> bytes:
        client = envelope.client
        return trace_lines(
            TraceFacts(
                return_path=None,
                delivered_to=str(recipient.forward_path),
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
