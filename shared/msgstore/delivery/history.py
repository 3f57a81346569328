"""What was done before: messages seen by ``duplicate``, replies sent by ``vacation``, messages redirected.

One SQLite file for each mailbox, beside its mail.  What is asked for in a run is locked until the run ends, and it is
remembered only after everything succeeded: whatever kills a process, nothing counts as seen that was not.  The
opposite may happen, rarely: a message is taken for new where two arrive at once and one of them is slow, after a
power cut (the last records may be rolled back), or when the file was damaged and set aside.

RFC 7352 §3, RFC 5230 §4.2.
"""

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Final, Self

from msgstore.delivery.historyfile import HistoryFile, RangeLocks
from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound, StoreError
from msgstore.model.interfaces import Clock
from msgstore.model.store import Records
from msgstore.store.disk import Disk
from msgstore.telemetry.log import logger

__all__ = ["KEEP_LIMIT_SECONDS", "History", "Kind", "Mark", "Run"]

log = logger(__name__)

KEEP_LIMIT_SECONDS: Final = 90 * 86_400.0
"""Longer times are silently taken for this one. RFC 7352 §3.3, RFC 5230 §4.1 (more than 30 days)."""

_OPEN_FILES: Final = 64
_POLL_SECONDS: Final = 0.005


class Kind(Enum):
    """What is remembered; kinds know nothing of each other."""

    DUPLICATE = "duplicate"
    VACATION = "vacation"
    REDIRECT = "redirect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One thing that may have been done before."""

    kind: Kind
    unique: str
    """Compared octet by octet: a message id, an address, what a script made up."""

    seconds: float
    """How long it counts; 0 and less never does."""

    handle: str = ""
    is_renewed: bool = False
    """Whether being seen again makes it count anew from then on; ``:last``."""

    @property
    def key(self) -> bytes:
        """Names it in the file, where no id and no address stands."""
        words = (self.kind.value, self.handle, self.unique)
        digest = hashlib.blake2b(digest_size=32)
        for octets in (word.encode("utf-8", "surrogatepass") for word in words):
            # Counted, so that no two different marks make the same text. RFC 5230 §4.2.
            digest.update(len(octets).to_bytes(8, "big") + octets)
        return digest.digest()


