"""What every backend that keeps removed mail promises about bringing it back."""

from msgstore.model.folder import INBOX
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import SEEN, Uid
from tests.contract.shelf import ALICE, WORK, add, infos, text_of, uids


def test_what_was_expunged_can_be_brought_back_under_a_new_uid(box: MessageStore) -> None:
    add(box, text=b"one", flags=frozenset({SEEN}), internal_date=1e9)
    add(box, text=b"two")
    box.folder(ALICE, INBOX).expunge([Uid(1), Uid(2)])
    first = next(one for one in box.removed(ALICE) if SEEN in one.flags)

    back = box.undelete(ALICE, [first])

    assert (back, first.folder, first.octets) == (1, INBOX, 3)
    assert uids(box) == [3]
    assert text_of(box, 3) == b"one"
    assert (infos(box)[3].flags, infos(box)[3].internal_date) == (frozenset({SEEN}), 1_000_000_000)
    assert len(box.removed(ALICE)) == 1
    assert box.undelete(ALICE, [first]) == 0


def test_a_moved_message_was_not_removed(box: MessageStore) -> None:
    add(box)

    box.folder(ALICE, INBOX).move([Uid(1)], WORK)

    assert box.removed(ALICE) == ()


def test_mail_of_a_folder_that_is_gone_is_brought_back_with_the_folder(box: MessageStore) -> None:
    add(box, WORK, text=b"work")
    box.folder(ALICE, WORK).expunge([Uid(1)])
    box.folders(ALICE).delete(WORK)

    back = box.undelete(ALICE, box.removed(ALICE))

    assert back == 1
    assert [info.octets for info in infos(box, WORK).values()] == [4]


def test_what_is_old_enough_is_removed_for_good(box: MessageStore) -> None:
    add(box)
    box.folder(ALICE, INBOX).expunge([Uid(1)])
    (one,) = box.removed(ALICE)

    assert box.purge_removed(ALICE, before=one.removed_at) == 0
    assert box.purge_removed(ALICE, before=one.removed_at + 1) == 1
    assert box.removed(ALICE) == ()


def test_removed_mail_is_not_counted_and_in_no_list(box: MessageStore) -> None:
    add(box)
    box.folder(ALICE, INBOX).expunge([Uid(1)])

    assert box.usage(ALICE).messages == 0
    assert box.check(ALICE) == ()
    assert box.folder(ALICE, INBOX).stat().messages == 0
