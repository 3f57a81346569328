"""Another program works on a folder between two steps of ours: what it did is neither hidden nor overwritten."""

from collections.abc import Callable
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Folder
from msgstore.model.message import SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.disk import Disk
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")


class Interrupted(Disk):
    """A disk on which somebody else acts right after a step of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.after: dict[str, Callable[[], None]] = {}

    def rename(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        super().rename(source, target)
        self.after.pop("rename", lambda: None)()

    def unlink(self, directory_fd: int, name: str) -> None:
        super().unlink(directory_fd, name)
        if not name.startswith("dovecot"):
            self.after.pop("unlink", lambda: None)()


def add(store: MaildirStore, text: bytes) -> int:
    with store.stage() as staged:
        staged.write(text)
        return store.folder(ALICE, INBOX).append(staged).uid


def flag_one(folder: Folder) -> None:
    folder.set_flags([Uid(1)], FlagChange.ADD, flags=frozenset({SEEN}))


def remove_one(folder: Folder) -> None:
    folder.expunge([Uid(1)])


@pytest.mark.parametrize(("step", "change"), [("rename", flag_one), ("unlink", remove_one)])
def test_a_uid_that_another_program_gave_out_meanwhile_is_not_given_out_again(
    tmp_path: Path, step: str, change: Callable[[Folder], None]
) -> None:
    disk = Interrupted()
    store = MaildirStore(str(tmp_path), layout_for=lambda _: Layout(), hostname="test.example", disk=disk)
    store.create_mailbox(ALICE)
    add(store, b"Subject: one\n\n")
    add(store, b"Subject: two\n\n")
    box = tmp_path / "example.com" / "users" / "alice"

    def dovecot_appends() -> None:
        (box / "cur" / "9.theirs.h:2,").write_bytes(b"Subject: theirs\n\n")
        with (box / "dovecot-uidlist").open("ab") as uidlist:
            uidlist.write(b"3 :9.theirs.h\n")

    disk.after[step] = dovecot_appends
    change(store.folder(ALICE, INBOX))
    ours = add(store, b"Subject: ours\n\n")
    listed = [info.uid for info in store.folder(ALICE, INBOX).list()]
    uids = [line.split()[0] for line in (box / "dovecot-uidlist").read_bytes().splitlines()[1:]]
    store.close()

    assert ours == 4
    assert listed[-2:] == [3, 4]
    assert uids == [b"1", b"2", b"3", b"4"]
