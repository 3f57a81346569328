"""Mail that is there is sealed where it lies, whatever happens beside it, and nothing is sealed twice."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from msgstore.admin.resealing import (
    FolderSealed,
    Kind,
    SealAgain,
    SealPlain,
    mail_of_keys,
    may_be_blob,
    seal_mailbox,
)
from msgstore.crypto import SecretKey, open_sealed, seal
from msgstore.crypto.keyfile import OpenLegacyKey
from msgstore.crypto.keyring import OpenKeyring
from msgstore.exchange.values import Progress
from msgstore.model.errors import FolderNotFound, Overloaded
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Body, MessageStore
from msgstore.model.message import FLAGGED, Uid
from tests.crypto.vectors import CHEAP, NOON, OWN_PASSWORD
from tests.exchange.room import ALICE, Silent, maildir, memory

WORK: Final = FolderName(("Work",))
TEXT: Final = b"Subject: plan %d\r\n\r\nthe whole of it, in a few words more than a blob is longer\r\n"


@pytest.fixture(params=["memory", "maildir"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MessageStore]:
    made: MessageStore = memory() if request.param == "memory" else maildir(tmp_path / "store")
    made.create_mailbox(ALICE)
    made.folders(ALICE).create(WORK)
    yield made
    made.close()


@pytest.fixture
def key() -> Iterator[SecretKey]:
    with SecretKey.generate() as made:
        yield made


def add(store: MessageStore, content: bytes, *, sealed: bool = False, folder: FolderName = INBOX) -> Uid:
    with store.stage(sealed=sealed) as staged:
        staged.write(content)
        return store.folder(ALICE, folder).append(staged, flags=frozenset({FLAGGED}), internal_date=1e9).uid


def contents(store: MessageStore, folder: FolderName = INBOX) -> dict[int, tuple[bool, bytes]]:
    found: dict[int, tuple[bool, bytes]] = {}
    for info in store.folder(ALICE, folder).list():
        with store.folder(ALICE, folder).retrieve(info.uid) as body:
            found[info.uid] = info.sealed, b"".join(body.chunks())
    return found


def run(
    store: MessageStore, kind: Kind, *, dry_run: bool = False, progress: Progress | None = None
) -> dict[str, FolderSealed]:
    done = seal_mailbox(store, ALICE, kind, progress=progress or Silent(), dry_run=dry_run)
    return {str(one.folder): one for one in done}


def test_plain_mail_of_every_folder_is_sealed_and_stays_what_it_is(store: MessageStore, key: SecretKey) -> None:
    blob = bytes(seal(TEXT % 3, key.public))
    for number in range(3):
        add(store, TEXT % number)
    add(store, blob, sealed=True)
    add(store, b"S: x\n\n", folder=WORK)
    before = {info.uid: info for info in store.folder(ALICE, INBOX).list()}
    usage = store.usage(ALICE)
    progress = Silent()

    foreseen = run(store, SealPlain(key.public), dry_run=True)
    assert {uid: sealed for uid, (sealed, _) in contents(store).items()} == {1: False, 2: False, 3: False, 4: True}
    done = run(store, SealPlain(key.public), progress=progress)
    again = run(store, SealPlain(key.public))

    assert [(one["INBOX"].sealed, one["INBOX"].present) for one in (foreseen, done, again)] == [(3, 1), (3, 1), (0, 4)]
    assert done["Work"].sealed == 1
    assert progress.steps == 5
    for number in range(3):
        sealed, content = contents(store)[number + 1]
        assert sealed
        assert open_sealed(content, key) == TEXT % number
    assert contents(store)[4] == (True, blob)
    assert open_sealed(contents(store, WORK)[1][1], key) == b"S: x\r\n\r\n"
    for info in store.folder(ALICE, INBOX).list():
        was = before[info.uid]
        assert (info.octets, info.guid, info.flags, info.internal_date) == (
            (was.octets, was.guid, was.flags, was.internal_date)
        )
    assert store.usage(ALICE) == store.recount(ALICE) == usage


def test_what_may_be_a_blob_without_a_mark_is_left_until_the_keys_tell(store: MessageStore, key: SecretKey) -> None:
    unmarked = bytes(seal(TEXT % 1, key.public))
    odd = "Subject: ümläut ".encode() * 10 + b"\r\n\r\n"
    add(store, unmarked)
    add(store, odd)

    unknown = run(store, SealPlain(key.public))["INBOX"]
    with SecretKey.copy_of(key.octets()) as mine, OpenLegacyKey(mine) as keys:
        known = run(store, SealPlain(key.public, keys))["INBOX"]

    assert unknown.sealed == 0
    assert [one.place for one in unknown.left] == [f"{ALICE} INBOX: message {uid}" for uid in (1, 2)]
    assert "only the user's keys can tell" in unknown.left[0].reason
    assert known.sealed == 1
    assert ["is sealed already" in one.reason for one in known.left] == [True]
    after = contents(store)
    assert after[1] == (False, unmarked)
    assert open_sealed(after[2][1], key) == odd


class Meddling:
    """Seals; before the blob of a message is given something happens beside it."""

    is_again = False

    def __init__(self, kind: Kind, meddle: Callable[[], object]) -> None:
        self._kind = kind
        self._meddle = meddle

    def blob_of(self, body: Body, *, sealed: bool) -> bytearray | None:
        self._meddle()
        return self._kind.blob_of(body, sealed=sealed)


def test_what_is_removed_meanwhile_is_passed_over_and_what_comes_meanwhile_is_sealed_too(
    store: MessageStore, key: SecretKey
) -> None:
    add(store, TEXT % 1)
    add(store, TEXT % 2)
    removed: list[int] = []

    def meddle() -> None:
        if not removed:
            removed.append(2)
            store.folder(ALICE, INBOX).expunge([Uid(1), Uid(2)])
            add(store, TEXT % 3)

    done = run(store, Meddling(SealPlain(key.public), meddle))["INBOX"]

    assert (done.sealed, done.changed, done.left) == (1, 2, [])
    assert {uid: sealed for uid, (sealed, _) in contents(store).items()} == {3: True}


def test_a_folder_that_goes_away_meanwhile_hides_no_other(store: MessageStore, key: SecretKey) -> None:
    add(store, TEXT % 1, folder=WORK)
    later = FolderName(("Later",))
    store.folders(ALICE).create(later)
    add(store, TEXT % 2, folder=later)

    def remove() -> None:
        with suppress(FolderNotFound):
            store.folders(ALICE).delete(WORK)

    done = run(store, Meddling(SealPlain(key.public), remove))

    assert "Work" not in done
    assert done["Later"].sealed == 1


def test_many_messages_are_sealed_in_batches_and_a_run_that_is_stopped_goes_on(
    store: MessageStore, key: SecretKey
) -> None:
    for number in range(230):
        add(store, TEXT % number)
    calls: list[int] = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 151:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, Meddling(SealPlain(key.public), stop))
    stopped = sum(sealed for sealed, _ in contents(store).values())
    rest = run(store, SealPlain(key.public))["INBOX"]

    assert stopped == 100
    assert (rest.present, rest.sealed) == (100, 130)
    assert [open_sealed(content, key) for _, content in contents(store).values()] == [TEXT % one for one in range(230)]


@pytest.mark.parametrize("octets", [0, 1, 71])
def test_what_is_shorter_than_any_blob_is_plain(octets: int) -> None:
    assert not may_be_blob(b"\xff" * octets)
    assert may_be_blob(b"\xff" * 72)
    assert not may_be_blob((TEXT % 1)[:72])


@pytest.fixture
def ring(key: SecretKey) -> Iterator[OpenKeyring]:
    """A keyring whose old key is ``key``."""
    with SecretKey.generate() as new, OpenKeyring.create(key, OWN_PASSWORD, CHEAP, NOON) as made:
        made.rotate(new, NOON)
        yield made


def test_what_is_sealed_to_an_old_key_is_sealed_to_the_active_one_and_the_rest_stays(
    store: MessageStore, key: SecretKey, ring: OpenKeyring
) -> None:
    damaged = bytearray(seal(TEXT % 3, key.public))
    damaged[-1] ^= 1
    kept = [bytes(seal(TEXT % 2, ring.active.public)), bytes(damaged), b"\xee" * 100, b"\xee" * 3]
    old = bytes(seal(TEXT % 1, key.public))
    add(store, old, sealed=True)
    for blob in kept:
        add(store, blob, sealed=True)
    add(store, TEXT % 4)
    before = {info.uid: info for info in store.folder(ALICE, INBOX).list()}

    foreseen = run(store, SealAgain(ring), dry_run=True)["INBOX"]
    assert contents(store)[1] == (True, old)
    done = run(store, SealAgain(ring))["INBOX"]
    again = run(store, SealAgain(ring))["INBOX"]

    assert [(one.sealed, one.present, len(one.left)) for one in (foreseen, done, again)] == [
        (1, 1, 3),
        (1, 1, 3),
        (0, 2, 3),
    ]
    assert {one.reason for one in done.left} == {"is damaged, or sealed to a key that is not there"}
    after = contents(store)
    assert open_sealed(after[1][1], ring.active) == TEXT % 1
    assert [after[uid] for uid in (2, 3, 4, 5)] == [(True, blob) for blob in kept]
    assert after[6] == (False, TEXT % 4)
    assert {info.uid: info for info in store.folder(ALICE, INBOX).list()} == before


def test_blobs_without_a_mark_are_counted_and_named_when_they_need_an_old_key(
    store: MessageStore, key: SecretKey, ring: OpenKeyring
) -> None:
    add(store, bytes(seal(TEXT % 1, key.public)))
    add(store, bytes(seal(TEXT % 2, ring.active.public)))
    add(store, b"\xff" * 200)

    done = run(store, SealAgain(ring))["INBOX"]

    assert (done.sealed, done.present) == (0, 0)
    assert [key.public.key_id in one.reason for one in done.left] == [True]


def test_mail_is_counted_by_the_keys_that_it_needs(store: MessageStore, key: SecretKey, ring: OpenKeyring) -> None:
    add(store, bytes(seal(TEXT % 1, key.public)), sealed=True)
    add(store, bytes(seal(TEXT % 2, key.public)), folder=WORK)
    add(store, bytes(seal(TEXT % 3, ring.active.public)), sealed=True)
    add(store, b"\xff" * 100, sealed=True)
    add(store, TEXT % 4)

    found = mail_of_keys(store, ALICE, ring, progress=Silent())

    assert found == {key.public.key_id: 2, ring.active.public.key_id: 1}


class Moving(Silent):
    """While a folder is counted its mail is moved into one that was counted, so many times."""

    def __init__(self, store: MessageStore, times: int) -> None:
        super().__init__()
        self._store = store
        self._times = times

    def begin(self, label: str, total: int | None) -> None:
        super().begin(label, total)
        if not self._times or label not in {"INBOX", "Work"}:
            return
        here, there = (INBOX, WORK) if label == "INBOX" else (WORK, INBOX)
        self._times -= label == "Work"
        source = self._store.folder(ALICE, here)
        source.move([info.uid for info in source.list()], there)


def test_mail_that_is_moved_while_it_is_counted_is_never_missed(
    store: MessageStore, key: SecretKey, ring: OpenKeyring
) -> None:
    add(store, bytes(seal(TEXT % 1, key.public)), sealed=True, folder=WORK)

    assert mail_of_keys(store, ALICE, ring, progress=Moving(store, 1)) == {key.public.key_id: 1}
    with pytest.raises(Overloaded):
        mail_of_keys(store, ALICE, ring, progress=Moving(store, 99))


def test_a_folder_that_goes_away_while_mail_is_counted_is_none(
    store: MessageStore, key: SecretKey, ring: OpenKeyring
) -> None:
    add(store, bytes(seal(TEXT % 1, key.public)), sealed=True)

    class Removing(Silent):
        def begin(self, label: str, total: int | None) -> None:
            super().begin(label, total)
            with suppress(FolderNotFound):
                store.folders(ALICE).delete(WORK)

    assert mail_of_keys(store, ALICE, ring, progress=Removing()) == {key.public.key_id: 1}
