"""``enotify``: tell somebody that a message came, by mail.  RFC 5435, RFC 5436."""

import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from msgstore.mime.automatic import says_automatic
from msgstore.sieve.actions import Notify, fcc_of
from msgstore.sieve.addresses import outbound_address
from msgstore.sieve.context import Context
from msgstore.sieve.message import clean_text
from msgstore.sieve.questions import Asking
from msgstore.sieve.registry import Arguments, Command, Extension, Kind, Modifier, Positional, Shared, Tag, Test

__all__ = ["EXTENSIONS", "Mailto", "parse_mailto"]

_RECIPIENTS_LIMIT: Final = 10
_FORBIDDEN: Final = re.compile(
    r"(?:from|sender|date|message-id|received|return-path|auto-submitted|bcc|resent-.*|content-.*|mime-version|dkim-.*"
    r"|arc-.*|list-.*|authentication-results|in-reply-to|references)",
    re.IGNORECASE,
)
"""Fields that a URI must not set. RFC 5436 §2.4, RFC 6068 §4."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_NAME: Final = re.compile(r"[!-9;-~]{1,100}")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


class Mailto:
    """What a mailto URI says. RFC 6068."""

    def __init__(self) -> None:
        self.recipients: list[str] = []
        self.headers: list[tuple[str, str]] = []
        self.subject: str | None = None
        self.body = ""


def parse_mailto(uri: str) -> Mailto:
    """Read a mailto URI.

    Raises:
        ValueError: it is none, or names nobody.
    """
    if uri[:7].lower() != "mailto:" or re.search(r"%(?![0-9A-Fa-f]{2})|[\x00-\x20\x7f]", uri):
        raise ValueError(f"{uri[:60]!r} is no mailto URI")
    path, _, query = uri[7:].partition("?")
    found = Mailto()
    _add_recipients(found, path)
    for field in query.split("&") if query else ():
        name, equals, value = field.partition("=")
        name, text = _decoded(name).lower(), _decoded(value)
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(f"{uri[:60]!r} is no mailto URI")
        if name in ("to", "cc"):
            _add_recipients(found, value)
        elif name == "subject":
            found.subject = _CONTROLS.sub(" ", text)
        elif name == "body":
            found.body = text
        elif not _FORBIDDEN.fullmatch(name):
            found.headers.append((name, _CONTROLS.sub(" ", text)))
    if not found.recipients:
        raise ValueError(f"{uri[:60]!r} names nobody to be told")
    if len(found.recipients) > _RECIPIENTS_LIMIT:
        raise ValueError(f"more than {_RECIPIENTS_LIMIT} recipients of one notification")
    return found


def _add_recipients(found: Mailto, path: str) -> None:
    known = {address.lower() for address in found.recipients}
    for item in path.split(",") if path else ():
        address = outbound_address(_decoded(item))
        if address is None:
            raise ValueError(f"{item[:60]!r} is no address that can be told")
        if address.lower() not in known:
            known.add(address.lower())
            found.recipients.append(address)


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def _check_method(uri: str) -> str:
    try:
        parse_mailto(uri)
    except ValueError as error:
        return str(error)
    return ""


def _check_constant(uri: str) -> str:
    """A method that nobody knows is an error of the run, not of the script: it may ask before it uses it."""
    scheme, colon, _ = uri.partition(":")
    return "" if colon and _SCHEME.fullmatch(scheme) and scheme.lower() != "mailto" else _check_method(uri)


def _check_importance(text: str) -> str:
    return "" if text in ("1", "2", "3") else "the importance is 1, 2 or 3"


def _check_from(text: str) -> str:
    return "" if outbound_address(text) else f"{text[:60]!r} is no address"


def _check_option(text: str) -> str:
    name, equals, _ = text.partition("=")
    return "" if equals and _NAME.fullmatch(name) else f"{text[:60]!r} is no option: write name=value"


def _notify(context: Context, arguments: Arguments) -> None:
    uri, importance = arguments.text("method"), arguments.text("importance", "2")
    sender = arguments.text("from") if arguments.has("from") else None
    options = arguments.texts("options")
    faults = [_check_method(uri), _check_importance(importance), "" if sender is None else _check_from(sender)]
    for fault in (*faults, *map(_check_option, options)):
        if fault:
            raise context.fail(fault, arguments.line)
    mailto = parse_mailto(uri)
    if any(map(says_automatic, context.original.raw_values("auto-submitted"))):
        context.note("no notification: the message was sent by a program", arguments.line)
        return
    told = {address for action in context.actions if isinstance(action, Notify) for address in action.recipients}
    recipients = tuple(address for address in mailto.recipients if address not in told)
    if not recipients:
        context.note("no notification: all of them are told already", arguments.line)
        return
    fcc = fcc_of(arguments.effects())
    action = Notify(
        line=arguments.line,
        script=context.script,
        method=uri,
        importance=int(importance),
        sender=sender,
        options=tuple((option.partition("=")[0], option.partition("=")[2]) for option in options),
        message=_message(context, arguments, mailto)[: context.limits.notify_characters],
        recipients=recipients,
        headers=tuple(mailto.headers),
        body=mailto.body[: context.limits.notify_characters],
    )
    context.add(action if fcc is None else replace(action, fcc=fcc))


def _message(context: Context, arguments: Arguments, mailto: Mailto) -> str:
    if arguments.has("message"):
        return clean_text(arguments.text("message"), one_line=True)
    if mailto.subject is not None:
        return mailto.subject
    subjects = context.message.values("subject")
    return clean_text(subjects[0], one_line=True) if subjects else "New message"


def _valid_method(context: Context, arguments: Arguments) -> bool:
    context.spend(len(arguments.texts("uris")))
    return all(not _check_method(uri) for uri in arguments.texts("uris"))


def _method_capability(context: Context, arguments: Arguments) -> Asking[bool]:
    context.spend(1)
    is_known = not _check_method(arguments.text("uri")) and arguments.text("capability").lower() == "online"
    # Nobody knows whether mail will be read at once. RFC 5436 §2.8.
    return (yield from arguments.match(("maybe",))) if is_known else False


def _encode_url(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="-._~")


EXTENSIONS: Final = (
    Extension(
        capability="enotify",
        rfc="RFC 5435",
        commands=(
            Command(
                name="notify",
                arguments=(Positional(name="method", check=_check_constant),),
                tags=(
                    Tag(name="from", kind=Kind.TEXT, check=_check_from),
                    Tag(name="importance", kind=Kind.TEXT, check=_check_importance),
                    Tag(name="options", kind=Kind.TEXTS, check=_check_option),
                    Tag(name="message", kind=Kind.TEXT),
                ),
                handler=_notify,
            ),
        ),
        tests=(
            Test(
                name="valid_notify_method",
                arguments=(Positional(name="uris", kind=Kind.TEXTS),),
                handler=_valid_method,
            ),
            Test(
                name="notify_method_capability",
                arguments=(
                    Positional(name="uri"),
                    Positional(name="capability"),
                    Positional(name="keys", kind=Kind.TEXTS),
                ),
                shared=frozenset({Shared.MATCH}),
                handler=_method_capability,
            ),
        ),
        modifiers=(Modifier(name="encodeurl", precedence=15, apply=_encode_url),),
    ),
)
