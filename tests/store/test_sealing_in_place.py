"""Sealing where mail lies, in a Maildir: other programs at the same moment, other processes, what a crash leaves."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.errors import StoreUnavailable
from msgstore.model.folder import INBOX
from msgstore.model.message import FLAGGED, MessageInfo, Uid
from msgstore.store.disk import Disk
from msgstore.store.maildir.following import take_twins_away
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.names import came_of, sealed_base
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
TEXT: Final = b"Subject: one\r\n\r\nplan\r\n"
BLOB: Final = b"\xee" * (len(TEXT) + SEAL_OVERHEAD_OCTETS)
OTHER: Final = b"\xdd" * len(BLOB)


class Interrupted(Disk):
    """A disk on which somebody else acts right before a step of ours, or that refuses one."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Callable[[], object]] = {}
        self.refusal: OSError | None = None
        self.looks = 0
        """At files of messages."""

    def unlink(self, directory_fd: int, name: str) -> None:
        if not name.startswith(("dovecot", "msgstore")):
            self.before.pop("unlink", lambda: None)()
        super().unlink(directory_fd, name)

    def stat(self, directory_fd: int, name: str) -> os.stat_result:
        if ",S=" in name:
            self.looks += 1
            self.before.pop(f"look {self.looks}", lambda: None)()
        return super().stat(directory_fd, name)

    def sync_files(self, fds: Sequence[int]) -> list[OSError | None]:
        self.before.pop("sync", lambda: None)()
        return super().sync_files(fds)

    def exchange(self, first: tuple[int, str], second: tuple[int, str]) -> None:
        self.before.pop("exchange", lambda: None)()
        if self.refusal is not None:
            raise self.refusal
        super().exchange(first, second)


@pytest.fixture
def disk() -> Interrupted:
    return Interrupted()


@pytest.fixture
def store(tmp_path: Path, disk: Interrupted) -> Iterator[MaildirStore]:
    made = opened(tmp_path, disk)
    made.create_mailbox(ALICE)
    with made.stage() as staged:
        staged.write(TEXT)
        made.folder(ALICE, INBOX).append(staged, flags=frozenset({FLAGGED}))
    yield made
    made.close()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "example.com" / "users" / "alice"


def opened(root: Path, disk: Disk | None = None) -> MaildirStore:
    return MaildirStore(str(root), layout_for=lambda _: Layout(), hostname="test.example", disk=disk)


def seal(store: MaildirStore, blob: bytes = BLOB, *, uid: int = 1, again: bool = False) -> tuple[int, ...]:
    with store.stage(sealed=True) as staged:
        staged.write(blob)
        return store.folder(ALICE, INBOX).seal({Uid(uid): staged}, again=again)


def shown(store: MaildirStore) -> list[tuple[MessageInfo, bytes]]:
    folder = store.folder(ALICE, INBOX)
    found: list[tuple[MessageInfo, bytes]] = []
    for info in folder.list():
        with folder.retrieve(info.uid) as body:
            found.append((info, b"".join(body.chunks())))
    return found


def files(box: Path) -> list[str]:
    return sorted(path.name for inner in ("new", "cur", "tmp") for path in (box / inner).iterdir())


def test_another_process_sees_the_same_message_sealed_and_so_does_whoever_looks_for_the_first_time(
    store: MaildirStore, tmp_path: Path
) -> None:
    other = opened(tmp_path)
    ((before, _),) = shown(other)

    assert seal(store) == (1,)

    for reader in (other, opened(tmp_path), store):
        ((after, content),) = shown(reader)
        assert content == BLOB
        assert after == replace(before, sealed=True, stored_octets=len(BLOB), modseq=after.modseq)
    store.reindex(ALICE)
    ((anew, _),) = shown(store)
    assert (anew.uid, anew.guid, anew.flags, anew.internal_date, anew.octets, anew.sealed) == (
        (before.uid, before.guid, before.flags, before.internal_date, before.octets, True)
    )
    other.close()


def test_flags_that_another_program_gives_at_that_moment_are_not_lost(
    store: MaildirStore, disk: Interrupted, box: Path
) -> None:
    (file,) = (box / "cur").iterdir()
    disk.before["unlink"] = lambda: file.rename(file.with_name(file.name + "S"))
    ((before, _),) = shown(store)

    assert seal(store) == (1,)

    ((after, content),) = shown(store)
    assert (after.guid, content) == (before.guid, BLOB)
    assert after.flags == before.flags | {"\\Seen"}
    assert len(files(box)) == 1


def test_a_message_that_goes_away_meanwhile_is_never_there_twice(
    store: MaildirStore, disk: Interrupted, box: Path
) -> None:
    (file,) = (box / "cur").iterdir()
    shown(store)
    disk.before["sync"] = file.unlink

    assert seal(store) == ()
    assert shown(store) == []
    assert files(box) == []


def test_what_is_renamed_under_our_hands_stays_plain_and_is_sealed_the_next_time(
    store: MaildirStore, disk: Interrupted, box: Path
) -> None:
    (file,) = (box / "cur").iterdir()
    disk.before["look 2"] = partial(file.rename, file.with_name(file.name + "S"))

    assert seal(store) == ()
    assert [content for _, content in shown(store)] == [TEXT]
    assert seal(store) == (1,)


