"""What every backend promises about mail that comes from another store."""

import pytest

from msgstore.model.errors import FolderExists, UidTaken
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import FLAGGED, UID_LIMIT, Uid
from msgstore.model.outcomes import Restored
from tests.contract.shelf import ALICE, WORK, add, infos, text_of, uids

KEYWORDS = frozenset(f"k{number}" for number in range(30))


def put(store: MessageStore, folder: FolderName, *numbers: int, **more: object) -> None:
    staged = [store.stage() for _ in numbers]
    for one, number in zip(staged, numbers, strict=True):
        one.write(b"message %d" % number)
    messages = [
        Restored(staged=one, uid=Uid(number), internal_date=1e9 + number, **more)  # type: ignore[arg-type]
        for one, number in zip(staged, numbers, strict=True)
    ]
    try:
        store.folder(ALICE, folder).restore(messages)
    finally:
        for one in staged:
            one.discard()


def test_a_folder_is_restored_with_its_validity_uids_flags_keywords_dates_and_uidl(box: MessageStore) -> None:
    box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=1000)
    put(box, WORK, 1000, 1005, flags=frozenset({FLAGGED}), keywords=KEYWORDS)
    put(box, WORK, 1006, uidl="old-uidl")

    status = box.folder(ALICE, WORK).stat()
    found = infos(box, WORK)
    assert (status.uidvalidity, status.uidnext, status.messages) == (77, 1007, 3)
    assert list(found) == [1000, 1005, 1006]
    assert (found[1005].flags, found[1005].keywords) == (frozenset({FLAGGED}), KEYWORDS)
    assert found[1005].internal_date == 1_000_001_005
    assert (found[1006].uidl, found[1005].uidl) == ("old-uidl", "000003ed0000004d")
    assert text_of(box, 1006, folder=WORK) == b"message 1006"


def test_what_comes_after_a_restored_folder_has_another_validity(box: MessageStore) -> None:
    high = 4_000_000_000
    box.folders(ALICE).restore(FolderName(("Old",)), uidvalidity=high, uidnext=1)

    box.folders(ALICE).create(FolderName(("New",)))

    assert box.folder(ALICE, FolderName(("Old",))).stat().uidvalidity == high
    assert box.folder(ALICE, FolderName(("New",))).stat().uidvalidity != high


def test_uids_that_were_given_out_or_do_not_ascend_are_refused_and_nothing_is_put(box: MessageStore) -> None:
    add(box)

    for numbers in ((1,), (5, 5), (7, 6)):
        with pytest.raises(UidTaken):
            put(box, INBOX, *numbers)

    assert uids(box) == [1]
    put(box, INBOX, 2, 9)
    assert uids(box) == [1, 2, 9]
    assert add(box).uid == 10


def test_uids_of_messages_that_are_gone_over_there_are_not_given_out_here(box: MessageStore) -> None:
    box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=1)
    put(box, WORK, 5)

    box.folder(ALICE, WORK).restore((), uidnext=42)
    box.folder(ALICE, WORK).restore((), uidnext=7)

    assert box.folder(ALICE, WORK).stat().uidnext == 42
    assert add(box, WORK).uid == 42
    with pytest.raises(UidTaken):
        box.folder(ALICE, WORK).restore((), uidnext=UID_LIMIT + 2)


def test_a_folder_in_use_is_not_restored_over(box: MessageStore) -> None:
    add(box, WORK)

    with pytest.raises(FolderExists):
        box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=10)

    assert uids(box, folder=WORK) == [1]