class History:
    """The histories of all mailboxes; safe in every thread, and among processes.

    ``control`` gives the directory of a mailbox, as :meth:`msgstore.model.interfaces.MessageStore.control_directory`;
    ``records`` is what a store has in the place of files.
    """

    def __init__(
        self,
        control: Callable[[MailboxId], int | None],
        *,
        clock: Clock,
        records: Records | None = None,
        wait_seconds: float = 2.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._control = control
        self._records = records
        self.clock: Final = clock
        self.wait_seconds: Final = wait_seconds
        self.pause: Final = pause
        self._disk = Disk()
        self._guard = threading.Lock()
        self._files: OrderedDict[MailboxId, HistoryFile] = OrderedDict()
        self._held: dict[tuple[MailboxId, bytes], int] = {}

    def run(self, mailbox: MailboxId) -> "Run":
        """Begin a run for a message to this mailbox; touches no disk yet.  Use it as a context manager."""
        return Run(self, mailbox)

    def close(self) -> None:
        """Close all files; a later use opens them again."""
        with self._guard:
            files = list(self._files.values())
            self._files.clear()
        for file in files:
            file.close()

    # For runs.

    def try_hold(self, mailbox: MailboxId, key: bytes) -> int:
        """Claim a mark within this process: 0 when it is ours now, else the thread that has it."""
        with self._guard:
            holder = self._held.get((mailbox, key))
            if holder is None:
                self._held[mailbox, key] = threading.get_ident()
            return holder or 0

    def release(self, mailbox: MailboxId, keys: Iterable[bytes]) -> None:
        """Give marks back."""
        with self._guard:
            for key in keys:
                self._held.pop((mailbox, key), None)

    def range_locks(self, mailbox: MailboxId) -> RangeLocks | None:
        """Open what keeps other processes away; None where there are no files."""
        directory = self._control(mailbox) if self._records is None else self._records.lock_directory()
        if directory is None:
            return None
        try:
            return RangeLocks(directory, salt=b"" if self._records is None else str(mailbox).encode())
        finally:
            os.close(directory)

    @contextlib.contextmanager
    def file(self, mailbox: MailboxId) -> "Generator[HistoryFile | _InStore]":
        """Give the file of a mailbox, one thread at a time, or what the store has in its place."""
        if self._records is not None:
            yield _InStore(self._records, mailbox)
            return
        with self._guard:
            file = self._files.get(mailbox)
            if file is None:
                file = self._files[mailbox] = HistoryFile(lambda: self._control(mailbox), self._disk)
            self._files.move_to_end(mailbox)
            oldest = next(iter(self._files.items())) if len(self._files) > _OPEN_FILES else None
            if oldest is not None and oldest[1].has_place:
                del self._files[oldest[0]]
            else:
                oldest = None
        if oldest is not None:
            oldest[1].close()
        yield file


@dataclass(frozen=True, slots=True)
class _InStore:
    """The history of one mailbox in a store that keeps it itself."""

    records: Records
    mailbox: MailboxId

    def has(self, kind: str, key: bytes, *, now: float, seconds: float) -> bool:
        return self.records.has(self.mailbox, kind, key, now=now, seconds=seconds)

    def add(self, records: Iterable[tuple[str, bytes, float]], *, now: float) -> None:
        self.records.add(self.mailbox, records, now=now)


class Run:
    """What one message asks of one mailbox's history; one thread at a time.

    Marks asked for are held until the run is left; leaving it without :meth:`keep` remembers nothing.
    """

    def __init__(self, history: History, mailbox: MailboxId) -> None:
        self._history = history
        self._mailbox = mailbox
        self._answers: dict[bytes, tuple[Mark, bool]] = {}
        self._held: list[bytes] = []
        self._locks: RangeLocks | None = None

    def seen(self, mark: Mark, *, when_unsure: bool = False) -> bool:
        """Whether this was kept by an earlier run and still counts; the same question has one answer in a run.

        ``when_unsure`` is the answer where another run has the mark and does not end, or the disk refuses: false for
        what decides over mail, true for what sends a reply.
        """
        if mark.seconds <= 0:
            return False
        key = mark.key
        known = self._answers.get(key)
        if known is not None:
            # Of several questions with different times the last one counts. RFC 7352 §3.3.
            self._answers[key] = (mark, known[1])
            return known[1]
        try:
            if not self._hold(key):
                log.info("history.busy", mailbox=str(self._mailbox), kind=mark.kind.value)
                return when_unsure
            with self._history.file(self._mailbox) as file:
                answer = file.has(mark.kind.value, key, now=self._history.clock.time(), seconds=_capped(mark.seconds))
        except MailboxNotFound:
            # The first message of a mailbox makes it.
            answer = False
        except (OSError, sqlite3.Error, StoreError) as error:
            log.warning("history.unknown", mailbox=str(self._mailbox), kind=mark.kind.value, why=str(error))
            return when_unsure
        self._answers[key] = (mark, answer)
        return answer

    def keep(self, marks: Iterable[Mark] | None = None) -> None:
        """Remember these marks, or all that were asked for, when what they stand for has been done.

        A mark that counts already is left alone unless it is renewed.  Trouble is logged and nothing else: what is
        done is done.
        """
        wanted = None if marks is None else {mark.key for mark in marks}
        due = [
            (mark.kind.value, key, _capped(mark.seconds))
            for key, (mark, was_seen) in self._answers.items()
            if (wanted is None or key in wanted) and (mark.is_renewed or not was_seen)
        ]
        if not due:
            return
        try:
            with self._history.file(self._mailbox) as file:
                file.add(due, now=self._history.clock.time())
        except (OSError, sqlite3.Error, StoreError) as error:
            log.warning("history.not_kept", mailbox=str(self._mailbox), marks=len(due), why=str(error))

    def close(self) -> None:
        """Let other runs have the marks; harmless to repeat."""
        locks, self._locks = self._locks, None
        if locks is not None:
            locks.close()
        held, self._held = self._held, []
        self._history.release(self._mailbox, held)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _hold(self, key: bytes) -> bool:
        """Wait until no other run has the mark; not for ever, and not for a run of this very thread."""
        deadline = self._history.clock.monotonic() + self._history.wait_seconds
        while True:
            holder = self._history.try_hold(self._mailbox, key)
            if not holder:
                self._held.append(key)
                break
            if holder == threading.get_ident() or self._history.clock.monotonic() >= deadline:
                return False
            self._history.pause(_POLL_SECONDS)
        if self._locks is None:
            try:
                self._locks = self._history.range_locks(self._mailbox)
            except MailboxNotFound:
                return True
        while self._locks is not None and not self._locks.try_lock(key):
            if self._history.clock.monotonic() >= deadline:
                return False
            self._history.pause(_POLL_SECONDS)
        return True


def _capped(seconds: float) -> float:
    return min(seconds, KEEP_LIMIT_SECONDS)
