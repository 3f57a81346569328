"""Why a message went where it went: one line for each delivery over which a script decided, kept for some days.

A file for each day (UTC) in a directory of its own, appended to by all processes; a delivery id begins with its time,
so it names its file.  No content of a message is in there: which test was true in which line, and what was decided.
"""

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from msgstore.model.interfaces import Clock
from msgstore.sieve import Step
from msgstore.telemetry.log import logger

__all__ = ["TRACES_NAME", "DeliveryTrace", "Traces"]

log = logger(__name__)

TRACES_NAME: Final = ".msgstore-sieve-traces"
"""In the data directory; begins with a dot, so that it is never taken for the directory of a domain."""

_DAY_SECONDS: Final = 86_400
_SUFFIX: Final = ".jsonl"
_STEPS_LIMIT: Final = 500
"""Of one delivery; the last ones tell how it ended."""

_FILE_LIMIT_OCTETS: Final = 256 << 20
"""Of one day; more is not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTrace:
    """What is known of one delivery to one mailbox."""

    delivery_id: str
    mailbox: str
    at_seconds: float
    actions: tuple[str, ...]
    error: str | None
    steps: tuple[Step, ...]


class Traces:
    """Writes and finds traces; safe in every thread, and among processes."""

    def __init__(self, directory: str, *, days: int, clock: Clock) -> None:
        """Keep traces of ``days`` days and of the one that has begun in a directory that is made when it is needed."""
        self._directory = directory
        self._days = days
        self._clock = clock
        self._guard = threading.Lock()
        self._file: int = -1
        self._day: int = -1

    def add(self, trace: DeliveryTrace) -> None:
        """Write one; trouble is logged and nothing else."""
        told = {
            "id": trace.delivery_id,
            "mailbox": trace.mailbox,
            "at": round(trace.at_seconds, 3),
            "actions": trace.actions,
            "error": trace.error,
            "steps": [(one.script, one.line, one.kind, one.name, one.outcome) for one in trace.steps[-_STEPS_LIMIT:]],
        }
        line = json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            with self._guard:
                file = self._opened()
                if os.fstat(file).st_size < _FILE_LIMIT_OCTETS:
                    os.write(file, line)
        except OSError as error:
            log.warning("sieve.trace_failed", delivery_id=trace.delivery_id, why=str(error))

    def find(self, delivery_id: str) -> tuple[DeliveryTrace, ...]:
        """Give what is known of a delivery: one for each mailbox that its address stands for; nothing of an old one.

        Raises:
            OSError: the files cannot be read.
        """
        try:
            day = int(delivery_id.partition("-")[0], 16) // 1_000_000 // _DAY_SECONDS
            # The trace is written a little later than the id was made.
            paths = (self._path(day), self._path(day + 1))
        except (ValueError, OverflowError, OSError):
            # No id of ours, or of no time.
            return ()
        wanted = json.dumps(delivery_id)
        found: list[DeliveryTrace | None] = []
        for path in paths:
            try:
                with open(path, encoding="ascii", errors="replace") as lines:  # noqa: PTH123
                    found += [_read(line) for line in lines if wanted in line and line.endswith("\n")]
            except FileNotFoundError:
                continue
        return tuple(one for one in found if one is not None and one.delivery_id == delivery_id)

    def close(self) -> None:
        """Give the file back; a later use opens it again."""
        with self._guard:
            self._close()

    def _opened(self) -> int:
        day: int = int(self._clock.time()) // _DAY_SECONDS
        if self._file < 0 or day != self._day:
            self._close()
            os.makedirs(self._directory, mode=0o700, exist_ok=True)  # noqa: PTH103
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._path(day), flags, 0o600)
            self._day = day
            self._sweep(day)
        return self._file

    def _sweep(self, today: int) -> None:
        oldest = os.path.basename(self._path(today - self._days))  # noqa: PTH119
        for name in os.listdir(self._directory):  # noqa: PTH208
            if name.endswith(_SUFFIX) and name < oldest:
                try:
                    os.unlink(os.path.join(self._directory, name))  # noqa: PTH108, PTH118
                except FileNotFoundError:
                    # Another process was quicker.
                    continue

    def _path(self, day: int) -> str:
        date = time.strftime("%Y-%m-%d", time.gmtime(day * _DAY_SECONDS))
        return os.path.join(self._directory, date + _SUFFIX)  # noqa: PTH118

    def _close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _read(line: str) -> DeliveryTrace | None:
    """Read a line; None where a power cut left half of one."""
    try:
        told = cast("Mapping[str, object]", json.loads(line))
    except ValueError:
        return None
    steps = cast("Sequence[tuple[str, int, str, str, str]]", told["steps"])
    error = told["error"]
    return DeliveryTrace(
        delivery_id=str(told["id"]),
        mailbox=str(told["mailbox"]),
        at_seconds=float(cast("float", told["at"])),
        actions=tuple(cast("Sequence[str]", told["actions"])),
        error=None if error is None else str(error),
        steps=tuple(
            Step(script=script, line=number, kind=kind, name=name, outcome=outcome)
            for script, number, kind, name, outcome in steps
        ),
    )
