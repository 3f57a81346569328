"""Events, not sentences: a dotted constant and fields, written as text, JSON or for the journal.

One line per finished transaction at INFO.  Foreign text passes one escaper, so no peer can forge a line.
"""

import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

__all__ = ["EventLogger", "configure_logging", "escape", "gathered", "logger"]

Field = str | int | float | bool | None
"""What a field may hold."""

_WRITE_LIMIT_OCTETS: Final = 4096
"""Of lines written with one call: a pipe takes no more without mixing it with what others write.  pipe(7)."""

_LIMIT_CHARACTERS: Final = 200
"""A longer value is cut: a line stays below the datagram limits of every log daemon."""

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/@+,<>\[\]-]+")
_is_plain: Final = _PLAIN.fullmatch
_LEVELS: Final = {number: name for name, number in logging.getLevelNamesMapping().items() if name != "WARN"}
_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""syslog(3) numbers; the journal reads them as a ``<N>`` prefix (sd-daemon(3))."""


class EventLogger:
    """Writes events of one part of the program; safe in every thread."""

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, **fields: Field) -> None:
        """Write what only a developer wants to see."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Field) -> None:
        """Write one finished transaction."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """Write what an operator should look at this week."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, error: BaseException | None = None, **fields: Field) -> None:
        """Write what an operator should look at this hour; ``error`` adds its class, text and place."""
        if error is not None:
            fields = {**fields, "error": type(error).__name__, "reason": str(error)}
        self._write(logging.ERROR, event, fields, error)

    def _write(self, level: int, event: str, fields: Mapping[str, Field], error: BaseException | None = None) -> None:
        if level >= _current.level:
            _current.write(_Line(time.time(), level, self._name, event, fields, error))


def logger(name: str) -> EventLogger:
    """Give the event logger of a module; ``name`` is its ``__name__``."""
    return EventLogger(name)


@contextmanager
def gathered() -> Generator[None]:
    """Write the lines of this thread at the end of the block, many with one call; warnings and errors at once."""
    _gathering.lines = []
    try:
        yield
    finally:
        _flush_gathered()
        _gathering.lines = None


def escape(text: str) -> str:
    """Make foreign text safe for a log line or a reply: control characters shown, at most 200 characters."""
    shown = _UNSAFE.sub(lambda found: found.group().encode("unicode_escape", "replace").decode("ascii"), text)
    return shown if len(shown) <= _LIMIT_CHARACTERS else shown[: _LIMIT_CHARACTERS - 1] + "…"


@dataclass(slots=True)
class _Line:
    at: float
    level: int
    logger: str
    event: str
    fields: Mapping[str, Field]
    error: BaseException | None = None


class _Sink:
    """Where lines go.  Not the handlers of the standard library: they cost more than the rest of a small delivery."""

    def __init__(self, form: str, level: int, stream: TextIO | None) -> None:
        self.level = level
        self._stream = stream
        self._form: Callable[[_Line], str] = {"json": _as_json, "journal": _as_journal}.get(form, self._as_text)
        self._second: tuple[int, str] = (0, "")

    def write(self, line: _Line) -> None:
        """Write one line with one call, so that lines of several processes do not mix."""
        text = self._form(line) + "\n"
        lines = _gathering.lines
        if lines is None:
            self.put(text)
            return
        lines.append(text)
        if line.level > logging.INFO:
            # Trouble may be the last thing a process tells.
            _flush_gathered()

    def put(self, text: str) -> None:
        """Write whole lines with one call."""
        stream = sys.stderr if self._stream is None else self._stream
        try:
            stream.write(text)
            stream.flush()
        except (OSError, ValueError):
            # Whoever read the log is gone; mail is worth more than a line about it.
            return

    def _as_text(self, line: _Line) -> str:
        """``2026-03-03T10:11:12.123Z INFO delivery.committed domain=example.com octets=4096``."""
        second = int(line.at)
        known, shown = self._second
        if known != second:
            shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, shown)
        milliseconds = int((line.at - second) * 1000)
        return (
            f"{shown}.{milliseconds:03d}Z {_LEVELS.get(line.level) or logging.getLevelName(line.level)} {_body(line)}"
        )


class _Gathering(threading.local):
    lines: list[str] | None = None


_gathering = _Gathering()


def _flush_gathered() -> None:
    lines, _gathering.lines = _gathering.lines or [], []
    text, octets = "", 0
    for line in lines:
        length = len(line.encode("utf-8", "replace"))
        if text and octets + length > _WRITE_LIMIT_OCTETS:
            _current.put(text)
            text, octets = "", 0
        text += line
        octets += length
    if text:
        _current.put(text)


class _ForeignHandler(logging.Handler):
    """Brings what other libraries log through the standard library into the same stream."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        _current.write(_Line(record.created, record.levelno, record.name, record.getMessage(), {}, error))


def _as_journal(line: _Line) -> str:
    """Begin with a priority that systemd understands; time and program are the journal's own."""
    return f"<{_PRIORITIES.get(line.level, 6)}>{_body(line)}"


def _as_json(line: _Line) -> str:
    """Give one JSON object."""
    shown: dict[str, Field] = {
        "time": round(line.at, 6),
        "level": logging.getLevelName(line.level).lower(),
        "event": escape(line.event),
        "logger": line.logger,
    }
    shown |= {name: escape(value) if isinstance(value, str) else value for name, value in line.fields.items()}
    if line.error is not None:
        shown["trace"] = "".join(traceback.format_exception(line.error))
    return json.dumps(shown, ensure_ascii=False)


def _body(line: _Line) -> str:
    words = [line.event if _is_plain(line.event) else escape(line.event)]
    for name, value in line.fields.items():
        # Most values are plain words and are spared the call; it is the price of each delivery.
        if isinstance(value, str) and len(value) <= _LIMIT_CHARACTERS and _is_plain(value):
            words.append(f"{name}={value}")
        elif value is not None:
            words.append(f"{name}={_shown(value)}")
    if line.error is not None:
        words.append(f"at={_shown(_innermost(line.error))}")
    return " ".join(words)


def _shown(value: Field) -> str:
    if isinstance(value, str):
        text = escape(value)
        return text if _is_plain(text) else json.dumps(text, ensure_ascii=False)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


_current = _Sink("text", logging.INFO, None)


def configure_logging(*, form: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send every log line of this process to ``stream`` (standard error) in one form: text, json or journal."""
    global _current  # noqa: PLW0603 (one process, one log)
    if form == "auto":
        form = "journal" if "JOURNAL_STREAM" in os.environ else "text"
    number = logging.getLevelNamesMapping()[level.upper()]
    _current = _Sink(form, number, stream)
    root = logging.getLogger()
    root.handlers[:] = [_ForeignHandler()]
    root.setLevel(number)
    # aiosmtpd writes every command at INFO there; our own line per recipient says what matters.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
