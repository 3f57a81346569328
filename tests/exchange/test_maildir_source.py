"""Small trees of each kind, taken over as they lie; hostile ones are reported and harm nothing."""

import os
from pathlib import Path

import pytest

from msgstore.exchange.maildir_source import Flavour, MaildirSource
from msgstore.model.folder import FolderName
from msgstore.model.message import ANSWERED, DRAFT, FLAGGED, SEEN
from msgstore.store.disk import Disk
from tests.exchange.room import ALICE, Held, Seen, fill, held, memory, snapshot, take, tree_of

DOVECOT = {
    "cur/100.M1P1.host,S=3,W=4:2,FSab": b"a\nb",
    "cur/101.M1P1.host:2,": b"late, without a UID\n",
    "new/102.M1P1.host": b"later, without a UID\n",
    "cur/90.M1P1.host:2,RD": b"first\r\n",
    "dovecot-uidlist": b"3 V1234 N50 G0123\n7 :90.M1P1.host\n9 Pold-uidl W4 :100.M1P1.host,S=3,W=4\n30 :gone.host\n",
    "dovecot-keywords": b"0 $Forwarded\n1 work\n",
    "msgstore-keywords": b"90.M1P1.host/more words\n",
    "subscriptions": b"V\t2\n\nINBOX\nEntw&APw-rfe\tAlt\nNowhere\n",
    "msgstore.json": b'{"special_use": {"Entw\xc3\xbcrfe/Alt": "\\\\Drafts"}}',
    ".Entw&APw-rfe/cur/": b"",
    ".Entw&APw-rfe/new/": b"",
    ".Entw&APw-rfe.Alt/cur/1.host:2,S": b"old",
    ".Entw&APw-rfe.Alt/new/": b"",
    ".Entw&APw-rfe.Alt/.uidlist": b"3 V77 N12\n5 1.host\n",
    ".über/cur/1.host:2,": b"utf-8",
    ".über/new/": b"",
}


def source(place: Path, flavour: Flavour = "maildir") -> MaildirSource:
    return MaildirSource(Disk(), str(place), flavour=flavour)


@pytest.mark.parametrize("flavour", ["maildir", "dovecot"])
def test_a_tree_of_dovecot_is_taken_over_with_all_its_lists(tmp_path: Path, flavour: Flavour) -> None:
    store = memory()
    tree_of(tmp_path, DOVECOT)
    before = snapshot(tmp_path)

    taken, failures = take(store, source(tmp_path, flavour))

    assert failures == []
    assert held(store)["INBOX"] == Held(
        uidvalidity=1234,
        uidnext=52,
        subscribed=True,
        messages=(
            (
                7,
                Seen(
                    flags=frozenset({ANSWERED, DRAFT}),
                    keywords=frozenset({"more", "words"}),
                    date=1_500_000_003,
                    text=b"first\n",
                ),
            ),
            (
                9,
                Seen(
                    flags=frozenset({FLAGGED, SEEN}),
                    keywords=frozenset({"$Forwarded", "work"}),
                    date=1_500_000_000,
                    uidl="old-uidl",
                    text=b"a\nb",
                ),
            ),
            (50, Seen(date=1_500_000_001, text=b"late, without a UID\n")),
            (51, Seen(date=1_500_000_002, text=b"later, without a UID\n")),
        ),
    )
    old = held(store)["Entwürfe/Alt"]
    assert (old.uidvalidity, old.uidnext, old.subscribed) == (77, 12, True)
    assert old.special_use is not None
    assert [uid for uid, _ in old.messages] == [5]
    assert (taken["über"].keeps_uids, taken["über"].put) == (False, 1)
    assert snapshot(tmp_path) == before


COURIER = {
    "cur/100.M1P1.host,S=3:2,FS": b"one",
    "cur/101.M1P1.host:2,": b"two",
    "new/102.M1P1.host": b"new",
    "courierimapuiddb": b"1 4321 20\n3 100.M1P1.host,S=3\n8 101.M1P1.host\n9 gone.host\n",
    "courierimapsubscribed": b"INBOX\nINBOX.Sent.Old\n",
    "courierimapkeywords/:list": b"$Label1\nwork\n\n100.M1P1.host,S=3:0 1 9\n101.M1P1.host:1\n",
    "courierimapkeywords/101.M1P1.host": b"later\n",
    "courierpop3dsizelist": b"/2 20 4321\n100.M1P1.host,S=3 3 3:4321\n101.M1P1.host 3 8:0\n102.M1P1.host 3 0:0\n",
    ".Sent.Old/cur/1.host:2,S": b"sent",
    ".Sent.Old/new/": b"",
    ".Sent.Old/courierimapuiddb": b"1 99 2\n1 1.host\n",
}


