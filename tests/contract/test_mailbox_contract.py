"""What every backend promises about flags, appended, copied and moved messages, and about changes."""

import pytest

from msgstore.model.errors import (
    FolderNotFound,
)
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import ANSWERED, DELETED, FLAGGED, SEEN, Uid
from msgstore.model.outcomes import COLUMNS, FlagChange
from tests.contract.shelf import ALICE, TEXT, WORK, add, infos, put, text_of, to, uids

OLD = FolderName(("Work", "Old"))
MANY = frozenset(f"keyword{number:02}" for number in range(40))


def flag(store: MessageStore, *numbers: int, change: FlagChange = FlagChange.ADD, **more: object) -> object:
    handle = store.folder(ALICE, INBOX)
    return handle.set_flags([Uid(number) for number in numbers], change, **more)  # type: ignore[arg-type]


# Appending.


def test_an_appended_message_has_its_uid_flags_keywords_and_date(box: MessageStore) -> None:
    put(box, to(ALICE))

    appended = add(box, flags=frozenset({SEEN}), keywords=frozenset({"later"}), internal_date=1e9)

    info = infos(box)[appended.uid]
    assert appended.uid == 2
    assert appended.uidvalidity == box.folder(ALICE, INBOX).stat().uidvalidity
    assert (info.flags, info.keywords, info.internal_date) == (frozenset({SEEN}), frozenset({"later"}), 1_000_000_000)
    assert info.modseq == appended.modseq
    assert text_of(box, 2) == TEXT


def test_a_message_may_be_older_than_1970(box: MessageStore) -> None:
    appended = add(box, internal_date=-2_145_916_800.0)

    assert infos(box)[appended.uid].internal_date == -2_145_916_800
    assert text_of(box, appended.uid) == TEXT


def test_what_is_appended_between_deliveries_is_found_under_the_uid_that_was_answered(box: MessageStore) -> None:
    for number in range(10):
        put(box, to(ALICE), text=b"delivered %d" % number)
        appended = add(box, text=b"appended %d" % number)
        assert text_of(box, appended.uid) == b"appended %d" % number

    assert len(uids(box)) == 20


def test_appending_to_a_folder_that_is_not_there_is_refused(box: MessageStore) -> None:
    with pytest.raises(FolderNotFound):
        add(box, OLD)


# Flags.


def test_flags_are_set_added_and_removed(box: MessageStore) -> None:
    add(box, flags=frozenset({FLAGGED}))

    flag(box, 1, flags=frozenset({SEEN}))
    assert infos(box)[1].flags == {FLAGGED, SEEN}
    flag(box, 1, change=FlagChange.REMOVE, flags=frozenset({FLAGGED, ANSWERED}))
    assert infos(box)[1].flags == {SEEN}
    flag(box, 1, change=FlagChange.SET, flags=frozenset({DELETED}))
    assert infos(box)[1].flags == {DELETED}


def test_a_change_of_flags_answers_with_every_message_and_counts_unseen(box: MessageStore) -> None:
    for _ in range(3):
        put(box, to(ALICE))
    before = box.folder(ALICE, INBOX).stat()

    outcome = box.folder(ALICE, INBOX).set_flags([Uid(3), Uid(1), Uid(9)], FlagChange.ADD, flags=frozenset({SEEN}))

    after = box.folder(ALICE, INBOX).stat()
    assert [info.uid for info in outcome.changed] == [1, 3]
    assert {info.modseq for info in outcome.changed} == {outcome.modseq}
    assert outcome.modified == ()
    assert (before.unseen, after.unseen) == (3, 1)
    assert after.modseq == outcome.modseq > before.modseq


def test_a_change_that_changes_nothing_moves_no_modseq(box: MessageStore) -> None:
    add(box, flags=frozenset({SEEN}))
    before = box.folder(ALICE, INBOX).stat()

    outcome = box.folder(ALICE, INBOX).set_flags([Uid(1)], FlagChange.ADD, flags=frozenset({SEEN}))

    assert [info.uid for info in outcome.changed] == [1]
    assert box.folder(ALICE, INBOX).stat() == before


