"""One message on its way to its recipients."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from msgstore.crypto import check_algorithm
from msgstore.delivery.arrival import Arrival, Content
from msgstore.delivery.decisions import Decisions, filed_or_inbox
from msgstore.delivery.filter import Filter
from msgstore.delivery.forwarding import Forwarder
from msgstore.delivery.resolve import Trail, read_trail
from msgstore.delivery.sealing import Sealing, keys_of
from msgstore.delivery.sieving import SieveFilter
from msgstore.delivery.warner import QuotaWarner
from msgstore.mime.trace import TraceFacts, trace_lines
from msgstore.model.address import Address, MailboxId
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS, Envelope, Recipient
from msgstore.model.errors import (
    DiskFull,
    MailLoop,
    MsgstoreError,
    OutboundUnavailable,
    StoreCorrupt,
    StoreUnavailable,
)
from msgstore.model.interfaces import Filing, MessageStore, StagedMessage, Wait
from msgstore.model.keys import BlobTruncated, SealError
from msgstore.model.result import OK, DeliveryId, DeliveryResult, Filed, Outcome
from msgstore.store.quota import check_quota
from msgstore.telemetry.log import logger

__all__ = ["DeliveryCounter", "Incoming", "Workshop"]

log = logger(__name__)


_DISK_TROUBLE: Final = (DiskFull, StoreUnavailable, StoreCorrupt)
"""What an operator has to mend."""


class DeliveryCounter(Protocol):
    """Where deliveries are counted."""

    def count_delivery(self, *, domain: str, status: str, seconds: float, octets: int) -> None:
        """Count one recipient of one message."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every message needs on its way."""

    store: MessageStore
    routing: Filter
    counter: DeliveryCounter
    sealing: Sealing
    hostname: str
    warner: QuotaWarner | None = None
    forwarder: Forwarder | None = None
    sieve: SieveFilter | None = None


