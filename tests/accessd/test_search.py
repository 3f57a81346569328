"""message.search over the stores that keep mail, through both clients."""

import asyncio
import base64
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import TypeVar

import pytest

from accessd.mail import Target
from accessd.search import PAGE_SECONDS, Seeker
from accessd.session import Session
from msgstore.access import aio
from msgstore.access.codes import AccessError
from msgstore.access.searchshapes import SearchArgs, SearchResult
from msgstore.access.sync import AccessClient
from msgstore.access.sync import Session as SyncSession
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, MessageStore
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.store.body import OctetsBody
from msgstore.store.clock import SystemClock
from msgstore.store.memory import MemoryStore
from msgstore.store.memory_folder import MemoryFolder
from tests.accessd.test_real_stores import USER, deliver, made, served
from tests.accessd_room import ALICE

T = TypeVar("T")
CODED = base64.encodebytes("Grüße aus Köln".encode())
TEXTS = (
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-One: 1\r\n\r\nplain body\r\n",
    b"Subject: two\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + CODED,
    b"Subject: three\r\n\r\n" + b"x" * 5000,
)


@pytest.fixture(params=["memory", "maildir"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MessageStore]:
    kept = made(request.param, tmp_path / "mail")
    yield kept
    kept.close()


async def talked(store: MessageStore, place: Path, talk: Callable[[SyncSession], T]) -> T:
    def run(path: str) -> T:
        with AccessClient.connect(path) as client:
            return talk(client.login(USER, "secret", service="imap"))

    async with served(store, place / "sock") as path:
        return await asyncio.to_thread(run, path)


def fill(store: MessageStore) -> None:
    for number, text in enumerate(TEXTS):
        with store.stage() as staged:
            staged.write(text)
            more = {"flags": frozenset({SEEN}), "keywords": frozenset({"Work"})} if number == 1 else {}
            date = 1_000_000_000 + number
            list(store.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX, internal_date=date, **more)]))
            # The reader numbers them; it has to see them one by one to do that in this order.
            store.folder(ALICE, INBOX).list()


async def test_each_condition_leaves_what_meets_it(store: MessageStore, tmp_path: Path) -> None:
    fill(store)
    asked: list[tuple[dict[str, object], list[int]]] = [
        ({}, [1, 2, 3]),
        ({"uids": [1, [3, None]]}, [1, 3]),
        ({"since": 1_000_000_001}, [2, 3]),
        ({"before": 1_000_000_001}, [1]),
        ({"larger": 1000}, [3]),
        ({"smaller": 1000}, [1, 2]),
        ({"with_flags": ["\\seen"]}, [2]),
        ({"without_flags": [SEEN, FLAGGED]}, [1, 3]),
        ({"with_keywords": ["work"]}, [2]),
        ({"without_keywords": ["Work"]}, [1, 3]),
        ({"header_terms": [["subject", "GRÜSSE"]]}, [1]),
        ({"header_terms": [["X-One", ""]]}, [1]),
        ({"header_terms": [["X-One", ""], ["Subject", "two"]]}, []),
        ({"body_terms": ["grüße"]}, [2]),
        ({"text_terms": ["grüße"]}, [1, 2]),
        ({"text_terms": ["grüße"], "with_flags": [SEEN]}, [2]),
    ]

    def talk(session: SyncSession) -> list[list[int]]:
        return [[hit.uid for hit in session.search("INBOX", **conditions)] for conditions, _ in asked]

    assert await talked(store, tmp_path, talk) == [expected for _, expected in asked]


async def test_a_hit_says_which_terms_it_holds_and_brings_its_header(store: MessageStore, tmp_path: Path) -> None:
    fill(store)

    async with served(store, tmp_path / "sock") as path, aio.AccessClient.connect(path) as client:
        session = await client.login(USER, "secret", service="imap")
        hits = await session.search(
            body_terms=["none", "köln"], text_terms=["two", "x"], need_headers=True, uids=[1, 2]
        )

    first, second = hits
    assert (first.uid, first.body_matches, first.text_matches) == (1, (), (1,))
    assert (second.uid, second.body_matches, second.text_matches) == (2, (1,), (0, 1))
    assert second.headers is not None
    assert second.headers.splitlines()[0] == b"Subject: two"


async def test_a_folder_that_is_not_there_is_no_folder(store: MessageStore, tmp_path: Path) -> None:
    fill(store)

    def talk(session: SyncSession) -> str:
        with pytest.raises(AccessError) as refused:
            session.search("Nowhere", text_terms=["x"])
        return refused.value.code

    assert await talked(store, tmp_path, talk) == "NO_FOLDER"


