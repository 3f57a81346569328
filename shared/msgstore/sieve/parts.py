"""The parts of the message of a run: read once, and only when a script asks for them.  RFC 2045, RFC 2046."""

from dataclasses import dataclass, field
from typing import cast

from msgstore.mime.charset import CharsetDecoder
from msgstore.mime.markup import text_of_markup
from msgstore.mime.structure import Around, Part, walk_all
from msgstore.mime.transfer import decoder_for
from msgstore.sieve.context import Context
from msgstore.sieve.message import Message

__all__ = ["BodyPart", "current_part", "enter_part", "keep_parts", "leave_part", "parts_of", "whole_body"]

_STATE = "msgstore.parts"
_CURRENT = "msgstore.parts.current"


@dataclass(slots=True, kw_only=True, eq=False)
class BodyPart:
    """One part: header, content, what it holds."""

    part: Part
    header: Message
    """Its header as a message without a body, so that fields are read alike everywhere."""

    pieces: list[bytes] = field(default_factory=list[bytes])
    children: "list[BodyPart]" = field(default_factory=list["BodyPart"])
    is_opaque: bool = False
    preamble: list[bytes] = field(default_factory=list[bytes])
    epilogue: list[bytes] = field(default_factory=list[bytes])

    @property
    def kind(self) -> str:
        """Type and subtype in lower case."""
        return "application/octet-stream" if self.is_opaque else self.part.content_type.value

    @property
    def around(self) -> tuple[bytes, bytes]:
        """Of a multipart what stands before its first and behind its last part."""
        return b"".join(self.preamble).rstrip(b"\r\n"), b"".join(self.epilogue).strip(b"\r\n")

    @property
    def encoded(self) -> bytes:
        """The content as it stands; empty for what holds parts."""
        return b"".join(self.pieces)

    def decoded(self) -> bytes:
        """Undo the transfer encoding; an unknown one leaves nothing."""
        if self.is_opaque:
            return self.encoded
        decoder = decoder_for(self.part.encoding)
        return b"" if decoder is None else decoder.feed(self.encoded) + decoder.close()

    def text(self, limit: int, *, strip_markup: bool = False) -> str:
        """Decode to characters, no more than the limit."""
        octets = self.decoded()
        if self.kind.startswith("text/"):
            charset = self.part.content_type.parameters.get("charset", "")
            decoder = CharsetDecoder(charset)
            text = decoder.feed(octets[: limit * 4]) + decoder.close()
        else:
            text = octets[: limit * 4].decode("utf-8", "surrogateescape")
        if strip_markup and self.kind == "text/html":
            text = text_of_markup(text)
        return text[:limit]

    def family(self) -> "list[BodyPart]":
        """Give the part and all below it, in order."""
        found: list[BodyPart] = [self]
        for child in self.children:
            found += child.family()
        return found


def whole_body(context: Context) -> bytes:
    """Give the body, no more than the limit."""
    return context.result.message.body()[: context.limits.body_octets]


def parts_of(context: Context) -> BodyPart:
    """Give the message as a part, with all below it."""
    state, message = context.result.state, context.result.message
    known = cast("tuple[Message, BodyPart] | None", state.get(_STATE))
    if known is not None and known[0] is message:
        return known[1]
    root = _read(context, message)
    state[_STATE] = (message, root)
    return root


def keep_parts(context: Context, root: BodyPart) -> None:
    """Say that the message as edited has these parts."""
    context.result.state[_STATE] = (context.result.message, root)


def _read(context: Context, message: Message) -> BodyPart:
    body = whole_body(context)
    context.spend(1 + (len(body) >> 10))
    if message.sealed:
        context.note("the content is sealed: tests of it see its octets")
        return BodyPart(part=Part((), None, message.header), header=message, pieces=[body], is_opaque=True)
    by_path: dict[tuple[int, ...], BodyPart] = {}
    last: BodyPart | None = None
    for event in walk_all((message.header, b"" if message.header.endswith(b"\n") else b"\r\n", b"\r\n", body)):
        if isinstance(event, bytes):
            assert last is not None
            last.pieces.append(event)
            continue
        if isinstance(event, Around):
            owner = by_path[event.part.path]
            (owner.epilogue if event.is_epilogue else owner.preamble).append(event.octets)
            continue
        if len(by_path) >= context.limits.parts:
            break
        context.spend(4)
        header = message if event.path == () else Message(event.header, b"", octets=len(event.header))
        last = by_path[event.path] = BodyPart(part=event, header=header)
        if event.path:
            by_path[event.path[:-1]].children.append(last)
    return by_path[()]


def current_part(context: Context) -> BodyPart | None:
    """Give the part that ``foreverypart`` is at; None outside of one."""
    stack = cast("list[BodyPart] | None", context.result.state.get(_CURRENT))
    return stack[-1] if stack else None


def enter_part(context: Context, part: BodyPart) -> None:
    """Make a part the current one."""
    cast("list[BodyPart]", context.result.state.setdefault(_CURRENT, [])).append(part)


def leave_part(context: Context) -> None:
    """Go back to the part before."""
    cast("list[BodyPart]", context.result.state[_CURRENT]).pop()
