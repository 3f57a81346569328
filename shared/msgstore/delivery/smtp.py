"""The words of SMTP as a client speaks it, without a socket: replies in, transparent text out, parameters.  Pure.

RFC 5321; every decoder may be fed any cut of the stream.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgstore.model.errors import OutboundUnavailable
from msgstore.model.result import EnhancedStatus

__all__ = ["CodeReply", "DataEncoder", "ReplyReader", "keywords_of"]

REPLY_LIMIT_OCTETS: Final = 64 << 10
"""Of one reply with all its lines; a server that says more is none."""

_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?")
_STATUS: Final = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?: +|$)")
_LONE_LF: Final = re.compile(rb"(?<!\r)\n")
_LONE_CR: Final = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReply:
    """One reply with all its lines."""

    code: int
    lines: tuple[str, ...]
    """Texts without code; what is not ASCII is replaced."""

    @property
    def status(self) -> EnhancedStatus | None:
        """The enhanced status, where one stands and agrees with the code. RFC 2034 §4."""
        found = _STATUS.match(self.lines[0])
        if found is None or int(found[1]) != self.code // 100:
            return None
        return EnhancedStatus(int(found[1]), int(found[2]), int(found[3]))

    def __str__(self) -> str:
        return f"{self.code} {' / '.join(self.lines)}".rstrip()


class ReplyReader:
    """Takes the octets that a server sends and gives its replies."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []
        self._code = 0
        self._octets = 0

    def feed(self, octets: bytes) -> list[CodeReply]:
        """Take what came and give the replies that are whole.

        Raises:
            OutboundUnavailable: this is no SMTP.
        """
        *lines, self._rest = (self._rest + octets).split(b"\n")
        self._octets += len(octets)
        replies = [reply for line in lines if (reply := self._line(line.removesuffix(b"\r"))) is not None]
        if replies:
            self._octets = len(self._rest)
        if self._octets > REPLY_LIMIT_OCTETS:
            raise OutboundUnavailable("the outbound server sends a reply without end")
        return replies

    def _line(self, line: bytes) -> CodeReply | None:
        found = _LINE.fullmatch(line)
        if found is None or (self._lines and int(found[1]) != self._code):
            raise OutboundUnavailable(f"the outbound server does not speak SMTP: {line[:80]!r}")
        self._code = int(found[1])
        text = (found[3] or b"").decode("ascii", "replace")
        self._lines.append("".join(one if one.isprintable() else " " for one in text))
        if found[2] == b"-":
            return None
        reply = CodeReply(code=self._code, lines=tuple(self._lines))
        self._lines.clear()
        return reply


class DataEncoder:
    """Makes message octets fit for DATA: CRLF line ends alone, leading dots doubled. RFC 5321 §§2.3.8, 4.5.2.

    A line end of one octet becomes two: some server behind the next one might take it for a line end where we did
    not, and a dot behind it for the end of the message.
    """

    def __init__(self) -> None:
        self._is_at_start = True
        self._held_cr = False

    def feed(self, chunk: bytes) -> bytes:
        """Encode the next octets."""
        if self._held_cr:
            chunk = b"\r" + chunk
        self._held_cr = chunk.endswith(b"\r")
        if self._held_cr:
            chunk = chunk[:-1]
        if not chunk:
            return b""
        return self._encoded(chunk)

    def finish(self) -> bytes:
        """Give what is left and the end of the message."""
        rest = self._encoded(b"\r\n") if self._held_cr else b""
        self._held_cr = False
        return rest + (b".\r\n" if self._is_at_start else b"\r\n.\r\n")

    def _encoded(self, chunk: bytes) -> bytes:
        # One search says that nothing is to be done, which is so for all mail that came by SMTP.
        if chunk.count(b"\n") != chunk.count(b"\r\n"):
            chunk = _LONE_LF.sub(b"\r\n", chunk)
        if chunk.count(b"\r") != chunk.count(b"\r\n"):
            chunk = _LONE_CR.sub(b"\r\n", chunk)
        starts_with_dot = self._is_at_start and chunk.startswith(b".")
        self._is_at_start = chunk.endswith(b"\n")
        if b"\n." in chunk:
            chunk = chunk.replace(b"\n.", b"\n..")
        return b"." + chunk if starts_with_dot else chunk


def keywords_of(reply: CodeReply) -> Mapping[str, str]:
    """Give what a server offers in its answer to EHLO: keyword in capitals to parameters. RFC 5321 §4.1.1.1."""
    words = (line.strip().partition(" ") for line in reply.lines[1:])
    return {keyword.upper(): parameters for keyword, _, parameters in words if keyword}