async def test_a_client_follows_pages_over_ten_thousand_messages(tmp_path: Path) -> None:
    store = made("memory", tmp_path)
    deliver(store, *[b"Subject: %d\r\n\r\nnumber %d.\r\n" % (number, number) for number in range(10_000)])

    def talk(session: SyncSession) -> tuple[list[int], list[int]]:
        every = [hit.uid for hit in session.search(larger=1)]
        some = [hit.uid for hit in session.search(body_terms=["77."], limit=7)]
        return every, some

    every, some = await talked(store, tmp_path, talk)

    assert every == list(range(1, 10_001))
    assert some == [number + 1 for number in range(10_000) if number % 100 == 77]


async def test_sealed_messages_are_matched_from_rows_and_named_where_a_term_needs_them(tmp_path: Path) -> None:
    store = MemoryStore(clock=SystemClock())
    deliver(store, *[b"Subject: x\r\n\r\nx\r\n"] * 6)
    kept = store.place(ALICE, INBOX).messages
    for uid in (Uid(2), Uid(3), Uid(4), Uid(6)):
        info, content = kept[uid]
        kept[uid] = (dataclasses.replace(info, sealed=True), content)

    def talk(session: SyncSession) -> tuple[list[int], str, object, list[int]]:
        rows = [hit.uid for hit in session.search(larger=1)]
        with pytest.raises(AccessError) as refused:
            session.search(text_terms=["x"], uids=[[1, 4], 6])
        rest = [hit.uid for hit in session.search(text_terms=["x"], uids=[1, 5])]
        return rows, refused.value.code, refused.value.data["uids"], rest

    assert await talked(store, tmp_path, talk) == ([1, 2, 3, 4, 5, 6], "SEALED", [[2, 4], 6], [1, 5])


class EndlessBody(OctetsBody):
    """Gives octets until somebody stops asking."""

    def __init__(self, given_up: Event) -> None:
        super().__init__(b"")
        self._given_up = given_up

    def chunks(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            self._given_up.set()


class EndlessFolder(MemoryFolder):
    given_up = Event()

    def retrieve(self, uid: Uid) -> EndlessBody:
        del uid
        return EndlessBody(self.given_up)


class EndlessStore(MemoryStore):
    def folder(self, mailbox: MailboxId, name: FolderName) -> MemoryFolder:
        return EndlessFolder(self, mailbox, name)


async def test_a_thread_does_not_go_on_when_the_client_has_given_up(tmp_path: Path) -> None:
    store = EndlessStore(clock=SystemClock())
    deliver(store, b"Subject: x\r\n\r\nx\r\n")

    def talk(session: SyncSession) -> str:
        with pytest.raises(AccessError) as refused:
            session.search(text_terms=["none"], _timeout_ms=200)
        return refused.value.code

    code = await talked(store, tmp_path, talk)

    assert code == "DEADLINE"
    assert await asyncio.to_thread(EndlessFolder.given_up.wait, 10)


def seeker(store: MessageStore, now: Callable[[], float], stop: Event | None = None, **args: object) -> Seeker:
    session = Session.__new__(Session)
    target = Target(session=session, mailbox=ALICE, folder=INBOX, view=None)
    wanted = SearchArgs(session="s", **args)  # type: ignore[arg-type]  # conditions of a test
    return Seeker(wanted, target, page_rows=1000, now=now, stop=stop or Event())


def test_a_page_ends_when_its_time_is_over_and_has_looked_at_one_message(store: MessageStore) -> None:
    fill(store)
    clock = iter(range(0, 1000, int(PAGE_SECONDS * 2)))

    page = seeker(store, lambda: next(clock), text_terms=["three"]).page(store)

    assert page == SearchResult(hits=(), next_uid=1)


def test_what_is_not_wanted_any_more_is_given_up(store: MessageStore) -> None:
    fill(store)
    stop = Event()
    stop.set()

    with pytest.raises(AccessError) as refused:
        seeker(store, lambda: 0.0, stop).page(store)

    assert refused.value.code == "CANCELLED"


def test_it_is_given_up_within_a_message_too(tmp_path: Path) -> None:
    store = made("memory", tmp_path)
    stop = Event()

    class Endless(OctetsBody):
        def chunks(self) -> Iterator[bytes]:
            for _ in range(10):
                yield b"x" * 65_536
            stop.set()
            yield b"x"
            raise AssertionError("read on")

    with pytest.raises(AccessError) as refused:
        seeker(store, lambda: 0.0, stop, text_terms=["none"])._look_into(1, Endless(b""))

    assert refused.value.code == "CANCELLED"
