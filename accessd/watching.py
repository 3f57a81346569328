"""The watched places of this process: which are looked at, when, and who is told."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol

from accessd.looks import (
    Baseline,
    Begun,
    FolderLook,
    FolderNews,
    News,
    TreeLook,
    begin,
    look_at_folder,
    look_at_tree,
    news_of,
)
from accessd.own import Own
from accessd.session import Session
from accessd.spots import Pace, Spot
from accessd.watch import Seat, Watcher, Watches
from msgstore.config.schema import AccessSettings
from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.mailbox import ChangedPlace, ChangeSource
from msgstore.service.offload import Offload

__all__ = ["Hints", "Watching"]

_NOTHING: Final = Baseline(uidvalidity=0, modseq=0, uidnext=1)


class Hints(Protocol):
    """Tells other processes of changes, and is told by them; never blocks."""

    def fileno(self) -> int:
        """Readable when there are hints."""
        ...

    def read(self) -> tuple[ChangedPlace, ...]:
        """Give what has come."""
        ...

    def send(self, places: Iterable[ChangedPlace]) -> None:
        """Tell the others."""
        ...


class _Room:
    """A watched place and those who watch it."""

    def __init__(self, spot: "Spot[FolderLook] | Spot[TreeLook]") -> None:
        self.spot = spot
        self.seats: list[Seat] = []
        self.names: frozenset[FolderName] = frozenset()
        """Of a folder list: the folders that are known."""


class Watching:
    """All watches of this process; lives in one event loop."""

    def __init__(
        self,
        settings: AccessSettings,
        *,
        store: MessageStore,
        offload: Offload,
        hints: Hints | None = None,
        on_count: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._offload = offload
        self._hints = hints
        self._on_count = on_count
        self._pace = Pace(settings.watch_poll_seconds)
        self._alive_seconds = settings.alive_seconds * 0.9
        self._rooms: dict[ChangedPlace, _Room] = {}
        self._watchers: dict[Watcher, asyncio.TimerHandle] = {}
        self._by_session: dict[Session, list[Watcher]] = {}
        self._source: ChangeSource | None = None
        self._starting = 0
        self._unused: set[ChangedPlace] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._watchers)

    def open(self) -> None:
        """Begin to be told of changes."""
        loop = self._loop = asyncio.get_running_loop()
        self._source = self._store.watch_changes()
        if self._source is not None:
            loop.add_reader(self._source.fileno(), self._told_by, self._source)
        if self._hints is not None:
            loop.add_reader(self._hints.fileno(), self._told_by, self._hints)

    def close(self) -> None:
        """End it; every watch has ended before."""
        if self._loop is None:
            return
        for watcher in list(self._watchers):
            self._forget(watcher)
        if self._hints is not None:
            self._loop.remove_reader(self._hints.fileno())
        if self._source is not None:
            self._loop.remove_reader(self._source.fileno())
            self._source.close()
            self._source = None

    def changed(self, mailbox: MailboxId, folder: FolderName | None) -> None:
        """Something was changed by this process: look at once, and let the other processes know.

        Without a folder it is the folder list.
        """
        self._poke((mailbox, folder))
        if self._hints is not None:
            self._hints.send(((mailbox, folder),))

    def note_own(self, session: Session, mailbox: MailboxId, folder: FolderName | None, own: Own) -> None:
        """A session made a change and is not told of it; all others are."""
        for watcher in self._by_session.get(session, ()):
            seat = watcher.seats.get(folder) if watcher.mailbox == mailbox else None
            if seat is not None:
                seat.note(own, self._now())
        self.changed(mailbox, folder)

    # Beginning and end of a watch.

    def begin_in_thread(
        self, mailbox: MailboxId, wanted: tuple[FolderName, ...] | None, since: Mapping[FolderName, int]
    ) -> Callable[[], Begun]:
        """Give what a worker thread has to do first; :meth:`begun` has to follow when the thread is done with it."""
        self.hold()
        self._unused.add((mailbox, None))
        self._unused.update((mailbox, name) for name in wanted or ())
        return partial(begin, self._store, self._source, mailbox, wanted=wanted, since=since)

    def hold(self) -> None:
        """Let go of no place until :meth:`begun` is called once more."""
        self._starting += 1

    def begun(self) -> None:
        """A beginning is over, well or not: let go of what it left."""
        self._starting -= 1
        if self._starting or self._source is None:
            return
        for place in self._unused - set(self._rooms):
            self._source.unwatch(*place)
        self._unused.clear()

    def join(self, watcher: Watcher, watches: Watches, found: Begun, *, after: "asyncio.Future[None] | None") -> None:
        """Watch from where the thread has looked; what is known already is told when ``after`` is done."""
        now = self._now()
        watches.on_end = self._forget
        watches.by_number[watcher.number] = watcher
        self._by_session.setdefault(watcher.session, []).append(watcher)
        known = self._rooms.get((watcher.mailbox, None))
        self._sit(watcher, None, _NOTHING)
        # A folder that only one of the two has seen is looked at again; whoever knows it is not told of it.
        self._rooms[watcher.mailbox, None].names = found.names if known is None else known.names & found.names
        self._watchers[watcher] = self._later(watcher)
        self._on_count(len(self))
        for folder, (baseline, news) in found.folders.items():
            seat = self._sit(watcher, folder, baseline)
            watcher.tell(seat, news, began=now, after=after)
        for name in watcher.seats:
            # Something may have happened between the look of the thread and now.
            self._poke((watcher.mailbox, name))

    def _forget(self, watcher: Watcher) -> None:
        self._watchers.pop(watcher).cancel()
        others = [one for one in self._by_session.pop(watcher.session, []) if one is not watcher]
        if others:
            self._by_session[watcher.session] = others
        for folder in list(watcher.seats):
            self._rise(watcher, folder)
        self._on_count(len(self))

    def _later(self, watcher: Watcher) -> asyncio.TimerHandle:
        assert self._loop is not None
        return self._loop.call_later(self._alive_seconds, self._say_alive, watcher)

    def _say_alive(self, watcher: Watcher) -> None:
        watcher.alive()
        self._watchers[watcher] = self._later(watcher)

    # Seats.

    def _sit(self, watcher: Watcher, folder: FolderName | None, baseline: Baseline) -> Seat:
        place = (watcher.mailbox, folder)
        room = self._rooms.get(place)
        if room is None:
            room = self._rooms[place] = self._new_room(watcher.mailbox, folder)
        seat = Seat(watcher=watcher, folder=folder, baseline=baseline, joined_at=self._now())
        watcher.seats[folder] = seat
        room.seats.append(seat)
        return seat

    def _rise(self, watcher: Watcher, folder: FolderName | None) -> None:
        seat = watcher.seats.pop(folder)
        place = (watcher.mailbox, folder)
        room = self._rooms[place]
        room.seats.remove(seat)
        if not room.seats:
            room.spot.close()
            del self._rooms[place]
            self._unused.add(place)
            self.hold()
            self.begun()

    def _new_room(self, mailbox: MailboxId, folder: FolderName | None) -> _Room:
        if folder is None:
            return _Room(
                Spot(
                    str(mailbox),
                    offload=self._offload,
                    pace=self._pace,
                    question=lambda: self._ask_tree(mailbox),
                    answer=lambda look, began: self._answer_tree(mailbox, look, began),
                )
            )
        return _Room(
            Spot(
                f"{mailbox} {folder}",
                offload=self._offload,
                pace=self._pace,
                question=lambda: self._ask_folder((mailbox, folder)),
                answer=lambda look, began: self._answer_folder((mailbox, folder), look, began),
            )
        )

    # What tells of changes.

    def _told_by(self, teller: Hints | ChangeSource) -> None:
        for place in teller.read():
            self._poke(place)

    def _poke(self, place: ChangedPlace) -> None:
        room = self._rooms.get(place)
        if room is not None:
            room.spot.poke()

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()

    # Looks.

    def _ask_folder(self, place: tuple[MailboxId, FolderName]) -> Callable[[], FolderLook]:
        since = min((seat.baseline.modseq for seat in self._rooms[place].seats), default=None)
        return partial(look_at_folder, self._store, self._source, place, since)

    def _answer_folder(self, place: tuple[MailboxId, FolderName], look: FolderLook, began: float) -> bool:
        room = self._rooms[place]
        mailbox, folder = place
        if look.status is None:
            # Gone or renamed: the folder list tells which.
            self._poke((mailbox, None))
            return False
        for seat in list(room.seats):
            if seat.joined_at >= began:
                room.spot.poke()
                continue
            seat.baseline, news = news_of(folder, seat.baseline, look)
            seat.watcher.tell(seat, news, began=began)
        return look.is_told

    def _ask_tree(self, mailbox: MailboxId) -> Callable[[], TreeLook]:
        names = self._rooms[mailbox, None].names
        return partial(look_at_tree, self._store, self._source, mailbox, names)

    def _answer_tree(self, mailbox: MailboxId, look: TreeLook, began: float) -> bool:
        room = self._rooms[mailbox, None]
        room.names = frozenset(look.names)
        for seat in list(room.seats):
            if seat.joined_at >= began:
                room.names -= set(look.fresh)
                room.spot.poke()
            else:
                self._tell_tree(seat, look, began)
        return look.is_told

    def _tell_tree(self, seat: Seat, look: TreeLook, began: float) -> None:
        watcher, there = seat.watcher, frozenset(look.names)
        gone = sorted(name for name in watcher.seats if name is not None and name not in there)
        new_names = {uidvalidity: name for name, uidvalidity in look.fresh.items() if name not in watcher.seats}
        taken: set[FolderName] = set()
        for name in gone:
            baseline = watcher.seats[name].baseline
            self._rise(watcher, name)
            to = new_names.get(baseline.uidvalidity)
            change = FolderNews(change="deleted" if to is None else "renamed", folder=name, new_folder=to)
            watcher.tell(seat, News(folder=change), began=began)
            if to is not None:
                taken.add(to)
                watcher.follow(name, to)
                self._sit_and_look(watcher, to, baseline)
        for name, uidvalidity in look.fresh.items():
            if name in taken or name in watcher.seats or not watcher.wants(name):
                continue
            change = FolderNews(change="created", folder=name, uidvalidity=uidvalidity)
            watcher.tell(seat, News(folder=change), began=began)
            self._sit_and_look(watcher, name, Baseline(uidvalidity=uidvalidity, modseq=0, uidnext=1))
        watcher.tell(seat, News(), began=began)

    def _sit_and_look(self, watcher: Watcher, folder: FolderName, baseline: Baseline) -> None:
        self._sit(watcher, folder, baseline)
        self._poke((watcher.mailbox, folder))
