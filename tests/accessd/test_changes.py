"""Flags, copies, moves, expunging by flag and news of a folder, over the socket and both kinds of stores."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from msgstore.access.aio import AccessClient
from msgstore.access.codes import AccessError
from msgstore.model.folder import FolderName
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.accessd.mailroom import KINDS, code_from, mailroom
from tests.accessd.test_real_stores import served
from tests.accessd_room import ALICE


@pytest.mark.parametrize("kind", KINDS)
async def test_flags_are_compared_without_case_and_keywords_persist(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(b"1", b"2", b"3")
        added = await box.session.set_flags(1, (3, None), change="add", flags=["\\SEEN", "\\seen"], keywords=["$Later"])
        again = await box.session.set_flags(1, change="add", flags=["\\Seen"], keywords=["$later"])
        taken = await box.session.set_flags(1, 77, change="remove", flags=["\\seen"])
        put = await box.session.set_flags(3, change="set", flags=["\\Draft"], keywords=["other"])

    assert added.fields == ("uid", "flags", "keywords", "modseq")
    assert [row[:3] for row in added.messages] == [(uid, ("\\Seen",), ("$Later",)) for uid in (1, 3)]
    assert again.modseq == added.modseq
    assert [row[:3] for row in taken.messages] == [(1, (), ("$Later",))]
    assert taken.missing == (77,)
    assert [row[:3] for row in put.messages] == [(3, ("\\Draft",), ("other",))]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_changed_since_is_left_alone_and_named(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(b"1", b"2")
        known = (await box.session.stat()).modseq
        await box.session.set_flags(2, change="add", flags=["\\Seen"])
        found = await box.session.set_flags((1, None), change="add", flags=["\\Flagged"], unchanged_since=known)
        rows = await box.session.list(fields=("uid", "flags"))

    assert found.modified == (2,)
    assert [row[0] for row in found.messages] == [1]
    assert [row.flags for row in rows] == [("\\Flagged",), ("\\Seen",)]


@pytest.mark.parametrize(
    ("flags", "keywords", "key"),
    [
        (["\\Recent"], [], "flags"),
        (["Seen"], [], "flags"),
        (["\\Nothing"], [], "flags"),
        ([], [""], "keywords"),
        ([], ["two words"], "keywords"),
        ([], ["a(b"], "keywords"),
        ([], ["\\Seen"], "keywords"),
        ([], ["a]"], "keywords"),
        ([], ["a\r\nb"], "keywords"),
        ([], ["caf\u00e9"], "keywords"),
        ([], ["x" * 101], "keywords"),
        ([], [f"k{number}" for number in range(257)], "keywords"),
    ],
)
async def test_words_that_are_no_flags_or_keywords_are_invalid(
    tmp_path: Path, flags: list[str], keywords: list[str], key: str
) -> None:
    async with mailroom(tmp_path, "memory") as box:
        box.put()
        with pytest.raises(AccessError) as refused:
            await box.session.set_flags(1, change="add", flags=flags, keywords=keywords)

    assert (refused.value.code, refused.value.data["key"]) == ("INVALID", key)


async def test_letters_of_others_stay_in_the_name_and_flags_are_there_after_a_restart(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "maildir") as box:
        box.put()
        new = next(path for path in (tmp_path / "mail").rglob("new/*") if path.is_file())
        new.rename(new.parent.parent / "cur" / f"{new.name}:2,PSabc")
        await box.session.set_flags(1, change="add", flags=["\\flagged"], keywords=["work"])
    store = MaildirStore(str(tmp_path / "mail"), layout_for=lambda _: Layout(), hostname="test.example")
    found = store.folder(ALICE, FolderName.parse("INBOX")).list()
    store.close()
    names = [path.name for path in (tmp_path / "mail").rglob("cur/*")]

    assert [(info.flags, info.keywords) for info in found] == [
        (frozenset({"\\Seen", "\\Flagged"}), frozenset({"work"}))
    ]
    assert len(names) == 1
    assert {"P", "a", "b", "c"} <= set(names[0].partition(":2,")[2])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_uid_is_found_after_a_hundred_changes_of_flags(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(b"Subject: 1\r\n\r\n", b"Subject: 2\r\n\r\n")
        for number in range(100):
            await box.session.set_flags(1, change="remove" if number % 2 else "add", flags=["\\Seen", "\\Flagged"])
        async with await box.session.retrieve(1, way="inline") as body:
            text = await body.read()
        above = await box.session.set_flags((50, None), change="add", flags=["\\Seen"])

    assert text == b"Subject: 1\r\n\r\n"
    assert above.messages == ()


@pytest.mark.parametrize("kind", KINDS)
async def test_one_of_two_flagged_messages_is_expunged_and_nothing_else_changes(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(b"1", b"2", b"3", b"4")
        await box.session.set_flags(1, 2, change="add", flags=["\\Deleted", "\\Seen"])
        marked = await box.session.delete(4)
        one = await box.session.expunge(uids=(2, 3), which="flagged")
        rows = await box.session.list(fields=("uid", "flags"))
        rest = await box.session.expunge(which="flagged")
        mine = await box.session.expunge()

    assert marked.marked == (4,)
    assert one.expunged == (2,)
    assert [(row.uid, row.flags) for row in rows] == [(1, ("\\Deleted", "\\Seen")), (3, ()), (4, ())]
    assert rest.expunged == (1,)
    assert mine.expunged == (4,)


@pytest.mark.parametrize("kind", KINDS)
async def test_no_uids_at_all_expunge_and_undelete_nothing(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(b"1", b"2")
        await box.session.set_flags(1, change="add", flags=["\\Deleted"])
        await box.session.delete(2)
        flagged = await box.session.expunge(uids=(), which="flagged")
        marked = await box.session.expunge(uids=[])
        still = await box.session.undelete(uids=[])
        uids = await box.uids()

    assert (flagged.expunged, marked.expunged) == ((), ())
    assert still.marked == (2,)
    assert uids == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
async def test_marks_of_two_sessions_are_their_own(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(b"1", b"2", b"3")
        other = await box.another()
        await box.session.delete(1)
        await other.delete(2)
        await other.logout()
        gone = await box.session.expunge()
        uids = await box.uids()

    assert gone.expunged == (1,)
    assert uids == [2, 3]


@pytest.mark.parametrize("kind", KINDS)
async def test_copies_and_moves_take_everything_along_and_pair_their_uids(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(b"1", b"2", b"3", flags=frozenset({"\\Answered"}))
        await box.session.set_flags(1, change="add", keywords=["kept"])
        before = {row.uid: row for row in await box.session.list(fields=("uid", "internal_date"))}
        copied = await box.session.copy(1, 9, to="Work")
        moved = await box.session.move((1, None), to="Work")
        left = await box.uids()
        there = await box.session.list("Work", fields=("uid", "flags", "keywords", "internal_date"))
        validity = (await box.session.stat("Work")).uidvalidity
        async with await box.session.retrieve(4, "Work", way="inline") as body:
            last = await body.read()

    assert (copied.from_uids, copied.to_uids, copied.missing) == ((1,), (1,), (9,))
    assert (moved.from_uids, moved.to_uids, moved.missing) == (((1, 3),), ((2, 4),), ())
    assert copied.uidvalidity == moved.uidvalidity == validity
    assert left == []
    assert [(row.flags, row.keywords) for row in there] == [
        (("\\Answered",), ("kept",)),
        (("\\Answered",), ("kept",)),
        (("\\Answered",), ()),
        (("\\Answered",), ()),
    ]
    assert {row.internal_date for row in there} <= {row.internal_date for row in before.values()}
    assert last == b"3"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_destination_is_worth_making_and_a_missing_source_is_not(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put()
        codes: list[tuple[str, str | None]] = []
        for asking in (
            box.session.copy(1, to="Nowhere"),
            box.session.move(1, to="Nowhere"),
            box.session.copy(7, to="Nowhere"),
            box.session.copy(1, to="Work", folder="Gone"),
            box.session.move(1, to="Work", folder="Gone"),
        ):
            with pytest.raises(AccessError) as refused:
                await asking
            codes.append(code_from(refused))
        uids = await box.uids()

    assert codes == [("NO_FOLDER", "TRYCREATE")] * 3 + [("NO_FOLDER", "NONEXISTENT")] * 2
    assert uids == [1]


@pytest.mark.parametrize("kind", KINDS)
async def test_changes_since_are_told_in_pages_with_what_vanished(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(*[b"%d" % number for number in range(1, 11)])
        known = (await box.session.stat()).modseq
        await box.session.set_flags(2, 4, 6, change="add", flags=["\\Seen"])
        await box.session.set_flags((7, 9), change="add", flags=["\\Deleted"])
        await box.session.expunge(which="flagged")
        box.put(b"new")
        news = await box.session.changes(known)
        where = {"session": box.session.token, "mailbox": box.session.mailbox, "folder": "INBOX"}
        asked = {"since_modseq": known, "fields": ["uid"], "limit": 3}
        first: Any = await box.session.client.call("message.list", **where, **asked)
        second: Any = await box.session.client.call("message.list", **where, **asked, after_uid=first["next_uid"])
        nothing = await box.session.changes(news.modseq)

    assert [row.uid for row in news.rows] == [2, 4, 6, 11]
    assert news.rows[0].flags == ("\\Seen",)
    assert news.vanished == ((7, 9),)
    assert (first["messages"], first["next_uid"], first["vanished"]) == ([[2], [4], [6]], 6, [[7, 9]])
    assert (second["messages"], second.get("next_uid"), second["vanished"]) == ([[11]], None, [])
    assert (nothing.rows, nothing.vanished) == ((), ())


async def test_what_the_store_has_forgotten_is_told_as_not_known(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "maildir") as box:
        box.put(b"1", b"2")
        await box.session.stat()
        before = await box.session.changes((await box.session.stat()).modseq)
    for index in (tmp_path / "mail").rglob("*.sqlite*"):
        index.unlink()
    for index in (tmp_path / "mail").rglob(".msgstore-index*"):
        index.unlink()

    store = MaildirStore(str(tmp_path / "mail"), layout_for=lambda _: Layout(), hostname="test.example")
    async with served(store, tmp_path / "again") as path, AccessClient.connect(path) as client:
        session = await client.login(str(ALICE), "secret", service="imap")
        after = await session.changes(1)
    store.close()

    assert before.vanished == ()
    assert after.vanished is None


@pytest.mark.parametrize("kind", KINDS)
async def test_changes_sent_in_one_go_are_made_in_order(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(b"1", b"2")
        session = box.session
        _, _, gone, rows = await asyncio.gather(
            session.set_flags(1, change="add", flags=["\\Deleted"]),
            session.copy(1, to="Work"),
            session.expunge(which="flagged"),
            session.list(fields=("uid",)),
        )
        copied = await box.uids("Work")

    assert gone.expunged == (1,)
    assert [row.uid for row in rows] == [2]
    assert copied == [1]
