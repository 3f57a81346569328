"""A store that dies while it takes over messages of another one."""

import contextlib
import hashlib
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import Uid
from msgstore.model.outcomes import Restored
from msgstore.store.disk import Disk
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
OLD = FolderName(("Old",))
UIDS = (5, 9, 12)


class Death(BaseException):
    """The process is gone: nothing that would clean up after it does anything any more."""


class DyingDisk(Disk):
    """Does so many changes, and none after that."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def _step(self) -> None:
        if self.left is not None:
            if self.left <= 0:
                raise Death
            self.left -= 1

    def rename(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        self._step()
        super().rename(source, target)

    def link_anonymous(self, fd: int, directory_fd: int, name: str) -> None:
        self._step()
        super().link_anonymous(fd, directory_fd, name)

    def write(self, fd: int, octets: bytes | bytearray | memoryview) -> None:
        self._step()
        super().write(fd, octets)

    def unlink(self, directory_fd: int, name: str) -> None:
        self._step()
        super().unlink(directory_fd, name)

    def sync_directory(self, fd: int) -> None:
        self._step()
        super().sync_directory(fd)


def opened(place: Path, disk: Disk) -> MaildirStore:
    return MaildirStore(str(place), layout_for=lambda _: Layout(), disk=disk, hostname="test.example")


def restore(store: MessageStore, *uids: int) -> None:
    staged = [store.stage() for _ in uids]
    for one, uid in zip(staged, uids, strict=True):
        one.write(b"message %d" % uid)
    messages = [
        Restored(staged=one, uid=Uid(uid), internal_date=1e9, keywords=frozenset({"k"}), uidl=f"u{uid}")
        for one, uid in zip(staged, uids, strict=True)
    ]
    store.folder(ALICE, OLD).restore(messages)


def found(store: MessageStore) -> dict[int, tuple[bytes, str]]:
    folder = store.folder(ALICE, OLD)
    texts: dict[int, tuple[bytes, str]] = {}
    for info in folder.list():
        with folder.retrieve(info.uid) as body:
            texts[info.uid] = (b"".join(body.chunks()), info.uidl)
    return texts


@pytest.mark.parametrize("looks_before", [False, True], ids=["called again at once", "somebody looks first"])
def test_whoever_dies_restoring_leaves_all_or_nothing_for_the_next_call(tmp_path: Path, *, looks_before: bool) -> None:
    outcomes: set[tuple[int, ...]] = set()
    for steps in range(40):
        place = tmp_path / hashlib.sha256(b"%d" % steps).hexdigest()
        disk = DyingDisk()
        store = opened(place, disk)
        store.create_mailbox(ALICE)
        store.folders(ALICE).restore(OLD, uidvalidity=77, uidnext=1)
        store.folder(ALICE, OLD).stat()
        disk.left = steps
        with contextlib.suppress(Death):
            restore(store, *UIDS)
        store.close()
        for lock in place.rglob("dovecot-uidlist.lock"):
            lock.unlink()  # of a process that lives: nobody would take it from us

        again = opened(place, Disk())
        if looks_before:
            found(again)
        again.folder(ALICE, OLD).restore(())
        there = found(again)

        assert tuple(there) in ((), UIDS), f"after {steps} changes"
        assert there == {uid: (b"message %d" % uid, f"u{uid}") for uid in there}
        assert again.folder(ALICE, OLD).stat().uidnext == (13 if there else 1)
        assert not [name for name in (place / "example.com/users/alice/.Old/cur").iterdir() if name.name[0] == "."]
        outcomes.add(tuple(there))
        again.close()
    assert outcomes == {(), UIDS}