@pytest.mark.parametrize("flavour", ["maildir", "courier"])
def test_a_tree_of_courier_is_taken_over_with_all_its_lists(tmp_path: Path, flavour: Flavour) -> None:
    store = memory()

    _, failures = take(store, source(tree_of(tmp_path, COURIER), flavour))

    assert failures == []
    inbox, old = held(store)["INBOX"], held(store)["Sent/Old"]
    assert (inbox.uidvalidity, inbox.uidnext, inbox.subscribed) == (4321, 21, True)
    assert [(uid, seen.text, seen.uidl, seen.keywords) for uid, seen in inbox.messages] == [
        (3, b"one", "UID3-4321", frozenset({"$Label1", "work"})),
        (8, b"two", "UID8", frozenset({"later"})),
        (20, b"new", None, frozenset()),
    ]
    assert inbox.messages[0][1].flags == {FLAGGED, SEEN}
    assert (old.uidvalidity, old.uidnext, old.subscribed) == (99, 2, True)


def test_a_tree_without_lists_gets_uids_in_the_order_of_its_names_and_nothing_twice(tmp_path: Path) -> None:
    store = memory()
    files = {"cur/2.host:2,S": b"second", "new/1.host": b"first", "cur/3.host:2,": b"second"}
    tree_of(tmp_path, files)
    os.utime(tmp_path / "cur/3.host:2,", (1_500_000_000, 1_500_000_000))

    first, _ = take(store, source(tmp_path))
    again, _ = take(store, source(tmp_path))

    assert [seen.text for _, seen in held(store)["INBOX"].messages] == [b"first", b"second", b"second"]
    assert (first["INBOX"].put, first["INBOX"].present) == (3, 0)
    assert (again["INBOX"].put, again["INBOX"].present) == (0, 3)


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(tmp_path: Path) -> None:
    store, untouched = memory(), memory()
    untouched.create_mailbox(ALICE)
    tree_of(tmp_path, DOVECOT)

    said, _ = take(store, source(tmp_path), dry_run=True)
    beside, _ = take(untouched, source(tmp_path), dry_run=True)
    done, _ = take(memory(), source(tmp_path))

    assert not store.mailbox_exists(ALICE)
    assert held(untouched) == {}
    counts = {name: (one.put, one.present, one.failed) for name, one in done.items()}
    assert {name: (one.put, one.present, one.failed) for name, one in said.items()} == counts
    assert {name: (one.put, one.present, one.failed) for name, one in beside.items()} == counts


def test_only_the_folders_that_are_wanted_are_taken(tmp_path: Path) -> None:
    store = memory()

    take(store, source(tree_of(tmp_path, DOVECOT)), folders=["Entwürfe/Alt"])

    assert list(held(store)) == ["Entwürfe/Alt"]
    assert not store.folders(ALICE).list()[0].subscribed


def test_a_folder_in_use_is_left_alone_unless_merging_is_wanted(tmp_path: Path) -> None:
    store = memory()
    fill(store, {"INBOX": Held(uidvalidity=5, uidnext=2, messages=((1, Seen()),))})
    tree_of(tmp_path, DOVECOT)

    _, failures = take(store, source(tmp_path), folders=["INBOX"])
    untouched = held(store)["INBOX"]
    _, merged = take(store, source(tmp_path), folders=["INBOX"], merges=True)

    assert [one.place for one in failures] == ["INBOX"]
    assert len(untouched.messages) == 1
    assert merged == []
    assert [uid for uid, _ in held(store)["INBOX"].messages] == [1, 2, 3, 4, 5]


