"""The input gate of one connection: which octets may be looked at now, and when replies go out.

Lines are obeyed as long as no answer is due from elsewhere.  What has to wait (a lookup, a full mailbox, a commit)
*closes the gate*; input collects, up to a limit, until the job behind it has answered.  Replies collect too and go out
in one write when the gate closes or the input ends, so a pipelined group is answered at once. RFC 2920 §3.2.
"""

import asyncio
from typing import Final

from lmtpd import replies
from lmtpd.house import House
from lmtpd.pace import Pace
from lmtpd.transparency import CountDecoder, DotDecoder
from msgstore.telemetry.log import logger

__all__ = ["Gate", "Hold"]

log = logger(__name__)

LINE_LIMIT_OCTETS: Final = 4096
"""Of one command line; RFC 3461 §6 adds 500 for ORCPT, RFC 6531 doubles the address."""

FLOOD_OCTETS: Final = 65536
"""A line without end that is longer is no mistake any more."""

INPUT_LIMIT_OCTETS: Final = 65536
"""Input that waits behind the closed gate before reading stops."""


class Hold:
    """Why reading is stopped: bits of a plain number, which are looked at for every line."""

    NONE: Final = 0
    INPUT: Final = 1
    MESSAGE: Final = 2
    OUTPUT: Final = 4


class Gate(asyncio.Protocol):
    """Input and output of one connection; a subclass says what lines, content, reset and the end mean."""

    def __init__(self, house: House, session_id: str) -> None:
        self.id: Final = session_id
        """Names the connection in logs."""

        self.pace: Final = Pace(house.clock(), house.settings)
        self._house: Final = house
        self._wire: asyncio.Transport | None = None
        self._input = b""
        self._at = 0
        self._output: list[bytes] = []
        self._holds: int = Hold.NONE
        self._decoder: DotDecoder | CountDecoder | None = None
        self._is_waiting = False
        self._is_skipping_line = False
        self._skipped_octets = 0
        self._is_closing = False
        self._is_draining = False
        self._has_eof = False
        self._errors = 0

    # What a subclass gives.

    def _obey(self, line: bytes) -> None:
        """Carry out one command line, given without its line end."""
        raise NotImplementedError

    def _take_content(self, decoder: DotDecoder | CountDecoder) -> None:
        """Take ``_input`` from ``_at`` on as message content."""
        raise NotImplementedError

    def _reset(self) -> None:
        """Forget the transaction."""
        raise NotImplementedError

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        """Take octets of the peer."""
        self.pace.received(self._house.clock(), len(data))
        # What has been obeyed stays in front until here: to cut it off line by line would cost the square of the input.
        self._input = self._input[self._at :] + data if self._input else data
        self._at = 0
        if self._is_waiting:
            if len(self._input) > INPUT_LIMIT_OCTETS:
                self._hold(Hold.INPUT)
            return
        self._go_on()

    def eof_received(self) -> bool:
        """The peer sends no more; what was begun is finished and answered before the connection closes."""
        self._has_eof = True
        if self._is_waiting:
            return True
        self._close()
        return True

    def pause_writing(self) -> None:
        """The peer does not read its replies: stop obeying it."""
        self._hold(Hold.OUTPUT)

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._release(Hold.OUTPUT)

    def has_room(self) -> None:
        """Read on: the message has been written down so far."""
        self._release(Hold.MESSAGE)

    # The input gate.

    def _go_on(self) -> None:
        """Obey what has come, as far as possible; then send what there is to say."""
        while not (self._is_waiting or self._is_closing or self._holds & Hold.OUTPUT):
            if self._decoder is not None:
                if self._decoder.is_finished or self._at == len(self._input):
                    break
                self._take_content(self._decoder)
            elif self._is_draining:
                self._say_goodbye(replies.SHUTDOWN)
            elif not self._take_line():
                break
        if self._at == len(self._input):
            self._input, self._at = b"", 0
        self._flush()

    def _take_line(self) -> bool:
        """Obey one line; false when none is complete."""
        begin, end = self._at, self._input.find(b"\n", self._at)
        is_whole = end >= 0
        octets = (end if is_whole else len(self._input)) - begin
        if self._is_skipping_line or octets > LINE_LIMIT_OCTETS:
            self._skip(octets, is_whole=is_whole)
        elif is_whole:
            self._at = end + 1
            line = self._input[begin:end]
            self._obey(line[:-1] if line.endswith(b"\r") else line)
        return is_whole

    def _skip(self, octets: int, *, is_whole: bool) -> None:
        """Pass over a line that is too long, or over a part of it; it is refused once, wherever it is cut."""
        self._at += octets + is_whole
        if not self._is_skipping_line:
            self._skipped_octets = 0
            self._refuse(replies.LINE_TOO_LONG)
        self._skipped_octets += octets
        self._is_skipping_line = not is_whole
        if self._skipped_octets > FLOOD_OCTETS:
            self._say_goodbye(replies.TOO_MANY_ERRORS)

    def _wait(self) -> None:
        self._is_waiting = True

    def _reopen(self) -> None:
        """Open the gate again and go on with what has come meanwhile."""
        self._is_waiting = False
        if self._is_closing:
            return
        self.pace.resumed(self._house.clock())
        self._release(Hold.INPUT)
        self._go_on()
        if self._has_eof and not self._is_waiting:
            self._close()

    def _hold(self, why: int) -> None:
        if self._holds == Hold.NONE and self._wire is not None:
            self._wire.pause_reading()
        self._holds |= why

    def _release(self, why: int) -> None:
        if not self._holds & why:
            return
        self._holds &= ~why
        if self._holds == Hold.NONE and self._wire is not None and not self._is_closing:
            self.pace.resumed(self._house.clock())
            self._wire.resume_reading()
        if why == Hold.OUTPUT and not self._is_waiting:
            self._go_on()

    # Output.

    def _send(self, line: bytes) -> None:
        if not self._is_closing:
            self._output.append(line)

    def _flush(self) -> None:
        if self._output and self._wire is not None:
            octets = b"".join(self._output)
            self._output.clear()
            self._wire.write(octets)

    def _refuse(self, line: bytes, *, is_counted: bool = True) -> None:
        """Send a refusal; too many of class 5 end the connection."""
        self._send(line)
        if is_counted and replies.is_permanent(line):
            self._errors += 1
            self._house.counters.count("error")
            if self._errors >= self._house.settings.max_errors:
                log.info("lmtp.too_many_errors", session=self.id, last=line.decode("ascii", "replace").rstrip())
                self._say_goodbye(replies.TOO_MANY_ERRORS)

    def _say_goodbye(self, line: bytes) -> None:
        self._send(line)
        self._close()

    def _close(self) -> None:
        """Send what is left to say and close; a delivery that was begun goes on without us."""
        if self._is_closing:
            return
        self._flush()
        self._is_closing = True
        self._reset()
        if self._wire is not None:
            self._wire.close()
