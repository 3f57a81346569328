"""The index of a mailbox is a cache: lost, broken, locked or replaced, it costs time and nothing else."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.maildir import ledger
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.rows import MessageRow
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
WORK = FolderName(("Work",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MaildirStore]:
    made = opened(tmp_path)
    made.create_mailbox(ALICE)
    made.folders(ALICE).create(WORK)
    for number in range(5):
        deliver(made, b"message %d" % number)
    made.folder(ALICE, INBOX).set_flags([Uid(2)], FlagChange.ADD, flags=frozenset({SEEN}), keywords=frozenset({"k"}))
    made.folder(ALICE, INBOX).expunge([Uid(3)])
    yield made
    made.close()


def opened(root: Path) -> MaildirStore:
    return MaildirStore(str(root), layout_for=lambda _: Layout(), hostname="test.example")


def deliver(store: MaildirStore, text: bytes, folder: FolderName = INBOX) -> None:
    with store.stage() as staged:
        staged.write(text)
        list(store.deliver(staged, [Filing(mailbox=ALICE, folder=folder)]))


def box(root: Path) -> Path:
    return root / "example.com" / "users" / "alice"


def shown(store: MaildirStore) -> list[object]:
    folder = store.folder(ALICE, INBOX)
    found: list[object] = []
    for info in folder.list():
        with folder.retrieve(info.uid) as body:
            found.append((info.uid, info.flags, info.keywords, info.octets, b"".join(body.chunks())))
    status = folder.stat()
    return [*found, status.messages, status.octets, status.unseen, status.uidvalidity, status.uidnext]


def break_with(root: Path, content: bytes) -> None:
    for suffix in ("-wal", "-shm"):
        (box(root) / f"msgstore-index{suffix}").unlink(missing_ok=True)
    (box(root) / "msgstore-index").write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_broken_index_is_made_anew_and_nothing_is_lost(store: MaildirStore, tmp_path: Path, content: bytes) -> None:
    before = shown(store)
    modseq = store.folder(ALICE, INBOX).stat().modseq
    store.close()

    break_with(tmp_path, content)
    fresh = opened(tmp_path)

    assert shown(fresh) == before
    assert fresh.folder(ALICE, INBOX).stat().modseq > modseq
    fresh.close()


def test_an_index_cut_anywhere_never_loses_mail_or_gives_another_uid(store: MaildirStore, tmp_path: Path) -> None:
    before = shown(store)
    store.close()
    whole = (box(tmp_path) / "msgstore-index").read_bytes()

    for octets in range(0, len(whole), max(1, len(whole) // 12)):
        break_with(tmp_path, whole[:octets])
        fresh = opened(tmp_path)
        assert shown(fresh) == before
        fresh.close()


def test_an_index_that_breaks_while_it_is_open_is_made_anew(store: MaildirStore, tmp_path: Path) -> None:
    before = shown(store)

    break_with(tmp_path, b"garbage" * 1000)

    assert shown(store) == before


def test_an_index_that_is_removed_while_it_is_open_is_made_anew(store: MaildirStore, tmp_path: Path) -> None:
    before = shown(store)
    for found in box(tmp_path).glob("msgstore-index*"):
        found.unlink()

    deliver(store, b"later")
    after = shown(store)

    assert after[:4] == before[:4]
    assert len(after) == len(before) + 1


def test_another_schema_is_replaced(store: MaildirStore, tmp_path: Path) -> None:
    before = shown(store)
    store.close()
    database = sqlite3.connect(box(tmp_path) / "msgstore-index")
    database.execute("update meta set version = 99")
    database.commit()
    database.close()

    fresh = opened(tmp_path)

    assert shown(fresh) == before
    fresh.close()


def test_a_locked_index_is_done_without(store: MaildirStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shown(store)
    store.close()
    monkeypatch.setattr("msgstore.store.maildir.index.BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(box(tmp_path) / "msgstore-index", isolation_level=None)
    holder.execute("begin exclusive")

    fresh = opened(tmp_path)
    deliver(fresh, b"while it is locked")
    during = shown(fresh)
    fresh.folder(ALICE, INBOX).set_flags([Uid(1)], FlagChange.ADD, flags=frozenset({FLAGGED}))
    fresh.close()
    holder.execute("rollback")
    holder.close()
    after = opened(tmp_path)

    assert during[:4] == before[:4]
    assert after.folder(ALICE, INBOX).list()[0].flags == {FLAGGED}
    assert [info.uid for info in after.folder(ALICE, INBOX).list()] == [1, 2, 4, 5, 6]
    after.close()


def test_an_index_that_is_a_link_is_never_followed(store: MaildirStore, tmp_path: Path) -> None:
    before = shown(store)
    store.close()
    for found in box(tmp_path).glob("msgstore-index*"):
        found.unlink()
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    (box(tmp_path) / "msgstore-index").symlink_to(outside)

    fresh = opened(tmp_path)

    assert shown(fresh) == before
    assert outside.read_bytes() == b""
    assert not (box(tmp_path) / "msgstore-index").is_symlink()
    fresh.close()


def test_modseq_jumps_when_the_machine_was_started_since(store: MaildirStore, tmp_path: Path) -> None:
    before = store.folder(ALICE, INBOX).stat().modseq
    shown_before = shown(store)
    store.close()
    database = sqlite3.connect(box(tmp_path) / "msgstore-index")
    database.execute("update meta set booted_at = booted_at - 1000")
    database.commit()
    database.close()

    fresh = opened(tmp_path)

    assert fresh.folder(ALICE, INBOX).stat().modseq > before
    assert shown(fresh) == shown_before
    fresh.close()


def test_changes_before_a_lost_index_are_said_to_be_unknown(store: MaildirStore, tmp_path: Path) -> None:
    known = store.folder(ALICE, INBOX).stat().modseq
    store.close()
    (box(tmp_path) / "msgstore-index").unlink()

    fresh = opened(tmp_path)
    changes = fresh.folder(ALICE, INBOX).changes(known)

    assert not changes.is_complete
    assert [info.uid for info in changes.changed] == [1, 2, 4, 5]
    assert fresh.folder(ALICE, INBOX).changes(changes.status.modseq).is_complete
    fresh.close()


def test_many_mailboxes_keep_few_indexes_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger.OpenIndexes, "__init__", _small)
    store = opened(tmp_path)
    mailboxes = [MailboxId(f"user{number}", "example.com") for number in range(20)]
    for mailbox in mailboxes:
        store.create_mailbox(mailbox)
        with store.stage() as staged:
            staged.write(b"x")
            list(store.deliver(staged, [Filing(mailbox=mailbox, folder=INBOX)]))

    counts = [store.folder(mailbox, INBOX).stat().messages for _ in range(2) for mailbox in mailboxes]
    held = [name for name in map(_target_of, Path("/proc/self/fd").iterdir()) if name.endswith("msgstore-index")]

    assert counts == [1] * 40
    assert 1 <= len(held) <= 3
    store.close()


def _small(opened_indexes: ledger.OpenIndexes) -> None:
    real(opened_indexes, limit=3)


real = ledger.OpenIndexes.__init__


def _target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_a_turn_that_fails_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index"), booted_at=0.0, now_ms=lambda: 1)
    row = index.begin_folder("", uidvalidity=1, modseq=1)

    def fail() -> None:
        with index.writing():
            index.insert(row.id, [MessageRow(1, "base", "", 1, 1, 1, 1, 2, None, None)])
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert index.message(row.id, 1) is None
    assert index.check() == []
    index.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed")
def test_an_index_of_another_user_is_replaced(store: MaildirStore, tmp_path: Path) -> None:
    before = shown(store)
    store.close()
    os.chown(box(tmp_path) / "msgstore-index", 4001, 4001)

    fresh = opened(tmp_path)

    assert shown(fresh) == before
    assert (box(tmp_path) / "msgstore-index").stat().st_uid == os.geteuid()
    fresh.close()
