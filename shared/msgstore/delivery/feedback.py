"""The report about a message that somebody else wrote: spam, a virus, a wrong mailbox.  Pure.  RFC 5965."""

import re

from msgstore.delivery.composing import address_field, date_field, field, text_field, text_part, with_crlf
from msgstore.delivery.reports import Letterhead, Original
from msgstore.model.address import Address
from msgstore.model.submission import Submission, SubmissionRecipient

__all__ = ["compose_feedback"]

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")


def compose_feedback(
    head: Letterhead,
    original: Original,
    *,
    to: Address,
    feedback_type: str,
    text: str,
    content: bytes,
    is_header: bool,
) -> tuple[Submission, bytes]:
    """Write a report of ``feedback_type``, such as "abuse"; ``content`` is the message, or its header alone.

    The envelope sender is null: nobody is told of a report that does not arrive.

    Raises:
        ValueError: it is no type of a report.
    """
    if not _TYPE.fullmatch(feedback_type):
        raise ValueError("is no type of a report")
    parts = (text_part(text), _machine_part(head, original, feedback_type), _returned(content, is_header=is_header))
    boundary, tries = f"=_{head.unique}", 0
    while any(boundary.encode() in part for part in parts):
        tries += 1
        boundary = f"=_{head.unique}.{tries}"
    header = field("Auto-Submitted", ["auto-generated"])
    header += date_field(head.at_seconds)
    header += field("Message-ID", [f"<{head.unique}@{head.hostname}>"])
    header += address_field("From", (head.owner,))
    header += address_field("To", (to,))
    header += text_field("Subject", f"Report: {feedback_type}")
    header += field("MIME-Version", ["1.0"])
    header += field("Content-Type", ["multipart/report;", "report-type=feedback-report;", f'boundary="{boundary}"'])
    marks = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    submission = Submission(reverse_path=None, recipients=(SubmissionRecipient(address=to, notify=("NEVER",)),))
    return submission, header + b"\r\n" + marks + b"--" + boundary.encode() + b"--\r\n"


def _machine_part(head: Letterhead, original: Original, feedback_type: str) -> bytes:
    body = field("Feedback-Type", [feedback_type])
    body += field("User-Agent", ["msgstore/1"])
    body += field("Version", ["1"])
    body += field("Original-Mail-From", [f"<{original.reverse_path or ''}>"])
    body += field("Original-Rcpt-To", [f"<{original.forward_path}>"])
    body += field("Reporting-MTA", ["dns;", head.hostname])
    header = field("Content-Type", ["message/feedback-report"])
    if not body.isascii():
        header += field("Content-Transfer-Encoding", ["8bit"])
    return header + b"\r\n" + body


def _returned(content: bytes, *, is_header: bool) -> bytes:
    octets = with_crlf(content)
    kind = "text/rfc822-headers" if is_header else "message/rfc822"
    encoding = "7bit" if octets.isascii() else "8bit"
    return field("Content-Type", [kind]) + field("Content-Transfer-Encoding", [encoding]) + b"\r\n" + octets
