"""Modseqs and GUIDs that came from another store, in files that may be lost."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.message import FLAGGED, MessageInfo, Uid
from msgstore.model.outcomes import Restored
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
OLD = FolderName(("Old",))
GUID = "ab" * 16


def opened(place: Path) -> MaildirStore:
    return MaildirStore(str(place), layout_for=lambda _: Layout(), hostname="test.example")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MaildirStore]:
    made = opened(tmp_path)
    made.create_mailbox(ALICE)
    made.folders(ALICE).restore(OLD, uidvalidity=77, uidnext=1, guid=GUID)
    yield made
    made.close()


def put(store: MaildirStore, uid: int, *, modseq: int | None = None, guid: str | None = None) -> None:
    with store.stage() as staged:
        staged.write(b"Subject: hi\r\n\r\nbody\r\n")
        one = Restored(staged=staged, uid=Uid(uid), internal_date=1e9, modseq=modseq, guid=guid)
        store.folder(ALICE, OLD).restore([one])


def infos(store: MaildirStore) -> dict[int, MessageInfo]:
    return {int(info.uid): info for info in store.folder(ALICE, OLD).list()}


def test_modseqs_and_guids_are_still_there_when_the_store_is_opened_again_and_everything_is_listed_anew(
    store: MaildirStore, tmp_path: Path
) -> None:
    put(store, 1, modseq=20, guid="first")
    put(store, 2, modseq=10, guid="second")
    before = infos(store)
    store.folder(ALICE, OLD).align([replace(before[1], flags=frozenset({FLAGGED}), modseq=30)], modseq=40)
    time.sleep(0.05)
    (tmp_path / "example.com" / "users" / "alice" / ".Old" / "cur" / ".touch").touch()

    again = opened(tmp_path)
    found = infos(again)
    status, changes = again.folder(ALICE, OLD).stat(), again.folder(ALICE, OLD).changes(40)
    again.close()

    assert [(one.modseq, one.guid) for one in found.values()] == [(30, "first"), (10, "second")]
    assert (status.modseq, changes.changed, changes.is_complete) == (40, (), True)


def test_when_the_index_is_lost_the_guids_stay_and_modseq_goes_on_above_what_it_was(store: MaildirStore) -> None:
    put(store, 1, modseq=500, guid="first")
    store.folder(ALICE, OLD).align((), modseq=int(time.time() * 1000) - 10)
    before = store.folder(ALICE, OLD).stat().modseq

    store.reindex(ALICE)

    assert infos(store)[1].guid == "first"
    assert store.folders(ALICE).guid(OLD) == GUID
    assert store.folder(ALICE, OLD).stat().modseq > before
    assert not store.folder(ALICE, OLD).changes(before).is_complete


def test_a_modseq_ahead_of_the_clock_is_not_kept_for_a_lost_index_would_begin_below_it(store: MaildirStore) -> None:
    ahead = int(time.time() * 1000) + 1_000_000
    put(store, 1, modseq=5)

    put(store, 2, modseq=ahead)
    found = infos(store)
    store.folder(ALICE, OLD).align([replace(found[1], modseq=ahead)], modseq=ahead)
    status = store.folder(ALICE, OLD).stat()

    assert max(one.modseq for one in infos(store).values()) <= status.modseq < ahead
    assert store.folder(ALICE, OLD).changes(status.modseq).is_complete
    assert not store.folder(ALICE, OLD).changes(status.modseq - 1).is_complete


@pytest.mark.parametrize("guid", ["two words", "", "a :b", "line\nend"])
def test_a_guid_that_the_list_cannot_hold_gives_way_to_one_of_its_own(store: MaildirStore, guid: str) -> None:
    put(store, 1, guid=guid)

    assert infos(store)[1].guid not in ("", guid)
    store.reindex(ALICE)
    assert list(infos(store)) == [1]


def test_a_folder_guid_that_is_no_32_digits_gives_way_to_one_of_its_own(store: MaildirStore) -> None:
    store.folders(ALICE).restore(OLD, uidvalidity=78, uidnext=1, guid="not hexadecimal")

    found = store.folders(ALICE).guid(OLD)
    assert found is not None
    assert len(found) == 32


def test_a_folder_restored_again_under_its_uidvalidity_keeps_its_modseq(store: MaildirStore) -> None:
    store.folder(ALICE, OLD).align((), modseq=900)

    store.folders(ALICE).restore(OLD, uidvalidity=77, uidnext=1)

    assert store.folder(ALICE, OLD).stat().modseq >= 900
