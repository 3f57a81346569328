"""What every backend promises about messages that come sealed: it keeps blobs, and counts what is in them."""

import pytest

from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import FLAGGED, Uid
from msgstore.model.outcomes import FlagChange, Restored
from msgstore.model.result import Filed
from tests.contract.shelf import ALICE, BOB, WORK, infos, text_of, to

BLOB = bytes(range(256)) + b"\r\n\n\r.\r\n" + b"x" * 100
PLAIN_OCTETS = len(BLOB) - SEAL_OVERHEAD_OCTETS


@pytest.fixture
def sealed_box(box: MessageStore) -> MessageStore:
    with box.stage(sealed=True) as staged:
        staged.write(BLOB[:90])
        staged.write(BLOB[90:])
        assert staged.octets == len(BLOB)
        assert staged.header_block == b""
        assert all(isinstance(answer, Filed) for answer in box.deliver(staged, [to(ALICE), to(BOB)]))
    return box


def test_a_blob_is_given_back_octet_for_octet_and_counts_as_the_message_in_it(sealed_box: MessageStore) -> None:
    for mailbox in (ALICE, BOB):
        (info,) = sealed_box.folder(mailbox, INBOX).list()
        assert info.sealed
        assert info.octets == PLAIN_OCTETS
        assert text_of(sealed_box, 1, mailbox) == BLOB
        with sealed_box.folder(mailbox, INBOX).retrieve(Uid(1)) as body:
            assert body.stored_octets == len(BLOB)
            assert body.facts is not None
            assert body.facts.sealed
            assert body.facts.octets == PLAIN_OCTETS
        assert sealed_box.folder(mailbox, INBOX).stat().octets == PLAIN_OCTETS


def test_it_stays_sealed_wherever_it_is_copied_moved_and_marked(sealed_box: MessageStore) -> None:
    inbox = sealed_box.folder(ALICE, INBOX)

    inbox.set_flags([Uid(1)], FlagChange.ADD, flags=frozenset({FLAGGED}))
    inbox.copy([Uid(1)], WORK)
    inbox.move([Uid(1)], WORK)

    found = infos(sealed_box, WORK)
    assert [(info.sealed, info.octets) for info in found.values()] == [(True, PLAIN_OCTETS)] * 2
    assert [text_of(sealed_box, uid, folder=WORK) for uid in found] == [BLOB, BLOB]


def test_it_can_be_appended_and_restored(box: MessageStore) -> None:
    with box.stage(sealed=True) as staged:
        staged.write(BLOB)
        box.folder(ALICE, INBOX).append(staged, flags=frozenset({FLAGGED}))
    with box.stage(sealed=True) as staged:
        staged.write(BLOB)
        box.folder(ALICE, WORK).restore([Restored(staged=staged, uid=Uid(7), internal_date=1e9)])

    for uid, folder in ((1, INBOX), (7, WORK)):
        info = infos(box, folder)[uid]
        assert (info.sealed, info.octets, info.stored_octets) == (True, PLAIN_OCTETS, len(BLOB))
        assert text_of(box, uid, folder=folder) == BLOB


@pytest.mark.parametrize("octets", [0, 1, SEAL_OVERHEAD_OCTETS])
def test_what_is_too_short_to_be_a_blob_is_kept_all_the_same_and_counts_nothing(box: MessageStore, octets: int) -> None:
    with box.stage(sealed=True) as staged:
        staged.write(b"\n" * octets)
        list(box.deliver(staged, [to(ALICE)]))

    (info,) = box.folder(ALICE, INBOX).list()
    assert (info.sealed, info.octets) == (True, 0)
    assert text_of(box, 1) == b"\n" * octets
