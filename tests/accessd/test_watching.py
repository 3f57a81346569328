"""What a watch tells: everything others did, each change once, and nothing of the session's own doing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from accessd.session import Session as ServerSession
from msgstore.access.codes import AccessError
from msgstore.config.schema import AccessSettings
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import Uid
from msgstore.model.outcomes import FlagChange
from tests.accessd_room import ALICE
from tests.watch_room import (
    WORK,
    Served,
    add,
    client_of,
    deliver,
    flag,
    made,
    named,
    next_of,
    served,
    summary,
    until,
)

LATER = FolderName(("Later",))


@pytest.fixture(params=["memory", "maildir"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MessageStore:
    return made(request.param, tmp_path / "mail")


@pytest.fixture
async def place(store: MessageStore, tmp_path: Path) -> AsyncGenerator[Served]:
    async with served(store, tmp_path / "one") as found:
        yield found
    store.close()


async def test_deliveries_appends_flags_and_removals_are_told_and_can_be_read_at_once(
    store: MessageStore, place: Served
) -> None:
    async with client_of(place) as session:
        watch = await session.watch("inbox")

        deliver(store)
        (new,) = await next_of(watch)
        async with await session.retrieve(named(new)[0]) as body:
            text = await body.read()
        add(store)
        (appended,) = await next_of(watch)
        flag(store, 1, "\\Seen")
        (flags,) = await next_of(watch)
        store.folder(ALICE, INBOX).expunge([Uid(2)])
        (expunged,) = await next_of(watch)
        listed = await session.list(fields=["uid", "modseq"])

    assert (new.kind, new.mailbox, new.folder, named(new)) == ("new", str(ALICE), "INBOX", [1])
    assert b"Subject: hi" in text
    assert (appended.kind, named(appended)) == ("new", [2])
    assert flags.kind == "flags"
    assert flags.messages == ((1, ("\\Seen",), (), listed[0].modseq),)
    assert (expunged.kind, named(expunged)) == ("expunged", [2])
    assert (expunged.modseq or 0) > (flags.modseq or 0) > (new.modseq or 0)


async def test_each_of_many_changes_is_told_once_to_every_watch(store: MessageStore, place: Served) -> None:
    deliver(store, count=20)
    async with client_of(place) as first, client_of(place) as second:
        watches = [await first.watch(), await first.watch("INBOX"), await second.watch("INBOX", "Work")]

        def work() -> None:
            for number in range(1, 11):
                deliver(store)
                deliver(store, WORK)
                flag(store, number, "\\Seen")
                store.folder(ALICE, INBOX).expunge([Uid(10 + number)])
            add(store)

        await asyncio.to_thread(work)
        told = [await until(watch, 31) for watch in watches]

    for events in told:
        found = summary([event for event in events if event.folder == "INBOX"])
        assert {kind: sorted(uids) for kind, uids in found.items()} == {
            "flags": list(range(1, 11)),
            "expunged": list(range(11, 21)),
            "new": list(range(21, 32)),
        }


async def test_only_the_folders_that_are_watched_are_told(store: MessageStore, place: Served) -> None:
    async with client_of(place) as session:
        watch = await session.watch("Work")

        deliver(store)
        deliver(store, WORK)
        events = await next_of(watch)

    assert [(event.folder, named(event)) for event in events] == [("Work", [1])]


async def test_from_since_on_everything_is_told_even_what_happened_before_the_call(
    store: MessageStore, place: Served
) -> None:
    deliver(store, count=3)
    known = store.folder(ALICE, INBOX).stat().modseq
    flag(store, 1, "\\Flagged")
    store.folder(ALICE, INBOX).expunge([Uid(3)])
    deliver(store)

    async with client_of(place) as session:
        watch = await session.watch("INBOX", since={"INBOX": known})
        events = await until(watch, 4)
        deliver(store)
        later = await next_of(watch)

    assert summary(events) == {"expunged": [3], "flags": [1], "new": [4]}
    assert summary(later) == {"new": [5]}


async def test_without_since_nothing_from_before_is_told(store: MessageStore, place: Served) -> None:
    deliver(store, count=2)
    async with client_of(place) as session:
        watch = await session.watch()
        stat = await session.stat()
        deliver(store)
        events = await next_of(watch)

    assert watch.started.folders["INBOX"].modseq == stat.modseq
    assert summary(events) == {"new": [3]}


async def test_a_restart_loses_nothing_that_happened_meanwhile(store: MessageStore, tmp_path: Path) -> None:
    async with served(store, tmp_path / "one") as first, client_of(first) as session:
        watch = await session.watch("INBOX")
        deliver(store)
        (told,) = await next_of(watch)
    deliver(store)
    flag(store, 1, "\\Answered")

    async with served(store, tmp_path / "two") as second, client_of(second) as session:
        watch = await session.watch("INBOX", since={"INBOX": told.modseq or 0})
        await until(watch, 2)
        store.folder(ALICE, INBOX).expunge([Uid(1)])
        events = await next_of(watch)

    assert summary(events) == {"expunged": [1]}
    store.close()


async def test_own_expunges_are_told_to_all_but_the_session(store: MessageStore, place: Served) -> None:
    deliver(store, count=3)
    async with client_of(place) as session:
        other = await session.client.login(str(ALICE), "secret", service="imap")
        own, others = await session.watch("INBOX"), await other.watch("INBOX")

        await session.delete(1, 2)
        await session.expunge()
        deliver(store)
        told = [await until(own, 4), await until(others, 4)]

    assert summary(told[0]) == {"new": [4]}
    assert summary(told[1]) == {"expunged": [1, 2], "new": [4]}


async def test_what_the_session_notes_as_its_own_is_not_told_and_what_others_do_to_the_same_message_is(
    store: MessageStore, place: Served
) -> None:
    deliver(store, count=2)
    async with client_of(place) as session:
        watch = await session.watch("INBOX")
        mine = cast("ServerSession", place.session())
        inbox = store.folder(ALICE, INBOX)

        outcome = inbox.set_flags([Uid(1)], FlagChange.ADD, flags=frozenset({"\\Seen"}))
        mine.note_own(ALICE, INBOX, seen=outcome.changed)
        appended = add(store)
        mine.note_own(ALICE, INBOX, appended.modseq, added=[appended.uid])
        flag(store, 3, "\\Draft")
        flag(store, 2, "\\Flagged")
        deliver(store)
        events = await until(watch, 4)

    assert summary(events) == {"flags": [2, 3], "new": [4]} or summary(events) == {"flags": [3, 2], "new": [4]}


async def test_folders_that_come_go_and_are_renamed_are_told_with_what_happens_in_them(
    store: MessageStore, place: Served
) -> None:
    tree = store.folders(ALICE)
    async with client_of(place) as session:
        watch = await session.watch()

        tree.create(LATER)
        deliver(store, LATER)
        created, new = await next_of(watch, 2)
        tree.rename(LATER, FolderName(("Sooner",)))
        (renamed,) = await next_of(watch)
        deliver(store, FolderName(("Sooner",)))
        (there,) = await next_of(watch)
        tree.delete(WORK)
        (deleted,) = await next_of(watch)

    assert (created.kind, created.change, created.folder) == ("folder", "created", "Later")
    assert (new.kind, new.folder, named(new)) == ("new", "Later", [1])
    assert (renamed.change, renamed.folder, renamed.new_folder) == ("renamed", "Later", "Sooner")
    assert (there.kind, there.folder, named(there)) == ("new", "Sooner", [2])
    assert (deleted.change, deleted.folder) == ("deleted", "Work")


async def test_a_named_folder_that_is_made_anew_is_watched_again(store: MessageStore, place: Served) -> None:
    async with client_of(place) as session:
        watch = await session.watch("Work")

        store.folders(ALICE).delete(WORK)
        (deleted,) = await next_of(watch)
        store.folders(ALICE).create(LATER)
        store.folders(ALICE).create(WORK)
        (created,) = await next_of(watch)
        deliver(store, WORK)
        (new,) = await next_of(watch)

    assert (deleted.change, created.change, created.folder) == ("deleted", "created", "Work")
    assert (new.folder, named(new)) == ("Work", [1])


async def test_own_changes_of_folders_are_not_told(store: MessageStore, place: Served) -> None:
    async with client_of(place) as session:
        watch = await session.watch()
        mine = cast("ServerSession", place.session())

        store.folders(ALICE).create(LATER)
        mine.note_own_folder(ALICE, "created", LATER)
        deliver(store, LATER)
        events = await next_of(watch)

    assert [(event.kind, event.folder) for event in events] == [("new", "Later")]


async def test_a_watch_ends_when_it_is_stopped_with_its_session_and_with_its_connection(
    store: MessageStore, place: Served
) -> None:
    async with client_of(place) as session:
        stopped, kept = await session.watch(), await session.watch()
        await stopped.stop()
        await session.client.call("watch.stop", watch=4711)
        deliver(store)
        events = await next_of(kept)
        nothing = await stopped.next_event(0.05)
        await session.logout()
        after_logout = place.watches[-1]
        again = await session.client.login(str(ALICE), "secret", service="imap")
        await again.watch()
        stats = cast("dict[str, int]", await session.client.call("rpc.stats"))
    await place.emptied()

    assert summary(events) == {"new": [1]}
    assert nothing is None
    assert (after_logout, stats["watches"]) == (0, 1)


async def test_a_watch_keeps_no_session_from_idling(store: MessageStore, place: Served) -> None:
    async with client_of(place) as session:
        watch = await session.watch("INBOX")
        place.clock.now += 2000

        deliver(store)
        await next_of(watch)
        with pytest.raises(AccessError) as refused:
            await session.stat()

    assert refused.value.code == "NO_SESSION"


async def test_a_connection_has_so_many_watches_and_no_more(store: MessageStore, tmp_path: Path) -> None:
    settings = AccessSettings(grace_seconds=0.5, max_watches=2)
    async with served(store, tmp_path / "few", settings=settings) as place, client_of(place) as session:
        first = await session.watch()
        await session.watch()
        with pytest.raises(AccessError) as refused:
            await session.watch()
        await first.stop()
        third = await session.watch()

    assert refused.value.code == "BUSY"
    assert third.started.watch == 3
    store.close()


async def test_a_watch_says_that_it_lives(store: MessageStore, tmp_path: Path) -> None:
    settings = AccessSettings(grace_seconds=0.5, alive_seconds=0.2)
    async with served(store, tmp_path / "quick", settings=settings) as place, client_of(place) as session:
        hello = await session.client.hello("test")
        watch = await session.watch()
        events = await next_of(watch, 2, seconds=5)

    assert [(event.kind, event.folder) for event in events] == [("alive", None)] * 2
    assert hello.limits.alive_ms == 200
    store.close()


@pytest.mark.parametrize(
    ("folders", "since", "code"),
    [
        (["Nowhere"], None, "NO_FOLDER"),
        (["INBOX"], {"Work": 1}, "INVALID"),
        (["a//b"], None, "INVALID_NAME"),
        (["INBOX"], {"INBOX": -1}, "INVALID"),
        (["INBOX"] * 1001, None, "INVALID"),
    ],
)
async def test_what_cannot_be_watched_is_refused(
    place: Served, folders: list[str], since: dict[str, int] | None, code: str
) -> None:
    async with client_of(place) as session:
        with pytest.raises(AccessError) as refused:
            await session.watch(*folders, since=since)
        stats = cast("dict[str, int]", await session.client.call("rpc.stats"))

    assert (refused.value.code, stats["watches"]) == (code, 0)


async def test_a_client_that_did_not_name_events_gets_none(place: Served) -> None:
    async with client_of(place) as session:
        await session.client.hello("old", features=("fd",))
        with pytest.raises(AccessError) as refused:
            await session.watch()

    assert refused.value.code == "UNSUPPORTED"


async def test_a_future_modseq_and_a_flood_of_changes_become_resync(store: MessageStore, place: Served) -> None:
    deliver(store, count=3)
    async with client_of(place) as session:
        watch = await session.watch("INBOX", since={"INBOX": 2**62})
        (event,) = await next_of(watch)

    assert (event.kind, event.folder) == ("resync", "INBOX")


async def test_two_hundred_watches_of_one_folder_are_told_each_once(store: MessageStore, place: Served) -> None:
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(client_of(place)) for _ in range(2)]
        watches = [await session.watch("INBOX") for session in sessions for _ in range(100)]
        assert place.watches[-1] == 200

        await asyncio.to_thread(deliver, store, count=5)
        told = [await until(watch, 5) for watch in watches]

    assert [summary(events) for events in told] == [{"new": [1, 2, 3, 4, 5]}] * 200
