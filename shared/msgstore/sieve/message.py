"""The message that a run looks at and edits: header fields read once and only when asked for, the body later still.

A message is a value: an edit gives a new one.  Texts of it are str; octets that are no UTF-8 become surrogates as
``surrogateescape`` makes them, so nothing is lost on the way back.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from email.header import Header
from typing import Final, NamedTuple

from msgstore.mime.charset import decoded
from msgstore.mime.words import decode_words
from msgstore.sieve.addresses import MailAddress, parse_addresses

__all__ = ["EditedMessage", "Field", "Message", "clean_text", "encoded_field", "text_of"]

_FIELD: Final = re.compile(rb"(([!-9;-~]+)[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n)")
"""The whole field, its name, its value: folded lines begin with a blank. RFC 5322 §2.2."""
_NAME: Final = re.compile(r"[!-9;-~]+")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_LINE_LIMIT: Final = 78
_UNKNOWN: Final = re.compile(rb"=\?([!-<>@-~]{1,80})\?[BbQq]\?[^?\s]*\?=")


class Field(NamedTuple):
    """One header field."""

    name: str
    """In lower case."""

    value: bytes
    """Unfolded, without blanks around it, still encoded."""

    raw: bytes
    """As it stands, its line end included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedMessage:
    """What edits made of a message."""

    header: bytes
    """The whole block, CRLF or LF as it came, without the empty line."""

    body: bytes | None
    """None where it is the body of the message as it came."""


