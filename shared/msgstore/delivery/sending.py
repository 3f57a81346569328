"""What scripts send: redirects, vacation replies, notifications, reports of a rejection."""

import hashlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from msgstore.delivery.arrival import Arrival, EditedPieces
from msgstore.delivery.feedback import compose_feedback
from msgstore.delivery.forwarding import REDIRECTED_FROM, Forwarder, Redirection
from msgstore.delivery.history import Kind, Mark
from msgstore.delivery.programs import SiteScripts
from msgstore.delivery.reports import Letterhead, Original, compose_notification, compose_rejection, compose_vacation
from msgstore.mime.headers import field_values
from msgstore.mime.mailto import Mailto
from msgstore.mime.words import decode_words
from msgstore.model.address import Address, parse_address
from msgstore.model.errors import InvalidAddress
from msgstore.model.interfaces import Clock, Filing, Outbound, Submission
from msgstore.sieve import Notify, Redirect, Report, Vacate

__all__ = ["Sender", "Sending"]

_LIST_LIMIT: Final = 50
"""Members of a list that mail is redirected to; a longer one is a mailing list and needs another program."""

_ORIGIN_FIELDS: Final = (b"message-id", b"date", b"from", b"subject", b"resent-message-id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One message to be handed over."""

    what: str
    """In words, for the user's log."""

    line: int
    go: Callable[[], None]
    """May raise OutboundUnavailable and OutboundRefused."""

    mark: Mark | None = None
    """What is remembered once it was sent; where it counts already nothing is sent."""

    is_needed: bool = False
    """Whether the message is kept where this is refused for good."""

    content: bytes | None = None
    """The whole message, where it is a new one."""

    copy: tuple[Iterable[bytes], Filing] | None = None
    """A copy to be filed after it was sent."""


class Sender:
    """Writes what scripts send; safe in every thread.  ``sends_on`` says whether anything takes mail for elsewhere."""

    def __init__(
        self,
        outbound: Outbound,
        forwarder: Forwarder,
        *,
        site: SiteScripts,
        clock: Clock,
        hostname: str,
        sends_on: bool,
        redirect_sender: Literal["sender", "recipient", "user"] = "sender",
        redirect_hours: float = 12.0,
    ) -> None:
        self._outbound = outbound
        self._forwarder = forwarder
        self._site = site
        self._clock = clock
        self._hostname = hostname
        self.sends_on: Final = sends_on
        self._numbers = itertools.count()
        self._redirect_sender: Final = redirect_sender
        self._redirect_seconds = redirect_hours * 3600

    def redirect(self, action: Redirect, arrival: Arrival, note: Callable[[str, int], None]) -> list[Sending]:
        """Give one sending for each address; none where the message came from this script, or there is no address."""
        mailbox = str(arrival.recipient.mailbox)
        names = field_values(arrival.content.header, REDIRECTED_FROM.lower().encode("ascii"))
        if any(decode_words(name).strip().lower() == mailbox for name in names):
            note("the message was redirected from here before: it is kept", action.line)
            return []
        written = [action.address] if action.list_name is None else self._site.members(action.list_name) or ()
        found: dict[Address, None] = {}
        for text in written:
            try:
                address = parse_address(text)
            except InvalidAddress:
                address = None
            if address is None or address.domain is None:
                note("an address of the list is none", action.line)
            else:
                found[address] = None
        if not found or len(found) > _LIST_LIMIT:
            note("there is no address to redirect to, or too many of them", action.line)
            return []
        said = Redirection(
            mailbox=mailbox,
            reverse_path=self._reverse_path(arrival),
            pieces=None if action.message is None else EditedPieces(arrival.content, action.message),
            notify=None if action.notify is None else tuple(filter(None, action.notify.upper().split(","))),
            ret=action.ret,
        )
        return [self._redirection(address, said, arrival, action.line) for address in found]

    def rejection(self, reason: str, arrival: Arrival) -> Sending | None:
        """Give the report of a refusal; None where there is nobody to tell."""
        if arrival.envelope.reverse_path is None:
            return None
        letter = compose_rejection(self._letterhead(arrival), _original(arrival), reason)
        return self._letter("the report of the refusal", 0, letter)

    def reply(
        self, action: Vacate | Notify | Report, arrival: Arrival, note: Callable[[str, int], None]
    ) -> Sending | None:
        """Give what a script says beside the mail itself; None where it cannot be said."""
        name = type(action).__name__.lower()
        if not self.sends_on:
            # Mail must not wait for ever because nobody can be told of it.
            note(f"{name}: this server sends no mail", action.line)
            return None
        try:
            match action:
                case Vacate():
                    return self._vacation(action, arrival)
                case Notify():
                    return self._notification(action, arrival)
                case Report():
                    return self._report(action, arrival)
        except (ValueError, InvalidAddress) as error:
            note(f"{name}: {error}", action.line)
            return None

    def _redirection(self, target: Address, said: Redirection, arrival: Arrival, line: int) -> Sending:
        return Sending(
            what=f"the redirect to {target}",
            line=line,
            go=lambda: self._forwarder.send_on(
                arrival.envelope,
                arrival.recipient,
                arrival.content.staged,
                trace=arrival.content.trace,
                targets=(target,),
                delivery_id=arrival.delivery_id,
                redirection=said,
            ),
            mark=Mark(
                kind=Kind.REDIRECT, handle=str(target).lower(), unique=_origin(arrival), seconds=self._redirect_seconds
            ),
            is_needed=True,
        )

    def _reverse_path(self, arrival: Arrival) -> Address | None:
        came_with = arrival.envelope.reverse_path
        mailbox = arrival.recipient.mailbox
        if came_with is None or self._redirect_sender == "sender":
            return came_with
        if self._redirect_sender == "recipient" and arrival.recipient.forward_path.domain is not None:
            return arrival.recipient.forward_path
        return Address(local_part=mailbox.local_part, domain=mailbox.domain)

    def _vacation(self, action: Vacate, arrival: Arrival) -> Sending:
        letter = compose_vacation(
            self._letterhead(arrival, action.own_address),
            _original(arrival),
            action.reason,
            subject=action.subject,
            from_=action.sender,
            is_mime=action.is_mime,
        )
        mark = Mark(kind=Kind.VACATION, handle=action.handle, unique=action.to.lower(), seconds=action.seconds)
        return self._letter("the vacation reply", action.line, letter, mark=mark)

    def _notification(self, action: Notify, arrival: Arrival) -> Sending:
        if not action.method.lower().startswith("mailto:"):
            raise ValueError("there is no such way to tell somebody")
        mailto = Mailto(
            to=tuple(map(parse_address, action.recipients)), body=action.body or None, headers=action.headers
        )
        letter = compose_notification(
            self._letterhead(arrival),
            _original(arrival),
            mailto,
            message=action.message,
            from_=action.sender,
            importance=str(action.importance),
        )
        return self._letter("the notification", action.line, letter)

    def _report(self, action: Report, arrival: Arrival) -> Sending:
        pieces = None if action.message is None else EditedPieces(arrival.content, action.message)
        original = (
            b"".join(pieces)
            if pieces is not None
            else arrival.content.header + b"\r\n" + arrival.content.message.body()
        )
        letter = compose_feedback(
            self._letterhead(arrival),
            _original(arrival),
            to=parse_address(action.address),
            feedback_type=action.feedback_type,
            text=action.text,
            content=arrival.content.header if action.headers_only else original,
            is_header=action.headers_only,
        )
        return self._letter("the report", action.line, letter)

    def _letter(self, what: str, line: int, letter: tuple[Submission, bytes], *, mark: Mark | None = None) -> Sending:
        submission, content = letter
        return Sending(
            what=what,
            line=line,
            go=lambda: self._outbound.submit(submission, (content,)),
            mark=mark,
            content=content,
        )

    def _letterhead(self, arrival: Arrival, owner: str | None = None) -> Letterhead:
        mailbox = arrival.recipient.mailbox
        address = Address(local_part=mailbox.local_part, domain=mailbox.domain)
        if owner:
            written = parse_address(owner)
            address = written if written.domain is not None else address
        return Letterhead(
            owner=address,
            at_seconds=self._clock.time(),
            unique=f"{arrival.delivery_id}.{next(self._numbers):x}",
            hostname=self._hostname,
        )


def _original(arrival: Arrival) -> Original:
    return Original(
        reverse_path=arrival.envelope.reverse_path,
        header=arrival.content.header_block,
        forward_path=arrival.recipient.forward_path,
        orcpt=arrival.recipient.orcpt,
    )


def _origin(arrival: Arrival) -> str:
    """Name a message by what its author gave it: an id alone may be one that somebody uses twice."""
    header = arrival.content.header
    digest = hashlib.blake2b(digest_size=32)
    for name in _ORIGIN_FIELDS:
        for value in field_values(header, name):
            digest.update(b"%d:%s:%d:%s" % (len(name), name, len(value), value))
    if not field_values(header, b"message-id"):
        # Two messages without an id may differ in nothing but their text.
        for piece in arrival.content.body_pieces():
            digest.update(piece)
    return digest.hexdigest()
