"""Blocks of a thousand messages: what was packed comes out, and what changes is never read from an old block."""

import os
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.model.folder import INBOX
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.model.outcomes import COLUMNS, Column, FlagChange
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.packed import PACKED_COLUMNS, Gathering, PackedCells, by_chunk, chunks_of, pack
from msgstore.store.maildir.rows import FolderRow
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.rows import cell_of
from tests.contract.shelf import ALICE, WORK, add

COUNT = 2600
FAST: Sequence[Column] = ("uid", "uidl", "octets", "stored_octets", "flags", "keywords", "modseq", "internal_date")

words = st.text("aZ9 ,:.\u00e9\U0001f4e7\t", min_size=1, max_size=9)
sizes = st.none() | st.integers(0, 2**62)
bodies = st.tuples(
    sizes, sizes, sizes, st.integers(0, 2**62), words | st.just(""), st.none() | words, st.none() | words
)


def at_uids(uids: Sequence[int], found: Sequence[tuple[object, ...]]) -> list[PackedCells]:
    return [(uid, *cells) for uid, cells in zip(uids, found, strict=False)]  # type: ignore[misc]


def unpacked(gathering: Gathering, after: int, last: int, limit: int | None) -> list[tuple[object, ...]]:
    columns = gathering.between(after, last, limit)
    return list(zip(*(columns[name] for name in PACKED_COLUMNS), strict=True))


@given(
    st.lists(bodies, max_size=12),
    st.lists(st.integers(1, 4000), min_size=12, max_size=12, unique=True).map(sorted),
    st.integers(0, 4100),
    st.integers(0, 4100),
    st.none() | st.integers(0, 13),
)
def test_what_was_packed_comes_out_and_only_the_range_that_was_asked_for(
    found: list[tuple[object, ...]], uids: list[int], after: int, last: int, limit: int | None
) -> None:
    cells = at_uids(uids, found)
    gathering = Gathering(PACKED_COLUMNS)
    for part in by_chunk(cells, range(4)).values():
        gathering.add(pack(part))

    assert len(gathering) == len(cells)
    assert unpacked(gathering, after, last, limit) == [one for one in cells if after < one[0] <= last][:limit]


def test_names_that_are_no_text_survive() -> None:
    cells: list[PackedCells] = [(1, 1, 1, 1, 1, ":2,\udcff", "gr\u00fcn \udce4", None)]
    gathering = Gathering(PACKED_COLUMNS)
    gathering.add(pack(cells))

    assert unpacked(gathering, 0, 9, None) == cells


@pytest.fixture
def store(tmp_path: Path) -> MaildirStore:
    cur = box(tmp_path) / "cur"
    store = MaildirStore(str(tmp_path), layout_for=lambda _: Layout(), hostname="test.example")
    store.create_mailbox(ALICE)
    store.folders(ALICE).create(WORK)
    for number in range(COUNT):
        (cur / f"{1_700_000_000 + number}.M{number}.test,S={number},W={number + 2}:2,{'S' * (number % 2)}").touch()
    return store


def box(root: Path) -> Path:
    return root / "example.com" / "users" / "alice"


def check(store: MaildirStore) -> None:
    """Compare what blocks say with what rows say."""
    inbox = store.folder(ALICE, INBOX)
    infos = inbox.list()
    for columns in (FAST, COLUMNS):
        for _ in range(2):
            assert inbox.rows(columns) == [tuple(cell_of(info, column) for column in columns) for info in infos]
    chance = random.Random(len(infos))  # noqa: S311 - a test
    for _ in range(20):
        after, last = sorted(chance.choices(range(COUNT + 50), k=2))
        limit = chance.choice((None, 1, 1100, 1500, 2000))
        wanted = [int(info.uid) for info in infos if after < info.uid <= last][:limit]
        assert [row[0] for row in inbox.rows(("uid", "octets"), after_uid=after, last_uid=last, limit=limit)] == wanted


def test_every_change_of_a_large_folder_is_seen_at_once(store: MaildirStore, tmp_path: Path) -> None:
    inbox, other = (
        store.folder(ALICE, INBOX),
        MaildirStore(str(tmp_path), layout_for=lambda _: Layout(), hostname="other"),
    )
    check(store)
    inbox.set_flags([Uid(1500)], FlagChange.ADD, flags=frozenset({FLAGGED}), keywords=frozenset({"todo", "$Label1"}))
    check(store)
    inbox.expunge([Uid(3), Uid(1024), Uid(2047), Uid(2048)])
    check(store)
    inbox.move([Uid(7), Uid(2050)], WORK)
    inbox.copy([Uid(8)], INBOX)
    add(store)
    check(store)
    other.folder(ALICE, INBOX).set_flags([Uid(9)], FlagChange.SET, flags=frozenset({SEEN, FLAGGED}))
    other.folder(ALICE, INBOX).expunge([Uid(10)])
    check(store)
    store.recount(ALICE)
    check(other)
    other.close()


def test_what_others_rename_and_remove_is_seen(store: MaildirStore, tmp_path: Path) -> None:
    check(store)
    inbox = store.folder(ALICE, INBOX)
    cur = box(tmp_path) / "cur"
    names = sorted(path.name for path in cur.iterdir())
    (cur / names[5]).rename(cur / f"{names[5].partition(':')[0]}:2,FRS")
    (cur / names[6]).unlink()

    assert len(inbox.list()) == COUNT - 1
    check(store)


def test_a_reader_does_not_wait_for_a_writer_and_keeps_nothing_then(store: MaildirStore, tmp_path: Path) -> None:
    for inner in ("new", "cur"):
        os.utime(box(tmp_path) / inner, (1_700_000_000, 1_700_000_000))
    inbox = store.folder(ALICE, INBOX)
    inbox.list()
    writer = sqlite3.connect(box(tmp_path) / "msgstore-index", isolation_level=None)
    writer.execute("begin immediate")
    assert len(inbox.rows(("uid", "octets"))) == COUNT
    assert writer.execute("select count(*) from packed").fetchone() == (0,)
    writer.execute("rollback")
    assert len(inbox.rows(("uid", "octets"))) == COUNT
    assert writer.execute("select count(*) from packed").fetchone() == (2,)
    writer.close()


def test_blocks_of_a_folder_do_not_reach_beyond_its_last_uid() -> None:
    assert list(chunks_of(FolderRow(1, "", 1, 2049, 1, 1), 0, 2**32 - 1)) == [0, 1, 2]
    assert list(chunks_of(FolderRow(1, "", 1, 2048, 1, 1), 0, 2**32 - 1)) == [0, 1]
    assert list(chunks_of(FolderRow(1, "", 1, 1, 1, 1), 0, 2**32 - 1)) == [0]
    assert list(chunks_of(FolderRow(1, "", 1, 5000, 1, 1), 1023, 1024)) == [1]
