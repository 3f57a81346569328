"""``replace`` and ``enclose``: a part or the whole message becomes another one.  RFC 5703 §5, §6."""

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from msgstore.mime.structure import Part
from msgstore.sieve.context import Context
from msgstore.sieve.message import Field, Message, encoded_field
from msgstore.sieve.parts import BodyPart, current_part, keep_parts, parts_of
from msgstore.sieve.problems import LimitReached
from msgstore.sieve.registry import Arguments, Command, Extension, Kind, Positional, Tag

__all__ = ["EXTENSIONS"]

_NAME: Final = re.compile(r"[!-9;-~]+")
_KEPT: Final = frozenset(
    (
        "received",
        "return-path",
        "delivered-to",
        "date",
        "message-id",
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "subject",
        "in-reply-to",
        "references",
        "auto-submitted",
        "list-id",
        "resent-from",
        "resent-to",
        "resent-date",
    )
)
"""Fields of a message that stay when its content is replaced."""


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape" if not text.isascii() else "strict")


def _text_part(text: str) -> tuple[bytes, bytes]:
    header = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    return header, _octets(text) + (b"" if text.endswith("\r\n") else b"\r\n")


def _mime_part(text: str) -> tuple[bytes, bytes]:
    """Split a MIME entity; what stands in its header besides MIME fields is left out."""
    entity = Message.parse(_octets(text))
    kept = [field.raw for field in entity.fields if field.name.startswith("content-")]
    return b"".join(raw if raw.endswith(b"\n") else raw + b"\r\n" for raw in kept), entity.body()


def _replace(context: Context, arguments: Arguments) -> None:
    text = arguments.text("replacement")
    header, body = _mime_part(text) if arguments.has("mime") else _text_part(text)
    root = parts_of(context)
    target = current_part(context) or root
    if target is root or target not in root.family():
        _replace_message(context, arguments, header, body)
        return
    # The loop goes on over the parts as they are now.
    target.part = Part(target.part.path, target.part.parent, header)
    target.header, target.pieces, target.children = Message(header, b""), [body], []
    context.message = context.message.with_content(context.message.header, _written(root))
    keep_parts(context, root)
    _check_size(context, arguments)


def _replace_message(context: Context, arguments: Arguments, header: bytes, body: bytes) -> None:
    kept: Iterable[Field] = (field for field in context.message.fields if field.name in _KEPT)
    drop: set[str] = set()
    added = [b"MIME-Version: 1.0\r\n", header]
    for name in ("subject", "from"):
        if arguments.has(name):
            drop.add(name)
            added.insert(0, encoded_field(name.title(), arguments.text(name)))
    block = b"".join(_ended(field.raw) for field in kept if field.name not in drop) + b"".join(added)
    context.message = context.message.with_content(block, body)
    _check_size(context, arguments)


def _ended(raw: bytes) -> bytes:
    return raw if raw.endswith(b"\n") else raw + b"\r\n"


def _written(part: BodyPart) -> bytes:
    """Write the content of a part out of what is below it."""
    if not part.children:
        return part.encoded
    pieces = [
        (_ended(child.header.header) if child.header.header else b"") + b"\r\n" + _written(child)
        for child in part.children
    ]
    boundary = part.part.boundary
    if boundary is None:
        return pieces[0]
    opened = b"".join(b"\r\n--" + boundary + b"\r\n" + piece for piece in pieces)
    return opened.removeprefix(b"\r\n") + b"\r\n--" + boundary + b"--\r\n"


def _enclose(context: Context, arguments: Arguments) -> None:
    message = context.message
    inner = message.header + (b"" if message.header.endswith(b"\n") or not message.header else b"\r\n")
    inner += b"\r\n" + message.body()
    boundary = b"=_" + sha256(inner).hexdigest()[:32].encode()
    kept = [_ended(field.raw) for field in message.fields if field.name in _KEPT]
    if arguments.has("subject"):
        kept = [_ended(field.raw) for field in message.fields if field.name in _KEPT - {"subject"}]
        kept.append(encoded_field("Subject", arguments.text("subject")))
    for line in arguments.texts("headers"):
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name.strip()):
            raise context.fail(f"{line[:40]!r} is no header field", arguments.line)
        kept.append(encoded_field(name.strip(), value))
    kind = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="' + boundary + b'"\r\n'
    header, text = _text_part(arguments.text("text"))
    body = b"--" + boundary + b"\r\n" + header + b"\r\n" + text + b"\r\n--" + boundary
    body += b"\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--" + boundary + b"--\r\n"
    context.message = message.with_content(b"".join(kept) + kind, body)
    _check_size(context, arguments)


def _check_size(context: Context, arguments: Arguments) -> None:
    context.spend(1 + (context.message.octets >> 8))
    if context.message.octets > context.original.octets + context.limits.body_octets:
        raise LimitReached("the message grows too large", arguments.line)


EXTENSIONS: Final = (
    Extension(
        capability="replace",
        rfc="RFC 5703 §5",
        commands=(
            Command(
                name="replace",
                arguments=(Positional(name="replacement"),),
                tags=(Tag(name="mime"), Tag(name="subject", kind=Kind.TEXT), Tag(name="from", kind=Kind.TEXT)),
                handler=_replace,
            ),
        ),
    ),
    Extension(
        capability="enclose",
        rfc="RFC 5703 §6",
        commands=(
            Command(
                name="enclose",
                arguments=(Positional(name="text"),),
                tags=(Tag(name="subject", kind=Kind.TEXT), Tag(name="headers", kind=Kind.TEXTS)),
                handler=_enclose,
            ),
        ),
    ),
)
