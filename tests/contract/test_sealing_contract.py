"""What every backend promises when messages are sealed where they lie: they stay what they are."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.errors import FolderNotFound
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.model.outcomes import FlagChange
from tests.contract.shelf import ALICE, TEXT, WORK, add, infos, put, text_of, to, uids

MANY_KEYWORDS = frozenset(f"k{number}" for number in range(30))
"""More than there are letters."""


def blob_of(text: bytes, mark: int = 0xEE) -> bytes:
    return bytes([mark]) * (len(text) + SEAL_OVERHEAD_OCTETS)


def seal(
    store: MessageStore, blobs: Mapping[int, bytes], folder: FolderName = INBOX, *, again: bool = False
) -> tuple[int, ...]:
    staged = {uid: store.stage(sealed=True) for uid in blobs}
    try:
        for uid, blob in blobs.items():
            staged[uid].write(blob)
        found = store.folder(ALICE, folder).seal({Uid(uid): one for uid, one in staged.items()}, again=again)
        return tuple(int(uid) for uid in found)
    finally:
        for one in staged.values():
            one.discard()


def test_a_sealed_message_stays_what_it_is_in_everything_but_its_octets(box: MessageStore) -> None:
    add(box, flags=frozenset({FLAGGED}), keywords=MANY_KEYWORDS, internal_date=1e9)
    put(box, to(ALICE))
    put(box, to(ALICE), text=TEXT + b"more\r\n")
    before, status, usage = infos(box), box.folder(ALICE, INBOX).stat(), box.usage(ALICE)

    assert seal(box, {1: blob_of(TEXT), 2: blob_of(TEXT)}) == (1, 2)

    after, now = infos(box), box.folder(ALICE, INBOX).stat()
    assert list(after) == [1, 2, 3]
    for uid in (1, 2):
        expected = replace(before[uid], sealed=True, stored_octets=len(blob_of(TEXT)), modseq=after[uid].modseq)
        assert after[uid] == expected
        assert after[uid].modseq > status.modseq
        assert text_of(box, uid) == blob_of(TEXT)
    assert after[3] == before[3]
    assert text_of(box, 3) == TEXT + b"more\r\n"
    assert (now.messages, now.octets, now.unseen, now.uidvalidity, now.uidnext) == (
        (status.messages, status.octets, status.unseen, status.uidvalidity, status.uidnext)
    )
    assert box.usage(ALICE) == box.recount(ALICE) == usage
    changed = box.folder(ALICE, INBOX).changes(status.modseq)
    assert [info.uid for info in changed.changed] == [1, 2]
    assert changed.vanished == ()


def test_who_has_a_message_open_goes_on_reading_what_it_was(box: MessageStore) -> None:
    put(box, to(ALICE))
    uids(box)

    with box.folder(ALICE, INBOX).retrieve(Uid(1)) as body:
        seal(box, {1: blob_of(TEXT)})
        read = b"".join(body.chunks())

    assert read == TEXT


def test_a_sealed_message_can_be_marked_moved_copied_and_expunged_as_ever(box: MessageStore) -> None:
    for _ in range(3):
        put(box, to(ALICE))
    guids = {uid: info.guid for uid, info in infos(box).items()}
    seal(box, {1: blob_of(TEXT), 2: blob_of(TEXT), 3: blob_of(TEXT)})
    inbox = box.folder(ALICE, INBOX)

    inbox.set_flags([Uid(1)], FlagChange.ADD, flags=frozenset({SEEN}), keywords=frozenset({"later"}))
    inbox.copy([Uid(1)], WORK)
    inbox.expunge([Uid(3)])
    inbox.move([Uid(2)], WORK)

    here, there = infos(box), infos(box, WORK)
    assert list(here) == [1]
    assert (here[1].flags, here[1].keywords, here[1].guid) == (frozenset({SEEN}), frozenset({"later"}), guids[1])
    assert [(uid, one.sealed, one.keywords) for uid, one in there.items()] == [
        (1, True, frozenset({"later"})),
        (2, True, frozenset()),
    ]
    assert [text_of(box, uid, folder=WORK) for uid in (1, 2)] == [blob_of(TEXT)] * 2
    assert there[2].guid == guids[2]
    assert there[1].guid not in guids.values()


def test_only_messages_that_the_blobs_can_have_been_made_of_are_sealed(box: MessageStore) -> None:
    put(box, to(ALICE))
    put(box, to(ALICE), text=TEXT + b"x")
    with box.stage(sealed=True) as staged:
        staged.write(blob_of(TEXT))
        box.folder(ALICE, INBOX).append(staged)
    box.folder(ALICE, INBOX).expunge([Uid(1)])
    before = infos(box)

    assert seal(box, dict.fromkeys((1, 2, 3, 9), blob_of(TEXT))) == ()
    assert seal(box, {}) == ()

    assert infos(box) == before
    assert text_of(box, 2) == TEXT + b"x"
    with pytest.raises(FolderNotFound):
        seal(box, {1: blob_of(TEXT)}, FolderName(("Elsewhere",)))


def test_sealing_again_changes_octets_alone_and_touches_nothing_plain(box: MessageStore) -> None:
    put(box, to(ALICE))
    put(box, to(ALICE))
    uids(box)
    seal(box, {1: blob_of(TEXT)})
    before = infos(box)

    done = seal(box, {1: blob_of(TEXT, 0xDD), 2: blob_of(TEXT, 0xDD), 7: blob_of(TEXT)}, again=True)

    assert done == (1,)
    assert infos(box) == before
    assert [text_of(box, 1), text_of(box, 2)] == [blob_of(TEXT, 0xDD), TEXT]


def test_what_is_brought_back_after_it_was_sealed_is_sealed(box: MessageStore) -> None:
    put(box, to(ALICE))
    uids(box)
    seal(box, {1: blob_of(TEXT)})
    box.folder(ALICE, INBOX).expunge([Uid(1)])

    assert box.undelete(ALICE, box.removed(ALICE)) == 1

    (info,) = box.folder(ALICE, INBOX).list()
    assert (info.uid, info.sealed, info.octets) == (2, True, len(TEXT))
    assert text_of(box, 2) == blob_of(TEXT)
