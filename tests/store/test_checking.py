"""Checking, repairing and compacting a mailbox of files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing
from msgstore.model.message import FLAGGED, Uid
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
OLD = 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MaildirStore]:
    made = MaildirStore(str(tmp_path), layout_for=lambda _: Layout(), hostname="test.example")
    made.create_mailbox(ALICE)
    with made.stage() as staged:
        staged.write(b"Subject: ours\r\n\r\n")
        list(made.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX)]))
    made.folder(ALICE, INBOX).stat()
    yield made
    made.close()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "example.com" / "users" / "alice"


def kinds(store: MaildirStore, *, repair: bool = False) -> list[str]:
    return sorted(finding.kind for finding in store.check(ALICE, repair=repair))


def test_a_healthy_mailbox_has_no_findings(store: MaildirStore) -> None:
    assert store.check(ALICE) == ()
    assert store.check(ALICE, repair=True) == ()


def test_everything_wrong_is_named_with_its_place_and_what_can_be_mended_is(store: MaildirStore, box: Path) -> None:
    (box / "new").rename(box / "aside")
    (box / "msgstore-trash.0001" / "cur").mkdir(parents=True)
    (box / "msgstore-tmp.1.abc").write_bytes(b"half")
    (box / "tmp" / "unfinished").write_bytes(b"half")
    for name in ("msgstore-tmp.1.abc", "tmp/unfinished"):
        os.utime(box / name, (OLD, OLD))
    (box / "tmp" / "fresh").write_bytes(b"being written")
    with (box / "dovecot-uidlist").open("ab") as uidlist:
        uidlist.write(b"77 :torn")
    (box / ".Junk" / "cur" / "1.link.host:2,").symlink_to("/etc/passwd")
    (box / ".Junk" / "cur" / "1.short.host,S=10,W=10:2,").write_bytes(b"short")
    (box / ".Junk" / "cur" / ".hidden").write_bytes(b"x")

    found = {finding.kind: finding for finding in store.check(ALICE)}
    mended = {finding.kind for finding in store.check(ALICE, repair=True) if finding.is_mended}
    left = set(kinds(store))

    assert {"leftover", "missing-directory", "uidlist-torn", "not-a-file", "size-differs", "not-a-message"} <= set(
        found
    )
    assert found["not-a-file"].place == "Junk/cur/1.link.host:2,"
    assert {"leftover", "missing-directory"} <= mended
    assert left == {"not-a-file", "size-differs", "not-a-message"}
    assert (box / "tmp" / "fresh").exists()
    assert (box / ".Junk" / "cur" / "1.short.host,S=10,W=10:2,").exists()


def test_a_broken_uid_list_and_a_broken_index_are_named(store: MaildirStore, box: Path) -> None:
    (box / ".Junk" / "dovecot-uidlist").write_bytes(b"nonsense")

    assert "uidlist-broken" in kinds(store)
    assert kinds(store) == []


def test_a_reindexed_mailbox_shows_the_same_under_a_higher_modseq(store: MaildirStore) -> None:
    before = store.folder(ALICE, INBOX).list()

    store.reindex(ALICE)

    after = store.folder(ALICE, INBOX).list()
    assert [(info.uid, info.flags, info.uidl) for info in after] == [
        (info.uid, info.flags, info.uidl) for info in before
    ]
    assert store.folder(ALICE, INBOX).stat().modseq > before[0].modseq


def test_compacting_gives_space_back_and_keeps_every_message(store: MaildirStore, box: Path) -> None:
    for number in range(2500):
        name = f"17000{number:05}.M{number}P1.{'long-host-name' * 4},S=1,W=1:2,F"
        (box / "cur" / name).write_bytes(b"x")
    folder = store.folder(ALICE, INBOX)
    assert folder.stat().messages == 2501
    kept = [Uid(1), Uid(2), Uid(2000)]
    folder.expunge([info.uid for info in folder.list() if info.uid not in kept])
    before = folder.list()
    octets = (box / "cur").stat().st_size

    store.compact(ALICE)

    assert folder.list() == before
    assert [info.flags for info in before] == [frozenset(), {FLAGGED}, {FLAGGED}]
    with folder.retrieve(Uid(2000)) as body:
        assert body.read(0, 10) == b"x"
    assert len((box / "dovecot-uidlist").read_bytes().splitlines()) == 4
    assert (box / "cur").stat().st_size <= octets
    assert store.check(ALICE) == ()
    assert not list(box.glob("msgstore-trash*"))


def test_compacting_twice_changes_nothing(store: MaildirStore) -> None:
    store.folders(ALICE).create(FolderName(("Work",)))
    store.compact(ALICE)
    before = store.folder(ALICE, INBOX).stat()

    store.compact(ALICE)

    assert store.folder(ALICE, INBOX).stat() == before
