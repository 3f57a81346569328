"""The text of a message, out of a stream: content decoded to characters, headers to readable lines.  Pure.

:func:`texts` gives what a person can read, piece by piece; a piece says whether it stands in a header or in the body.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from msgstore.mime.charset import CharsetDecoder
from msgstore.mime.headers import fields
from msgstore.mime.markup import MARKUP_LIMIT, text_of_markup
from msgstore.mime.structure import Part, walk
from msgstore.mime.transfer import decoder_for
from msgstore.mime.words import decode_words

__all__ = ["PartDecoder", "Piece", "header_text", "texts"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of a message."""

    text: str
    in_body: bool
    """False in headers of the message and of its parts; those of an enclosed message are in the body."""

    is_begin: bool = False
    """Whether it does not continue the text before it."""


class PartDecoder:
    """Decodes the content of one part."""

    def __init__(self, part: Part) -> None:
        kind = part.content_type
        self._transfer = decoder_for(part.encoding) if kind.value.startswith("text/") else None
        self._charset = CharsetDecoder(kind.parameters.get("charset", ""))
        self._page: list[str] | None = [] if kind.value in ("text/html", "text/xhtml") else None
        self._page_octets = 0

    def feed(self, octets: bytes) -> str:
        """Give the text of a further piece; nothing where the part is no text.  A page comes at its end."""
        if self._transfer is None:
            return ""
        return self._kept(self._charset.feed(self._transfer.feed(octets)))

    def close(self) -> str:
        """Give what is left at the end of the part."""
        if self._transfer is None:
            return ""
        rest = self._kept(self._charset.feed(self._transfer.close()) + self._charset.close())
        return rest if self._page is None else text_of_markup("".join(self._page))

    def _kept(self, text: str) -> str:
        if self._page is None:
            return text
        if self._page_octets < MARKUP_LIMIT:
            self._page.append(text[: MARKUP_LIMIT - self._page_octets])
            self._page_octets += len(text)
        return ""


def header_text(header: bytes) -> str:
    """Give a header block as lines, unfolded and decoded."""
    return "\n".join(f"{name.decode('ascii')}: {decode_words(value)}" for name, value in fields(header))


def texts(pieces: Iterable[bytes]) -> Iterator[Piece]:
    """Give the readable text of a message."""
    decoder: PartDecoder | None = None
    for event in walk(pieces):
        if isinstance(event, bytes):
            if decoder is not None:
                yield Piece(decoder.feed(event), in_body=True)
            continue
        if decoder is not None:
            yield Piece(decoder.close(), in_body=True)
        yield Piece(header_text(event.header), in_body=event.is_enclosed_message, is_begin=True)
        decoder = PartDecoder(event)
        yield Piece("", in_body=True, is_begin=True)
    if decoder is not None:
        yield Piece(decoder.close(), in_body=True)
