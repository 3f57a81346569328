"""Watching: who watches which places, what is on its way to them, and what they know already.

A place is looked at once for all who watch it, in a worker thread.  Each watcher has a baseline of its own there and
gets what lies between it and the look.  Events of a watcher wait while its session has changes in work: only when those
are over is it known which of the events are the session's own doing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from accessd.looks import Baseline, FolderNews, News
from accessd.own import Own
from accessd.session import Session
from msgstore.access import contract, entries
from msgstore.access.frames import Notification, encode
from msgstore.access.uids import compressed
from msgstore.access.watchshapes import EventKind, WatchEvent
from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.message import MessageInfo

__all__ = ["Outbox", "Seat", "Voice", "Watcher", "Watches"]

_UNREAD_LIMIT_OCTETS: Final = 64 * 1024
"""Above this nothing is said unasked: memory must not grow with what a peer does not read."""

_HELD_LIMIT_ROWS: Final = 5000
"""Of one watcher, waiting; more become a ``resync`` for each folder."""


@dataclass(slots=True, kw_only=True, eq=False)
class Seat:
    """One watcher in one folder; without a folder in the folder list of its mailbox."""

    watcher: "Watcher"
    folder: FolderName | None
    baseline: Baseline
    joined_at: float
    own: list[tuple[float, Own]] = field(default_factory=list[tuple[float, Own]])
    """With the time at which it was noted."""

    def note(self, own: Own, at: float) -> None:
        """Remember an own change until a look that was begun after it has been told."""
        self.own.append((at, own))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What one look tells one watcher."""

    seat: Seat
    news: News
    modseq: int
    began: float
    after: "asyncio.Future[None] | None"
    """Done when the own changes are over that the look may have seen."""


class Outbox(Protocol):
    """Frames that wait to be sent."""

    octets: int
    """Waiting."""

    def put(self, octets: bytes) -> None:
        """Queue a frame."""
        ...


class Voice:
    """What a connection says unasked; silent until it has an outbox."""

    def __init__(self) -> None:
        self.outbox: Outbox | None = None

    def say(self, frame: Notification) -> bool:
        """Queue a notification; false where the peer does not read as fast as it is told."""
        if self.outbox is None or self.outbox.octets > _UNREAD_LIMIT_OCTETS:
            return False
        self.outbox.put(encode(frame))
        return True


