"""What a session does with content: DATA and BDAT into an intake, and the intake's replies out again."""

import asyncio
from collections.abc import Sequence

from lmtpd import replies
from lmtpd.gate import Gate, Hold
from lmtpd.house import House
from lmtpd.intake import Intake
from lmtpd.transaction import Statement, Transaction
from lmtpd.transparency import CountDecoder, DotDecoder

__all__ = ["ContentGate"]


class ContentGate(Gate):
    """A gate that knows transactions; the receiver of their intakes."""

    def __init__(self, house: House, session_id: str) -> None:
        super().__init__(house, session_id)
        self._lhlo: str | None = None
        self._statement = Statement()
        self._transaction: Transaction | None = None
        self._intake: Intake | None = None
        self._slot_wait: asyncio.Future[bool] | None = None
        self._chunk_refusal: bytes | None = None
        self._chunk_is_last = False

    # The intake's receiver.

    def answered(self, lines: Sequence[bytes], *, is_last: bool) -> None:
        """Send replies of a delivery."""
        for line in lines:
            self._send(line)
        if is_last:
            self._intake = None
            self._reset()
            self._reopen()
        else:
            self._flush()

    def _reset(self) -> None:
        """Forget the transaction, not the peer."""
        self._decoder = None
        self._chunk_refusal = None
        if self._slot_wait is not None:
            self._slot_wait.cancel()
            self._slot_wait = None
        intake, self._intake = self._intake, None
        transaction, self._transaction = self._transaction, None
        self._statement = self._statement.without_forward()
        if intake is not None:
            intake.abandon()
        elif transaction is not None and not transaction.is_handed_over:
            for mailbox in transaction.mailboxes:
                self._house.slots.release(mailbox)
        self._release(Hold.MESSAGE)

    def _refusal_of_chunk(self) -> bytes | None:
        if self._lhlo is None:
            return replies.SEND_LHLO
        transaction = self._transaction
        if transaction is not None and transaction.has_failed:
            return replies.SEND_RSET
        if transaction is None or not transaction.recipients:
            # RFC 2033 §4.3: after LAST one reply for each accepted recipient, and there is none.
            return b"" if self._chunk_is_last else replies.NO_RECIPIENTS
        return None

    def _begin_intake(self, transaction: Transaction) -> Intake:
        transaction.is_handed_over = True
        envelope = transaction.envelope(self._statement, lhlo=self._lhlo or "", session_id=self.id)
        return Intake(self._house, envelope, self, mailboxes=tuple(transaction.mailboxes))

    def _take_content(self, decoder: DotDecoder | CountDecoder) -> None:
        octets = self._input[self._at : self._at + decoder.reach]
        text = decoder.feed(octets)
        self._at += len(octets) - len(decoder.rest)
        is_wanted = self._intake is not None and self._chunk_refusal is None
        if text and is_wanted and self._intake is not None and not self._intake.take(text):
            self._hold(Hold.MESSAGE)
        if decoder.is_finished:
            self._count_oddities(decoder)
            if isinstance(decoder, CountDecoder):
                self._chunk_ended()
            else:
                self._message_ended()

    def _count_oddities(self, decoder: DotDecoder | CountDecoder) -> None:
        if decoder.has_nul:
            self._house.counters.count("nul")
        if decoder.has_bare_lf:
            self._house.counters.count("bare_lf")

    def _chunk_ended(self) -> None:
        self._decoder = None
        refusal, self._chunk_refusal = self._chunk_refusal, None
        if refusal is not None:
            if refusal:
                self._refuse(refusal)
            elif self._chunk_is_last:
                self._reset()
        elif self._chunk_is_last:
            self._message_ended()
        elif self._intake is not None and self._intake.is_too_big:
            assert self._transaction is not None
            self._transaction.has_failed = True
            intake, self._intake = self._intake, None
            intake.abandon()
            self._refuse(replies.TOO_BIG, is_counted=False)
        else:
            self._send(replies.CHUNK_OK)

    def _message_ended(self) -> None:
        assert self._intake is not None
        self._decoder = None
        self._wait()
        self.pace.delivery_began(self._house.clock())
        self._intake.end()
