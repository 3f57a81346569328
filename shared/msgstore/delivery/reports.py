"""Messages that this host writes: the vacation reply, the report of a rejection, the notification.  Pure.

Each function gives the whole message and its envelope; nothing in a script, an address or the message that caused it
can add a header field or a part.
"""

import re
from dataclasses import dataclass
from typing import Final

from msgstore.delivery.composing import (
    address_field,
    date_field,
    field,
    mailbox_field,
    message_ids,
    text_field,
    text_part,
    with_crlf,
)
from msgstore.mime.headers import field_values, fields
from msgstore.mime.mailto import Mailto
from msgstore.mime.words import decode_words
from msgstore.model.address import Address
from msgstore.model.submission import Submission, SubmissionRecipient

__all__ = ["Letterhead", "Original", "compose_notification", "compose_rejection", "compose_vacation"]

_TOLD_HEADER_OCTETS: Final = 32 << 10
"""Of the header that a report gives back."""

_LINE_LIMIT_OCTETS: Final = 998
_SUBJECT_LIMIT: Final = 500
_REJECTED: Final = """\
The message was refused by the recipient's mail filtering program.
The reason given was as follows:

"""
_ENTITY_FIELD: Final = re.compile(rb"content-[a-z0-9-]{1,40}")
_IMPORTANCE: Final = {"1": "High", "3": "Low"}
"""As Pigeonhole writes it; 2 is normal and not said. RFC 5436 §2.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """What every new message needs: who writes, when, and a name that no other message has."""

    owner: Address
    """Whose script it is; with a domain."""

    at_seconds: float
    unique: str
    """Letters, digits, dots, dashes and underscores; makes the message id and part boundaries."""

    hostname: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,60}", self.unique):
            raise ValueError(f"{self.unique!r} makes no message id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The message that is answered."""

    reverse_path: Address | None
    header: bytes
    """Its own header block, without our trace lines."""

    forward_path: Address
    orcpt: str | None = None


def compose_vacation(
    head: Letterhead,
    original: Original,
    reason: str,
    *,
    subject: str | None = None,
    from_: str | None = None,
    is_mime: bool = False,
) -> tuple[Submission, bytes]:
    """Write the reply of the vacation action; whether it may be sent is :mod:`msgstore.delivery.courtesy`'s to say.

    A ``from_`` that is no list of mailboxes is passed over. RFC 5230 §§4.3-4.4, 5.

    Raises:
        ValueError: the original has the null reverse-path, or a MIME reason has fields outside of ASCII.
    """
    if original.reverse_path is None:
        raise ValueError("the null reverse-path is never answered")
    told = _subject_of(original.header)
    header = _beginning(head, "auto-replied", from_)
    header += address_field("To", (original.reverse_path,))
    header += text_field("Subject", subject or (f"Auto: {told}" if told else "Automated reply"))
    header += _thread(original.header)
    header += field("X-Auto-Response-Suppress", ["All"])
    body = _entity(reason) if is_mime else field("MIME-Version", ["1.0"]) + text_part(reason)
    return _to_sender(original.reverse_path), header + body


def compose_rejection(head: Letterhead, original: Original, reason: str) -> tuple[Submission, bytes]:
    """Write the report of the reject action: a disposition notification that says "deleted".

    It gives back the header of the message, not its content: who forged the sender would have us send it on.
    RFC 5429 §2.2.1, RFC 8098 §3.

    Raises:
        ValueError: the original has the null reverse-path.
    """
    if original.reverse_path is None:
        raise ValueError("the null reverse-path is never answered")
    parts = (text_part(_REJECTED + reason), _disposition(head, original), _returned(original.header))
    boundary = _boundary(head.unique, parts)
    header = _beginning(head, "auto-replied", None)
    header += address_field("To", (original.reverse_path,))
    header += text_field("Subject", f"Rejected: {_subject_of(original.header)}".rstrip(": "))
    header += _thread(original.header)
    header += field("MIME-Version", ["1.0"])
    header += field(
        "Content-Type", ["multipart/report;", "report-type=disposition-notification;", f'boundary="{boundary}"']
    )
    marks = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return _to_sender(original.reverse_path), header + b"\r\n" + marks + b"--" + boundary.encode() + b"--\r\n"


def compose_notification(
    head: Letterhead,
    original: Original,
    mailto: Mailto,
    *,
    message: str | None = None,
    from_: str | None = None,
    importance: str = "2",
) -> tuple[Submission, bytes]:
    """Write the notification of the mailto method. RFC 5436 §2.7.

    The envelope sender is null where that of the original is, and the owner otherwise: a ``from_`` of any address
    would have mail bounce to strangers.
    """
    header = _beginning(head, "auto-notified", from_)
    if mailto.to:
        header += address_field("To", mailto.to)
    if mailto.cc:
        header += address_field("Cc", mailto.cc)
    subject = next((one for one in (message, mailto.subject) if one), None) or _subject_of(original.header)
    header += text_field("Subject", subject or "New message")
    references = message_ids(field_values(original.header, b"message-id"), most=1)
    header += field("References", references) if references else b""
    if importance in _IMPORTANCE:
        header += field("Importance", [_IMPORTANCE[importance]])
    for name, value in mailto.headers:
        header += text_field("-".join(word.capitalize() for word in name.split("-")), value)
    body = mailto.body if mailto.body is not None else _excerpt(original)
    recipients = tuple(
        SubmissionRecipient(address=one, notify=("NEVER",)) for one in dict.fromkeys((*mailto.to, *mailto.cc))
    )
    reverse_path = None if original.reverse_path is None else head.owner
    submission = Submission(reverse_path=reverse_path, recipients=recipients)
    return submission, header + field("MIME-Version", ["1.0"]) + text_part(body)