def test_messages_that_changed_since_are_left_alone_and_named(box: MessageStore) -> None:
    for _ in range(3):
        add(box)
    known = box.folder(ALICE, INBOX).stat().modseq
    flag(box, 2, flags=frozenset({FLAGGED}))

    outcome = box.folder(ALICE, INBOX).set_flags(
        [Uid(1), Uid(2), Uid(3)], FlagChange.ADD, flags=frozenset({SEEN}), unchanged_since=known
    )

    assert [info.uid for info in outcome.changed] == [1, 3]
    assert outcome.modified == (2,)
    assert infos(box)[2].flags == {FLAGGED}


def test_keywords_are_compared_without_case_and_keep_their_first_spelling(box: MessageStore) -> None:
    add(box, keywords=frozenset({"Later"}))
    add(box, keywords=frozenset({"LATER"}))

    flag(box, 1, change=FlagChange.REMOVE, keywords=frozenset({"later"}))

    assert infos(box)[1].keywords == frozenset()
    assert infos(box)[2].keywords == {"Later"}


def test_forty_keywords_are_kept_and_taken_away_one_by_one(box: MessageStore) -> None:
    add(box, keywords=MANY)
    add(box)

    flag(box, 2, keywords=MANY)
    flag(box, 1, change=FlagChange.REMOVE, keywords=frozenset({"keyword01", "keyword39"}))
    flag(box, 2, change=FlagChange.SET, keywords=frozenset({"keyword38"}))

    assert infos(box)[1].keywords == MANY - {"keyword01", "keyword39"}
    assert infos(box)[2].keywords == {"keyword38"}


def test_a_delivery_keeps_any_number_of_keywords(box: MessageStore) -> None:
    put(box, to(ALICE, keywords=MANY))

    assert infos(box)[1].keywords == MANY


def test_a_uid_survives_a_hundred_changes_of_flags(box: MessageStore) -> None:
    put(box, to(ALICE), text=b"the one")
    for number in range(100):
        flag(box, 1, change=FlagChange.SET, flags=frozenset({SEEN} if number % 2 else {FLAGGED, ANSWERED}))

    assert uids(box) == [1]
    assert text_of(box, 1) == b"the one"


# Copies and moves.


def test_copies_take_flags_keywords_and_date_along_and_leave_the_originals(box: MessageStore) -> None:
    for number in range(3):
        add(
            box,
            text=b"message %d" % number,
            flags=frozenset({FLAGGED}),
            keywords=MANY,
            internal_date=1e9 + number,
        )
    add(box, WORK)

    copied = box.folder(ALICE, INBOX).copy([Uid(3), Uid(1), Uid(77)], WORK)

    assert copied.from_uids == (1, 3)
    assert copied.to_uids == (2, 3)
    assert copied.uidvalidity == box.folder(ALICE, WORK).stat().uidvalidity
    assert uids(box) == [1, 2, 3]
    there = infos(box, WORK)
    assert text_of(box, 3, folder=WORK) == b"message 2"
    assert there[3].internal_date == 1_000_000_002
    assert (there[2].flags, there[2].keywords) == (frozenset({FLAGGED}), MANY)


def test_a_copy_into_the_same_folder_is_another_message(box: MessageStore) -> None:
    add(box)

    copied = box.folder(ALICE, INBOX).copy([Uid(1)], INBOX)

    assert copied.to_uids == (2,)
    assert uids(box) == [1, 2]
    assert len({info.guid for info in infos(box).values()}) == 2


def test_a_copy_that_is_being_made_is_not_copied_itself(box: MessageStore) -> None:
    add(box)

    copied = box.folder(ALICE, INBOX).copy([Uid(1), Uid(2), Uid(3)], INBOX)

    assert (copied.from_uids, copied.to_uids) == ((1,), (2,))
    assert uids(box) == [1, 2]


def test_moved_messages_are_gone_here_and_there_under_new_uids_with_their_guid(box: MessageStore) -> None:
    put(box, to(ALICE), text=b"new and unread")
    add(box, text=b"second", keywords=frozenset({"k"}))
    guids = [info.guid for info in infos(box).values()]

    moved = box.folder(ALICE, INBOX).move([Uid(1), Uid(2), Uid(5)], WORK)

    assert (moved.from_uids, moved.to_uids) == ((1, 2), (1, 2))
    assert uids(box) == []
    assert [info.guid for info in infos(box, WORK).values()] == guids
    assert infos(box, WORK)[2].keywords == {"k"}
    assert box.folder(ALICE, WORK).stat().unseen == 2
    assert box.folder(ALICE, INBOX).stat().uidnext == 3


