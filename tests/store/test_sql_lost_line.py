"""The line to the database is cut anywhere: nothing is lost, nothing comes twice, a UID answered is the UID stored."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from msgstore.model.errors import MsgstoreError, StoreUnavailable
from msgstore.model.folder import INBOX
from msgstore.model.message import FLAGGED, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.model.result import Filed
from msgstore.model.store import Uncertain
from msgstore.store.sql.store import SqlStore
from tests.postgres_room import server_directory
from tests.sql_room import sql_store
from tests.store.relay import Cut, Relay, relayed
from tests.store.sql_ledger import ALICE, check_sums, deliver, filed, texts

pytestmark = pytest.mark.timeout(120)

CUTS: Final = 40


@pytest.fixture
def line(mail_database: str) -> Iterator[tuple[Relay, str]]:
    with server_directory() as place, relayed(mail_database, place) as made:
        yield made


@pytest.fixture
def relay(line: tuple[Relay, str]) -> Relay:
    return line[0]


@pytest.fixture
def store(line: tuple[Relay, str], tmp_path: Path) -> Iterator[SqlStore]:
    """A store behind the relay, with a mailbox."""
    made = sql_store(line[1], tmp_path)
    made.create_mailbox(ALICE)
    yield made
    made.close()


@pytest.mark.parametrize("where", Cut)
def test_a_delivery_whose_commit_is_cut_off_is_there_once_under_the_uid_answered(
    store: SqlStore, relay: Relay, where: Cut, mail_database: str
) -> None:
    relay.cut(where)
    first = filed(deliver(store, b"first"))
    second = filed(deliver(store, b"second"))

    assert relay.cuts == 1
    assert texts(store) == {first: b"first", second: b"second"}
    check_sums(mail_database, is_gapless=True)


@pytest.mark.parametrize("where", Cut)
def test_it_is_settled_also_when_the_database_is_away_for_a_while_after_that(
    store: SqlStore, relay: Relay, where: Cut, mail_database: str
) -> None:
    relay.cut(where)
    relay.refuse(5)

    uid = filed(deliver(store, b"text"))

    assert texts(store) == {uid: b"text"}
    check_sums(mail_database, is_gapless=True)


def test_a_change_whose_commit_is_cut_off_says_that_its_outcome_is_not_known(store: SqlStore, relay: Relay) -> None:
    uid = Uid(filed(deliver(store, b"text")))
    folder = store.folder(ALICE, INBOX)

    relay.cut(Cut.AFTER_COMMIT)
    with pytest.raises(Uncertain):
        folder.set_flags([uid], FlagChange.ADD, flags=frozenset({FLAGGED}))
    (done,) = folder.list()
    relay.cut(Cut.BEFORE_COMMIT)
    with pytest.raises(Uncertain):
        folder.set_flags([uid], FlagChange.REMOVE, flags=frozenset({FLAGGED}))
    (not_done,) = folder.list()

    assert done.flags == not_done.flags == {FLAGGED}


def test_a_delivery_is_there_once_wherever_in_its_transaction_the_line_is_cut(
    store: SqlStore, relay: Relay, mail_database: str
) -> None:
    # The first one opens the connection, which is not measured.
    wanted = {filed(deliver(store, b"first")): b"first"}
    before = relay.octets
    wanted[filed(deliver(store, b"x" * 3000))] = b"x" * 3000
    whole = relay.octets - before

    for number in range(CUTS):
        text = b"%d" % number + b"x" * 3000
        relay.cut_after(number * whole // CUTS)
        wanted[filed(deliver(store, text))] = text
        relay.calm()

    assert relay.cuts == CUTS
    assert texts(store) == wanted
    check_sums(mail_database, is_gapless=True)


def test_a_message_is_read_whole_wherever_the_line_is_cut(store: SqlStore, relay: Relay) -> None:
    uid = filed(deliver(store, b"text"))
    before = relay.octets
    texts(store)
    whole = relay.octets - before

    for octets in range(0, whole, max(whole // CUTS, 1)):
        relay.cut_after(octets)
        assert texts(store) == {uid: b"text"}
        relay.calm()

    assert relay.cuts >= CUTS


def test_threads_that_deliver_over_a_line_cut_again_and_again_agree_with_what_is_there(
    store: SqlStore, relay: Relay, mail_database: str
) -> None:
    acknowledged: dict[int, bytes] = {}
    failed: list[MsgstoreError] = []

    def run(name: int) -> None:
        chance = random.Random(name)  # noqa: S311 - the same every time
        for number in range(40):
            if number % 10 == name:
                # A line that is cut whenever it is there carries nothing; this one is cut about twenty times.
                kind = chance.randrange(3)
                if kind == 2:
                    relay.cut_after(chance.randrange(20_000))
                else:
                    relay.cut((Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT)[kind])
            text = b"%d of %d" % (number, name)
            answer = deliver(store, text)
            if isinstance(answer, Filed):
                acknowledged[filed(answer)] = text
            else:
                failed.append(answer)

    threads = [threading.Thread(target=run, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    relay.calm()

    found = texts(store)
    assert relay.cuts > 0
    assert all(isinstance(error, StoreUnavailable) for error in failed)
    # What was answered with an error may be there all the same, once; what was acknowledged is there as it was.
    assert len(set(found.values())) == len(found)
    assert {uid: found.get(uid) for uid in acknowledged} == acknowledged
    check_sums(mail_database, is_gapless=True)
