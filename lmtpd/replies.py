"""Reply lines, all of them: constants, results and errors of the library, the answer to LHLO.

No reply has more than 240 octets, all its lines together: Exim's driver for Unix sockets reads into 256.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgstore.model.errors import ConfigError, MsgstoreError
from msgstore.model.result import DeliveryResult

__all__ = ["REPLY_LIMIT_OCTETS", "error_reply", "is_permanent", "lhlo_reply", "reply", "result_reply"]

REPLY_LIMIT_OCTETS: Final = 240
"""Of one reply with all its lines and their CRLF; below Exim's buffer with room to spare. lmtp.c of Exim 4.96."""

LHLO_LIMIT_OCTETS: Final = 245
"""Of the answer to LHLO: the longest that Exim reads."""

MAIL_OK: Final = b"250 2.1.0 Ok\r\n"
RCPT_OK: Final = b"250 2.1.5 Ok\r\n"
DATA_GO: Final = b"354 Send the message, end it with <CRLF>.<CRLF>\r\n"
CHUNK_OK: Final = b"250 2.0.0 Chunk taken\r\n"
DONE: Final = b"250 2.0.0 Ok\r\n"
VRFY: Final = b"252 2.3.3 Try RCPT to attempt delivery\r\n"
BYE: Final = b"221 2.0.0 Bye\r\n"

UNKNOWN: Final = b"500 5.5.1 Unknown command\r\n"
NOT_IMPLEMENTED: Final = b"502 5.5.1 Command not implemented\r\n"
BAD_OCTETS: Final = b"500 5.5.2 CR or NUL inside a command\r\n"
LINE_TOO_LONG: Final = b"500 5.5.6 Command line too long\r\n"
BAD_ARGUMENTS: Final = b"501 5.5.4 Bad arguments\r\n"
BAD_REVERSE_PATH: Final = b"501 5.1.7 Bad sender address syntax\r\n"
BAD_FORWARD_PATH: Final = b"501 5.1.3 Bad recipient address syntax\r\n"
NEEDS_SMTPUTF8: Final = b"553 5.6.7 Address needs SMTPUTF8\r\n"
BAD_PARAMETER: Final = b"555 5.5.4 Unsupported parameter\r\n"
SEND_LHLO: Final = b"503 5.5.1 Send LHLO first\r\n"
NESTED_MAIL: Final = b"503 5.5.1 Sender already given\r\n"
NEED_MAIL: Final = b"503 5.5.1 Send MAIL first\r\n"
NO_RECIPIENTS: Final = b"503 5.5.1 No valid recipients\r\n"
CHUNKS_BEGUN: Final = b"503 5.5.1 BDAT has begun, go on with it\r\n"
NEEDS_BDAT: Final = b"503 5.5.1 BINARYMIME needs BDAT\r\n"
SEND_RSET: Final = b"503 5.5.1 Transaction has failed, send RSET\r\n"
IN_TRANSACTION: Final = b"503 5.5.1 Not inside a transaction\r\n"
NOT_TRUSTED: Final = b"550 5.7.14 Not allowed from this peer\r\n"
ALGORITHM_UNKNOWN: Final = b"550 5.7.6 Sealed in a way that is not known here\r\n"
SEALED_FOR_ONE: Final = b"452 4.5.3 A sealed message is for one mailbox\r\n"
TOO_BIG: Final = b"552 5.3.4 Message too big\r\n"
TOO_MANY_RECIPIENTS: Final = b"452 4.5.3 Too many recipients\r\n"
MAILBOX_BUSY: Final = b"451 4.3.0 Too many deliveries to this mailbox\r\n"
OVERLOADED: Final = b"451 4.3.2 Too busy, try again later\r\n"
UNHEALTHY: Final = b"451 4.3.0 Mail store is unavailable\r\n"
INTERNAL: Final = b"451 4.3.0 Temporary internal error\r\n"
TOO_SLOW: Final = b"451 4.3.0 Delivery takes too long\r\n"
SHUTDOWN: Final = b"421 4.3.2 Shutting down\r\n"
IDLE: Final = b"421 4.4.2 Disconnected for inactivity\r\n"
TOO_MANY_ERRORS: Final = b"421 4.7.0 Too many errors\r\n"

_HOST_NAME: Final = re.compile(r"[!-~]+")
"""What a greeting can show without a second word or line; A-labels where the name is not ASCII. RFC 5321 §4.3.1."""

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def reply(code: int, status: object, text: str, *, utf8: bool = False) -> bytes:
    """Make one reply line of at most 240 octets, CRLF included.

    Line ends and control characters in ``text`` become blanks, so no text can add a line; what is not ASCII becomes
    ``?`` unless ``utf8``, which needs a client that said SMTPUTF8 (RFC 6531 §3.5).
    """
    shown = _UNSAFE.sub(" ", text).strip()
    octets = f"{code} {status} ".encode("ascii") + shown.encode("utf-8" if utf8 else "ascii", "replace")
    if len(octets) > REPLY_LIMIT_OCTETS - 2:
        octets = octets[: REPLY_LIMIT_OCTETS - 5]
        # Not in the middle of a character.
        octets = octets.decode("utf-8", "ignore").encode("utf-8") + b"..."
    return octets + b"\r\n"


def result_reply(result: DeliveryResult, *, utf8: bool = False) -> bytes:
    """Make the reply of one recipient; a success names its delivery id, a refusal may have several lines.

    Lines that would take it over 240 octets are left out: whoever refuses sees to it that they fit. RFC 2033 §4.2.
    """
    if result.is_success:
        return reply(result.reply_code, result.status, f"{result.delivery_id} {result.text}", utf8=utf8)
    if "\n" not in result.text:
        return reply(result.reply_code, result.status, result.text, utf8=utf8)
    lines: list[bytes] = []
    for text in result.text.split("\n"):
        line = reply(result.reply_code, result.status, text, utf8=utf8)
        if sum(map(len, lines)) + len(line) > REPLY_LIMIT_OCTETS:
            break
        lines.append(line)
    # All but the last have a hyphen behind the code. RFC 5321 §4.2.1.
    return b"".join(line[:3] + b"-" + line[4:] for line in lines[:-1]) + lines[-1]


def error_reply(error: BaseException) -> bytes:
    """Make the line for an error; what we do not understand is temporary and shows nothing of itself."""
    if isinstance(error, MsgstoreError):
        return reply(error.reply_code, error.status, error.reply_text)
    return INTERNAL


def lhlo_reply(hostname: str, keywords: Sequence[str]) -> bytes:
    """Make the answer to LHLO, one keyword a line.

    Raises:
        ConfigError: the host name is none, or so long that the answer has more than 245 octets, and Exim could never
            deliver here.

    RFC 2033 §4.1, RFC 5321 §4.1.1.1.
    """
    if not _HOST_NAME.fullmatch(hostname):
        raise ConfigError((f"lmtp.hostname: {hostname!r} is not a host name",))
    lines = [hostname, *keywords]
    octets = "".join(f"250-{line}\r\n" for line in lines[:-1]).encode("ascii")
    octets += f"250 {lines[-1]}\r\n".encode("ascii")
    if len(octets) > LHLO_LIMIT_OCTETS:
        raise ConfigError((f"lmtp.hostname: {hostname!r} is too long for the answer to LHLO",))
    return octets


def is_permanent(line: bytes) -> bool:
    """Whether a reply is of class 5."""
    return line.startswith(b"5")