def _to_sender(reverse_path: Address) -> Submission:
    recipient = SubmissionRecipient(address=reverse_path, notify=("NEVER",))
    return Submission(reverse_path=None, recipients=(recipient,))


def _beginning(head: Letterhead, kind: str, from_: str | None) -> bytes:
    """Write what every new message has; Auto-Submitted stands first, where later trace fields leave it below them."""
    owner = re.sub(r'(["\\])', r"\\\1", str(head.owner))
    says_owner = kind == "auto-notified" and head.owner.is_ascii
    words = [f"{kind};", f'owner-email="{owner}"'] if says_owner else [kind]
    return (
        field("Auto-Submitted", words)
        + date_field(head.at_seconds)
        + field("Message-ID", [f"<{head.unique}@{head.hostname}>"])
        + ((mailbox_field("From", from_) if from_ else None) or address_field("From", (head.owner,)))
    )


def _thread(header: bytes) -> bytes:
    """Write In-Reply-To and References; nothing where the original has no id. RFC 5322 §3.6.4."""
    own = message_ids(field_values(header, b"message-id"), most=1)
    if not own:
        return b""
    before = message_ids(field_values(header, b"references"))
    if not before:
        above = message_ids(field_values(header, b"in-reply-to"))
        before = above if len(above) == 1 else []
    return field("In-Reply-To", own[:1]) + field("References", [*before, own[0]])


def _subject_of(header: bytes) -> str:
    values = field_values(header, b"subject")
    return decode_words(values[0]).strip()[:_SUBJECT_LIMIT] if values else ""


def _entity(reason: str) -> bytes:
    """Take a MIME entity apart: of its fields only those about content are the script's to say. RFC 5230 §4.4."""
    octets = with_crlf(reason.encode("utf-8", "replace"))
    block, _, content = octets.partition(b"\r\n\r\n")
    if octets.startswith(b"\r\n"):
        block, content = b"", octets[2:]
    block += b"\r\n"
    if not block.isascii():
        raise ValueError("the MIME header of a reason holds characters outside of ASCII")
    kept = [
        field("-".join(word.capitalize() for word in name.decode("ascii").split("-")), _harmless(value).split())
        for name, value in fields(block)
        if _ENTITY_FIELD.fullmatch(name)
    ]
    if not content.isascii() and not any(one.startswith(b"Content-Transfer-Encoding") for one in kept):
        kept.append(field("Content-Transfer-Encoding", ["8bit"]))
    return field("MIME-Version", ["1.0"]) + b"".join(kept) + b"\r\n" + content


def _harmless(value: bytes) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", " ", value.decode("ascii"))


def _disposition(head: Letterhead, original: Original) -> bytes:
    kind = "rfc822" if original.forward_path.is_ascii else "utf-8"
    body = field("Reporting-UA", [f"{head.hostname};", "msgstore"])
    if original.orcpt is not None and re.fullmatch(r"[A-Za-z0-9-]+;[!-~]+", original.orcpt):
        body += field("Original-Recipient", [original.orcpt])
    body += field("Final-Recipient", [f"{kind};", str(original.forward_path)])
    own = message_ids(field_values(original.header, b"message-id"), most=1)
    body += field("Original-Message-ID", own[:1]) if own else b""
    body += field("Disposition", ["automatic-action/MDN-sent-automatically;", "deleted"])
    header = field("Content-Type", ["message/disposition-notification"])
    if not body.isascii():
        header += field("Content-Transfer-Encoding", ["8bit"])
    return header + b"\r\n" + body


def _returned(header: bytes) -> bytes:
    """Give the header back as a part, lines cut that no server would take."""
    lines = header[:_TOLD_HEADER_OCTETS].rstrip(b"\r\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    octets = b"".join(line[:_LINE_LIMIT_OCTETS] + b"\r\n" for line in lines).replace(b"\0", b"?")
    encoding = "7bit" if octets.isascii() else "8bit"
    described = field("Content-Type", ["text/rfc822-headers"]) + field("Content-Transfer-Encoding", [encoding])
    return described + b"\r\n" + octets


def _boundary(unique: str, parts: tuple[bytes, ...]) -> str:
    """Give a boundary that stands in no part: the reason and the header are what others wrote."""
    boundary, tries = f"=_{unique}", 0
    while any(boundary.encode() in part for part in parts):
        tries += 1
        boundary = f"=_{unique}.{tries}"
    return boundary


def _excerpt(original: Original) -> str:
    senders = field_values(original.header, b"from")
    sender = decode_words(senders[0]) if senders else str(original.reverse_path or "<>")
    return f"A message has arrived.\n\nFrom: {sender[:_SUBJECT_LIMIT]}\nSubject: {_subject_of(original.header)}\n"
