"""Events, not sentences: a dotted constant and fields, written as text, JSON or for the journal.

One line per finished transaction at INFO.  Foreign text passes one escaper, so no peer can forge a line.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Final, TextIO

__all__ = ["EventLogger", "configure_logging", "escape", "logger"]

Field = str | int | float | bool | None
"""What a field may hold."""

_LIMIT_CHARACTERS: Final = 200
"""A longer value is cut: a line stays below the datagram limits of every log daemon."""

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/@+,<>\[\]-]+")
_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""syslog(3) numbers; the journal reads them as a ``<N>`` prefix (sd-daemon(3))."""


class EventLogger:
    """Writes events of one part of the program; safe in every thread."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

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
        """Write what an operator should look at this hour; ``error`` adds its class, text and trace."""
        if error is not None:
            fields = {**fields, "error": type(error).__name__, "reason": str(error)}
        self._write(logging.ERROR, event, fields, error)

    def _write(self, level: int, event: str, fields: Mapping[str, Field], error: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            trace = None if error is None else (type(error), error, error.__traceback__)
            self._logger.log(level, event, extra={"fields": fields}, exc_info=trace)


def logger(name: str) -> EventLogger:
    """Give the event logger of a module; ``name`` is its ``__name__``."""
    return EventLogger(name)


def escape(text: str) -> str:
    """Make foreign text safe for a log line or a reply: control characters shown, at most 200 characters."""
    shown = _UNSAFE.sub(lambda found: found.group().encode("unicode_escape", "replace").decode("ascii"), text)
    return shown if len(shown) <= _LIMIT_CHARACTERS else shown[: _LIMIT_CHARACTERS - 1] + "…"


class _TextFormatter(logging.Formatter):
    """``2026-03-03T10:11:12.123Z INFO delivery.committed domain=example.com octets=4096``."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        return f"{seconds}.{int(record.msecs):03d} {record.levelname} {_body(record)}"


class _JournalFormatter(logging.Formatter):
    """A priority prefix that systemd understands; time and program are the journal's own."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{_body(record)}"


class _JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Field] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "event": escape(record.getMessage()),
            "logger": record.name,
        }
        line |= {name: escape(value) if isinstance(value, str) else value for name, value in _fields(record).items()}
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> Mapping[str, Field]:
    fields: Mapping[str, Field] = getattr(record, "fields", {})
    return fields


def _body(record: logging.LogRecord) -> str:
    words = [escape(record.getMessage())]
    words += [f"{name}={_shown(value)}" for name, value in _fields(record).items() if value is not None]
    if record.exc_info is not None and record.exc_info[2] is not None:
        words.append(f"at={_shown(_innermost(record))}")
    return " ".join(words)


def _shown(value: Field) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = escape(str(value))
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _innermost(record: logging.LogRecord) -> str:
    trace = None if record.exc_info is None else record.exc_info[2]
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def configure_logging(*, form: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send every log line of this process to ``stream`` (standard error) in one form: text, json or journal."""
    if form == "auto":
        form = "journal" if "JOURNAL_STREAM" in os.environ else "text"
    formatter = {"json": _JsonFormatter, "journal": _JournalFormatter}.get(form, _TextFormatter)()
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # aiosmtpd writes every command at INFO there; our own line per recipient says what matters.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
