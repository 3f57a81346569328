"""``vacation`` and ``vacation-seconds``: tell who writes that the user is away.  RFC 5230, RFC 6131.

Here it is decided whether the message may be answered at all; whether its sender was told already is for the record
of whoever carries the action out.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

from msgstore.mime.automatic import says_automatic
from msgstore.sieve.actions import Vacate, fcc_of
from msgstore.sieve.addresses import outbound_address, parse_addresses, parse_path
from msgstore.sieve.context import Context
from msgstore.sieve.message import Message, clean_text
from msgstore.sieve.registry import Arguments, Command, Extension, Kind, Positional, Tag
from msgstore.sieve.values import Bound, Template

__all__ = ["EXTENSIONS"]

_STATE: Final = "vacation"
_DAY: Final = 24 * 3600
_ROBOTS: Final = re.compile(
    r"mailer-daemon|listserv|majordomo|mailman|list-?manager|no-?reply|do-?not-?reply|bounces?|nobody|root"
    r"|owner-.*|.*-owner|.*-request|.*-relay|.*-bounces?|bounces?[-+=].*|prvs=.*|srs[01][=+-].*|.*-errors",
    re.IGNORECASE,
)
"""Local-parts that no person reads. RFC 5230 §4.6, RFC 3834 §2."""

_LIST_FIELDS: Final = [
    "list-id",
    "list-help",
    "list-subscribe",
    "list-unsubscribe",
    "list-post",
    "list-owner",
    "list-archive",
]
_RECIPIENT_FIELDS: Final = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,500}>")


def _vacation(context: Context, arguments: Arguments) -> None:
    if _STATE in context.result.state:
        raise context.fail("vacation stands there twice", arguments.line)
    context.result.state[_STATE] = True
    for action in context.actions:
        if type(action).__name__ in ("Reject", "Ereject"):
            raise context.fail(f"vacation cannot stand beside {type(action).__name__.lower()}", arguments.line)
    own = context.own_addresses | {
        address.lower() for text in arguments.texts("addresses") if (address := outbound_address(text))
    }
    sender = arguments.text("from") if arguments.has("from") else None
    if sender is not None and not _is_mailbox_list(sender):
        raise context.fail(f"{sender[:60]!r} is no address to reply from", arguments.line)
    matched, why = _reason_to_be_silent(context, own)
    if why:
        context.note(f"no vacation reply: {why}", arguments.line)
        return
    context.add(_action(context, arguments, sender, matched))


def _reason_to_be_silent(context: Context, own: frozenset[str]) -> tuple[str, str]:
    """Give the own address that the message names, and why it is not answered; ``""`` where it may be."""
    why = _wrong_sender(context, own) or _wrong_kind(context.original)
    if why:
        return "", why
    for name in _RECIPIENT_FIELDS:
        for address in context.original.addresses(name):
            if address.text.lower() in own:
                return address.text, ""
    return "", "it does not name the user as a recipient"


def _wrong_sender(context: Context, own: frozenset[str]) -> str:
    path = parse_path(context.envelope.reverse_path or "")
    if path is None or not path.local_part or not path.domain:
        return "there is nobody to answer"
    if path.text.lower() in own:
        return "it comes from the user"
    return "its sender is a program" if _ROBOTS.fullmatch(path.local_part) else ""


def _wrong_kind(message: Message) -> str:
    if any(message.raw_values(name) for name in _LIST_FIELDS):
        return "it comes from a list"
    if any(map(says_automatic, message.raw_values("auto-submitted"))):
        return "it was sent by a program"
    if any(_first_word(value) in ("bulk", "list", "junk") for value in message.values("precedence")):
        return "it is bulk mail"
    for value in message.values("x-auto-response-suppress"):
        if {word.strip().lower() for word in value.split(",")} & {"all", "oof", "autoreply"}:
            return "its sender wants no automatic answer"
    return ""


def _first_word(value: str) -> str:
    return re.split(r"[;\s(]", value.strip().lower(), maxsplit=1)[0]


def _action(context: Context, arguments: Arguments, sender: str | None, own: str) -> Vacate:
    message = context.original
    path = parse_path(context.envelope.reverse_path or "")
    assert path is not None
    subjects = message.values("subject")
    subject = arguments.text("subject", f"Auto: {subjects[0]}" if subjects else "Automated reply")
    ids = [found[0] for value in message.values("message-id")[:1] for found in _MESSAGE_ID.finditer(value)]
    past = [
        found[0]
        for name in ("references", "in-reply-to")
        for value in message.values(name)[:1]
        for found in _MESSAGE_ID.finditer(value)
    ]
    fcc = fcc_of(arguments.effects())
    action = Vacate(
        line=arguments.line,
        script=context.script,
        to=path.text,
        sender=sender,
        subject=clean_text(subject, one_line=True),
        reason=clean_text(arguments.text("reason")),
        is_mime=arguments.has("mime"),
        handle=_handle(arguments.bound),
        seconds=_seconds(context, arguments),
        own_address=own,
        in_reply_to=ids[0] if ids else None,
        references=tuple(dict.fromkeys((*past[-20:], *ids[:1]))),
    )
    return action if fcc is None else replace(action, fcc=fcc)


def _seconds(context: Context, arguments: Arguments) -> int:
    limits = context.limits
    most = limits.vacation_days_max * _DAY
    if arguments.has("seconds"):
        return min(max(arguments.number("seconds"), limits.vacation_seconds_min), most)
    days = arguments.number("days", limits.vacation_days_default)
    return min(max(days, limits.vacation_days_min) * _DAY, most)


def _handle(bound: Bound) -> str:
    """Name the response, before variables are put in; counted, so that no two arguments run together. RFC 5230 §4.2."""
    values: Mapping[str, object] = bound.values
    names = ("handle",) if "handle" in values else ("subject", "from", "mime", "reason")
    digest = sha256()
    for name in names:
        value = values.get(name)
        text = value.source if isinstance(value, Template) else "" if value is None else str(value)
        octets = text.encode("utf-8", "surrogatepass")
        digest.update(f"{name}:{len(octets)}:".encode() + octets)
    return digest.hexdigest()


def _is_mailbox_list(text: str) -> bool:
    if any(character < " " or character == "\x7f" for character in text):
        return False
    found = parse_addresses(text)
    return bool(found) and all(address.local_part is not None for address in found)


def _check_from(text: str) -> str:
    return "" if _is_mailbox_list(text) else f"{text[:60]!r} is no address to reply from"


def _check_mime(bound: Bound) -> str:
    reason = bound.values["reason"]
    if "mime" not in bound.values or not isinstance(reason, str):
        return ""
    header = re.split(r"\r\n\r\n", reason, maxsplit=1)[0]
    return "" if header.isascii() else "the header of a :mime reason holds characters that are not ASCII"


EXTENSIONS: Final = (
    Extension(
        capability="vacation",
        rfc="RFC 5230",
        commands=(
            Command(
                name="vacation",
                arguments=(Positional(name="reason"),),
                tags=(
                    Tag(name="days", kind=Kind.NUMBER, group="period"),
                    Tag(name="subject", kind=Kind.TEXT),
                    Tag(name="from", kind=Kind.TEXT, check=_check_from),
                    Tag(name="addresses", kind=Kind.TEXTS),
                    Tag(name="mime"),
                    Tag(name="handle", kind=Kind.TEXT),
                ),
                handler=_vacation,
                check=_check_mime,
            ),
        ),
    ),
    Extension(
        capability="vacation-seconds",
        rfc="RFC 6131",
        implies=("vacation",),
        tags={"vacation": (Tag(name="seconds", kind=Kind.NUMBER, group="period"),)},
    ),
)