def test_what_is_removed_between_two_steps_stays_as_a_blob_for_nothing_is_to_be_lost(
    store: MaildirStore, disk: Interrupted, box: Path
) -> None:
    (file,) = (box / "cur").iterdir()
    disk.before["unlink"] = file.unlink

    assert seal(store) == (1,)

    ((info, content),) = shown(store)
    assert (info.uid, content) == (1, BLOB)


def test_a_message_whose_file_nobody_finds_is_left_alone(store: MaildirStore, box: Path) -> None:
    shown(store)
    (file,) = (box / "cur").iterdir()
    hidden = box / file.name
    file.rename(hidden)

    assert seal(store) == ()
    assert files(box) == []


def test_somebody_else_who_seals_first_wins(store: MaildirStore, disk: Interrupted, tmp_path: Path) -> None:
    other = opened(tmp_path)
    disk.before["sync"] = lambda: seal(other, OTHER)

    assert seal(store) == ()

    ((info, content),) = shown(store)
    assert (info.uid, info.sealed, content) == (1, True, OTHER)
    other.close()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_sealing_again_works_where_names_cannot_change_places(
    store: MaildirStore, disk: Interrupted, box: Path, number: int
) -> None:
    seal(store)
    disk.refusal = OSError(number, "not here")

    assert seal(store, OTHER, again=True) == (1,)

    assert [content for _, content in shown(store)] == [OTHER]
    assert len(files(box)) == 1


def test_sealing_again_leaves_alone_what_is_renamed_meanwhile(
    store: MaildirStore, disk: Interrupted, box: Path
) -> None:
    seal(store)
    for refusal in (None, OSError(errno.EINVAL, "not here")):
        (file,) = (box / "cur").iterdir()
        disk.refusal = refusal
        disk.before["exchange"] = partial(file.rename, file.with_name(file.name + "S"))

        assert seal(store, OTHER, again=True) == ()

        assert [content for _, content in shown(store)] == [BLOB]
        assert len(files(box)) == 1


def test_an_error_of_the_disk_is_told_and_leaves_what_was(store: MaildirStore, disk: Interrupted, box: Path) -> None:
    seal(store)
    disk.refusal = OSError(errno.EIO, "broken")

    with pytest.raises(StoreUnavailable):
        seal(store, OTHER, again=True)

    assert [content for _, content in shown(store)] == [BLOB]
    assert len(files(box)) == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_a_blob_beside_its_plain_file_is_the_message_and_the_plain_file_goes(
    store: MaildirStore, tmp_path: Path, box: Path, *, is_known: bool
) -> None:
    (file,) = (box / "cur").iterdir()
    if is_known:
        shown(store)
    base, _, info = file.name.partition(":")
    file.with_name(f"{sealed_base(base, len(TEXT))}:{info}").write_bytes(BLOB)
    reader = store if is_known else opened(tmp_path)

    ((found, content),) = shown(reader)

    assert (found.uid, found.flags, found.guid, content) == (1, frozenset({FLAGGED}), base, BLOB)
    assert len(files(box)) == 1
    reader.close()


def test_a_plain_file_that_is_renamed_again_is_taken_away_by_a_later_look(store: MaildirStore, box: Path) -> None:
    (file,) = (box / "cur").iterdir()
    fd = Disk().open_root(str(box))

    take_twins_away(Disk(), fd, {"cur": [file.name + "renamed"], "new": []})

    assert files(box) == [file.name]


def test_mail_of_other_programs_is_sealed_too_unless_no_list_can_name_it(store: MaildirStore, box: Path) -> None:
    (box / "cur" / "1.host,S=20:2,").write_bytes(TEXT.replace(b"\r\n", b"\n"))
    (box / "cur" / "two words:2,").write_bytes(TEXT)
    octets = {info.uid: info.octets for info, _ in shown(store)}
    before = store.usage(ALICE)

    done = [uid for uid in octets if seal(store, uid=uid)]

    assert set(octets.values()) == {len(TEXT)}
    assert len(done) == 2
    assert {info.octets for info, _ in shown(store)} == {len(TEXT)}
    assert sorted(info.sealed for info, _ in shown(store)) == [False, True, True]
    assert store.recount(ALICE) == before


@pytest.mark.parametrize(
    ("sealed", "plain", "outcome"),
    [
        ("1.h,S=5,W=5,E=1", "1.h,S=4,W=5", True),
        ("1.h,S=5,W=5,E=1", "1.h", True),
        ("1.h,S=5,W=5,E=1", "1.h,S=5,W=6", False),
        ("1.h,S=5,W=5,E=1", "2.h,S=5,W=5", False),
        ("1.h,S=5,W=5,E=1", "1.h,S=5,W=5,E=1", False),
        ("1.h,S=5,W=5", "1.h,S=5,W=5", False),
        ("1.h,E=1", "1.h", False),
    ],
)
def test_a_blob_came_of_the_plain_file_of_its_unique_name_and_size(sealed: str, plain: str, *, outcome: bool) -> None:
    assert came_of(sealed, plain) is outcome
