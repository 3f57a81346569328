"""What makes a watched place be looked at: hints of other processes, the kernel, and the clock where neither tells."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from msgstore.config.schema import AccessSettings
from msgstore.model.folder import INBOX
from msgstore.service.hints import HintSender
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.accessd_room import ALICE
from tests.watch_room import TEXT, WORK, client_of, deliver, made, named, next_of, served, summary, until

SELDOM = AccessSettings(grace_seconds=0.5, watch_poll_seconds=3600)
OFTEN = AccessSettings(grace_seconds=0.5, watch_poll_seconds=0.1)


class Deaf(MaildirStore):
    """A store on a machine whose kernel has no watches left."""

    def watch_changes(self) -> None:
        return None


@pytest.fixture
async def deaf(tmp_path: Path) -> AsyncGenerator[Deaf]:
    made("maildir", tmp_path / "mail").close()
    store = Deaf(str(tmp_path / "mail"), layout_for=lambda _: Layout(), hostname="test.example")
    yield store
    store.close()


async def test_a_change_by_another_server_comes_as_a_hint(deaf: Deaf, tmp_path: Path) -> None:
    deliver(deaf, count=2)
    hints = tmp_path / "hints"
    async with (
        served(deaf, tmp_path / "one", hints_dir=hints, settings=SELDOM) as one,
        served(deaf, tmp_path / "two", hints_dir=hints, settings=SELDOM) as two,
        client_of(one) as watching,
        client_of(two) as working,
    ):
        watch = await watching.watch("INBOX")
        await working.delete(1)
        await working.expunge()
        events = await next_of(watch)

    assert summary(events) == {"expunged": [1]}


async def test_a_delivery_by_another_process_comes_as_a_hint(deaf: Deaf, tmp_path: Path) -> None:
    hints = tmp_path / "hints"
    async with (
        served(deaf, tmp_path / "one", hints_dir=hints, settings=SELDOM) as place,
        client_of(place) as session,
    ):
        watch = await session.watch()
        sender = HintSender(str(hints))
        deliver(deaf, WORK)
        sender.send([(ALICE, WORK), (ALICE, INBOX)])
        events = await next_of(watch)
        sender.close()

    assert [(event.folder, named(event)) for event in events] == [("Work", [1])]


async def test_where_nothing_tells_looking_finds_it(deaf: Deaf, tmp_path: Path) -> None:
    async with served(deaf, tmp_path / "one", settings=OFTEN) as place, client_of(place) as session:
        watch = await session.watch()
        deliver(deaf)
        events = await next_of(watch)
        deaf.folders(ALICE).delete(WORK)
        events += await next_of(watch)

    assert [(event.kind, event.folder) for event in events] == [("new", "INBOX"), ("folder", "Work")]


async def test_what_another_mail_program_does_to_the_files_is_told(tmp_path: Path) -> None:
    store = made("maildir", tmp_path / "mail")
    box = tmp_path / "mail" / "example.org" / "users" / "alice"
    async with served(store, tmp_path / "one", settings=SELDOM) as place, client_of(place) as session:
        watch = await session.watch()

        for number in (1, 2):
            (box / "tmp" / f"{number}.x.h").write_bytes(TEXT)
            (box / "tmp" / f"{number}.x.h").rename(box / "new" / f"{number}.x.h")
        events = await until(watch, 2)
        (box / "new" / "1.x.h").rename(box / "cur" / "1.x.h:2,FS")
        flags = await next_of(watch)
        (box / "cur" / "1.x.h:2,FS").unlink()
        gone = await next_of(watch)
        (box / "new" / "2.x.h").rename(box / ".Work" / "cur" / "2.x.h:2,")
        moved = await next_of(watch, 2)
        for inner in ("", "tmp", "new", "cur"):
            (box / ".Theirs" / inner).mkdir()
        created = await next_of(watch)

    assert summary(events) == {"new": [1, 2]}
    assert [(row[0], row[1]) for row in flags[0].messages or ()] == [(1, ("\\Flagged", "\\Seen"))]
    assert summary(gone) == {"expunged": [1]}
    assert sorted((one.folder or "", one.kind, *named(one)) for one in moved) == [
        ("INBOX", "expunged", 2),
        ("Work", "new", 1),
    ]
    assert [(one.change, one.folder) for one in created] == [("created", "Theirs")]
    store.close()


async def test_a_change_hidden_in_the_same_moment_as_another_is_found_a_little_later(tmp_path: Path) -> None:
    store = made("maildir", tmp_path / "mail")
    box = tmp_path / "mail" / "example.org" / "users" / "alice"
    async with served(store, tmp_path / "one", settings=SELDOM) as place, client_of(place) as session:
        watch = await session.watch("INBOX")
        for number in range(1, 31):
            deliver(store)
            store.folder(ALICE, INBOX).list()
            (box / "new" / f"{number}.x.h").write_bytes(TEXT)
        events = await until(watch, 60)

    assert sorted(summary(events)["new"]) == list(range(1, 61))
    store.close()
