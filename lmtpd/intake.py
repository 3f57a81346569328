"""One message on its way from a session into the agent.

A message of at most 128 KiB is collected in memory and becomes one job: open, write, commit.  A larger one is written
by jobs of its own while it arrives, at most one at a time, and the session is asked to stop reading while too much
waits: memory stays the same whatever the size.  Once the end was seen, nothing but the deadline before the job has
begun keeps a message from its commit.
"""

import asyncio
from collections import deque
from collections.abc import Generator, Sequence
from typing import Final, Protocol

from lmtpd import replies
from msgstore.model.address import MailboxId
from msgstore.model.envelope import Envelope
from msgstore.model.errors import MessageTooLarge, MsgstoreError, StoreUnavailable
from msgstore.model.interfaces import DeliveryAgent, IncomingMessage, Wait
from msgstore.model.result import DeliveryResult, EnhancedStatus, Filed, Outcome
from msgstore.service.offload import Offload
from msgstore.service.together import Together
from msgstore.telemetry.log import logger

__all__ = ["Intake", "IntakeHouse", "Receiver"]

log = logger(__name__)

INLINE_LIMIT_OCTETS: Final = 128 << 10
"""A message up to here is one job; nine of ten are."""

WRITE_OCTETS: Final = 64 << 10
"""Least worth a job of its own before the end."""

GROUPED_OCTETS: Final = 512 << 10
"""A larger message is synced alone: others would wait for its octets, as they would for one that is sent on."""

CHUNKS_LIMIT: Final = 256
"""In memory before they are joined: a peer may send octet by octet, and every object costs more than it holds."""

HELD_LIMIT_OCTETS: Final = 256 << 10
"""In memory, unwritten, before the session has to stop reading."""

_STORE_TROUBLE: Final = EnhancedStatus(4, 3, 0)


class Receiver(Protocol):
    """The session's side of an intake; called in the loop."""

    def has_room(self) -> None:
        """Reading may go on."""
        ...

    def answered(self, lines: Sequence[bytes], *, is_last: bool) -> None:
        """Send these replies, the next ones in RCPT order; with ``is_last`` the transaction is over."""
        ...


class IntakeHouse(Protocol):
    """The server's side of an intake; called in the loop."""

    @property
    def agent(self) -> DeliveryAgent:
        """Where messages go."""
        ...

    @property
    def offload(self) -> Offload:
        """Where they go there."""
        ...

    @property
    def commits(self) -> Together[Wait]:
        """Where the ends of messages are worked off together."""
        ...

    @property
    def max_message_octets(self) -> int:
        """Largest message."""
        ...

    def intake_began(self, intake: "Intake") -> None:
        """Own this delivery until it is over."""
        ...

    def intake_ended(self, intake: "Intake", mailboxes: Sequence[MailboxId]) -> None:
        """Let go: no thread works on it any more; the slots of these mailboxes are free."""
        ...

    def filed(self, places: Sequence[Filed]) -> None:
        """Note where a message lies now."""
        ...

    def store_answered(self, *, is_unavailable: bool) -> None:
        """Note whether the store could keep a message."""
        ...


