"""What every backend promises about making, removing and renaming folders, and about what is counted."""

import re

import pytest

from msgstore.model.errors import (
    FolderExists,
    FolderHasChildren,
    FolderNotFound,
    InvalidFolderName,
    ReservedFolderName,
)
from msgstore.model.folder import INBOX, FolderName, SpecialUse
from msgstore.model.interfaces import MessageStore
from tests.contract.shelf import ALICE, TEXT, WORK, add, put, text_of, to, uids

OLD = FolderName(("Work", "Old"))


def test_a_removed_folder_is_gone_and_comes_back_empty_under_a_higher_uidvalidity(box: MessageStore) -> None:
    add(box, WORK)
    before = box.folder(ALICE, WORK).stat()

    box.folders(ALICE).delete(WORK)
    assert not box.folders(ALICE).exists(WORK)
    with pytest.raises(FolderNotFound):
        box.folder(ALICE, WORK).stat()
    box.folders(ALICE).create(WORK)

    after = box.folder(ALICE, WORK).stat()
    assert after.messages == 0
    assert after.uidvalidity > before.uidvalidity


def test_folders_with_folders_below_inbox_and_missing_ones_cannot_be_removed(box: MessageStore) -> None:
    box.folders(ALICE).create(OLD)

    with pytest.raises(FolderHasChildren):
        box.folders(ALICE).delete(WORK)
    with pytest.raises(ReservedFolderName):
        box.folders(ALICE).delete(INBOX)
    with pytest.raises(FolderNotFound):
        box.folders(ALICE).delete(FolderName(("None",)))

    assert box.folders(ALICE).exists(OLD)


def test_a_folder_keeps_its_guid_under_every_name_and_none_has_it_again(box: MessageStore) -> None:
    other = FolderName(("Done", "Jobs"))
    tree = box.folders(ALICE)
    for name in (INBOX, WORK):
        box.folder(ALICE, name).list()
    inbox, first = tree.guid(INBOX), tree.guid(WORK)

    tree.rename(WORK, other)
    renamed = tree.guid(other)
    tree.create(WORK)
    box.folder(ALICE, WORK).list()

    assert first is not None
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert renamed == first
    assert len({inbox, first, tree.guid(WORK)}) == 3
    with pytest.raises(FolderNotFound):
        tree.guid(FolderName(("Nowhere",)))


def test_a_renamed_folder_keeps_uids_and_validity_and_takes_its_children_along(box: MessageStore) -> None:
    box.folders(ALICE).create(OLD)
    add(box, WORK, text=b"one")
    add(box, OLD, text=b"two")
    before = box.folder(ALICE, WORK).stat()

    box.folders(ALICE).rename(WORK, FolderName(("Done", "Jobs")))

    names = {info.name for info in box.folders(ALICE).list()}
    assert {FolderName(("Done",)), FolderName(("Done", "Jobs")), FolderName(("Done", "Jobs", "Old"))} <= names
    assert not {WORK, OLD} & names
    assert box.folder(ALICE, FolderName(("Done", "Jobs"))).stat() == before
    assert text_of(box, 1, folder=FolderName(("Done", "Jobs", "Old"))) == b"two"


def test_renaming_inbox_moves_its_messages_and_leaves_it_empty(box: MessageStore) -> None:
    add(box, text=b"one")
    put(box, to(ALICE), text=b"two")

    box.folders(ALICE).rename(INBOX, FolderName(("Archive", "2026")))

    assert uids(box) == []
    assert box.folders(ALICE).exists(INBOX)
    assert [text_of(box, uid, folder=FolderName(("Archive", "2026"))) for uid in (1, 2)] == [b"one", b"two"]


def test_a_subscription_goes_along_with_a_folder_that_is_renamed(box: MessageStore) -> None:
    box.folders(ALICE).create(OLD)
    for name in (WORK, OLD):
        box.folders(ALICE).subscribe(name)

    box.folders(ALICE).rename(WORK, FolderName(("Jobs",)))

    subscribed = {str(info.name) for info in box.folders(ALICE).list() if info.subscribed}
    assert subscribed == {"Jobs", "Jobs/Old"}
    box.folders(ALICE).create(WORK)
    assert not next(info for info in box.folders(ALICE).list() if info.name == WORK).subscribed


def test_no_two_folders_are_for_the_same_after_one_got_another_name(box: MessageStore) -> None:
    junk, tree = FolderName(("Junk",)), box.folders(ALICE)
    tree.rename(junk, FolderName(("Spam",)))

    tree.rename(INBOX, junk)
    tree.rename(junk, FolderName(("Old",)))
    tree.create(FolderName(("Junk", "Below")))

    assert [info.name for info in tree.list() if info.special_use is SpecialUse.JUNK] == [FolderName(("Spam",))]


def test_renames_that_cannot_be_are_refused_and_change_nothing(box: MessageStore) -> None:
    box.folders(ALICE).create(OLD)
    tree = box.folders(ALICE)
    before = [info.name for info in tree.list()]

    for name, to_name, kind in (
        (WORK, OLD, InvalidFolderName),
        (WORK, FolderName(("Work", "New", "Er")), InvalidFolderName),
        (FolderName(("None",)), FolderName(("Some",)), FolderNotFound),
        (OLD, WORK, FolderExists),
        (WORK, INBOX, ReservedFolderName),
    ):
        with pytest.raises(kind):
            tree.rename(name, to_name)

    assert [info.name for info in tree.list()] == before


def test_a_folder_made_under_the_name_of_a_renamed_one_shares_nothing_with_it(box: MessageStore) -> None:
    add(box, WORK, text=b"old")
    box.folders(ALICE).rename(WORK, FolderName(("Elsewhere",)))
    box.folders(ALICE).create(WORK)
    add(box, WORK, text=b"new")

    assert text_of(box, 1, folder=WORK) == b"new"
    assert text_of(box, 1, folder=FolderName(("Elsewhere",))) == b"old"
    validities = {box.folder(ALICE, name).stat().uidvalidity for name in (WORK, FolderName(("Elsewhere",)))}
    assert len(validities) == 2


def test_subscriptions_are_kept_whether_the_folder_is_there_or_not(box: MessageStore) -> None:
    tree = box.folders(ALICE)
    tree.subscribe(WORK)
    tree.subscribe(INBOX)
    tree.subscribe(OLD)
    tree.create(OLD)
    tree.subscribe(WORK, wanted=False)
    tree.subscribe(WORK, wanted=False)

    assert {info.name for info in tree.list() if info.subscribed} == {INBOX, OLD}


def test_a_special_use_given_at_creation_is_kept(box: MessageStore) -> None:
    tree = box.folders(ALICE)
    archive = FolderName(("Old Mail",))

    tree.create(archive, special_use=SpecialUse.ARCHIVE)

    uses = {info.name: info.special_use for info in tree.list()}
    assert uses[archive] is SpecialUse.ARCHIVE
    assert uses[FolderName(("Junk",))] is SpecialUse.JUNK
    assert uses[WORK] is None


def test_usage_counts_every_folder(box: MessageStore) -> None:
    add(box)
    put(box, to(ALICE, WORK), text=b"a\nb\n")

    usage = box.usage(ALICE)

    assert (usage.messages, usage.octets) == (2, len(TEXT) + 6)
    assert box.recount(ALICE) == usage
