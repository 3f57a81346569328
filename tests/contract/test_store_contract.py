"""What every backend promises; each test runs over all of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from msgstore.model.errors import (
    FolderExists,
    FolderNotFound,
    MailboxNotFound,
    MessageExpunged,
    MessageNotFound,
    MsgstoreError,
    StoreError,
)
from msgstore.model.folder import DEFAULT_FOLDERS, INBOX, FolderName, SpecialUse
from msgstore.model.interfaces import BodyFacts, MessageStore, Wait
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.model.result import Filed
from tests.contract.shelf import ALICE, BOB, TEXT, WORK, put, text_of, to, uids


def test_a_delivered_message_is_listed_and_read_back_exactly(store: MessageStore) -> None:
    (filed,) = put(store, to(ALICE))

    assert isinstance(filed, Filed)
    (info,) = store.folder(ALICE, INBOX).list()
    assert (info.uid, info.octets, info.stored_octets, info.flags) == (1, len(TEXT), len(TEXT), frozenset())
    assert len(info.uidl) == 16
    assert text_of(store, 1) == TEXT


def test_octets_count_every_line_end_as_crlf(store: MessageStore) -> None:
    put(store, to(ALICE), text=b"a\nb\r\n\n")

    (info,) = store.folder(ALICE, INBOX).list()
    assert (info.octets, info.stored_octets) == (8, 6)


@pytest.mark.parametrize("octets", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_messages_of_any_size_come_back_whole(store: MessageStore, octets: int) -> None:
    text = bytes(index % 251 for index in range(octets))

    put(store, to(ALICE), text=text)

    assert text_of(store, 1) == text


def test_a_body_is_read_in_ranges(store: MessageStore) -> None:
    put(store, to(ALICE))

    with store.folder(ALICE, INBOX).retrieve(Uid(1)) as body:
        assert body.read(9, 2) == b"hi"
        assert body.read(len(TEXT) - 2, 100) == b"\r\n"
        assert body.read(len(TEXT), 10) == b""
        assert body.stored_octets == len(TEXT)


def test_an_opened_message_tells_the_size_that_its_row_tells(store: MessageStore) -> None:
    put(store, to(ALICE), text=b"a\nb\r\n\n")
    folder = store.folder(ALICE, INBOX)
    ((octets, sealed),) = folder.rows(["octets", "sealed"])

    with folder.retrieve(Uid(1)) as body:
        assert body.facts == BodyFacts(octets=8, sealed=False) == (octets, sealed)


def test_every_recipient_has_one_answer_in_order_and_a_repeated_one_is_stored_once(store: MessageStore) -> None:
    answers = put(store, to(BOB), to(ALICE), to(BOB))

    assert [answer.mailbox for answer in answers if isinstance(answer, Filed)] == [BOB, ALICE, BOB]
    assert len(uids(store, BOB)) == 1
    assert text_of(store, 1) == text_of(store, 1, BOB) == TEXT


def test_an_error_of_one_place_changes_no_other(store: MessageStore) -> None:
    answers = put(store, to(ALICE), to(ALICE, WORK), to(BOB))

    assert [type(answer) for answer in answers] == [Filed, FolderNotFound, Filed]


def test_deliveries_driven_in_steps_and_settled_together_are_all_there(store: MessageStore) -> None:
    texts = [b"Subject: %d\r\n\r\n" % number for number in range(5)]
    with ExitStack() as stack:
        runs: list[Iterator[Filed | MsgstoreError | Wait]] = []
        for text in texts:
            staged = stack.enter_context(store.stage())
            staged.write(text)
            runs.append(iter(store.deliver_in_steps(staged, [to(ALICE), to(BOB), to(ALICE, WORK)])))

        answers = driven_together(store, runs)

    assert [[type(answer) for answer in of_one] for of_one in answers] == [[Filed, Filed, FolderNotFound]] * 5
    for mailbox in (ALICE, BOB):
        assert sorted(text_of(store, uid, mailbox) for uid in uids(store, mailbox)) == texts


def driven_together(
    store: MessageStore, runs: list[Iterator[Filed | MsgstoreError | Wait]]
) -> list[list[Filed | MsgstoreError]]:
    answers: list[list[Filed | MsgstoreError]] = [[] for _ in runs]
    going = list(enumerate(runs))
    while going:
        waits: list[Wait] = []
        waiting: list[tuple[int, Iterator[Filed | MsgstoreError | Wait]]] = []
        for index, run in going:
            for answer in run:
                if isinstance(answer, Wait):
                    waits.append(answer)
                    waiting.append((index, run))
                    break
                answers[index].append(answer)
        if waits:
            store.settle(waits)
        going = waiting
    return answers


def test_a_staged_message_can_be_delivered_again_until_it_is_discarded(store: MessageStore) -> None:
    with store.stage() as staged:
        staged.write(TEXT)
        list(store.deliver(staged, [to(ALICE)]))
        list(store.deliver(staged, [to(BOB)]))

    assert text_of(store, 1, BOB) == TEXT


def test_a_discarded_message_leaves_nothing(store: MessageStore) -> None:
    staged = store.stage()
    staged.write(TEXT)
    staged.discard()
    staged.discard()

    assert not store.mailbox_exists(ALICE)


def test_uids_ascend_and_none_comes_back(store: MessageStore) -> None:
    for _ in range(3):
        put(store, to(ALICE))
    assert uids(store) == [1, 2, 3]

    gone = store.folder(ALICE, INBOX).expunge([Uid(3), Uid(1), Uid(99), Uid(3)])
    put(store, to(ALICE))

    assert gone == (1, 3)
    assert uids(store) == [2, 4]
    assert store.folder(ALICE, INBOX).stat().uidnext == 5


def test_gone_and_never_there_are_told_apart(store: MessageStore) -> None:
    put(store, to(ALICE))
    folder = store.folder(ALICE, INBOX)
    assert uids(store) == [1]
    folder.expunge([Uid(1)])

    with pytest.raises(MessageExpunged):
        folder.retrieve(Uid(1))
    with pytest.raises(MessageNotFound) as caught:
        folder.retrieve(Uid(2))
    assert type(caught.value) is MessageNotFound


def test_an_opened_message_stays_readable_after_it_is_expunged(store: MessageStore) -> None:
    put(store, to(ALICE))
    folder = store.folder(ALICE, INBOX)
    folder.list()

    with folder.retrieve(Uid(1)) as body:
        folder.expunge([Uid(1)])
        assert b"".join(body.chunks()) == TEXT


def test_stat_counts_what_list_shows_and_changes_nothing(store: MessageStore) -> None:
    put(store, to(ALICE))
    put(store, to(ALICE, flags=frozenset((SEEN, FLAGGED))))

    first, second = store.folder(ALICE, INBOX).stat(), store.folder(ALICE, INBOX).stat()

    assert first == second
    assert (first.messages, first.octets, first.unseen, first.uidnext) == (2, 2 * len(TEXT), 1, 3)


def test_lists_come_in_pages(store: MessageStore) -> None:
    for _ in range(5):
        put(store, to(ALICE))
    folder = store.folder(ALICE, INBOX)

    assert [info.uid for info in folder.list(after_uid=1, limit=2)] == [2, 3]
    assert [info.uid for info in folder.list(after_uid=4)] == [5]
    assert folder.list(after_uid=5) == ()


def test_flags_keywords_and_date_given_at_delivery_are_kept(store: MessageStore) -> None:
    put(store, to(ALICE, flags=frozenset((SEEN,)), keywords=frozenset(("$Junk", "later")), internal_date=1e9))

    (info,) = store.folder(ALICE, INBOX).list()
    assert info.flags == {SEEN}
    assert info.keywords == {"$Junk", "later"}
    assert info.internal_date == 1_000_000_000


def test_a_new_mailbox_has_the_default_folders(store: MessageStore) -> None:
    store.create_mailbox(ALICE)
    store.create_mailbox(ALICE)

    listed = store.folders(ALICE).list()
    assert listed[0].name == INBOX
    assert {(info.name, info.special_use) for info in listed[1:]} == set(DEFAULT_FOLDERS)
    assert FolderName(("Junk",)) in {info.name for info in listed if info.special_use is SpecialUse.JUNK}


def test_folders_are_made_with_the_levels_above_them(store: MessageStore) -> None:
    store.create_mailbox(ALICE)
    tree = store.folders(ALICE)

    tree.create(FolderName(("Lists", "Müll.2026")))

    assert tree.exists(FolderName(("Lists",)))
    assert tree.exists(FolderName(("Lists", "Müll.2026")))
    assert not tree.exists(WORK)
    assert next(info for info in tree.list() if info.name == FolderName(("Lists",))).has_children
    with pytest.raises(FolderExists):
        tree.create(FolderName(("Lists",)))
    (filed,) = put(store, to(ALICE, FolderName(("Lists", "Müll.2026"))))
    assert isinstance(filed, Filed)


def test_folders_do_not_share_messages(store: MessageStore) -> None:
    store.create_mailbox(ALICE)
    store.folders(ALICE).create(WORK)
    put(store, to(ALICE, WORK))

    assert uids(store) == []
    assert uids(store, folder=WORK) == [1]


def test_what_does_not_exist_is_not_made_by_looking(store: MessageStore) -> None:
    with pytest.raises(MailboxNotFound):
        store.folder(ALICE, INBOX)
    with pytest.raises(MailboxNotFound):
        store.folders(ALICE)
    store.create_mailbox(BOB)
    with pytest.raises(FolderNotFound):
        store.folder(BOB, WORK).stat()
    with pytest.raises(FolderNotFound):
        store.folder(BOB, WORK).list()

    assert not store.mailbox_exists(ALICE)


def test_a_removed_mailbox_is_gone_and_comes_back_empty_under_another_uidvalidity(store: MessageStore) -> None:
    put(store, to(ALICE))
    before = store.folder(ALICE, INBOX).stat()

    store.remove_mailbox(ALICE)
    store.remove_mailbox(ALICE)
    assert not store.mailbox_exists(ALICE)
    store.create_mailbox(ALICE)

    assert before.messages == 1
    assert uids(store) == []


def test_header_fields_are_seen_while_the_message_comes(store: MessageStore) -> None:
    with store.stage() as staged:
        for index in range(len(TEXT)):
            staged.write(TEXT[index : index + 1])

        assert staged.header_block == b"Subject: hi\r\n\r\n"
        assert staged.octets == len(TEXT)


def test_health_is_checked_by_doing(store: MessageStore) -> None:
    store.check_health()


def test_a_folder_held_alone_is_held_by_nobody_else_until_it_is_given_back(store: MessageStore) -> None:
    put(store, to(ALICE))
    folder = store.folder(ALICE, INBOX)
    alone = folder.try_hold()
    assert alone is not None

    others = [store.folder(ALICE, INBOX).try_hold(), store.folder(ALICE, INBOX).try_hold(shared=True)]
    alone.release()
    alone.release()
    after = folder.try_hold()

    assert others == [None, None]
    assert after is not None
    after.release()


def test_a_folder_may_be_held_by_many_who_share_it_and_then_by_nobody_alone(store: MessageStore) -> None:
    put(store, to(ALICE))
    folder = store.folder(ALICE, INBOX)

    shared = [folder.try_hold(shared=True) for _ in range(3)]
    alone = folder.try_hold()

    assert None not in shared
    assert alone is None
    for hold in shared:
        assert hold is not None
        hold.release()
    last = folder.try_hold()
    assert last is not None
    last.release()


def test_holding_one_folder_says_nothing_about_another_and_stops_no_delivery(store: MessageStore) -> None:
    put(store, to(ALICE), to(BOB))
    hold = store.folder(ALICE, INBOX).try_hold()
    assert hold is not None

    other = store.folder(BOB, INBOX).try_hold()
    put(store, to(ALICE))

    assert other is not None
    assert len(uids(store)) == 2
    hold.release()
    other.release()


def test_a_folder_that_is_not_there_cannot_be_held(store: MessageStore) -> None:
    put(store, to(ALICE))

    with pytest.raises(FolderNotFound):
        store.folder(ALICE, WORK).try_hold()


def test_a_mailbox_that_was_removed_can_be_made_anew_at_once_and_is_empty(store: MessageStore) -> None:
    put(store, to(ALICE))
    assert uids(store) == [1]
    store.remove_mailbox(ALICE)

    gone = store.mailbox_exists(ALICE)
    store.create_mailbox(ALICE)

    assert not gone
    assert uids(store) == []
    put(store, to(ALICE))
    assert len(uids(store)) == 1


def test_a_delivery_makes_a_mailbox_that_is_not_there_whatever_folder_it_is_for(store: MessageStore) -> None:
    answers = put(store, to(ALICE, WORK), to(BOB, FolderName(("Junk",))))

    assert [type(answer) for answer in answers] == [FolderNotFound, Filed]
    assert store.mailbox_exists(ALICE)
    assert uids(store, BOB, FolderName(("Junk",))) == [1]


def test_what_was_staged_is_read_back_before_and_after_it_is_stored(store: MessageStore) -> None:
    store.create_mailbox(ALICE)
    large = b"0123456789abcdef" * 40_000

    with store.stage() as staged:
        empty = b"".join(staged.chunks())
        staged.write(TEXT)
        first = b"".join(staged.chunks())
        staged.write(large)
        store.folder(ALICE, INBOX).append(staged)
        whole = b"".join(staged.chunks())
    with pytest.raises(StoreError):
        list(staged.chunks())

    assert (empty, first, whole) == (b"", TEXT, TEXT + large)


def test_files_beside_the_mail_have_a_directory_where_the_store_has_files(store: MessageStore) -> None:
    with pytest.raises(MailboxNotFound):
        store.control_directory(BOB)
    store.create_mailbox(ALICE)

    directory = store.control_directory(ALICE)

    if directory is None:
        return
    with os.fdopen(os.open("msgstore-example", os.O_CREAT | os.O_WRONLY, dir_fd=directory), "wb") as file:
        file.write(b"x")
    os.close(directory)
    assert [str(info.name) for info in store.folders(ALICE).list() if "example" in str(info.name)] == []
    assert not store.check(ALICE)
    store.remove_mailbox(ALICE)
    with pytest.raises(MailboxNotFound):
        store.control_directory(ALICE)
