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

from msgstore.model.errors import MsgstoreError
from msgstore.model.interfaces import Clock
from msgstore.model.result import EnhancedStatus
from msgstore.sieve import Step
from msgstore.telemetry.log import logger

__all__ = ["TRACES_NAME", "DeliveryTrace", "TraceDamaged", "Traces", "day_of"]

log = logger(__name__)

TRACES_NAME: Final = ".msgstore-sieve-traces"
"""In the data directory; begins with a dot, so that it is never taken for the directory of a domain."""

_DAY_SECONDS: Final = 86_400
_SUFFIX: Final = ".jsonl"
_BEGINNING: Final = '{"id":'
_STEPS_LIMIT: Final = 500
"""Of one delivery; the last ones tell how it ended."""

_FILE_LIMIT_OCTETS: Final = 256 << 20
"""Of one day; more is not written."""


class TraceDamaged(MsgstoreError):
    """What was written of a delivery cannot be read any more."""

    reply_code = 550
    status = EnhancedStatus(5, 3, 0)
    rpc_code = "TRACE_DAMAGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTrace:
    """What is known of one delivery to one mailbox."""

    delivery_id: str
    mailbox: str
    at_seconds: float
    actions: tuple[str, ...]
    error: str | None
    """Why the script did not come to its end, or could not begin."""

    steps: tuple[Step, ...]
    filed: tuple[str, ...] = ()
    """Folders into which the message was to go, as they are shown."""

    notes: tuple[str, ...] = ()
    """What was done otherwise than the script says, such as that a folder is missing."""


def day_of(delivery_id: str) -> int | None:
    """Give the day, counted from 1970 (UTC), on which an id was made; None where it is none of ours."""
    try:
        day = int(delivery_id.partition("-")[0], 16) // 1_000_000 // _DAY_SECONDS
        # Some numbers are no time: neither negative ones nor those beyond what the machine can tell.
        time.gmtime((day + 1) * _DAY_SECONDS)
    except (ValueError, OverflowError, OSError):
        return None
    return day if day >= 0 else None


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
            "filed": trace.filed,
            "notes": trace.notes,
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
            TraceDamaged: there is something, and it cannot be read any more.
            OSError: the files cannot be read.
        """
        day = day_of(delivery_id)
        if day is None:
            return ()
        wanted = json.dumps(delivery_id)
        found: list[DeliveryTrace] = []
        damaged = ""
        # The trace is written a little later than the id was made.
        for path in (self._path(day), self._path(day + 1)):
            try:
                with open(path, encoding="ascii", errors="replace") as lines:  # noqa: PTH123
                    for number, line in enumerate(lines, start=1):
                        if wanted not in line:
                            continue
                        trace = _read(line)
                        if trace is None:
                            damaged = f"{path}, line {number}"
                        elif trace.delivery_id == delivery_id:
                            found.append(trace)
            except FileNotFoundError:
                continue
        if damaged and not found:
            raise TraceDamaged(f"what was written of {delivery_id} is damaged: {damaged}")
        return tuple(found)

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
    """Read a line; None where it is damaged.

    A power cut may leave half a line, to which the next one was then appended: that one is whole.
    """
    try:
        told = cast("Mapping[str, object]", json.loads(line[line.rfind(_BEGINNING) :]))
        steps = cast("Sequence[tuple[str, int, str, str, str]]", told["steps"])
        error = told["error"]
        return DeliveryTrace(
            delivery_id=str(told["id"]),
            mailbox=str(told["mailbox"]),
            at_seconds=float(cast("float", told["at"])),
            actions=_texts(told["actions"]),
            error=None if error is None else str(error),
            filed=_texts(told.get("filed", ())),
            notes=_texts(told.get("notes", ())),
            steps=tuple(
                Step(script=str(script), line=int(number), kind=str(kind), name=str(name), outcome=str(outcome))
                for script, number, kind, name, outcome in steps
            ),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _texts(found: object) -> tuple[str, ...]:
    return tuple(map(str, cast("Sequence[object]", found)))
