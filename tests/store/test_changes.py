"""What the kernel tells of a Maildir: changes of other programs, and more of them than it can keep."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.store.maildir.changes import MaildirChanges
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
WORK = FolderName(("Work",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MaildirStore]:
    made = MaildirStore(str(tmp_path), layout_for=lambda _: Layout(), hostname="test.example")
    made.create_mailbox(ALICE)
    made.folders(ALICE).create(WORK)
    yield made
    made.close()


@pytest.fixture
def source(store: MaildirStore) -> Iterator[MaildirChanges]:
    made = store.watch_changes()
    assert made is not None
    yield made
    made.close()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "example.com" / "users" / "alice"


def test_a_file_that_another_program_puts_renames_or_removes_is_told(source: MaildirChanges, box: Path) -> None:
    source.watch(ALICE, INBOX)
    (box / "tmp" / "1.x.h").write_bytes(b"Subject: x\n\n")
    found = [source.read()]

    (box / "tmp" / "1.x.h").rename(box / "new" / "1.x.h")
    found.append(source.read())
    (box / "new" / "1.x.h").rename(box / "cur" / "1.x.h:2,S")
    found.append(source.read())
    (box / "cur" / "1.x.h:2,S").unlink()
    found.append(source.read())

    assert found == [(), *[((ALICE, INBOX),)] * 3]


def test_files_of_other_programs_beside_the_folders_say_nothing_about_folders(
    source: MaildirChanges, box: Path
) -> None:
    source.watch(ALICE, None)

    (box / "dovecot.index.log").write_bytes(b"x")
    (box / ".hidden").write_bytes(b"x")
    (box / "control").mkdir()
    quiet = source.read()
    (box / ".Theirs").mkdir()

    assert quiet == ()
    assert source.read() == ((ALICE, None),)


def test_when_more_happens_than_the_kernel_keeps_every_watched_place_is_told(source: MaildirChanges, box: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for folder in (INBOX, WORK, None):
        source.watch(ALICE, folder)
    one, other = box / "new" / "1.x.h", box / "new" / "2.x.h"
    one.write_bytes(b"")

    for _ in range(limit // 4 + 2):
        one.rename(other)
        other.rename(one)
    found: set[tuple[MailboxId, FolderName | None]] = set()
    while read := source.read():
        found.update(read)

    assert found == {(ALICE, INBOX), (ALICE, WORK), (ALICE, None)}


def test_half_a_folder_is_not_watched(source: MaildirChanges, box: Path) -> None:
    (box / ".Work" / "cur").rmdir()

    told = source.watch(ALICE, WORK)
    (box / ".Work" / "new" / "1.x.h").write_bytes(b"")

    assert told is False
    assert source.read() == ()