class Incoming:
    """One message on its way in; see :class:`msgstore.model.interfaces.IncomingMessage`."""

    def __init__(self, workshop: Workshop, envelope: Envelope, transaction: str) -> None:
        self._workshop = workshop
        self._envelope = envelope
        self._transaction = transaction
        self._reverse_path = "" if envelope.reverse_path is None else str(envelope.reverse_path)
        self._staged: StagedMessage | None = None
        self._trace_lines = b""
        self._sent_on: dict[tuple[Address, ...], Exception | None] = {}
        """What became of each list of addresses elsewhere: one that is named twice gets the message once."""

        self._keys = {} if envelope.is_sealed else keys_of(envelope.recipients)
        # Not a method of this object: a circle would keep the message in memory until the collector comes by.
        self._decisions = Decisions(partial(_stage_for, workshop.sealing, self._keys))
        self._content: Content | None = None
        self._told: BaseException | None = None
        self.delivery_ids: tuple[str, ...] = tuple(
            f"{transaction}.{index}" for index in range(1, len(envelope.recipients) + 1)
        )

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append octets of the message; the first ones go behind our trace lines, unless it is sealed."""
        staged = self._staged
        if staged is None:
            declared = self._envelope.declared_octets
            if self._envelope.is_sealed:
                staged = self._workshop.store.stage(expected_octets=declared, sealed=True)
            else:
                self._trace_lines = self._trace()
                # One walk through the stage for both; most messages come in one piece.
                chunk = self._trace_lines + chunk
                staged = self._workshop.sealing.stage(sealed_for_some=bool(self._keys), expected_octets=declared)
            self._staged = staged
        staged.write(chunk)

    def commit(self, report: Callable[[DeliveryResult], None] | None = None) -> tuple[DeliveryResult, ...]:
        """Deliver to every recipient; see the interface."""
        steps = self.commit_in_steps(report)
        try:
            while True:
                self._workshop.store.settle((next(steps),))
        except StopIteration as end:
            results: tuple[DeliveryResult, ...] = end.value
            return results
        finally:
            steps.close()

    def commit_in_steps(
        self, report: Callable[[DeliveryResult], None] | None = None
    ) -> Generator[Wait, None, tuple[DeliveryResult, ...]]:
        """Deliver to every recipient, stopping where the disk must be waited for; see the interface."""
        began = time.perf_counter()
        results: list[DeliveryResult] = []
        try:
            for result in self._results():
                if isinstance(result, Wait):
                    yield result
                    continue
                self._record(len(results), result, time.perf_counter() - began)
                results.append(result)
                if report is not None:
                    report(result)
        finally:
            self._decisions.close()
            self.abort()
        return tuple(results)

    def fail(self, error: BaseException) -> tuple[DeliveryResult, ...]:
        """Discard the message and answer every recipient with ``error``."""
        self.abort()
        results = tuple(self._failed(index, error) for index in range(len(self._envelope.recipients)))
        for index, result in enumerate(results):
            self._record(index, result, 0.0)
        return results

    def abort(self) -> None:
        """Discard what is staged; results already given stay."""
        if self._staged is not None:
            self._staged.discard()

    def _results(self) -> Iterator[DeliveryResult | Wait]:
        """Give one result per recipient, in order, whatever happens, and between them what must be waited for."""
        try:
            if self._staged is None:
                self.write(b"")
            staged = self._staged
            assert staged is not None
            self._require_blob(staged)
            header = staged.header_block[len(self._trace_lines) :]
            trail = read_trail(header)
            plans = [self._plan(index, header, trail) for index in range(len(self._envelope.recipients))]
        # The recipient loop: an unknown error is each recipient's 451, never a lost connection.
        except Exception as error:  # noqa: BLE001
            for index in range(len(self._envelope.recipients)):
                yield self._failed(index, error)
            return
        yield from self._file(staged, plans)
        self._warn(plans)

    def _require_blob(self, staged: StagedMessage) -> None:
        """Refuse, for now, what cannot be the sealed message that was announced: whoever sent it has it still."""
        encryption = self._envelope.encryption
        if encryption is None or not encryption.encrypted:
            return
        check_algorithm(encryption.algorithm)
        octets = staged.octets - SEAL_OVERHEAD_OCTETS
        if octets < 0 or encryption.plaintext_octets not in (None, octets):
            raise BlobTruncated(f"{staged.octets} octets came for a message of {encryption.plaintext_octets}")

    def _plan(self, index: int, header: bytes, trail: Trail) -> Sequence[Filing] | Exception:
        try:
            return self._planned(index, header, trail)
        except Exception as error:  # noqa: BLE001
            return error

    def _planned(self, index: int, header: bytes, trail: Trail) -> Sequence[Filing]:
        recipient = self._envelope.recipients[index]
        if trail.has_looped:
            raise MailLoop("the message has passed too many hosts")
        if trail.has_visited(recipient):
            raise MailLoop(f"the message was delivered to {recipient.forward_path} before")
        if recipient.forward is None:
            plan = self._decided(index, recipient, header)
        else:
            plan = [filing for one in recipient.forward.local for filing in self._decided(index, one, header)]
            # Last, and before anything is filed: a message that cannot be sent on lies nowhere.
            if recipient.forward.remote:
                self._send_on(index, recipient.forward.remote)
        # What scripts file goes behind what is filed without them.
        return [*plan, *self._decisions.send(index)] if index in self._decisions else plan

    def _decided(self, index: int, recipient: Recipient, header: bytes) -> Sequence[Filing]:
        sieve, staged = self._workshop.sieve, self._staged
        chosen = None if sieve is None else sieve.find(recipient.mailbox)
        if sieve is not None and staged is not None and chosen is not None:
            whole = self._envelope.recipients[index]
            decision = sieve.decide(
                Arrival(
                    envelope=self._envelope,
                    recipient=recipient,
                    content=self._whole(staged),
                    delivery_id=self.delivery_ids[index],
                    is_alone=whole.forward is None or (len(whole.forward.local) == 1 and not whole.forward.remote),
                ),
                chosen,
            )
            self._decisions.add(index, decision)
            self._require_room(recipient, decision.messages)
            return ()
        return self._with_room(recipient, self._workshop.routing.decide(self._envelope, recipient, header))

    def _whole(self, staged: StagedMessage) -> Content:
        content = self._content
        if content is None:
            content = self._content = Content(staged, self._trace_lines, sealed=self._envelope.is_sealed)
        return content

    def _send_on(self, index: int, targets: tuple[Address, ...]) -> None:
        if self._envelope.is_sealed:
            raise SealError("a sealed message cannot be sent on")
        if targets not in self._sent_on:
            self._sent_on[targets] = self._trouble_of_sending(index, targets)
        trouble = self._sent_on[targets]
        if trouble is not None:
            raise trouble

    def _trouble_of_sending(self, index: int, targets: tuple[Address, ...]) -> Exception | None:
        forwarder, staged = self._workshop.forwarder, self._staged
        if forwarder is None or staged is None:
            return OutboundUnavailable("nothing takes mail for elsewhere")
        try:
            forwarder.send_on(
                self._envelope,
                self._envelope.recipients[index],
                staged,
                trace=self._trace_lines,
                targets=targets,
                delivery_id=self.delivery_ids[index],
            )
        except Exception as error:  # noqa: BLE001
            return error
        return None

    def _warn(self, plans: Sequence[Sequence[Filing] | Exception]) -> None:
        """Tell owners of mailboxes that fill up; all results have been given by now."""
        warner = self._workshop.warner
        if warner is not None:
            mailboxes = {
                one.mailbox: one
                for recipient, plan in zip(self._envelope.recipients, plans, strict=True)
                if not isinstance(plan, Exception)
                for one in recipient.mailboxes
            }
            for recipient in mailboxes.values():
                warner.delivered(recipient)

    def _with_room(self, recipient: Recipient, plan: Sequence[Filing]) -> Sequence[Filing]:
        """Give the plan back where the mailbox has room for it; RCPT knew only what the peer declared."""
        self._require_room(recipient, len(plan))
        return plan

    def _require_room(self, recipient: Recipient, messages: int) -> None:
        if messages and self._staged is not None:
            check_quota(self._workshop.store, recipient, self._staged.octets * messages, messages)

    def _file(
        self, staged: StagedMessage, plans: Sequence[Sequence[Filing] | Exception]
    ) -> Iterator[DeliveryResult | Wait]:
        wanted = [filing for plan in plans if not isinstance(plan, Exception) for filing in plan]
        answers = self._answers(staged, wanted)
        for index, plan in enumerate(plans):
            if isinstance(plan, Exception):
                yield self._failed(index, plan)
                continue
            filed: list[Filed] = []
            trouble: Exception | None = None
            for filing in plan:
                answer = yield from filed_or_inbox(filing, staged, self._answers, answers)
                if isinstance(answer, Exception):
                    trouble = answer
                else:
                    filed.append(answer)
            if trouble is None and index in self._decisions:
                trouble = yield from self._ended(index, filed)
            yield self._stored(index, tuple(filed)) if trouble is None else self._failed(index, trouble)

    def _ended(self, index: int, filed: list[Filed]) -> Generator[Wait, None, Exception | None]:
        try:
            return (yield from self._decisions.end(index, filed, self._answers))
        except Exception as error:  # noqa: BLE001
            return error

    def _answers(self, staged: StagedMessage, filings: Sequence[Filing]) -> Iterator[Filed | Exception | Wait]:
        """Give the store's answer to each filing; an error that ends the store's run answers all that are left."""
        given = 0
        try:
            for answer in self._workshop.sealing.deliver_in_steps(staged, filings, self._keys):
                if not isinstance(answer, Wait):
                    given += 1
                yield answer
        except Exception as error:  # noqa: BLE001
            for _ in range(len(filings) - given):
                yield error

    def _stored(self, index: int, filed: tuple[Filed, ...]) -> DeliveryResult:
        forward = self._envelope.recipients[index].forward
        is_discarded = self._decisions.is_discarded(index) and (forward is None or not forward.remote)
        outcome = Outcome.STORED if filed else Outcome.DISCARDED if is_discarded else Outcome.REDIRECTED
        return DeliveryResult(
            forward_path=self._envelope.recipients[index].forward_path,
            outcome=outcome,
            reply_code=250,
            status=OK,
            # What is discarded is discarded silently. RFC 5228 §4.4.
            text="Sent on" if outcome is Outcome.REDIRECTED else "Saved",
            delivery_id=DeliveryId(self.delivery_ids[index]),
            filed=filed,
        )

    def _failed(self, index: int, error: BaseException) -> DeliveryResult:
        if not isinstance(error, MsgstoreError):
            log.error("delivery.crashed", error=error, delivery_id=self.delivery_ids[index])
            error = MsgstoreError(str(error))
        elif isinstance(error, _DISK_TROUBLE) and error is not self._told:
            # The peer is told little; who mends it needs what the disk said, once for all whom it hit.
            self._told = error
            log.error("delivery.store_failed", error=error, delivery_id=self.delivery_ids[index])
        code = error.reply_code
        return DeliveryResult(
            forward_path=self._envelope.recipients[index].forward_path,
            outcome=Outcome.REJECTED if code >= 500 else Outcome.FAILED,
            reply_code=code,
            status=error.status,
            text=error.reply_text,
            delivery_id=DeliveryId(self.delivery_ids[index]),
        )

    def _record(self, index: int, result: DeliveryResult, seconds: float) -> None:
        """One line and one count per recipient."""
        recipient = self._envelope.recipients[index]
        octets = 0 if self._staged is None else self._staged.octets
        success = result.is_success
        status = "success" if success else "rejected" if result.outcome is Outcome.REJECTED else "failed"
        self._workshop.counter.count_delivery(
            domain=recipient.mailbox.domain, status=status, seconds=seconds, octets=octets
        )
        log.info(
            "delivery.committed" if success else "delivery.refused",
            delivery_id=result.delivery_id,
            mailbox=str(recipient.mailbox),
            forward_path=str(recipient.forward_path),
            reverse_path=self._reverse_path or "<>",
            folder=",".join([str(place.folder) for place in result.filed]) or None,
            sieve=self._decisions.names(index),
            octets=octets,
            seconds=round(seconds, 6),
            status=str(result.status),
            session=self._envelope.client.session_id,
            orcpt=recipient.orcpt,
            envid=self._envelope.envid,
        )

    def _trace(self) -> bytes:
        envelope = self._envelope
        only = str(envelope.recipients[0].forward_path) if len(envelope.recipients) == 1 else None
        return trace_lines(
            TraceFacts(
                return_path=self._reverse_path,
                delivered_to=only,
                helo=envelope.client.helo,
                address=envelope.client.address,
                name=envelope.client.name,
                protocol=envelope.client.protocol,
                hostname=self._workshop.hostname,
                transaction=self._transaction,
                for_path=only,
                at_seconds=envelope.received_at,
            )
        )


def _stage_for(sealing: Sealing, keys: Mapping[MailboxId, bytes], mailbox: MailboxId) -> StagedMessage:
    return sealing.stage(sealed_for_some=mailbox in keys)