def test_a_move_within_a_folder_gives_new_uids(box: MessageStore) -> None:
    add(box)

    moved = box.folder(ALICE, INBOX).move([Uid(1)], INBOX)

    assert moved.to_uids == (2,)
    assert uids(box) == [2]


def test_copying_to_a_folder_that_is_not_there_changes_nothing(box: MessageStore) -> None:
    add(box)

    for verb in (box.folder(ALICE, INBOX).copy, box.folder(ALICE, INBOX).move):
        with pytest.raises(FolderNotFound):
            verb([Uid(1)], OLD)

    assert uids(box) == [1]


def test_copying_nothing_is_no_error(box: MessageStore) -> None:
    copied = box.folder(ALICE, INBOX).copy([Uid(4)], WORK)

    assert (copied.from_uids, copied.to_uids) == ((), ())


@pytest.mark.parametrize("wanted", [[], [Uid(1)]])
def test_nothing_is_copied_or_moved_from_a_folder_that_is_not_there(box: MessageStore, wanted: list[Uid]) -> None:
    missing = box.folder(ALICE, OLD)

    for verb in (missing.copy, missing.move):
        with pytest.raises(FolderNotFound):
            verb(wanted, WORK)


# Changes.


def test_changes_say_what_is_new_changed_and_gone_since(box: MessageStore) -> None:
    for _ in range(4):
        add(box)
    known = box.folder(ALICE, INBOX).changes(0).status.modseq
    nothing = box.folder(ALICE, INBOX).changes(known)
    flag(box, 2, flags=frozenset({SEEN}))
    box.folder(ALICE, INBOX).expunge([Uid(1), Uid(3)])
    put(box, to(ALICE))

    changes = box.folder(ALICE, INBOX).changes(known)

    assert (nothing.changed, nothing.vanished, nothing.is_complete) == ((), (), True)
    assert [info.uid for info in changes.changed] == [2, 5]
    assert [uid for uid, _ in changes.vanished] == [1, 3]
    assert all(known < modseq <= changes.status.modseq for _, modseq in changes.vanished)
    assert changes.is_complete
    assert box.folder(ALICE, INBOX).changes(changes.status.modseq).changed == ()


def test_what_came_and_went_since_is_told_as_gone_only(box: MessageStore) -> None:
    known = box.folder(ALICE, INBOX).changes(0).status.modseq
    add(box)
    box.folder(ALICE, INBOX).expunge([Uid(1)])

    changes = box.folder(ALICE, INBOX).changes(known)

    assert changes.changed == ()
    assert [uid for uid, _ in changes.vanished] in ([1], [])


# Rows.


def test_rows_say_what_the_list_says(box: MessageStore) -> None:
    put(box, to(ALICE, flags=frozenset({SEEN, FLAGGED}), keywords=frozenset({"b", "a"})), text=b"a\nb\r\n")
    add(box, keywords=MANY)
    put(box, to(ALICE))

    rows = box.folder(ALICE, INBOX).rows(COLUMNS)

    for row, info in zip(rows, box.folder(ALICE, INBOX).list(), strict=True):
        named = dict(zip(COLUMNS, row, strict=True))
        assert named.pop("flags") == tuple(sorted(info.flags))
        assert named.pop("keywords") == tuple(sorted(info.keywords))
        assert named == {name: getattr(info, name) for name in named}


def test_rows_come_in_pages_and_up_to_a_uid(box: MessageStore) -> None:
    for _ in range(6):
        add(box)
    folder = box.folder(ALICE, INBOX)

    assert [tuple(row) for row in folder.rows(["uid"], after_uid=1, limit=2)] == [(2,), (3,)]
    assert [tuple(row) for row in folder.rows(["uid"], after_uid=1, last_uid=4)] == [(2,), (3,), (4,)]
    assert list(folder.rows(["uid"], after_uid=6)) == []
