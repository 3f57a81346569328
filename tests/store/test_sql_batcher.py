"""What becomes of parcels whose batch fails."""

import threading
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest

from msgstore.model.errors import DiskFull, MailboxLocked, MsgstoreError, StoreUnavailable
from msgstore.model.folder import INBOX
from msgstore.model.message import Uid
from msgstore.model.store import Uncertain
from msgstore.store.sql.batcher import OCTETS_LIMIT, PARCELS_LIMIT, REPEAT_SECONDS, REPEATS, Batcher
from msgstore.store.sql.dialect import Refused
from msgstore.store.sql.parcels import Parcel, Slot
from tests.store.sql_ledger import ALICE


def parcel(number: int, data: bytes = b"") -> Parcel:
    return Parcel(
        mailbox=ALICE,
        folder=INBOX,
        blob_id=UUID(int=number),
        data=data,
        ref=None,
        octets=number,
        stored_octets=0,
        sealed=False,
        flags=0,
        keywords=frozenset(),
        internal_date=0,
    )


class Ledger:
    """Answers commits: with the errors it was given, one after the other, and then with slots."""

    def __init__(self, *errors: Exception, refuses: Callable[[Parcel], bool] = lambda _: False) -> None:
        self.errors = list(errors)
        self.refuses = refuses
        self.pauses: list[float] = []
        self.repeats: list[bool] = []
        self.batches: list[int] = []
        self.may_begin = threading.Event()
        self.may_begin.set()

    def commit(self, parcels: Sequence[Parcel]) -> Sequence[Slot | MsgstoreError]:
        self.may_begin.wait()
        self.batches.append(len(parcels))
        self.repeats.append(all(one.is_repeat for one in parcels))
        if self.errors:
            raise self.errors.pop(0)
        if any(self.refuses(one) for one in parcels):
            raise Refused("no")
        return [Slot(1, Uid(one.octets), 1) for one in parcels]

    def run(self, *parcels: Parcel) -> None:
        Batcher(self.commit, pause=self.pauses.append).run(parcels)


@pytest.mark.parametrize(
    "errors",
    [
        (Uncertain("?"),),
        (Uncertain("?"), StoreUnavailable("away"), StoreUnavailable("away")),
        (Uncertain("?"), StoreUnavailable("away"), Uncertain("?")),
    ],
)
def test_what_may_have_been_done_is_asked_for_again_by_its_key_until_that_is_known(errors: tuple[Exception]) -> None:
    ledger, one = Ledger(*errors), parcel(7)

    ledger.run(one)

    assert one.outcome == Slot(1, Uid(7), 1)
    assert ledger.repeats == [False, *[True] * len(errors)]
    assert ledger.pauses == [REPEAT_SECONDS * 2**tried for tried in range(len(errors))]


def test_what_cannot_be_known_in_time_is_told_so() -> None:
    ledger, one = Ledger(Uncertain("first"), *[StoreUnavailable("away")] * REPEATS), parcel(7)

    ledger.run(one)

    assert isinstance(one.outcome, Uncertain)
    assert len(ledger.pauses) == REPEATS


@pytest.mark.parametrize("error", [StoreUnavailable("away"), DiskFull("full"), MailboxLocked("busy")])
def test_what_was_surely_not_done_is_told_at_once(error: MsgstoreError) -> None:
    ledger, parcels = Ledger(error), [parcel(1), parcel(2)]

    ledger.run(*parcels)

    assert [one.outcome for one in parcels] == [error, error]
    assert ledger.pauses == []


def test_a_parcel_that_is_refused_fails_alone() -> None:
    ledger = Ledger(refuses=lambda one: one.octets == 2)
    parcels = [parcel(1), parcel(2), parcel(3)]

    ledger.run(*parcels)

    assert [type(one.outcome) for one in parcels] == [Slot, Refused, Slot]


def test_a_mistake_of_the_program_reaches_its_caller_and_leaves_every_parcel_an_outcome() -> None:
    ledger, parcels = Ledger(ZeroDivisionError()), [parcel(1), parcel(2)]

    with pytest.raises(ZeroDivisionError):
        ledger.run(*parcels)

    assert [type(one.outcome) for one in parcels] == [Uncertain, Uncertain]


@pytest.mark.parametrize(
    ("octets", "each", "most"), [(OCTETS_LIMIT // 2 + 1, 1, 1), (OCTETS_LIMIT + 1, 1, 1), (1, PARCELS_LIMIT // 2, 2)]
)
def test_a_batch_takes_what_has_gathered_up_to_a_limit(octets: int, each: int, most: int) -> None:
    ledger = Ledger()
    batcher = Batcher(ledger.commit)
    ledger.may_begin.clear()
    groups = [[parcel(number, b"x" * octets) for number in range(each)] for _ in range(8)]
    threads = [threading.Thread(target=batcher.run, args=(group,)) for group in groups]
    for thread in threads:
        thread.start()

    ledger.may_begin.set()

    for thread in threads:
        thread.join()
    assert all(isinstance(one.outcome, Slot) for group in groups for one in group)
    assert sum(ledger.batches) == 8 * each
    assert max(ledger.batches) <= most * each