class Message:
    """A message; safe to share between threads once made."""

    __slots__ = (
        "_addresses",
        "_body",
        "_fields",
        "_has_new_body",
        "_is_edited",
        "_named",
        "_raw",
        "_tail",
        "_values",
        "header",
        "octets",
        "sealed",
    )

    def __init__(
        self,
        header: bytes,
        body: bytes | Callable[[], bytes] = b"",
        *,
        octets: int | None = None,
        sealed: bool = False,
    ) -> None:
        """Take the header block without its empty line, and the body or what reads it.

        ``octets`` is the size of the whole; None computes it, which reads the body.  A sealed message is opaque: tests
        of its body see octets, and nothing in it is decoded.
        """
        self.header = header
        self.sealed = sealed
        self._body = body
        self._is_edited = self._has_new_body = False
        self._fields: tuple[Field, ...] | None = None
        self._raw: Sequence[tuple[bytes, bytes, bytes]] | None = None
        self._named: dict[bytes, list[bytes]] | None = None
        self._tail = b""
        self._values: dict[str, tuple[str, ...]] = {}
        self._addresses: dict[str, tuple[MailAddress, ...]] = {}
        if octets is None:
            octets = len(header) + 2 + len(self.body())
        self.octets = octets

    @classmethod
    def parse(cls, message: bytes, *, sealed: bool = False) -> "Message":
        """Split a whole message at the first empty line."""
        found = re.search(rb"(?:\A|\n)(\r?\n)", message)
        if found is None:
            return cls(message, b"", octets=len(message), sealed=sealed)
        return cls(message[: found.start(1)], message[found.end() :], octets=len(message), sealed=sealed)

    def body(self) -> bytes:
        """Give everything behind the empty line."""
        if not isinstance(self._body, bytes):
            self._body = self._body()
        return self._body

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields in order."""
        if self._fields is None:
            found = self._read()
            self._fields = tuple(Field(name.lower().decode("ascii"), _bare(value), raw) for raw, name, value in found)
        return self._fields

    @property
    def edited(self) -> EditedMessage | None:
        """What an action carries; None where nothing was changed."""
        if not self._is_edited:
            return None
        return EditedMessage(header=self.header, body=self.body() if self._has_new_body else None)

    def values(self, name: str) -> tuple[str, ...]:
        """Give the decoded values of all fields of a name, written in any case; none for what is no name."""
        found = self._values.get(name)
        if found is None:
            found = tuple(text_of(value) for value in self.raw_values(name))
            self._values[name] = found
        return found

    def raw_values(self, name: str) -> Sequence[bytes]:
        """Give the values of all fields of a name, still encoded."""
        named = self._named
        if named is None:
            named = self._named = self._by_name()
        found = named.get(name.lower().encode("utf-8", "surrogatepass"))
        return () if found is None else [_bare(value) for value in found]

    def _by_name(self) -> dict[bytes, list[bytes]]:
        named: dict[bytes, list[bytes]] = {}
        for _, written, value in self._read():
            named.setdefault(written.lower(), []).append(value)
        return named

    def addresses(self, name: str) -> tuple[MailAddress, ...]:
        """Give the addresses of all fields of a name."""
        found = self._addresses.get(name)
        if found is None:
            values = (value.decode("utf-8", "surrogateescape") for value in self.raw_values(name))
            found = tuple(address for value in values for address in parse_addresses(value))
            self._addresses[name] = found
        return found

    def with_fields(self, fields: Iterable[Field]) -> "Message":
        """Give the message with these fields instead."""
        self._read()
        header = b"".join(field.raw for field in fields) + self._tail
        edited = Message(header, self._body, octets=self.octets + len(header) - len(self.header), sealed=self.sealed)
        edited._is_edited = True
        edited._has_new_body = self._has_new_body
        return edited

    def with_content(self, header: bytes, body: bytes) -> "Message":
        """Give the message with another header and body."""
        edited = Message(header, body, octets=len(header) + 2 + len(body), sealed=False)
        edited._is_edited = edited._has_new_body = True
        return edited

    def with_field(self, name: str, value: str, *, last: bool) -> "Message":
        """Give the message with a field added at the beginning or end of the header; the text may be any."""
        fields = self.fields
        raw = encoded_field(name, value, b"\r\n" if not fields or fields[0].raw.endswith(b"\r\n") else b"\n")
        added = Field(name.lower(), b"", raw)
        return self.with_fields((*fields, added) if last else (added, *fields))

    def _read(self) -> Sequence[tuple[bytes, bytes, bytes]]:
        """Give raw field, name and value of all fields; what stands behind the last one is the tail."""
        if self._raw is None:
            header = self.header
            if header and not header.endswith(b"\n"):
                header += b"\r\n"
            found: list[tuple[bytes, bytes, bytes]] = _FIELD.findall(header)
            if sum(len(raw) for raw, _, _ in found) != len(header):
                found = []
                at = 0
                while (field := _FIELD.match(header, at)) is not None:
                    found.append((field[1], field[2], field[3]))
                    at = field.end()
                self._tail = header[at:]
            self._raw = found
        return self._raw


def _bare(value: bytes) -> bytes:
    """Unfold, and take away blanks around it. RFC 5322 §2.2.3."""
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return value.strip(b" \t\r")


def text_of(value: bytes) -> str:
    """Decode an unfolded value; an encoded word that cannot be decoded stays as it stands. RFC 5228 §2.7.2."""
    if b"=?" not in value:
        return value.decode("utf-8", "surrogateescape")
    decoded_text = decode_words(value)
    if "\ufffd" not in decoded_text:
        return decoded_text
    # Something in there is not what it says: word by word, and what is broken stays.
    pieces: list[str] = []
    at = 0
    for word in _UNKNOWN.finditer(value):
        between = value[at : word.start()]
        if between.strip(b" \t") or not pieces:
            pieces.append(between.decode("utf-8", "surrogateescape"))
        text = decode_words(word[0])
        pieces.append(decoded(word[0], "us-ascii") if "\ufffd" in text else text)
        at = word.end()
    pieces.append(value[at:].decode("utf-8", "surrogateescape"))
    return "".join(pieces)


def clean_text(text: str, *, one_line: bool = False) -> str:
    """Give a text that can be sent: octets that are no UTF-8 become U+FFFD; on one line controls become blanks."""
    if not text.isascii():
        text = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return _CONTROLS.sub(" ", text) if one_line else text


def encoded_field(name: str, value: str, line_end: bytes = b"\r\n") -> bytes:
    """Write a field: folded, in encoded words where it is not plain; no text can begin a second field.

    RFC 5293 §4, RFC 2047 §2, RFC 5322 §2.2.3.
    """
    assert _NAME.fullmatch(name), name
    value = re.sub(r"[\x00-\x08\x0a-\x1f\x7f]+", " ", value).strip(" \t")
    if value.isascii() and "=?" not in value:
        lines = _folded(f"{name}:", value)
    else:
        text = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        words = Header(text, "utf-8", maxlinelen=75).encode(linesep="\n").replace("\n ", " ")
        lines = _folded(f"{name}:", words)
    return line_end.join(line.encode("ascii") for line in lines) + line_end


def _folded(first: str, value: str) -> list[str]:
    """Break at blanks; a word that is longer than a line may be is broken inside, which costs it a blank."""
    lines: list[str] = []
    line = first
    for word in re.findall(r"[ \t]*[^ \t]+", " " + value):
        if len(line) + len(word) > _LINE_LIMIT and line != first:
            lines.append(line)
            line = word if word[0] in " \t" else " " + word
        else:
            line += word
        while len(line) > 990:
            lines.append(line[:900])
            line = " " + line[900:]
    lines.append(line)
    return lines