class Watcher:
    """One watch of a session."""

    def __init__(
        self,
        number: int,
        *,
        session: Session,
        mailbox: MailboxId,
        wanted: Iterable[FolderName] | None,
        voice: Voice,
    ) -> None:
        self.number: Final = number
        self.session: Final = session
        self.mailbox: Final = mailbox
        self.seats: Final[dict[FolderName | None, Seat]] = {}
        self._wanted = None if wanted is None else set(wanted)
        self._voice = voice
        self._held: deque[_Batch] = deque()
        self._held_rows = 0
        self._stale: dict[FolderName | None, None] = {}
        """Folders of which something could not be told; a ``resync`` of each is due."""

        self._is_waiting = False
        self.is_over = False

    def wants(self, folder: FolderName) -> bool:
        """Whether a folder that appears is watched."""
        return self._wanted is None or folder in self._wanted

    def follow(self, folder: FolderName, to: FolderName) -> None:
        """Watch a folder under another name too."""
        if self._wanted is not None and folder in self._wanted:
            self._wanted.add(to)

    def tell(self, seat: Seat, news: News, *, began: float, after: "asyncio.Future[None] | None" = None) -> None:
        """Tell what a look found, as soon as the session's changes that it may have seen are over.

        To be called without news too: own changes are forgotten when a later look has been told.
        """
        if not news and not seat.own and not self._held:
            return
        waits_for = after or self.session.turns.last_change
        batch = _Batch(seat=seat, news=news, modseq=seat.baseline.modseq, began=began, after=waits_for)
        self._held.append(batch)
        self._held_rows += news.weight
        if self._held_rows > _HELD_LIMIT_ROWS:
            for each in self._held:
                self._stale[each.seat.folder] = None
            self._held.clear()
            self._held_rows = 0
        if not self._is_waiting:
            self._flush()

    def has_room(self) -> None:
        """The peer has read what it was told: say what could not be said."""
        if not self._is_waiting and self._stale:
            self._tell_stale()

    def alive(self) -> None:
        """Say that the watch lives."""
        self._say("alive")

    def end(self) -> None:
        """Say nothing more."""
        self.is_over = True
        self._held.clear()
        self._stale.clear()

    def _flush(self, _: object = None) -> None:
        self._is_waiting = False
        while self._held and not self.is_over:
            batch = self._held[0]
            if batch.after is not None and not batch.after.done():
                self._is_waiting = True
                batch.after.add_done_callback(self._flush)
                return
            self._held.popleft()
            self._held_rows -= batch.news.weight
            self._tell_batch(batch)
        if self._stale and not self.is_over:
            self._tell_stale()

    def _tell_batch(self, batch: _Batch) -> None:
        seat, news = batch.seat, batch.news
        for _, own in seat.own:
            news = own.without(news)
        seat.own = [(at, own) for at, own in seat.own if at > batch.began]
        if not news or seat.folder in self._stale:
            return
        if not self._say_all(seat.folder, news, batch.modseq):
            self._stale[seat.folder] = None

    def _tell_stale(self) -> None:
        for folder in list(self._stale):
            seat = self.seats.get(folder)
            modseq = None if seat is None or folder is None else seat.baseline.modseq
            if seat is not None and not self._say("resync", folder, modseq=modseq):
                return
            del self._stale[folder]

    def _say_all(self, folder: FolderName | None, news: News, modseq: int) -> bool:
        if news.is_resync:
            return self._say("resync", folder, modseq=modseq)
        if news.folder is not None:
            return self._say_folder(news.folder)
        said = True
        if news.expunged:
            said = self._say("expunged", folder, uids=compressed(news.expunged), modseq=modseq)
        if said and news.flags:
            said = self._say("flags", folder, messages=tuple(map(_flags_row, news.flags)), modseq=modseq)
        if said and news.new:
            said = self._say("new", folder, uids=compressed(info.uid for info in news.new), modseq=modseq)
        return said

    def _say_folder(self, news: FolderNews) -> bool:
        return self._say(
            "folder",
            news.folder,
            change=news.change,
            new_folder=None if news.new_folder is None else str(news.new_folder),
            uidvalidity=news.uidvalidity,
        )

    def _say(self, kind: EventKind, folder: FolderName | None = None, **more: object) -> bool:
        event = WatchEvent(
            watch=self.number, mailbox=str(self.mailbox), kind=kind, folder=None if folder is None else str(folder)
        )
        args = contract.fields_of(contract.changed(event, **more))
        return self._voice.say(Notification(method=entries.WATCH_EVENT.name, args=(args,)))


def _flags_row(info: MessageInfo) -> tuple[int, tuple[str, ...], tuple[str, ...], int]:
    return info.uid, tuple(sorted(info.flags)), tuple(sorted(info.keywords)), info.modseq


class Watches:
    """The watches of one connection."""

    def __init__(self) -> None:
        self.voice: Final = Voice()
        self.by_number: Final[dict[int, Watcher]] = {}
        self.starting = 0
        """Watches that are being started; they count for the limit."""

        self.on_end: Callable[[Watcher], None] = lambda _: None
        """Called when a watch ends; set by whoever began it."""

        self._last_number = 0

    def __len__(self) -> int:
        return len(self.by_number)

    def next_number(self) -> int:
        """Number a watch."""
        self._last_number += 1
        return self._last_number

    def has_room(self) -> None:
        """The peer has read what it was told."""
        for watcher in self.by_number.values():
            watcher.has_room()

    def stop(self, number: int) -> None:
        """End a watch; harmless where there is none."""
        watcher = self.by_number.pop(number, None)
        if watcher is not None:
            watcher.end()
            self.on_end(watcher)

    def end_of(self, session: Session) -> None:
        """End the watches of a session that has ended."""
        for number in [number for number, watcher in self.by_number.items() if watcher.session is session]:
            self.stop(number)

    def end_all(self) -> None:
        """End everything."""
        for number in list(self.by_number):
            self.stop(number)
