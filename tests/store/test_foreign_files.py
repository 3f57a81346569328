"""What other programs and accidents leave in a Maildir: served, healed or passed over, never fatal, never followed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MessageNotFound, StoreUnavailable
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
WORK = FolderName(("Work",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MaildirStore]:
    made = MaildirStore(str(tmp_path), layout_for=lambda _: Layout(), hostname="test.example")
    made.create_mailbox(ALICE)
    with made.stage() as staged:
        staged.write(b"Subject: ours\r\n\r\n")
        list(made.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX)]))
    yield made
    made.close()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "example.com" / "users" / "alice"


def texts(store: MaildirStore) -> list[bytes]:
    folder = store.folder(ALICE, INBOX)
    found: list[bytes] = []
    for info in folder.list():
        with folder.retrieve(info.uid) as body:
            found.append(b"".join(body.chunks()))
    return found


@pytest.mark.parametrize(
    "name",
    [
        "1700000000.M1P1.other",
        "1700000000.M1P1.other:2,",
        "1700000000.M1P1.other,S=3,W=3:2,S",
        "1700000000.M1P1.other,S=3:2,FRS",
        "1700000000.M1P1.other:1,experimental",
        "1700000000.M1P1.other:2,PSabc",
        "no dots, blanks and no numbers",
        "x" * 250,
        "ümläut",
    ],
)
@pytest.mark.parametrize("directory", ["new", "cur"])
def test_a_file_of_any_name_is_a_message(store: MaildirStore, box: Path, name: str, directory: str) -> None:
    (box / directory / name).write_bytes(b"hi\n")

    assert sorted(texts(store)) == [b"Subject: ours\r\n\r\n", b"hi\n"]
    assert store.folder(ALICE, INBOX).stat().octets == len(b"Subject: ours\r\n\r\n") + (3 if "W=" in name else 4)


def test_a_name_that_is_not_utf8_is_served(store: MaildirStore, box: Path) -> None:
    (Path(os.fsdecode(bytes(box / "cur") + b"/1.\xff\xfe.host:2,S"))).write_bytes(b"hi")

    assert b"hi" in texts(store)
    (uid,) = (info.uid for info in store.folder(ALICE, INBOX).list() if SEEN in info.flags)
    store.folder(ALICE, INBOX).set_flags([uid], FlagChange.SET, flags=frozenset({FLAGGED}))
    assert b"hi" in texts(store)


def test_hidden_files_are_no_messages(store: MaildirStore, box: Path) -> None:
    (box / "cur" / ".nfs0001").write_bytes(b"x")
    (box / "new" / ".hidden").write_bytes(b"x")

    assert len(texts(store)) == 1


def test_an_empty_message_is_one(store: MaildirStore, box: Path) -> None:
    (box / "cur" / "1.empty.host:2,").write_bytes(b"")

    assert b"" in texts(store)
    assert store.folder(ALICE, INBOX).stat().messages == 2


def test_directories_links_and_pipes_in_a_folder_are_never_opened(
    store: MaildirStore, box: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (box / "cur" / "1.directory.host:2,").mkdir()
    (box / "cur" / "2.link.host:2,").symlink_to(secret)
    (box / "cur" / "3.nowhere.host:2,").symlink_to(tmp_path / "nowhere")
    os.mkfifo(box / "cur" / "4.pipe.host:2,")
    folder = store.folder(ALICE, INBOX)

    shown = folder.list()
    read: list[bytes] = []
    for info in shown:
        try:
            with folder.retrieve(info.uid) as body:
                read.append(b"".join(body.chunks()))
        except (MessageNotFound, StoreUnavailable):
            continue

    assert read == [b"Subject: ours\r\n\r\n"]
    assert folder.stat().octets == len(b"Subject: ours\r\n\r\n")


def test_unknown_letters_and_fields_of_a_name_survive_every_change(store: MaildirStore, box: Path) -> None:
    (box / "cur" / "1.M1P1.other,X=y,S=2,W=2:2,PSabc,more").write_bytes(b"hi")
    folder = store.folder(ALICE, INBOX)
    uid = next(info.uid for info in folder.list() if SEEN in info.flags)

    folder.set_flags([uid], FlagChange.SET, flags=frozenset({FLAGGED}))
    folder.set_flags([uid], FlagChange.ADD, flags=frozenset({SEEN}))
    folder.set_flags([uid], FlagChange.REMOVE, flags=frozenset({FLAGGED}))

    names = [name for name in os.listdir(box / "cur") if name.startswith("1.")]  # noqa: PTH208
    assert names == ["1.M1P1.other,X=y,S=2,W=2:2,PSabc,more"]


def test_a_message_that_vanishes_while_it_is_listed_is_no_error(store: MaildirStore, box: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    for number in range(5):
        (box / "cur" / f"{number}.gone.host:2,").write_bytes(b"x")
    assert folder.stat().messages == 6

    for number in range(5):
        (box / "cur" / f"{number}.gone.host:2,").unlink()

    assert folder.stat().messages == 1
    assert len(folder.list()) == 1
    assert folder.set_flags([Uid(3)], FlagChange.ADD, flags=frozenset({SEEN})).changed == ()


def test_a_folder_without_tmp_or_new_is_served_and_delivered_to(store: MaildirStore, box: Path) -> None:
    (box / ".Work" / "cur").mkdir(parents=True)
    (box / ".Work" / "cur" / "1.x.host:2,").write_bytes(b"x")

    assert store.folder(ALICE, WORK).stat().messages == 1
    with store.stage() as staged:
        staged.write(b"y")
        store.folder(ALICE, WORK).append(staged)
    assert store.folder(ALICE, WORK).stat().messages == 2


def test_a_folder_that_is_a_link_is_not_there(store: MaildirStore, box: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for inner in ("new", "cur", "tmp"):
        (outside / inner).mkdir(parents=True)
    (outside / "cur" / "1.x.host:2,").write_bytes(b"secret")
    (box / ".Work").symlink_to(outside)

    assert WORK not in {info.name for info in store.folders(ALICE).list()}
    with pytest.raises((FolderNotFound, StoreUnavailable)):
        store.folder(ALICE, WORK).list()
    with store.stage() as staged:
        staged.write(b"y")
        (answer,) = store.deliver(staged, [Filing(mailbox=ALICE, folder=WORK)])
    assert isinstance(answer, FolderNotFound | StoreUnavailable)
    assert len(list((outside / "cur").iterdir())) == 1


def test_a_message_moved_by_another_program_keeps_its_uid(store: MaildirStore, box: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    (info,) = folder.list()
    (found,) = (box / "new").iterdir()

    found.rename(box / "cur" / f"{found.name}:2,S")

    (after,) = folder.list()
    assert (after.uid, after.guid, after.flags) == (info.uid, info.guid, frozenset({SEEN}))
    assert after.modseq > info.modseq


def test_a_message_that_comes_back_is_the_one_it_was(store: MaildirStore, box: Path, tmp_path: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    (info,) = folder.list()
    (found,) = (box / "new").iterdir()
    found.rename(tmp_path / "aside")
    assert folder.list() == ()

    (tmp_path / "aside").rename(box / "cur" / f"{found.name}:2,")

    assert [one.uid for one in folder.list()] == [info.uid]
    assert [uid for uid, _ in folder.changes(0).vanished] == []


def test_a_damaged_uid_list_raises_the_validity_and_loses_no_message(store: MaildirStore, box: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    before = folder.stat()

    (box / "dovecot-uidlist").write_bytes(b"nonsense\n")

    after = folder.stat()
    assert after.uidvalidity > before.uidvalidity
    assert after.messages == 1
    assert after.modseq > before.modseq


def test_a_torn_last_line_of_the_uid_list_is_mended(store: MaildirStore, box: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    before = folder.stat()
    with (box / "dovecot-uidlist").open("ab") as uidlist:
        uidlist.write(b"2 :170000")

    (box / "cur" / "1.new.host:2,").write_bytes(b"x")

    assert [info.uid for info in folder.list()] == [1, 2]
    assert folder.stat().uidvalidity == before.uidvalidity
    assert (box / "dovecot-uidlist").read_bytes().endswith(b"2 :1.new.host\n")


def test_lines_that_another_program_appends_are_taken_over(store: MaildirStore, box: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    assert folder.stat().uidnext == 2
    (box / "cur" / "1.theirs.host:2,F").write_bytes(b"x")
    with (box / "dovecot-uidlist").open("ab") as uidlist:
        uidlist.write(b"40 W3 S1 Gtheir-guid Ptheir-uidl :1.theirs.host\n")

    info = folder.list()[-1]

    assert (info.uid, info.guid, info.uidl, info.octets) == (40, "their-guid", "their-uidl", 3)
    assert folder.stat().uidnext == 41


def test_a_line_whose_file_comes_later_is_kept_for_it(store: MaildirStore, box: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    folder.list()
    with (box / "dovecot-uidlist").open("ab") as uidlist:
        uidlist.write(b"7 :1.late.host\n")
    assert [info.uid for info in folder.list()] == [1]

    (box / "cur" / "1.late.host:2,").write_bytes(b"x")

    assert [info.uid for info in folder.list()] == [1, 7]


def test_a_file_that_comes_with_a_list_written_anew_keeps_its_uid(store: MaildirStore, box: Path) -> None:
    store.folder(ALICE, INBOX).stat()
    with (box / "dovecot-uidlist").open("ab") as uidlist:
        uidlist.write(b"7 :1.late.host\n")
    store.folder(ALICE, INBOX).stat()

    (box / "anew").write_bytes((box / "dovecot-uidlist").read_bytes())
    (box / "anew").rename(box / "dovecot-uidlist")
    (box / "cur" / "1.late.host:2,").write_bytes(b"x")

    assert [info.uid for info in store.folder(ALICE, INBOX).list()] == [1, 7]
    assert [info.uid for info in store.folder(ALICE, INBOX).list()] == [1, 7]


def test_a_list_written_anew_with_the_same_uids_keeps_what_is_remembered(store: MaildirStore, box: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    for _ in range(3):
        with store.stage() as staged:
            staged.write(b"x")
            folder.append(staged)
    folder.expunge([Uid(3)])
    before = folder.changes(0)
    content = (box / "dovecot-uidlist").read_bytes().splitlines(keepends=True)

    (box / "fresh").write_bytes(b"".join([content[0].replace(b"N1", b"N9"), content[1], content[2], content[4]]))
    (box / "fresh").rename(box / "dovecot-uidlist")

    after = folder.changes(0)
    assert after.status.modseq == before.status.modseq
    assert (after.changed, after.vanished) == (before.changed, before.vanished)
    assert after.status.uidnext == 9


def test_a_record_that_another_program_threw_away_is_followed_by_a_new_uid(store: MaildirStore, box: Path) -> None:
    folder = store.folder(ALICE, INBOX)
    before = folder.stat()
    header = (box / "dovecot-uidlist").read_bytes().splitlines(keepends=True)[0]

    (box / "fresh").write_bytes(header.replace(b"N1", b"N5"))
    (box / "fresh").rename(box / "dovecot-uidlist")

    assert [info.uid for info in folder.list()] == [5]
    assert [uid for uid, _ in folder.changes(before.modseq).vanished] == [1]


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed")
def test_a_mailbox_that_may_not_be_read_is_trouble_and_not_absence(tmp_path: Path, store: MaildirStore) -> None:
    store.close()
    fresh = MaildirStore(str(tmp_path), layout_for=lambda _: Layout())
    tmp_path.parents[0].chmod(0o755)
    tmp_path.chmod(0o755)
    os.chown(tmp_path / "example.com", 4002, 4002)
    os.seteuid(4001)

    try:
        with pytest.raises(StoreUnavailable):
            fresh.folder(ALICE, INBOX).stat()
    finally:
        os.seteuid(0)
    fresh.close()
