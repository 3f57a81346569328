"""Watches with a slow reader, a session at work or too many events: what they cost and what they tell."""

import asyncio
import socket
from pathlib import Path
from typing import cast

import pytest

from accessd.looks import Baseline, FolderLook, FolderNews, News, news_of
from accessd.own import Own
from accessd.session import Session, Sessions
from accessd.watch import Seat, Watcher, Watches
from msgstore.access.conversation import Told
from msgstore.access.events import Events
from msgstore.access.frames import AT_CLIENT, FrameDecoder, Notification, Request, Response, encode
from msgstore.model.folder import INBOX, FolderName, FolderStatus
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Changes
from msgstore.model.user import User
from tests.accessd_room import ALICE
from tests.clocks import HandClock
from tests.watch_room import WORK, client_of, deliver, flag, made, next_of, served, until

STATUS = FolderStatus(messages=0, octets=0, unseen=0, uidvalidity=7, uidnext=1, modseq=1)
HERE = Baseline(uidvalidity=7, modseq=1, uidnext=1)


def info(uid: int, modseq: int = 2) -> MessageInfo:
    return MessageInfo(
        uid=Uid(uid),
        octets=1,
        stored_octets=1,
        flags=frozenset(),
        keywords=frozenset(),
        internal_date=0,
        modseq=modseq,
        guid=str(uid),
        uidl=str(uid),
    )


class Tray:
    """An outbox that says how much waits in it."""

    def __init__(self) -> None:
        self.octets = 0
        self.frames: list[dict[str, object]] = []

    def put(self, octets: bytes) -> None:
        decoder = FrameDecoder(AT_CLIENT)
        decoder.feed(octets)
        frame = decoder.next_frame()
        assert isinstance(frame, Notification)
        self.frames.append(cast("dict[str, object]", frame.args[0]))

    def kinds(self) -> list[tuple[object, object]]:
        return [(frame["kind"], frame.get("folder")) for frame in self.frames]


class Bench:
    """One watcher with a tray."""

    def __init__(self) -> None:
        self.tray = Tray()
        self.watches = Watches()
        self.watches.voice.outbox = self.tray
        sessions = Sessions(clock=HandClock(), idle_seconds=60)
        user = User(username="alice", mailbox=ALICE)
        self.session: Session = sessions.start(user, service="imap", client_address=None, on_end=lambda _: None)
        self.watcher = Watcher(1, session=self.session, mailbox=ALICE, wanted=None, voice=self.watches.voice)
        self.watches.by_number[1] = self.watcher
        self.seats = {name: self.seat(name) for name in (INBOX, WORK)}

    def seat(self, folder: FolderName) -> Seat:
        made = Seat(watcher=self.watcher, folder=folder, baseline=HERE, joined_at=0.0)
        self.watcher.seats[folder] = made
        return made

    def tell(self, *uids: int, folder: FolderName = INBOX, began: float = 1.0) -> None:
        self.watcher.tell(self.seats[folder], News(new=tuple(info(uid) for uid in uids)), began=began)


async def test_events_of_a_reader_that_does_not_read_become_one_resync_a_folder() -> None:
    bench = Bench()
    bench.tell(1)
    bench.tray.octets = 1 << 20
    for uid in range(2, 2000):
        bench.tell(uid)
        bench.tell(uid, folder=WORK)

    bench.watches.has_room()
    during = bench.tray.kinds()
    bench.tray.octets = 0
    bench.watches.has_room()
    bench.watches.has_room()
    bench.tell(2000)

    assert during == [("new", "INBOX")]
    assert bench.tray.kinds() == [("new", "INBOX"), ("resync", "INBOX"), ("resync", "Work"), ("new", "INBOX")]


async def test_events_wait_for_the_changes_of_the_session_and_stay_in_order() -> None:
    bench = Bench()
    change = bench.session.turns.take(changes=True)
    bench.tell(1)
    bench.tell(2)
    early = bench.tray.kinds()

    bench.seats[INBOX].note(Own(added=frozenset({Uid(1)})), 2.0)
    change.leave()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert early == []
    assert [frame["uids"] for frame in bench.tray.frames] == [[2]]


async def test_what_waits_for_a_change_without_end_is_bounded() -> None:
    bench = Bench()
    change = bench.session.turns.take(changes=True)
    for uid in range(1, 9000):
        bench.tell(uid)
    held = len(bench.watcher._held)

    change.leave()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert held <= 5000
    assert bench.tray.kinds()[0] == ("resync", "INBOX")
    assert len(bench.tray.frames) == 1


async def test_own_changes_are_forgotten_once_a_later_look_was_told() -> None:
    bench = Bench()
    seat = bench.seats[INBOX]
    seat.note(Own(added=frozenset({Uid(1)})), 5.0)

    bench.tell(1, began=4.0)
    kept = len(seat.own)
    bench.watcher.tell(seat, News(), began=6.0)

    assert (kept, seat.own, bench.tray.frames) == (1, [], [])


