# ruff: noqa: N802 - the names of commands are aiosmtpd's
"""One LMTP connection; the only door to aiosmtpd.

The session is an :class:`aiosmtpd.lmtp.LMTP`: its session and envelope objects, its ``smtp_*`` methods as commands and
its constructor are aiosmtpd's.  The reading of the wire is our own, because the stock loop costs a task, a timer and
several log calls a line, reads DATA line by line and cancels a delivery when the peer leaves.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, cast

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import Envelope as Conversation
from aiosmtpd.smtp import Session as Peer

from lmtpd import replies
from lmtpd.commands import CommandFault, parse_attributes, parse_bdat, parse_mail, parse_rcpt
from lmtpd.content import ContentGate
from lmtpd.gate import Hold
from lmtpd.house import House
from lmtpd.transaction import XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES, Transaction
from lmtpd.transparency import CountDecoder, DotDecoder
from msgstore.model.envelope import BodyType, Recipient
from msgstore.model.errors import DirectoryUnavailable, KeyUnreadable, KeyUnusable, MsgstoreError, Overloaded
from msgstore.telemetry.log import logger

__all__ = ["LmtpSession"]

log = logger(__name__)

_NOT_OFFERED: Final = frozenset({b"AUTH", b"EXPN", b"STARTTLS"})
"""Known and never done here: who may connect is a matter of the socket.  HELO and EHLO are unknown to LMTP."""


class LmtpSession(ContentGate, LMTP):
    """Speaks LMTP with one peer.  Everything runs in the event loop. RFC 2033, RFC 2034, RFC 1870, RFC 3030."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        # Without a host name every connection would ask the resolver, and block.
        LMTP.__init__(self, house, data_size_limit=None, enable_SMTPUTF8=True, hostname=house.hostname, loop=loop)
        ContentGate.__init__(self, house, house.next_session_id())

    def __dir__(self) -> Iterable[str]:
        # The constructor of the base looks at every attribute of every new object; these are the commands.
        return _COMMANDS_BY_NAME

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet.  The greeting is never a refusal: an MTA would hold all mail for this destination back."""
        self._wire = self.transport = cast("asyncio.Transport", transport)
        self.session = Peer(self.loop)
        self.envelope = Conversation()
        self.session.peer = transport.get_extra_info("peername")
        self._statement = self._house.statement_about(transport)
        self._house.session_began(self)
        self._send(self._house.greeting)
        self._flush()
        if self._is_draining or self._house.is_draining:
            self.drain()

    def connection_lost(  # pyright: ignore[reportIncompatibleMethodOverride]  # its two bases call the argument differently
        self, error: Exception | None
    ) -> None:
        """Forget the peer; a message whose end was seen is delivered all the same."""
        self._is_closing = True
        self.transport = None
        self._wire = None
        self._input, self._at = b"", 0
        self._reset()
        self._house.session_ended(self, error)

    async def push(self, status: str | bytes) -> None:
        """Send one reply line, as the base promises to subclasses and hooks."""
        self._send((status.encode("utf-8", "replace") if isinstance(status, str) else status) + b"\r\n")

    async def handle_exception(self, error: Exception) -> str:
        """Answer a fault of ours: temporary, and silent about what it was."""
        log.error("lmtp.command_crashed", error=error, session=self.id)
        return replies.INTERNAL.decode("ascii").rstrip()

    # What the server calls.

    @property
    def is_idle(self) -> bool:
        """Whether neither a message is arriving nor an answer is due."""
        return self._decoder is None and not self._is_waiting

    @property
    def is_delivering(self) -> bool:
        """Whether the end of a message was seen and replies for it are due."""
        return self._is_waiting and self._intake is not None

    def drain(self) -> None:
        """Take no new transaction: say 421 now, or after what is going on."""
        self._is_draining = True
        if self.is_idle:
            self._say_goodbye(replies.SHUTDOWN)

    def abort(self) -> None:
        """Cut the connection."""
        if self._wire is not None:
            self._wire.abort()

    def check(self, now: float) -> None:
        """Act on a deadline that has passed; called every now and then."""
        if (self._is_closing or self._holds & Hold.OUTPUT) and self.pace.is_silent(now):
            # What we said is still unread: a farewell would be as well, and would hold the connection for ever.
            self._house.counters.count("idle")
            self.abort()
        if self._is_closing:
            return
        if self._is_waiting:
            if self._intake is not None and self.pace.has_expired(now):
                self._intake.expire()
        elif self._holds == Hold.NONE and self.pace.is_too_slow(now, in_data=self._decoder is not None):
            self._house.counters.count("idle")
            self._say_goodbye(replies.IDLE)

    def _obey(self, line: bytes) -> None:
        if b"\r" in line or b"\0" in line:
            self._refuse(replies.BAD_OCTETS)
            return
        verb, _, argument = line.partition(b" ")
        command = _COMMANDS.get(verb) or _COMMANDS.get(verb.upper())
        if command is None:
            self._refuse(replies.NOT_IMPLEMENTED if verb.upper() in _NOT_OFFERED else replies.UNKNOWN)
            return
        try:
            # Undecodable octets become surrogates, which no address and no parameter may hold.
            self._drive(command(self, argument.decode("utf-8", "surrogateescape").strip(" \t")))
        except CommandFault as fault:
            self._refuse(fault.line)
        # The connection loop: a fault of ours is a 451, never the end of the connection.
        except Exception as error:  # noqa: BLE001
            self._drive(self._answer_exception(error))

    async def _answer_exception(self, error: Exception) -> None:
        await self.push(await self.handle_exception(error))

    @staticmethod
    def _drive(command: Coroutine[Any, Any, None]) -> None:
        """Run a command to its end at once.

        Commands are coroutines because those of the base are; none of them waits.  One that has to wait begins a job
        and closes the gate.
        """
        try:
            command.send(None)
        except StopIteration:
            return
        command.close()
        raise RuntimeError("a command must not wait")

    # The transaction.

    async def smtp_LHLO(self, arg: str) -> None:
        """RFC 2033 §4.1."""
        if not arg:
            raise CommandFault(replies.BAD_ARGUMENTS)
        self._reset()
        self._lhlo = arg[:255]
        self._send(self._house.lhlo_for(is_trusted=self._statement.is_trusted))

    async def smtp_MAIL(self, arg: str) -> None:
        """RFC 5321 §4.1.1.2."""
        if self._lhlo is None:
            raise CommandFault(replies.SEND_LHLO)
        if self._transaction is not None:
            raise CommandFault(replies.NESTED_MAIL)
        mail = parse_mail(arg, trusted=self._statement.is_trusted)
        if mail.declared_octets is not None and mail.declared_octets > self._house.settings.max_message_octets:
            self._refuse(replies.TOO_BIG, is_counted=False)
            return
        refusal = self._house.refusal()
        if refusal is not None:
            self._send(refusal)
            return
        self._transaction = Transaction(mail, self._house.now())
        self._send(replies.MAIL_OK)

    async def smtp_RCPT(self, arg: str) -> None:
        """RFC 5321 §4.1.1.3: from memory when the agent can, else in a worker thread."""
        transaction = self._needed_transaction()
        if self._intake is not None:
            raise CommandFault(replies.CHUNKS_BEGUN)
        if len(transaction.recipients) >= self._house.settings.max_recipients:
            self._send(replies.TOO_MANY_RECIPIENTS)
            return
        command = parse_rcpt(arg, utf8=transaction.mail.smtputf8, trusted=self._statement.is_trusted)
        try:
            recipient = self._house.agent.recall(
                command.forward_path,
                orcpt=command.orcpt,
                notify=command.notify,
                ignores_quota=command.ignores_quota,
            )
            if recipient is None:
                job = self._house.offload.submit(self._house.lookup, command, transaction.mail.declared_octets)
                self._wait()
                job.add_done_callback(lambda done: self._looked_up(transaction, done))
                return
        except MsgstoreError as error:
            self._refuse_recipient(error)
            return
        self._admit(transaction, recipient)

    def _looked_up(self, transaction: Transaction, job: "asyncio.Future[Recipient]") -> None:
        error = job.exception()
        if self._transaction is transaction:
            if error is None:
                self._admit(transaction, job.result())
                if self._slot_wait is not None:
                    self._flush()
                    return
            else:
                if not isinstance(error, MsgstoreError):
                    log.error("lmtp.lookup_crashed", error=error, session=self.id)
                self._refuse_recipient(error)
        self._reopen()

    def _refuse_recipient(self, error: BaseException) -> None:
        if isinstance(error, DirectoryUnavailable | KeyUnreadable | KeyUnusable):
            # The sender is told to wait; only the site can mend it, and must know.
            log.error("lmtp.lookup_failed", error=error, session=self.id)
        elif isinstance(error, Overloaded):
            self._house.counters.count("overloaded")
        line = replies.error_reply(error)
        self._refuse(line, is_counted=not line.startswith((b"550", b"552")))

    def _admit(self, transaction: Transaction, recipient: Recipient) -> None:
        """Answer a recipient that exists, as soon as its mailbox has a slot."""
        mailbox = recipient.mailbox
        if mailbox not in transaction.mailboxes:
            if transaction.mailboxes and transaction.mail.encryption is not None:
                # It is sealed with the key of one of them, and nobody else could read it.
                self._send(replies.SEALED_FOR_ONE)
                return
            if not self._house.slots.take(mailbox):
                wait = self._slot_wait = self._house.slots.wait(mailbox)
                self._wait()
                wait.add_done_callback(lambda done: self._got_slot(transaction, recipient, done))
                return
            transaction.mailboxes.add(mailbox)
        transaction.recipients.append(recipient)
        self._send(replies.RCPT_OK)

    def _got_slot(self, transaction: Transaction, recipient: Recipient, wait: "asyncio.Future[bool]") -> None:
        if wait.cancelled():
            return
        if self._transaction is not transaction:
            # The peer left in the very moment that the slot came free.
            if wait.result():
                self._house.slots.release(recipient.mailbox)
            return
        self._slot_wait = None
        if wait.result():
            transaction.mailboxes.add(recipient.mailbox)
            transaction.recipients.append(recipient)
            self._send(replies.RCPT_OK)
        else:
            self._send(replies.MAILBOX_BUSY)
        self._reopen()

    def _needed_transaction(self) -> Transaction:
        if self._lhlo is None:
            raise CommandFault(replies.SEND_LHLO)
        if self._transaction is None:
            raise CommandFault(replies.NEED_MAIL)
        if self._transaction.has_failed:
            raise CommandFault(replies.SEND_RSET)
        return self._transaction

    async def smtp_DATA(self, arg: str) -> None:
        """RFC 5321 §4.1.1.4, RFC 2033 §4.2."""
        transaction = self._needed_transaction()
        if arg:
            raise CommandFault(replies.BAD_ARGUMENTS)
        if self._intake is not None:
            raise CommandFault(replies.CHUNKS_BEGUN)
        if not transaction.recipients:
            raise CommandFault(replies.NO_RECIPIENTS)
        if transaction.mail.body_type is BodyType.BINARY_MIME:
            raise CommandFault(replies.NEEDS_BDAT)
        self._intake = self._begin_intake(transaction)
        self._decoder = DotDecoder()
        self.pace.message_began(self._house.clock())
        self._send(replies.DATA_GO)

    async def smtp_BDAT(self, arg: str) -> None:
        """RFC 3030 §2; whatever is wrong, the octets of the chunk are never taken for commands."""
        try:
            octets, self._chunk_is_last = parse_bdat(arg)
        except CommandFault as fault:
            # Where the chunk ends is unknown, so nothing behind it can be trusted to be a command.
            self._refuse(fault.line)
            self._close()
            return
        self._chunk_refusal = self._refusal_of_chunk()
        if self._chunk_refusal is None and self._intake is None and self._transaction is not None:
            self._intake = self._begin_intake(self._transaction)
        self._decoder = CountDecoder(octets)
        self.pace.message_began(self._house.clock())
        if self._decoder.is_finished:
            self._chunk_ended()

    async def smtp_RSET(self, arg: str) -> None:
        """RFC 5321 §4.1.1.5."""
        if arg:
            raise CommandFault(replies.BAD_ARGUMENTS)
        self._reset()
        self._send(replies.DONE)

    async def smtp_NOOP(self, _arg: str) -> None:
        """RFC 5321 §4.1.1.9."""
        self._send(replies.DONE)

    async def smtp_VRFY(self, arg: str) -> None:
        """RFC 5321 §4.1.1.6; who exists is told to nobody here."""
        if not arg:
            raise CommandFault(replies.BAD_ARGUMENTS)
        self._send(replies.VRFY)

    async def smtp_QUIT(self, arg: str) -> None:
        """RFC 5321 §4.1.1.10."""
        if arg:
            raise CommandFault(replies.BAD_ARGUMENTS)
        self._say_goodbye(replies.BYE)

    async def smtp_XCLIENT(self, arg: str) -> None:
        """What a trusted proxy knows of its client; the conversation begins anew, as with Postfix and Dovecot."""
        self._needs_trust()
        attributes = parse_attributes(arg, XCLIENT_ATTRIBUTES)
        self._statement = self._statement.with_client(attributes)
        self._lhlo = None
        self._send(self._house.greeting)

    async def smtp_XFORWARD(self, arg: str) -> None:
        """What a trusted MTA knows of the client of the next message; forgotten with the transaction."""
        self._needs_trust()
        self._statement = self._statement.with_forward(parse_attributes(arg, XFORWARD_ATTRIBUTES))
        self._send(replies.DONE)

    def _needs_trust(self) -> None:
        if not self._statement.is_trusted:
            raise CommandFault(replies.NOT_TRUSTED)
        if self._transaction is not None:
            raise CommandFault(replies.IN_TRANSACTION)


_COMMANDS_BY_NAME: Final = tuple(name for name in vars(LmtpSession) if name.startswith("smtp_"))
_COMMANDS: Final[dict[bytes, Callable[[LmtpSession, str], Coroutine[Any, Any, None]]]] = {
    name.removeprefix("smtp_").encode("ascii"): getattr(LmtpSession, name) for name in _COMMANDS_BY_NAME
}
