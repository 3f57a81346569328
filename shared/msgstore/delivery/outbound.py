"""Handing mail to the suite's own SMTP server, which queues it and sends it on.

A client of its own rather than the standard library's: a message goes out in pieces and is never whole in memory, and
one deadline holds for everything, where the library's begins anew with every octet a slow server sends.

Every submission has connections of its own: nothing is shared between threads, and no connection that a server
closed meanwhile is ever found out by a message.  The server may be one that takes one recipient at a time (452
4.5.3); then one connection is opened for each, and no message is sent before all recipients are accepted.  Only what
goes wrong after that, behind the end of the first of several messages, can leave some recipients served: then the
whole is said to have failed, and trying again serves them twice.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NoReturn, Self

from msgstore.delivery.smtp import CodeReply, DataEncoder, ReplyReader, keywords_of
from msgstore.model.address import Address, fold_domain
from msgstore.model.envelope import BodyType
from msgstore.model.errors import InvalidAddress, OutboundRefused, OutboundUnavailable
from msgstore.model.interfaces import Submission
from msgstore.model.result import EnhancedStatus
from msgstore.model.submission import SubmissionRecipient
from msgstore.telemetry.log import logger

__all__ = ["NoOutbound", "SmtpOutbound"]

log = logger(__name__)

_TOO_MANY: Final = EnhancedStatus(4, 5, 3)
"""Too many recipients for one transaction; the others are for the next one. RFC 5321 §4.5.3.1.10."""

_NEEDS_SMTPUTF8: Final = EnhancedStatus(5, 6, 7)
_TOO_BIG: Final = EnhancedStatus(5, 3, 4)
_REST_SECONDS: Final = 10.0
"""After a message that took all its time the next ones are answered at once for so long: a server that hangs must not
keep every worker thread from the mail that stays here."""

_RECEIVE_OCTETS: Final = 16 << 10
_FAREWELL_SECONDS: Final = 0.2


class NoOutbound:
    """Stands where no server is configured: what had to be sent on waits at its sender."""

    def submit(self, submission: Submission, message: Iterable[bytes]) -> NoReturn:
        """Refuse for now; see :class:`msgstore.model.interfaces.Outbound`."""
        del submission, message
        raise OutboundUnavailable("outbound.target is not set")


class SmtpOutbound:
    """See :class:`msgstore.model.interfaces.Outbound`; safe in every thread.

    ``target`` is ``unix:PATH`` or ``tcp:ADDRESS:PORT``, ``hostname`` what EHLO says.
    """

    def __init__(
        self,
        target: str,
        *,
        hostname: str,
        timeout_seconds: float = 60.0,
        max_connections: int = 8,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._hostname = hostname
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._places = threading.BoundedSemaphore(max_connections)
        self._rests_until = float("-inf")

    def submit(self, submission: Submission, message: Iterable[bytes]) -> None:
        """Hand a message over for all recipients or for none; see the interface."""
        began = self._monotonic()
        deadline = began + self._timeout_seconds
        if began < self._rests_until:
            raise OutboundUnavailable("the outbound server did not answer a moment ago")
        if not self._places.acquire(timeout=self._timeout_seconds / 4):
            raise OutboundUnavailable("all connections to the outbound server are in use")
        try:
            with contextlib.ExitStack() as stack:
                transactions = self._begin(submission, deadline, stack)
                answers = [one.send(message) for one in transactions]
        except (OutboundUnavailable, OutboundRefused) as error:
            if self._monotonic() >= deadline:
                self._rests_until = self._monotonic() + _REST_SECONDS
            log.warning(
                "outbound.refused" if isinstance(error, OutboundRefused) else "outbound.unavailable",
                reverse_path=str(submission.reverse_path or "<>"),
                recipients=len(submission.recipients),
                status=str(error.status),
                why=str(error),
            )
            raise
        finally:
            self._places.release()
        log.info(
            "outbound.submitted",
            reverse_path=str(submission.reverse_path or "<>"),
            recipients=",".join(str(one.address) for one in submission.recipients),
            transactions=len(transactions),
            seconds=round(self._monotonic() - began, 6),
            said=str(answers[-1]),
        )

    def probe(self) -> str:
        """Connect, greet and take leave, and give what the server says to EHLO; no mail is handed over.

        Raises:
            OutboundUnavailable: it cannot be reached, or does not greet.
        """
        with _Transaction(self._target, self._monotonic() + self._timeout_seconds, self._monotonic) as one:
            return str(one.greet(self._hostname))

    def _begin(self, submission: Submission, deadline: float, stack: contextlib.ExitStack) -> "list[_Transaction]":
        """Open as many transactions as the server needs to accept every recipient."""
        transactions: list[_Transaction] = []
        waiting: Sequence[SubmissionRecipient] = submission.recipients
        while waiting:
            one = stack.enter_context(_Transaction(self._target, deadline, self._monotonic))
            one.greet(self._hostname)
            waiting = one.offer(submission, waiting)
            transactions.append(one)
        return transactions


class _Transaction:
    """One connection with one message; one thread."""

    def __init__(self, target: str, deadline: float, monotonic: Callable[[], float]) -> None:
        self._deadline = deadline
        self._monotonic = monotonic
        self._reader = ReplyReader()
        self._replies: list[CodeReply] = []
        self._keywords: Mapping[str, str] = {}
        self._is_greeted = False
        self._is_polite = False
        """Whether the server waits for a command."""

        self._socket = self._connected(target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if self._is_polite:
                # Its answer is of no use; the queue has the message, or knows that there is none.
                self._socket.settimeout(_FAREWELL_SECONDS)
                self._socket.sendall(b"QUIT\r\n")
        self._socket.close()

    def greet(self, hostname: str) -> CodeReply:
        """Hear the greeting, learn what the server offers, and give its answer."""
        self._expect(self._next_reply(), 220)
        self._write(f"EHLO {hostname}\r\n".encode("ascii", "replace"))
        answer = self._next_reply()
        self._expect(answer, 250)
        self._keywords = keywords_of(answer)
        self._is_greeted = self._is_polite = True
        return answer

    def offer(self, submission: Submission, recipients: Sequence[SubmissionRecipient]) -> Sequence[SubmissionRecipient]:
        """Name sender and recipients; give those that are for another transaction.

        Raises:
            OutboundUnavailable, OutboundRefused: one recipient or all cannot be served.
        """
        lines = [self._mail_line(submission, recipients), *map(self._rcpt_line, recipients)]
        answers: list[CodeReply] = []
        if "PIPELINING" in self._keywords:
            self._write(b"".join(lines))
            answers = [self._next_reply() for _ in lines]
        else:
            for line in lines:
                self._write(line)
                answers.append(self._next_reply())
                if answers[0].code != 250:
                    break
        self._expect(answers[0], 250)
        for index, answer in enumerate(answers[1:]):
            if index and answer.code == 452 and answer.status in (_TOO_MANY, None):
                # What a server says after it had enough does not count for those that it has not seen.
                return recipients[index:]
            self._expect(answer, 250, 251, about=recipients[index].address)
        return ()

    def send(self, message: Iterable[bytes]) -> CodeReply:
        """Send the message; on return the server answers for it."""
        self._write(b"DATA\r\n")
        self._expect(self._next_reply(), 354)
        self._is_polite = False
        encoder = DataEncoder()
        for chunk in message:
            self._write(encoder.feed(chunk))
        self._write(encoder.finish())
        answer = self._next_reply()
        self._expect(answer, 250)
        self._is_polite = True
        return answer

    def _mail_line(self, submission: Submission, recipients: Sequence[SubmissionRecipient]) -> bytes:
        offered, path = self._keywords, submission.reverse_path
        words = [f"MAIL FROM:<{'' if path is None else self._written(path)}>"]
        if "SIZE" in offered and submission.octets is not None:
            limit = offered["SIZE"].strip()
            if limit.isdigit() and 0 < int(limit) < submission.octets:
                raise OutboundRefused(f"{submission.octets} octets are more than the {limit} allowed", _TOO_BIG)
            words.append(f"SIZE={submission.octets}")
        if "8BITMIME" in offered and submission.body_type is not BodyType.SEVEN_BIT:
            words.append(f"BODY={BodyType.EIGHT_BIT_MIME.value}")
        addresses = [one.address for one in recipients] + ([] if path is None else [path])
        if submission.smtputf8 or ("SMTPUTF8" in offered and not all(one.is_ascii for one in addresses)):
            if "SMTPUTF8" not in offered:
                raise OutboundRefused("the outbound server offers no SMTPUTF8", _NEEDS_SMTPUTF8)
            words.append("SMTPUTF8")
        if "DSN" in offered:
            words += [f"RET={submission.ret}"] if submission.ret else []
            words += [f"ENVID={submission.envid}"] if submission.envid else []
        return _line(words)

    def _rcpt_line(self, recipient: SubmissionRecipient) -> bytes:
        words = [f"RCPT TO:<{self._written(recipient.address)}>"]
        if "DSN" in self._keywords:
            words += [f"NOTIFY={','.join(recipient.notify)}"] if recipient.notify else []
            if recipient.orcpt and (recipient.orcpt.isascii() or "SMTPUTF8" in self._keywords):
                words.append(f"ORCPT={recipient.orcpt}")
        return _line(words)

    def _written(self, address: Address) -> str:
        """Give an address as this server can take it: a domain has a form in ASCII, a local-part has none."""
        if address.is_ascii or "SMTPUTF8" in self._keywords:
            return str(address)
        try:
            if address.local_part.isascii() and address.domain is not None:
                return str(Address(local_part=address.local_part, domain=fold_domain(address.domain)))
        except InvalidAddress as error:
            raise OutboundRefused(f"{address} has no domain", _NEEDS_SMTPUTF8) from error
        raise OutboundRefused(f"{address} needs SMTPUTF8, which is not offered", _NEEDS_SMTPUTF8)

    def _expect(self, reply: CodeReply, *codes: int, about: Address | None = None) -> None:
        if reply.code in codes:
            return
        text = f"{about}: {reply}" if about is not None else str(reply)
        if reply.code >= 500 and self._is_greeted:
            raise OutboundRefused(text, reply.status or EnhancedStatus(5, 0, 0))
        # Before EHLO was understood nothing was said about this message, however final it sounds.
        raise OutboundUnavailable(text)

    # The socket.

    def _connected(self, target: str) -> socket.socket:
        kind, _, place = target.partition(":")
        host, _, port = place.rpartition(":")
        try:
            if kind != "unix":
                made = socket.create_connection((host.strip("[]"), int(port)), timeout=self._left())
                # Each write is a whole group of commands or a large piece: waiting for more of them only costs time.
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return made
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise OutboundUnavailable(f"{target}: {error}") from error
        try:
            made.settimeout(self._left())
            made.connect(place)
        except OSError as error:
            made.close()
            raise OutboundUnavailable(f"{target}: {error}") from error
        except BaseException:
            made.close()
            raise
        return made

    def _left(self) -> float:
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise OutboundUnavailable("handing the message over takes too long")
        return left

    def _write(self, octets: bytes) -> None:
        if not octets:
            return
        self._socket.settimeout(self._left())
        try:
            self._socket.sendall(octets)
        except OSError as error:
            self._is_polite = False
            raise OutboundUnavailable(f"the outbound server is gone: {error}") from error

    def _next_reply(self) -> CodeReply:
        while not self._replies:
            self._socket.settimeout(self._left())
            try:
                octets = self._socket.recv(_RECEIVE_OCTETS)
            except OSError as error:
                self._is_polite = False
                raise OutboundUnavailable(f"the outbound server is silent: {error}") from error
            if not octets:
                self._is_polite = False
                raise OutboundUnavailable("the outbound server closed the connection")
            self._replies += self._reader.feed(octets)
        return self._replies.pop(0)


def _line(words: Sequence[str]) -> bytes:
    octets = " ".join(words).encode("utf-8")
    # No address and no parameter can hold these; a second look is cheaper than a forged command.
    if b"\r" in octets or b"\n" in octets or b"\0" in octets:
        raise OutboundRefused("a command would hold a line end", EnhancedStatus(5, 5, 2))
    return octets + b"\r\n"
