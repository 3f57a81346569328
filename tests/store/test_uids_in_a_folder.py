"""UIDs and UIDVALIDITY as a folder really gives them out, over what other programs and accidents leave behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing
from msgstore.model.message import SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.disk import Disk
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")


class ForgetfulDisk(Disk):
    """Its next listing misses a name, as a listing does while that name is being renamed."""

    misses = ""

    def names(self, directory_fd: int) -> list[str]:
        found = super().names(directory_fd)
        kept = [name for name in found if not self.misses or self.misses not in name]
        if kept != found:
            self.misses = ""
        return kept


class RestlessDisk(Disk):
    """Each of the next listings misses the one read message, which gets another name meanwhile."""

    misses = 0

    def names(self, directory_fd: int) -> list[str]:
        found = super().names(directory_fd)
        read = [name for name in found if ":2,S" in name]
        if self.misses and read:
            self.misses -= 1
            other = read[0][:-1] if read[0].endswith("T") else read[0] + "T"
            os.rename(read[0], other, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
            found.remove(read[0])
        return found


class EvasiveDisk(Disk):
    """The file that is to be unlinked has another name each time, as long as there are escapes."""

    escapes = 0

    def unlink(self, directory_fd: int, name: str) -> None:
        if self.escapes and ":2," in name:
            self.escapes -= 1
            other = name[:-1] if name.endswith("T") else name + "T"
            os.rename(name, other, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        super().unlink(directory_fd, name)


class RenamingDisk(Disk):
    """A file that is asked for its times has another name each time, as long as there are escapes."""

    escapes = 0

    def stat(self, directory_fd: int, name: str) -> os.stat_result:
        if self.escapes and ":2," in name:
            self.escapes -= 1
            other = name[:-1] if name.endswith("T") else name + "T"
            os.rename(name, other, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        return super().stat(directory_fd, name)


class StoppedClock:
    """One second that never ends."""

    def time(self) -> float:
        return 1_700_000_000.25

    def monotonic(self) -> float:
        return self.ticks

    ticks = 0.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MaildirStore]:
    made = opened(tmp_path)
    yield made
    made.close()


def opened(root: Path, disk: Disk | None = None) -> MaildirStore:
    return MaildirStore(
        str(root), layout_for=lambda _: Layout(), disk=disk, clock=StoppedClock(), hostname="test.example"
    )


def deliver(store: MaildirStore, count: int = 1) -> None:
    for _ in range(count):
        with store.stage() as staged:
            staged.write(b"Subject: hi\r\n\r\n")
            list(store.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX)]))


def inbox_of(root: Path) -> Path:
    return root / "example.com" / "users" / "alice"


def state(store: MaildirStore) -> tuple[int, list[int], int]:
    folder = store.folder(ALICE, INBOX)
    status = folder.stat()
    return status.uidvalidity, [info.uid for info in folder.list()], status.uidnext


def test_a_mailbox_made_anew_in_the_same_second_has_a_higher_uidvalidity(store: MaildirStore) -> None:
    seen: list[int] = []
    for _ in range(4):
        deliver(store)
        seen.append(state(store)[0])
        store.remove_mailbox(ALICE)

    assert sorted(set(seen)) == seen


def test_a_mailbox_made_anew_by_another_process_has_a_higher_uidvalidity_too(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    deliver(first)
    before = state(first)[0]
    first.remove_mailbox(ALICE)

    deliver(second)

    assert state(second)[0] > before
    first.close()
    second.close()


@pytest.mark.parametrize("damage", [b"", b"garbage\n", b"3 V1700000000 N9\n5 :a\n2 :b\n"])
def test_a_damaged_list_raises_uidvalidity_even_within_the_same_second(
    store: MaildirStore, tmp_path: Path, damage: bytes
) -> None:
    deliver(store, 3)
    before = state(store)
    (inbox_of(tmp_path) / "dovecot-uidlist").write_bytes(damage)

    after = state(store)

    assert after[0] > before[0]
    assert len(after[1]) == 3


def test_a_lost_list_raises_uidvalidity(store: MaildirStore, tmp_path: Path) -> None:
    deliver(store, 2)
    before = state(store)
    (inbox_of(tmp_path) / "dovecot-uidlist").unlink()

    assert state(store)[0] > before[0]


def test_a_torn_last_line_costs_no_other_message_its_uid(store: MaildirStore, tmp_path: Path) -> None:
    deliver(store, 3)
    before = state(store)
    uidlist = inbox_of(tmp_path) / "dovecot-uidlist"
    uidlist.write_bytes(uidlist.read_bytes()[:-5])

    after = state(store)
    deliver(store)

    assert after[0] == before[0]
    assert after[1][:2] == [1, 2]
    assert len(after[1]) == 3
    assert after[1][2] >= 3
    assert len(state(store)[1]) == 4


def test_the_list_of_the_older_suite_is_taken_over_with_its_uids_and_uidvalidity(
    store: MaildirStore, tmp_path: Path
) -> None:
    inbox = inbox_of(tmp_path)
    for name in ("new", "cur", "tmp"):
        (inbox / name).mkdir(parents=True)
    (inbox / "cur" / "1600000000.M1.old:2,S").write_bytes(b"Subject: one\r\n\r\n")
    (inbox / "cur" / "1600000001.M2.old:2,").write_bytes(b"Subject: two\r\n\r\n")
    (inbox / ".uidlist").write_bytes(b"3 V1600000000 N9\n4 1600000000.M1.old\n7 1600000001.M2.old\n")
    deliver(store)

    assert state(store) == (1600000000, [4, 7, 9], 10)


def test_the_list_of_the_older_suite_is_not_taken_over_twice(store: MaildirStore, tmp_path: Path) -> None:
    deliver(store)
    inbox = inbox_of(tmp_path)
    (inbox / ".uidlist").write_bytes(b"3 V1900000000 N2\n")
    taken_over = state(store)
    deliver(store, 2)
    shown = state(store)
    (inbox / "dovecot-uidlist").write_bytes(b"damaged\n")

    after = state(store)

    assert taken_over[0] == shown[0] == 1900000000
    assert after[0] > 1900000000
    assert len(after[1]) == 3


def test_uids_stay_while_another_program_moves_messages_and_sets_flags(store: MaildirStore, tmp_path: Path) -> None:
    deliver(store, 3)
    before = state(store)
    inbox = inbox_of(tmp_path)
    for number, path in enumerate(sorted((inbox / "new").iterdir())):
        path.rename(inbox / "cur" / f"{path.name}:2,{'S' * (number % 2)}")

    assert state(store) == before


def test_a_message_that_came_back_keeps_its_uid_and_no_other_gets_it(store: MaildirStore, tmp_path: Path) -> None:
    deliver(store, 2)
    before = state(store)
    inbox = inbox_of(tmp_path)
    path = min((inbox / "new").iterdir())
    away = tmp_path / "away"
    path.rename(away)
    without = state(store)
    deliver(store)
    away.rename(path)

    assert without[1] == [2]
    assert state(store)[1] == [1, 2, 3]
    assert state(store)[0] == before[0]


def test_a_mailbox_removed_by_another_process_is_gone_here_at_once_and_can_be_made_anew(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    deliver(first)
    assert state(second)[1] == [1]

    first.remove_mailbox(ALICE)
    gone = second.mailbox_exists(ALICE)
    second.create_mailbox(ALICE)

    assert not gone
    assert state(second)[1] == []
    first.close()
    second.close()


@pytest.mark.parametrize("is_first_look", [True, False])
def test_a_message_that_a_listing_missed_while_it_was_renamed_is_shown_all_the_same(
    tmp_path: Path,
    is_first_look: bool,  # noqa: FBT001
) -> None:
    disk = ForgetfulDisk()
    store = opened(tmp_path)
    deliver(store, 3)
    before = state(store)
    store.close()
    other = opened(tmp_path, disk)
    if not is_first_look:
        state(other)
    path = min((inbox_of(tmp_path) / "new").iterdir())
    path.rename(inbox_of(tmp_path) / "cur" / f"{path.name}:2,S")

    disk.misses = path.name
    after = [info.uid for info in other.folder(ALICE, INBOX).list()]

    assert disk.misses == ""
    assert after == before[1]
    other.close()


@pytest.mark.parametrize("misses", [1, 2, 3, 5, 40])
def test_a_message_that_others_never_stop_renaming_is_not_gone(tmp_path: Path, misses: int) -> None:
    disk = RestlessDisk()
    store = opened(tmp_path, disk)
    deliver(store, 3)
    folder = store.folder(ALICE, INBOX)
    folder.set_flags([Uid(2)], FlagChange.ADD, flags=frozenset({SEEN}), keywords=frozenset())
    before = folder.stat().modseq
    (inbox_of(tmp_path) / "cur" / "1.foreign:2,").touch()
    disk.misses = misses

    assert [info.uid for info in folder.list()] == [1, 2, 3, 4]

    assert folder.changes(before).vanished == ()
    disk.misses = 0
    moved = folder.move([Uid(2)], FolderName(("Junk",)))
    assert moved.from_uids == (2,)
    assert [info.uid for info in folder.list()] == [1, 3, 4]
    store.close()


@pytest.mark.parametrize("escapes", [1, 2, 5, 40])
def test_a_message_is_moved_once_though_others_rename_it_all_the_time(tmp_path: Path, escapes: int) -> None:
    disk = EvasiveDisk()
    store = opened(tmp_path, disk)
    deliver(store, 3)
    folder, junk = store.folder(ALICE, INBOX), store.folder(ALICE, FolderName(("Junk",)))
    folder.set_flags([Uid(2)], FlagChange.ADD, flags=frozenset({SEEN}), keywords=frozenset())
    disk.escapes = escapes

    moved = folder.move([Uid(2)], FolderName(("Junk",)))

    assert moved.from_uids == (2,)
    assert [info.uid for info in folder.list()] == [1, 3]
    assert len(junk.list()) == 1
    store.close()


@pytest.mark.parametrize("escapes", [1, 2, 5])
def test_a_message_is_listed_though_others_rename_it_before_its_date_is_read(tmp_path: Path, escapes: int) -> None:
    disk = RenamingDisk()
    store = opened(tmp_path, disk)
    deliver(store, 3)
    for path in list((inbox_of(tmp_path) / "new").iterdir()):
        path.rename(inbox_of(tmp_path) / "cur" / (path.name + ":2,S"))
    disk.escapes = escapes

    assert [info.uid for info in store.folder(ALICE, INBOX).list()] == [1, 2, 3]
    store.close()


@pytest.mark.parametrize("header", ["3 V1 N2", "3 V1 N2 Gnothing", "3 V1 N2 G", "garbage", "", "3 V1 N2 G" + "0" * 33])
def test_a_list_without_an_id_gives_the_folder_none(tmp_path: Path, store: MaildirStore, header: str) -> None:
    store.create_mailbox(ALICE)
    place = min((found.parent for found in tmp_path.rglob("cur")), key=lambda one: len(one.parts))

    assert store.folders(ALICE).guid(INBOX) is None
    (place / "dovecot-uidlist").write_text(header + "\n")

    assert store.folders(ALICE).guid(INBOX) is None
    (place / "dovecot-uidlist").write_text(f"3 V1 N2 G{'0f' * 16}\n1 :x\n")
    assert store.folders(ALICE).guid(INBOX) == "0f" * 16
