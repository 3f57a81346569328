"""What every backend promises about telling of changes."""

import select
from collections.abc import Iterator

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.mailbox import ChangedPlace, ChangeSource
from msgstore.model.message import SEEN, Uid
from msgstore.model.outcomes import FlagChange
from tests.contract.shelf import ALICE, BOB, WORK, add, put, to, uids

LATER = FolderName(("Later",))


@pytest.fixture
def source(store: MessageStore) -> Iterator[ChangeSource]:
    for mailbox in (ALICE, BOB):
        store.create_mailbox(mailbox)
    store.folders(ALICE).create(WORK)
    made = store.watch_changes()
    assert made is not None
    yield made
    made.close()


def told(source: ChangeSource) -> set[ChangedPlace]:
    found: set[ChangedPlace] = set()
    while select.select([source], [], [], 0)[0]:
        found.update(source.read())
    return found


def test_each_kind_of_change_in_a_watched_folder_is_told(store: MessageStore, source: ChangeSource) -> None:
    put(store, to(ALICE))
    assert source.watch(ALICE, INBOX)
    inbox = store.folder(ALICE, INBOX)
    inbox.list()
    quiet = told(source)

    found: list[set[ChangedPlace]] = []
    put(store, to(ALICE))
    found.append(told(source))
    add(store)
    found.append(told(source))
    inbox.set_flags([Uid(1)], FlagChange.ADD, flags=frozenset({SEEN}))
    found.append(told(source))
    inbox.expunge([Uid(1)])
    found.append(told(source))
    inbox.move([Uid(2)], WORK)
    found.append(told(source))

    assert quiet == set()
    assert found == [{(ALICE, INBOX)}] * 5


def test_reading_and_what_happens_elsewhere_are_not_told(store: MessageStore, source: ChangeSource) -> None:
    put(store, to(ALICE))
    source.watch(ALICE, WORK)

    put(store, to(ALICE), to(BOB))
    store.folder(ALICE, WORK).stat()
    uids(store)

    assert told(source) == set()


def test_watching_again_changes_nothing_and_after_unwatching_nothing_is_told(
    store: MessageStore, source: ChangeSource
) -> None:
    watched = [source.watch(ALICE, INBOX) for _ in range(3)]

    put(store, to(ALICE))
    before = told(source)
    source.unwatch(ALICE, INBOX)
    source.unwatch(ALICE, INBOX)
    put(store, to(ALICE))

    assert watched == [True] * 3
    assert before == {(ALICE, INBOX)}
    assert told(source) == set()


def test_folders_that_come_go_and_are_renamed_are_told_and_their_messages_are_not(
    store: MessageStore, source: ChangeSource
) -> None:
    source.watch(ALICE, None)
    tree = store.folders(ALICE)

    found: list[set[ChangedPlace]] = []
    put(store, to(ALICE), to(ALICE, WORK))
    uids(store)
    found.append(told(source))
    tree.create(LATER)
    found.append(told(source))
    tree.rename(LATER, FolderName(("Sooner",)))
    found.append(told(source))
    tree.delete(WORK)
    found.append(told(source))

    assert found == [set(), *[{(ALICE, None)}] * 3]


def test_the_end_of_a_watched_folder_is_told_and_a_folder_made_anew_can_be_watched(
    store: MessageStore, source: ChangeSource
) -> None:
    source.watch(ALICE, WORK)
    store.folders(ALICE).delete(WORK)
    gone = told(source)
    store.folders(ALICE).create(WORK)

    source.watch(ALICE, WORK)
    told(source)
    put(store, to(ALICE, WORK))

    assert gone == {(ALICE, WORK)}
    assert told(source) == {(ALICE, WORK)}


def test_a_mailbox_that_goes_away_is_told(store: MessageStore, source: ChangeSource) -> None:
    source.watch(BOB, None)
    source.watch(BOB, INBOX)

    store.remove_mailbox(BOB)

    assert told(source) >= {(BOB, INBOX)}


def test_sources_do_not_take_from_each_other(store: MessageStore, source: ChangeSource) -> None:
    other = store.watch_changes()
    assert other is not None
    for each in (source, other):
        each.watch(ALICE, INBOX)

    put(store, to(ALICE))
    found = [told(source), told(other)]
    other.close()
    put(store, to(ALICE))

    assert found == [{(ALICE, INBOX)}] * 2
    assert told(source) == {(ALICE, INBOX)}


def test_what_is_not_there_is_not_told_and_costs_nothing(store: MessageStore, source: ChangeSource) -> None:
    nobody = MailboxId("nobody", "example.com")

    source.watch(nobody, INBOX)
    source.unwatch(nobody, INBOX)

    assert told(source) == set()