class Intake:
    """Takes the octets of one message and gives one reply per recipient."""

    def __init__(
        self, house: IntakeHouse, envelope: Envelope, receiver: Receiver, *, mailboxes: Sequence[MailboxId] = ()
    ) -> None:
        self.envelope: Final = envelope
        self.octets = 0
        """Of the message, taken so far."""

        self._house = house
        self._receiver: Receiver | None = receiver
        self._mailboxes = mailboxes
        self._loop = asyncio.get_running_loop()
        self._incoming: IncomingMessage | None = None
        self._chunks: list[bytes] = []
        self._held_octets = 0
        self._is_at_work = False
        """Whether a thread has a job of this message; it has one at a time."""

        self._error: BaseException | None = None
        self._has_ended = False
        self._is_over = False
        self._is_unwanted = False
        self._answered = 0
        self._passed_on = 0
        """Results that :meth:`_pass_on` has seen."""

        self._reports: deque[DeliveryResult] = deque()
        house.intake_began(self)

    @property
    def is_too_big(self) -> bool:
        """Whether the message has passed the limit."""
        return isinstance(self._error, MessageTooLarge)

    def take(self, chunk: bytes) -> bool:
        """Take octets of the message; false when the session shall stop reading until ``has_room``."""
        self.octets += len(chunk)
        if self._error is not None:
            return True
        limit = self._house.max_message_octets
        if self.octets > limit:
            self._fail_with(MessageTooLarge(limit_octets=limit))
            return True
        self._chunks.append(chunk)
        if len(self._chunks) > CHUNKS_LIMIT:
            self._chunks = [b"".join(self._chunks)]
        self._held_octets += len(chunk)
        if not self._is_at_work and self.octets > INLINE_LIMIT_OCTETS and self._held_octets >= WRITE_OCTETS:
            self._begin_writing()
        return self._held_octets < HELD_LIMIT_OCTETS

    def end(self) -> None:
        """The end of the message was seen: from now on it is delivered, whatever becomes of the connection."""
        self._has_ended = True
        if not self._is_at_work:
            self._begin_commit()

    def abandon(self) -> None:
        """The session goes away: what has not ended is discarded, what has ended is delivered without an audience."""
        self._receiver = None
        if self._has_ended or self._is_over:
            return
        self._chunks.clear()
        self._is_unwanted = True
        if not self._is_at_work:
            self._begin_abort()

    def expire(self) -> None:
        """The deadline has passed: answer 451 for every recipient without a result.

        A job that no thread has taken yet does nothing then; one that has begun goes on, and its results are logged.
        """
        self._is_unwanted = True
        missing = len(self.envelope.recipients) - self._answered
        log.warning("lmtp.delivery_late", session=self.envelope.client.session_id, recipients=missing)
        self._answer([replies.TOO_SLOW] * missing)

    def _fail_with(self, error: BaseException) -> None:
        self._error = error
        self._chunks.clear()
        self._held_octets = 0

    # Writing while the message arrives.

    def _begin_writing(self) -> None:
        chunks, self._chunks = self._chunks, []
        try:
            job = self._house.offload.submit(self._write, chunks)
        except MsgstoreError as error:
            self._fail_with(error)
            return
        self._is_at_work = True
        job.add_done_callback(self._wrote)

    def _write(self, chunks: list[bytes]) -> int:
        """In a worker thread: append, and say how many octets."""
        incoming = self._incoming
        if incoming is None:
            incoming = self._incoming = self._house.agent.open(self.envelope)
        octets = 0
        for chunk in chunks:
            incoming.write(chunk)
            octets += len(chunk)
        return octets

    def _wrote(self, job: asyncio.Future[int]) -> None:
        self._is_at_work = False
        error = job.exception()
        if error is not None:
            self._fail_with(error)
        elif self._error is None:
            self._held_octets -= job.result()
        if self._has_ended:
            self._begin_commit()
        elif self._is_unwanted:
            self._begin_abort()
        else:
            if self._held_octets >= WRITE_OCTETS:
                self._begin_writing()
            if self._receiver is not None and self._held_octets < HELD_LIMIT_OCTETS:
                self._receiver.has_room()

    def _begin_abort(self) -> None:
        incoming = self._incoming
        if incoming is None:
            self._finish()
            return
        try:
            self._house.offload.submit(incoming.abort).add_done_callback(self._aborted)
        except MsgstoreError:
            # No thread is free to tidy up, so the loop does it: closing an unnamed file frees its space.
            incoming.abort()
            self._finish()

    def _aborted(self, job: asyncio.Future[None]) -> None:
        error = job.exception()
        if error is not None:
            log.error("lmtp.abort_failed", error=error, session=self.envelope.client.session_id)
        self._finish()

    # The end.

    def _begin_commit(self) -> None:
        try:
            commits = self._house.commits
            is_slow = self.octets > GROUPED_OCTETS or any(
                one.may_wait or (one.forward is not None and one.forward.remote) for one in self.envelope.recipients
            )
            submit = commits.submit_alone if is_slow else commits.submit
            self._is_at_work = True
            submit(self._commit, self._committed)
        except MsgstoreError as error:
            self._is_at_work = False
            log.warning("lmtp.delivery_not_begun", session=self.envelope.client.session_id, reason=str(error))
            self._answer([replies.error_reply(error)] * len(self.envelope.recipients))
            self._begin_abort()

    def _commit(self) -> Generator[Wait, None, tuple[DeliveryResult, ...] | None]:
        """In a worker thread: write what is left, deliver; None when nobody wants it any more."""
        if self._is_unwanted:
            if self._incoming is not None:
                self._incoming.abort()
            return None
        incoming = self._incoming
        if incoming is None:
            incoming = self._incoming = self._house.agent.open(self.envelope)
        try:
            error = self._error
            if error is None:
                try:
                    for chunk in self._chunks:
                        incoming.write(chunk)
                except MsgstoreError as trouble:
                    error = self._error = trouble
            self._chunks = []
            if error is not None:
                return incoming.fail(error)
            return (yield from self._reporting(incoming))
        except BaseException:
            incoming.abort()
            raise

    def _reporting(self, incoming: IncomingMessage) -> Generator[Wait, None, tuple[DeliveryResult, ...]]:
        """In a worker thread: deliver, and hand over the results there are whenever the others have to wait."""
        steps = incoming.commit_in_steps(self._reports.append)
        while True:
            try:
                wait = next(steps)
            except StopIteration as end:
                results: tuple[DeliveryResult, ...] = end.value
                return results
            if self._reports:
                self._loop.call_soon_threadsafe(self._pass_on)
            yield wait

    def _pass_on(self) -> None:
        lines: list[bytes] = []
        while self._reports:
            result = self._reports.popleft()
            self._passed_on += 1
            self._house.filed(result.filed)
            lines.append(self._line(result))
        self._answer(lines)

    def _committed(self, found: tuple[DeliveryResult, ...] | None, error: BaseException | None) -> None:
        self._is_at_work = False
        wanted = len(self.envelope.recipients)
        results = () if error is not None else found or ()
        if error is not None:
            log.error("lmtp.delivery_crashed", error=error, session=self.envelope.client.session_id)
        elif len(results) != wanted and not self._is_unwanted:
            log.error("lmtp.results_missing", session=self.envelope.client.session_id, results=len(results))
        self._note_health(error or self._error, results)
        for result in results[self._passed_on :]:
            self._house.filed(result.filed)
        lines = [self._line(result) for result in results[self._answered : wanted]]
        self._answer(lines)
        self._answer([replies.error_reply(error) if error else replies.INTERNAL] * (wanted - self._answered))
        self._finish()

    def _note_health(self, error: BaseException | None, results: Sequence[DeliveryResult]) -> None:
        if error is None and results and results[0].is_success:
            self._house.store_answered(is_unavailable=False)
            return
        is_unavailable = isinstance(error, StoreUnavailable) or (
            bool(results) and all(one.outcome is Outcome.FAILED and one.status == _STORE_TROUBLE for one in results)
        )
        if is_unavailable or any(one.is_success for one in results):
            self._house.store_answered(is_unavailable=is_unavailable)

    def _line(self, result: DeliveryResult) -> bytes:
        return replies.result_reply(result, utf8=self.envelope.smtputf8)

    def _answer(self, lines: Sequence[bytes]) -> None:
        """Pass replies on; counted also when nobody listens any more, so the count of RCPT stays exact."""
        if not lines:
            return
        self._answered += len(lines)
        is_last = self._answered >= len(self.envelope.recipients)
        receiver = self._receiver
        if is_last:
            self._receiver = None
        if receiver is not None:
            receiver.answered(lines, is_last=is_last)

    def _finish(self) -> None:
        self._is_over = True
        self._house.intake_ended(self, self._mailboxes)
