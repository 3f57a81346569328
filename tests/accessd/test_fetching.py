"""Many bodies in one answer, and folders by columns: the same as one by one and row by row."""

import asyncio
from pathlib import Path

import pytest

from msgstore.access import entries, sync
from msgstore.access.aio import AccessClient, Session
from msgstore.access.codes import AccessError
from msgstore.access.rows import MessageRow, Rows, rows_of
from msgstore.access.uids import portions
from msgstore.model.outcomes import COLUMNS
from tests.accessd_room import Shelf, room

INLINE = 128 * 1024


def text_of(number: int) -> bytes:
    sizes = {7: 0, 8: INLINE, 9: INLINE + 1, 10: INLINE, 11: INLINE, 12: INLINE, 13: INLINE, 14: INLINE}
    return b"Subject: message %d\r\n\r\n.dot\r\n".ljust(sizes.get(number, 2000), b"x")[: sizes.get(number, 2000)] or b""


async def bodies(session: Session, *uids: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    async for body in session.fetch(*uids):
        async with body:
            found[body.opened.uid] = await body.read()
    return found


@pytest.mark.parametrize("on_disk", [False, True])
async def test_many_bodies_are_what_each_of_them_is_alone(tmp_path: Path, *, on_disk: bool) -> None:
    async with room(tmp_path, shelf=Shelf(tmp_path if on_disk else None)) as place:
        inbox = place.shelf.inbox()
        texts = {int(inbox.add(text_of(number))): text_of(number) for number in range(1, 451)}
        del inbox.messages[5]
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            everything = await bodies(session)
            some = await bodies(session, 400, 3, 5, 9, 12, 700)

        def play() -> list[tuple[int, int, bool]]:
            with sync.AccessClient.connect(place.path) as client:
                session = client.login("alice@example.org", "secret", service="imap")
                found: list[tuple[int, int, bool]] = []
                for body in session.fetch():
                    with body:
                        found.append((body.opened.uid, len(body.read()), body.opened.dots))
                return found

        plain = await asyncio.to_thread(play)

    del texts[5]
    assert everything == texts
    assert list(everything) == sorted(everything)
    assert some == {uid: texts[uid] for uid in (3, 9, 12, 400)}
    assert plain == [(uid, len(text), b"\n." in text or len(text) > INLINE) for uid, text in texts.items()]


async def test_one_answer_holds_what_fits_a_frame_and_says_where_to_go_on(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        for _ in range(20):
            place.shelf.inbox().add(b"x" * INLINE)
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            where = {"session": session.token, "mailbox": session.mailbox, "folder": "INBOX"}
            first = await client.ask(entries.MESSAGE_FETCH, **where)
            last = await client.ask(entries.MESSAGE_FETCH, **where, after_uid=19)
            nothing = await client.ask(entries.MESSAGE_FETCH, **where, uids=[])

    assert ([one.uid for one in first.messages], first.next_uid) == ([1, 2, 3, 4, 5], 5)
    assert ([one.uid for one in last.messages], last.next_uid) == ([20], None)
    assert nothing.messages == ()


@pytest.mark.parametrize("uids", [[], [1], None])
async def test_nothing_is_fetched_from_a_folder_that_is_not_there(tmp_path: Path, uids: list[int] | None) -> None:
    async with room(tmp_path) as place, AccessClient.connect(place.path) as client:
        session = await client.login("alice@example.org", "secret", service="imap")
        with pytest.raises(AccessError) as caught:
            await client.ask(
                entries.MESSAGE_FETCH, session=session.token, mailbox=session.mailbox, folder="None", uids=uids
            )

    assert caught.value.code == "NO_FOLDER"


async def test_the_holder_of_a_maildrop_fetches_what_it_held(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"first")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="pop3")
            await session.open()
            place.shelf.inbox().add(b"late")

            assert await bodies(session) == {1: b"first"}
            assert await bodies(session, 1, 2) == {1: b"first"}
            assert [row.uid for row in await session.list(fields=("uid",))] == [1]


async def test_a_folder_by_columns_is_the_folder_by_rows(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        inbox = place.shelf.inbox()
        for number in range(300):
            inbox.add(b"x" * number, flags=frozenset(["\\Seen"] if number % 3 else ["\\Flagged", "\\Seen"]))
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="imap")
            where = {"session": session.token, "mailbox": session.mailbox, "folder": "INBOX", "fields": COLUMNS}
            rows = [
                row async for page in client.pages(entries.MESSAGE_LIST, **where, limit=70) for row in rows_of(page)
            ]
            pages = [page async for page in client.pages(entries.MESSAGE_LIST, **where, limit=70, by="columns")]
            empty = await client.ask(entries.MESSAGE_LIST, **where, uids=[900], by="columns")
            with pytest.raises(AccessError) as caught:
                await client.ask(entries.MESSAGE_LIST, **where, by="columns", since_modseq=1)

    columns = Rows(pages)
    assert [len(page.columns["uid"]) for page in pages if page.columns] == [70, 70, 70, 70, 20]
    assert columns == rows == list(columns)
    assert len(columns) == 300
    assert (columns[0], columns[-1], columns[5:7]) == (rows[0], rows[-1], rows[5:7])
    assert columns.column("uidl") == [row.uidl for row in rows]
    assert list(Rows([empty])) == []
    assert caught.value.data["key"] == "by"


def test_rows_keep_to_what_was_asked_for() -> None:
    rows = Rows([])

    assert len(rows) == 0
    assert list(rows) == []
    with pytest.raises(IndexError):
        rows[0]
    with pytest.raises(KeyError):
        rows.column("uid")
    assert rows != [MessageRow(uid=1)]


def test_a_set_of_uids_is_cut_into_requests() -> None:
    assert list(portions([])) == [None]
    assert list(portions([5, 3, 4, 9])) == [((3, 5), 9)]
    parts = [part or () for part in portions(list(range(1, 4001, 2)))]
    assert [len(part) for part in parts] == [500] * 4
    assert [uid for part in parts for uid in part] == list(range(1, 4001, 2))