async def test_a_watch_that_has_ended_says_nothing_more() -> None:
    bench = Bench()
    change = bench.session.turns.take(changes=True)
    bench.tell(1)

    bench.watches.end_of(bench.session)
    change.leave()
    await asyncio.sleep(0)
    bench.watches.stop(1)

    assert bench.tray.frames == []


def test_what_is_known_is_taken_out_and_the_rest_stays() -> None:
    created = FolderNews(change="created", folder=WORK)
    own = Own(added=frozenset({Uid(5)}), modseq=2, removed=frozenset({Uid(1)}), seen=frozenset({(Uid(3), 2)}))
    news = News(new=(info(5, 3), info(6)), flags=(info(3, 2), info(4)), expunged=(Uid(1), Uid(2)))

    left = own.without(news)

    assert [one.uid for one in left.new] == [6]
    assert [one.uid for one in left.flags] == [4, 5]
    assert left.expunged == (2,)
    assert not Own(folder=created).without(News(folder=created))
    assert own.without(News(folder=created)) == News(folder=created)
    assert own.without(News(is_resync=True)).is_resync


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"changed": tuple(info(uid) for uid in range(1, 3002, 2))}, "resync"),
        ({"changed": tuple(info(uid) for uid in range(1, 3002))}, "new"),
        ({"is_complete": False}, "resync"),
        ({}, "nothing"),
    ],
)
def test_what_is_too_much_or_forgotten_is_listed_by_the_client(changes: dict[str, object], expected: str) -> None:
    status = FolderStatus(messages=0, octets=0, unseen=0, uidvalidity=7, uidnext=9000, modseq=2)
    fields = {"status": status, "changed": (), "vanished": (), "is_complete": True, **changes}

    after, news = news_of(INBOX, HERE, FolderLook(status=status, changes=Changes(**fields)))  # type: ignore[arg-type]

    assert after.modseq == 2
    assert ("resync" if news.is_resync else "new" if news.new else "nothing") == expected


def test_a_folder_of_another_uidvalidity_is_another_folder() -> None:
    status = FolderStatus(messages=0, octets=0, unseen=0, uidvalidity=8, uidnext=9, modseq=5)

    after, news = news_of(INBOX, HERE, FolderLook(status=status))

    assert after == Baseline(uidvalidity=8, modseq=5, uidnext=9)
    assert news.folder == FolderNews(change="uidvalidity", folder=INBOX, uidvalidity=8)


def test_a_client_that_does_not_ask_keeps_a_bounded_number_of_events() -> None:
    events = Events()
    told = [
        Told(
            method="watch.event", args=({"watch": 3, "mailbox": "a@b", "kind": "new", "folder": "INBOX", "modseq": n},)
        )
        for n in range(1002)
    ]

    kept = [events.put(one) for one in told]
    found = [events.take(3), events.take(3), events.take(3)]
    events.forget(3)

    assert all(kept)
    assert [one and (one.kind, one.modseq) for one in found] == [("resync", 1000), ("new", 1001), None]
    assert not events.put(Told(method="rpc.going_away", args=({},)))
    assert not events.put(Told(method="watch.event", args=({"kind": "odd"},)))


@pytest.mark.parametrize("kind", ["memory", "maildir"])
async def test_a_reader_that_sleeps_is_told_to_list_and_memory_does_not_grow(tmp_path: Path, kind: str) -> None:
    store = made(kind, tmp_path / "mail")
    deliver(store, count=1)
    async with served(store, tmp_path / "one") as place:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as raw:
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(raw, place.path)
            decoder = FrameDecoder(AT_CLIENT)

            async def ask(number: int, method: str, **args: object) -> dict[str, object]:
                await loop.sock_sendall(raw, encode(Request(id=number, method=method, args=(args,))))
                while not isinstance(frame := decoder.next_frame(), Response):
                    if frame is None:
                        decoder.feed(await loop.sock_recv(raw, 4096))
                assert frame.error is None
                return cast("dict[str, object]", frame.result)

            await ask(1, "rpc.hello", features=["events"])
            login = await ask(2, "auth.login", user=str(ALICE), password="secret", service="imap")
            for number in range(100):
                await ask(10 + number, "watch.start", session=login["session"], mailbox=str(ALICE), folders=["INBOX"])
            async with client_of(place) as session:
                watch = await session.watch("INBOX")
                for number in range(2, 42):
                    flag(store, 1, "\\Seen" if number % 2 else "\\Flagged")
                    await next_of(watch)
                    if number % 8 == 0:
                        await session.client.call("rpc.ping")
                waiting = [caller.watches.voice.outbox for caller in place.server._connections.values()]
                most = max(outbox.octets for outbox in waiting if outbox is not None)
                deliver(store)
                await until(watch, 2)

            async with asyncio.timeout(10):
                resyncs: set[object] = set()
                while len(resyncs) < 100:
                    frame = decoder.next_frame()
                    if frame is None:
                        decoder.feed(await loop.sock_recv(raw, 65536))
                    elif isinstance(frame, Notification):
                        event = cast("dict[str, object]", frame.args[0])
                        if event["kind"] == "resync":
                            assert event["watch"] not in resyncs
                            resyncs.add(event["watch"])
        assert most < 128 * 1024
    store.close()
