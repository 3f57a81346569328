"""Writing header fields and text parts of new messages so that no value can begin a field of its own.  Pure.

Every text that goes into a header passes :func:`text_field` or :func:`mailbox_field`; controls become blanks there.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, getaddresses
from typing import Final

from msgstore.model.address import Address, parse_address
from msgstore.model.errors import InvalidAddress

__all__ = [
    "address_field",
    "date_field",
    "field",
    "mailbox_field",
    "message_ids",
    "text_field",
    "text_part",
    "with_crlf",
]

_LINE_LIMIT: Final = 76
"""RFC 2047 §2 for lines with encoded words; a good width for all others."""

_TEXT_LINE_LIMIT_OCTETS: Final = 998
"""RFC 5322 §2.1.1."""

_WORD_OCTETS: Final = 42
"""Octets of text in one encoded word: 56 of base64 and 12 around them. RFC 2047 §2."""

_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f]")
_MESSAGE_ID: Final = re.compile(rb"<[!-;=?-~]{1,900}>")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")


def field(name: str, words: Sequence[str]) -> bytes:
    """Write a field whose words are harmless already, folded between them.

    Raises:
        ValueError: the name is none, or a word holds a line end: a fault of the caller.
    """
    if not _NAME.fullmatch(name) or any(_FORBIDDEN.search(word) for word in words):
        raise ValueError(f"field {name!r} cannot be written")
    lines = [f"{name}:"]
    for word in words:
        # The first word stays in the line of the name: a line of blanks alone ends the header for some readers.
        if len(lines[-1]) + 1 + len(word) > _LINE_LIMIT and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8")


def text_field(name: str, text: str) -> bytes:
    """Write an unstructured field: as encoded words exactly where it is not ASCII. RFC 2047, RFC 5230 §4.3."""
    return field(name, _words_of(text))


def mailbox_field(name: str, text: str) -> bytes | None:
    """Write a field of mailboxes, as ``"A. Person" <a@example.com>``; None where the text holds none that is valid.

    Display names are encoded where they are not ASCII; comments and groups are left out.
    """
    # A line end in here is nobody's slip: what stands behind it is no mailbox.
    pairs = [] if _CONTROLS.search(text) else getaddresses([text])
    written: list[str] = []
    for display, spec in pairs:
        try:
            address = parse_address(spec)
        except InvalidAddress:
            return None
        if address.domain is None:
            return None
        words = [*_phrase(display), f"<{address}>"] if display else [str(address)]
        if written:
            written[-1] += ","
        written += words
    return field(name, written) if written else None


def address_field(name: str, addresses: Iterable[Address]) -> bytes:
    """Write a field of bare addresses."""
    written = [str(address) for address in addresses]
    return field(name, [f"{one}," for one in written[:-1]] + written[-1:])


def date_field(at_seconds: float) -> bytes:
    """Write ``Date`` for a time in seconds since 1970 UTC."""
    return field("Date", [format_datetime(datetime.fromtimestamp(int(at_seconds), UTC))])


def message_ids(values: Iterable[bytes], *, most: int = 20) -> list[str]:
    """Give the message ids in values of References and the like; of many the first and the last. RFC 5322 §3.6.4."""
    found = [one.decode("ascii") for value in values for one in _MESSAGE_ID.findall(value)]
    return found if len(found) <= most else [found[0], *found[1 - most :]]


def text_part(text: str) -> bytes:
    """Write fields and content of a text/plain part, as plain as its characters allow. RFC 2045 §6."""
    octets = with_crlf(text.encode("utf-8", "replace"))
    is_short = all(len(line) <= _TEXT_LINE_LIMIT_OCTETS for line in octets.split(b"\r\n"))
    is_plain = octets.isascii() and is_short and b"\0" not in octets
    charset = "us-ascii" if octets.isascii() else "utf-8"
    header = field("Content-Type", ["text/plain;", f"charset={charset}"])
    if is_plain:
        return header + field("Content-Transfer-Encoding", ["7bit"]) + b"\r\n" + octets
    quoted = b"\r\n".join(_quoted(line) for line in octets.split(b"\r\n"))
    return header + field("Content-Transfer-Encoding", ["quoted-printable"]) + b"\r\n" + quoted


def with_crlf(octets: bytes) -> bytes:
    """Give text with CRLF line ends and one at its end."""
    text = _LINE_END.sub(b"\r\n", octets)
    return text if not text or text.endswith(b"\r\n") else text + b"\r\n"


def _quoted(line: bytes) -> bytes:
    """Write one line in quoted-printable; a dot or "From " at its start is nobody's business then."""
    quoted = binascii.b2a_qp(line, istext=False, header=False).replace(b"=\n", b"=\r\n")
    if quoted.endswith((b" ", b"\t")):
        quoted = quoted[:-1] + b"=%02X" % quoted[-1]
    return quoted


def _words_of(text: str) -> list[str]:
    text = _CONTROLS.sub(" ", text).strip()
    if text.isascii():
        words = [word for word in text.split(" ") if word]
        if all(len(word) <= _TEXT_LINE_LIMIT_OCTETS // 2 for word in words):
            return words
    return _encoded(text)


def _phrase(text: str) -> list[str]:
    text = _CONTROLS.sub(" ", text).strip()
    if not text.isascii():
        return _encoded(text)
    if _ATOMS.fullmatch(text):
        return text.split()
    return ['"' + re.sub(r'(["\\])', r"\\\1", text) + '"']


def _encoded(text: str) -> list[str]:
    """Give encoded words, none of which cuts a character. RFC 2047 §§2, 5."""
    words: list[str] = []
    piece = b""
    for character in text:
        octets = character.encode("utf-8")
        if len(piece) + len(octets) > _WORD_OCTETS:
            words.append(_word(piece))
            piece = b""
        piece += octets
    return [*words, _word(piece)]


def _word(octets: bytes) -> str:
    return f"=?utf-8?B?{base64.b64encode(octets).decode('ascii')}?="
