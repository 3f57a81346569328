"""Access servers over real stores, and what a watch was told, for tests of watching."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from accessd.calls import LoginRules, NoCounters
from accessd.server import AccessServer
from msgstore.access.aio import AccessClient, Session, Watch
from msgstore.access.uids import each_uid
from msgstore.access.watchshapes import WatchEvent
from msgstore.config.schema import AccessSettings
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, MessageStore
from msgstore.model.message import Uid
from msgstore.model.outcomes import Appended, FlagChange
from msgstore.service.hints import Hints
from msgstore.service.offload import Offload
from msgstore.store.clock import SystemClock
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore
from tests.accessd_room import ALICE, ANYBODY, Doorman
from tests.clocks import HandClock

__all__ = ["WORK", "add", "client_of", "deliver", "flag", "made", "named", "next_of", "served", "summary", "until"]

WORK: Final = FolderName(("Work",))
TEXT: Final = b"Subject: hi\r\n\r\nbody\r\n"


def made(kind: str, root: Path) -> MessageStore:
    """Open a store with a mailbox and a folder."""
    store: MessageStore
    if kind == "memory":
        store = MemoryStore(clock=SystemClock(), default_folders=False)
    else:
        store = MaildirStore(str(root), layout_for=lambda _: Layout(), hostname="test.example", default_folders=False)
    store.create_mailbox(ALICE)
    if not store.folders(ALICE).exists(WORK):
        store.folders(ALICE).create(WORK)
    return store


def deliver(store: MessageStore, folder: FolderName = INBOX, *, count: int = 1) -> None:
    with store.stage() as staged:
        staged.write(TEXT)
        for _ in range(count):
            list(store.deliver(staged, [Filing(mailbox=ALICE, folder=folder)]))


def add(store: MessageStore, folder: FolderName = INBOX) -> Appended:
    with store.stage() as staged:
        staged.write(TEXT)
        return store.folder(ALICE, folder).append(staged)


def flag(store: MessageStore, uid: int, *flags: str, folder: FolderName = INBOX) -> None:
    store.folder(ALICE, folder).set_flags([Uid(uid)], FlagChange.SET, flags=frozenset(flags))


class Served:
    """One server, and what a test may touch of it."""

    def __init__(self, path: str, server: AccessServer, clock: HandClock) -> None:
        self.path = path
        self.server = server
        self.clock = clock
        self.watches: list[int] = []

    async def emptied(self) -> None:
        """Wait until the server has noticed that nobody watches any more."""
        async with asyncio.timeout(10), client_of(self) as session:
            while self.watches[-1]:
                await session.client.call("rpc.ping")

    def session(self, number: int = 0) -> "object":
        """Give a session as the methods see it, in the order of logins."""
        return self.server._services.sessions.every()[number]


class WatchCounts(NoCounters):
    """Keeps every number of watches that was told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def set_watches(self, watches: int) -> None:
        self.told.append(watches)


@asynccontextmanager
async def served(
    store: MessageStore, place: Path, *, hints_dir: Path | None = None, settings: AccessSettings | None = None
) -> AsyncGenerator[Served]:
    """Serve a store at a socket below ``place``."""
    offload, passwords, clock = Offload(4, 4096), Offload(1, 512), HandClock()
    hints = None if hints_dir is None else Hints(str(hints_dir))
    counts = WatchCounts()
    server = AccessServer(
        settings or AccessSettings(grace_seconds=0.5, max_watches=256),
        store=store,
        auth=Doorman(),
        offload=offload,
        passwords=passwords,
        clock=clock,
        peers=ANYBODY,
        login=LoginRules(failure_seconds=0.0),
        hints=hints,
        counters=counts,
    )
    place.mkdir(exist_ok=True)  # noqa: ASYNC240 - before anything runs
    path = str(place / "sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(512)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve([listening]))
            found = Served(path, server, clock)
            found.watches = counts.told
            try:
                yield found
            finally:
                await server.stop()
                await serving
    for threads in (offload, passwords):
        await asyncio.to_thread(threads.close)
    if hints is not None:
        hints.close()


@asynccontextmanager
async def client_of(place: Served) -> AsyncGenerator[Session]:
    """Log alice in on a connection of its own."""
    async with AccessClient.connect(place.path) as client:
        yield await client.login(str(ALICE), "secret", service="imap")


async def next_of(watch: Watch, count: int = 1, *, seconds: float = 10.0) -> list[WatchEvent]:
    """Give the next events; fails where they do not come."""
    found: list[WatchEvent] = []
    while len(found) < count:
        event = await watch.next_event(seconds)
        assert event is not None, f"only {found} came"
        found.append(event)
    return found


async def until(watch: Watch, mark: int, folder: str = "INBOX") -> list[WatchEvent]:
    """Give every event up to the one that tells a uid as new."""
    found: list[WatchEvent] = []
    while not any(one.kind == "new" and one.folder == folder and mark in named(one) for one in found):
        found += await next_of(watch)
    return found


def named(event: WatchEvent) -> list[int]:
    """Give the uids of an event."""
    return list(each_uid(event.uids or ()))


def summary(events: list[WatchEvent]) -> dict[str, list[int]]:
    """Give by kind every uid that was told, in the order and as often as it was told."""
    found: dict[str, list[int]] = {}
    for event in events:
        uids = [row[0] for row in event.messages or ()] if event.kind == "flags" else named(event)
        found.setdefault(event.kind, []).extend(uids)
    return found