def test_a_message_that_took_a_uid_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    store = memory()
    tree_of(tmp_path, DOVECOT)
    fill(store, {"INBOX": Held(uidvalidity=1234, uidnext=8, messages=((7, Seen()),))})

    taken, failures = take(store, source(tmp_path), folders=["INBOX"])

    assert [one.reason for one in failures] == ["UID 7 is another message here"]
    assert (taken["INBOX"].put, taken["INBOX"].failed) == (3, 1)
    assert held(store)["INBOX"].messages[0] == (7, Seen())


HOSTILE = {
    "cur/1.good:2,S": b"good",
    "cur/2.unlisted:2,": b"also good",
    "cur/directory:2,/": b"",
    "new/": b"",
    "dovecot-uidlist": b"3 V9 N5\n1 :1.good\n3 :directory\n4 :link\n5 Pbad\x01uidl :2.cu",
    "dovecot-keywords": b"0 not(a)keyword\n",
    ".NoLists/cur/1.host:2,a": b"x",
    ".NoLists/new/": b"",
    ".NoLists/dovecot-uidlist": b"3 V9 N5\n9 :a\n3 :b\n",
    ".NoLists/dovecot-keywords": b"0 not(a)keyword\n",
    "..escape/cur/": b"",
    ".Bad../cur/": b"",
    "outside/cur/": b"",
    "outside/secret": b"secret",
}


def test_what_is_hostile_or_broken_is_reported_by_name_and_passed_over(tmp_path: Path) -> None:
    store = memory()
    tree_of(tmp_path, HOSTILE)
    (tmp_path / "cur" / "link:2,").symlink_to(tmp_path / "outside" / "secret")
    (tmp_path / ".Link").symlink_to(tmp_path / "outside")
    (tmp_path / "subscriptions").symlink_to(tmp_path / "outside" / "secret")
    os.mkfifo(tmp_path / "cur" / "9.fifo:2,")
    (tmp_path / "cur" / os.fsdecode(b"8.\xff:2,")).write_bytes(b"odd name")

    _, failures = take(store, source(tmp_path))

    assert [(uid, seen.text) for uid, seen in held(store)["INBOX"].messages] == [
        (1, b"good"),
        (5, b"also good"),
        (6, b"odd name"),
    ]
    assert [seen.keywords for _, seen in held(store)["NoLists"].messages] == [frozenset()]
    places = {one.place for one in failures}
    assert places >= {
        "INBOX/dovecot-uidlist",
        "INBOX/cur/directory:2,",
        "INBOX/cur/link:2,",
        "INBOX/cur/9.fifo:2,",
        ".Link",
        "..escape",
        ".NoLists/dovecot-uidlist",
        ".NoLists: keyword not(a)keyword",
        "/subscriptions",
    }
    assert b"secret" not in [seen.text for folder in held(store).values() for _, seen in folder.messages]


@pytest.mark.parametrize("whole", [DOVECOT["dovecot-uidlist"], COURIER["courierimapuiddb"]])
def test_a_list_cut_anywhere_loses_uids_and_no_message(tmp_path: Path, whole: bytes) -> None:
    files = DOVECOT if whole.startswith(b"3") else COURIER
    name = "dovecot-uidlist" if whole.startswith(b"3") else "courierimapuiddb"
    inbox = {key: text for key, text in files.items() if not key.startswith(".")}
    tree_of(tmp_path, inbox)
    expected = sorted(text.replace(b"\r\n", b"\n") for key, text in inbox.items() if key.startswith(("cur/", "new/")))
    for cut in range(len(whole) + 1):
        (tmp_path / name).write_bytes(whole[:cut])
        store = memory()

        taken, _ = take(store, source(tmp_path))

        assert taken["INBOX"].failed == 0
        assert sorted(seen.text for _, seen in held(store)["INBOX"].messages) == expected


def test_a_place_that_is_no_maildir_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        source(tmp_path)


def test_names_in_both_encodings_of_one_folder_are_reported(tmp_path: Path) -> None:
    store = memory()
    tree_of(tmp_path, {"cur/": b"", "new/": b"", ".&APw-/cur/1.a:2,": b"a", ".&APw-/new/": b"", ".ü/cur/": b""})

    _, failures = take(store, source(tmp_path))

    assert [one.place for one in failures] == [".ü"]
    assert store.folders(ALICE).exists(FolderName(("ü",)))
