"""What every backend promises about mail that comes from another store."""

from dataclasses import replace

import pytest

from msgstore.model.errors import FolderExists, FolderNotFound, UidTaken
from msgstore.model.folder import INBOX, FolderName, SpecialUse
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import FLAGGED, SEEN, UID_LIMIT, Uid
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


def test_a_message_keeps_the_guid_and_the_modseq_it_comes_with(box: MessageStore) -> None:
    box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=1)

    put(box, WORK, 3, guid="1764.M1P2.old,S=9,W=9", modseq=500)
    put(box, WORK, 4, guid="other", modseq=20, uidl="old-uidl")

    found = infos(box, WORK)
    assert [(one.guid, one.modseq) for one in found.values()] == [("1764.M1P2.old,S=9,W=9", 500), ("other", 20)]
    assert found[4].uidl == "old-uidl"
    assert box.folder(ALICE, WORK).stat().modseq >= 500
    assert add(box, WORK).modseq > 500


def test_a_message_without_guid_and_modseq_gets_a_guid_of_its_own_and_a_modseq_above_all_others(
    box: MessageStore,
) -> None:
    box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=1)
    put(box, WORK, 1, guid="first", modseq=900)

    put(box, WORK, 2, 3)

    found = infos(box, WORK)
    assert len({one.guid for one in found.values()}) == 3
    assert min(found[2].modseq, found[3].modseq) > 900


def test_a_folder_is_restored_with_its_guid_and_special_use(box: MessageStore) -> None:
    guid = "0123456789abcdef" * 2
    old, junk = FolderName(("Old",)), FolderName(("Junk",))

    box.folders(ALICE).restore(old, uidvalidity=77, uidnext=1, guid=guid, special_use=SpecialUse.ARCHIVE)
    box.folders(ALICE).restore(WORK, uidvalidity=78, uidnext=1, special_use=SpecialUse.SENT)
    box.folders(ALICE).restore(junk, uidvalidity=79, uidnext=1)

    uses = {info.name: info.special_use for info in box.folders(ALICE).list()}
    assert (uses[old], uses[WORK], uses[junk]) == (SpecialUse.ARCHIVE, SpecialUse.SENT, SpecialUse.JUNK)
    assert box.folders(ALICE).guid(old) == guid
    assert box.folders(ALICE).guid(WORK) not in (None, guid)


def test_aligning_takes_over_flags_keywords_and_modseqs_and_what_vanished(box: MessageStore) -> None:
    box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=1)
    put(box, WORK, 1, 2, 3, 4, flags=frozenset({FLAGGED}), keywords=frozenset({"old"}), modseq=10)
    folder = box.folder(ALICE, WORK)
    before = infos(box, WORK)

    there = [
        replace(before[1], flags=frozenset({SEEN}), keywords=KEYWORDS, modseq=30),
        replace(before[2], flags=frozenset(), keywords=frozenset(), modseq=31, octets=1, guid="not looked at"),
        replace(before[2], uid=Uid(9), modseq=32),
    ]
    folder.align(there, vanished=[Uid(4), Uid(8)])

    found = infos(box, WORK)
    assert list(found) == [1, 2, 3]
    assert found[1] == replace(before[1], flags=frozenset({SEEN}), keywords=KEYWORDS, modseq=30)
    assert found[2] == replace(before[2], flags=frozenset(), keywords=frozenset(), modseq=31)
    assert found[3] == before[3]
    assert folder.stat().unseen == 2


def test_an_aligned_folder_knows_what_happened_from_its_modseq_on_and_says_that_it_knows_no_more(
    box: MessageStore,
) -> None:
    box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=1)
    put(box, WORK, 1, 2, 3, modseq=10)
    folder = box.folder(ALICE, WORK)

    folder.align((), vanished=[Uid(1)], modseq=40)
    folder.align((), modseq=7)
    quiet, older = folder.changes(40), folder.changes(39)
    folder.expunge([Uid(2)])
    later = folder.changes(quiet.status.modseq)

    assert quiet.status.modseq >= 40
    assert (quiet.changed, quiet.vanished, quiet.is_complete) == ((), (), True)
    assert not older.is_complete
    assert (later.changed, [uid for uid, _ in later.vanished], later.is_complete) == ((), [2], True)


def test_aligning_lowers_and_raises_modseqs_of_messages_whose_flags_stay(box: MessageStore) -> None:
    box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=1)
    put(box, WORK, 1, 2, modseq=50)
    found = infos(box, WORK)

    box.folder(ALICE, WORK).align([replace(found[1], modseq=9), replace(found[2], modseq=60)])

    assert [one.modseq for one in infos(box, WORK).values()] == [9, 60]


def test_aligning_a_folder_that_is_not_there_says_so(box: MessageStore) -> None:
    with pytest.raises(FolderNotFound):
        box.folder(ALICE, FolderName(("Nowhere",))).align((), modseq=5)


def test_texts_that_no_database_takes_do_not_keep_a_message_away(box: MessageStore) -> None:
    box.folders(ALICE).restore(WORK, uidvalidity=77, uidnext=1)

    for uid, guid in enumerate(("", "nul\0", "octet\udcff"), 1):
        put(box, WORK, uid, guid=guid)

    assert list(infos(box, WORK)) == [1, 2, 3]
