"""Sealed mail goes in and out as it is, is opened and sealed where that is wanted, and is never put twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.crypto import PublicKey, SecretKey, open_sealed, seal
from msgstore.exchange.maildir_source import MaildirSource
from msgstore.exchange.maildir_target import write_maildir
from msgstore.exchange.mbox_source import MboxSource
from msgstore.exchange.mbox_target import write_mbox
from msgstore.exchange.sealing import Sealing
from msgstore.exchange.target import FolderWritten
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import MessageStore
from msgstore.model.keys import SealError
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.store.disk import Disk
from tests.exchange.room import ALICE, Silent, maildir, memory, take, tree_of

TEXT = b"Subject: secret\r\n\r\nthe plan\r\n"
PLAIN = b"Subject: open\n\nto all\n"


@pytest.fixture
def key() -> Iterator[SecretKey]:
    with SecretKey.generate() as made:
        yield made


def opening(key: SecretKey, *, to: PublicKey | None = None) -> Sealing:
    def opened(blob: bytes) -> bytearray | None:
        try:
            return open_sealed(blob, key)
        except SealError:
            return None

    return Sealing(open=opened, seal=None if to is None else lambda message: seal(message, to))


def sealing(key: SecretKey) -> Sealing:
    return Sealing(seal=lambda message: seal(message, key.public))


def source(place: Path, blob: bytes, *, mark: str = ",E=1") -> Path:
    size = len(TEXT)
    return tree_of(
        place,
        {
            f"cur/1.host,S={size},W={size}{mark}:2,FS": blob,
            "cur/2.host:2,": PLAIN,
            "new/": b"",
            "dovecot-uidlist": f"3 V77 N9\n4 :1.host,S={size},W={size}{mark}\n6 :2.host\n".encode(),
        },
    )


def seen(store: MessageStore) -> list[tuple[int, bool, int, int, frozenset[str], bytes]]:
    found: list[tuple[int, bool, int, int, frozenset[str], bytes]] = []
    for one in store.folder(ALICE, INBOX).list():
        with store.folder(ALICE, INBOX).retrieve(one.uid) as body:
            content = b"".join(body.chunks())
        found.append((one.uid, one.sealed, one.octets, one.internal_date, one.flags, content))
    return found


def written(place: Path, store: MessageStore, key: SecretKey | None = None) -> FolderWritten:
    opener = None if key is None else opening(key).open
    folders = write_maildir(store, ALICE, (Disk(), str(place)), progress=Silent(), opener=opener)
    return next(one for one in list(folders) if one.folder == INBOX)


@pytest.mark.parametrize("kind", ["memory", "maildir"])
def test_a_blob_comes_in_goes_out_and_comes_in_elsewhere_octet_for_octet(
    tmp_path: Path, key: SecretKey, kind: str
) -> None:
    blob = bytes(seal(TEXT, key.public))
    store: MessageStore = memory() if kind == "memory" else maildir(tmp_path / "store")
    other = maildir(tmp_path / "other")

    came, passed = take(store, MaildirSource(Disk(), str(source(tmp_path / "source", blob))))
    went = written(tmp_path / "out", store)
    back, _ = take(other, MaildirSource(Disk(), str(tmp_path / "out")))

    assert passed == []
    assert (came["INBOX"].put, came["INBOX"].sealed, came["INBOX"].sealed_here) == (2, 1, 0)
    assert (went.written, went.sealed, went.opened) == (2, 1, 0)
    assert (back["INBOX"].put, back["INBOX"].sealed) == (2, 1)
    (first, second) = seen(other)
    assert first == (4, True, len(TEXT), 1_500_000_000, frozenset({FLAGGED, SEEN}), blob)
    assert second[:2] == (6, False)
    store.close()
    other.close()


def test_a_blob_without_a_mark_is_known_by_the_owners_key_alone(tmp_path: Path, key: SecretKey) -> None:
    place = source(tmp_path / "source", bytes(seal(TEXT, key.public)), mark="")
    with SecretKey.generate() as another:
        strange, _ = take(memory(), MaildirSource(Disk(), str(place)), sealing=opening(another))
    unknown, _ = take(memory(), MaildirSource(Disk(), str(place)))
    store = memory()

    known, _ = take(store, MaildirSource(Disk(), str(place)), sealing=opening(key))

    assert (strange["INBOX"].sealed, unknown["INBOX"].sealed, known["INBOX"].sealed) == (0, 0, 1)
    assert [row[1:3] for row in seen(store)] == [(True, len(TEXT)), (False, len(PLAIN) + 3)]


def test_what_is_sealed_in_an_unknown_way_is_passed_over_by_name(tmp_path: Path, key: SecretKey) -> None:
    place = source(tmp_path / "source", bytes(seal(TEXT, key.public)), mark=",E=9")

    came, passed = take(memory(), MaildirSource(Disk(), str(place)))

    assert came["INBOX"].put == 1
    assert [one.reason for one in passed] == ["is sealed in a way that is not known here"]


def test_plain_mail_is_sealed_on_its_way_in_and_blobs_stay(tmp_path: Path, key: SecretKey) -> None:
    blob = bytes(seal(TEXT, key.public))
    store = maildir(tmp_path / "store")

    came, _ = take(store, MaildirSource(Disk(), str(source(tmp_path / "source", blob))), sealing=sealing(key))

    assert (came["INBOX"].put, came["INBOX"].sealed, came["INBOX"].sealed_here) == (2, 2, 1)
    first, second = seen(store)
    assert first[5] == blob
    wire = PLAIN.replace(b"\n", b"\r\n")
    assert second[:4] == (6, True, len(wire), 1_500_000_001)
    assert open_sealed(second[5], key) == wire
    store.close()


def test_running_again_puts_nothing_twice_with_uids_or_with_the_key(tmp_path: Path, key: SecretKey) -> None:
    with_uids = source(tmp_path / "source", bytes(seal(TEXT, key.public)))
    without = tree_of(tmp_path / "without", {"cur/1.host:2,": PLAIN, "cur/2.host:2,": TEXT, "new/": b""})
    for place, how in ((with_uids, sealing(key)), (without, opening(key, to=key.public))):
        store = memory()

        first, _ = take(store, MaildirSource(Disk(), str(place)), sealing=how)
        second, _ = take(store, MaildirSource(Disk(), str(place)), sealing=how)

        assert (first["INBOX"].put, first["INBOX"].sealed) == (2, 2)
        assert (second["INBOX"].put, second["INBOX"].present) == (0, 2)


def test_what_only_a_key_could_tell_is_named_and_neither_lost_nor_put_twice(tmp_path: Path, key: SecretKey) -> None:
    first = tree_of(tmp_path / "first", {"cur/1.host:2,": PLAIN, "new/": b""})
    both = tree_of(tmp_path / "both", {"cur/1.host:2,": PLAIN, "cur/2.host:2,": TEXT, "new/": b""})
    store = memory()
    take(store, MaildirSource(Disk(), str(first)), sealing=sealing(key))

    again, passed = take(store, MaildirSource(Disk(), str(both)), sealing=sealing(key))
    plainly, passed_plainly = take(store, MaildirSource(Disk(), str(first)))
    with_key, _ = take(store, MaildirSource(Disk(), str(both)), sealing=opening(key))

    assert (again["INBOX"].put, again["INBOX"].failed) == (1, 1)
    assert (plainly["INBOX"].put, plainly["INBOX"].failed) == (0, 1)
    assert {one.reason for one in passed + passed_plainly} == {
        "may be here already, sealed: only the user's keys can tell"
    }
    assert (with_key["INBOX"].put, with_key["INBOX"].present) == (0, 2)


def test_an_export_opens_what_a_key_opens_and_says_what_none_does(tmp_path: Path, key: SecretKey) -> None:
    store = memory()
    take(store, MaildirSource(Disk(), str(source(tmp_path / "a", bytes(seal(TEXT, key.public))))))
    damaged = bytearray(seal(TEXT, key.public))
    damaged[-1] ^= 1
    with store.stage(sealed=True) as staged:
        staged.write(damaged)
        uid = store.folder(ALICE, INBOX).append(staged).uid

    went = written(tmp_path / "out", store, key)
    other = memory()
    take(other, MaildirSource(Disk(), str(tmp_path / "out")))

    assert (went.written, went.opened, went.sealed) == (3, 1, 1)
    assert went.left == [f"INBOX: message {uid}"]
    assert [(row[0], row[1], row[2], row[5]) for row in seen(other)] == [
        (4, False, len(TEXT), TEXT),
        (6, False, len(PLAIN) + 3, PLAIN),
        (uid, True, len(TEXT), damaged),
    ]
    with pytest.raises(FileExistsError):
        written(tmp_path / "out", store)


def test_an_mbox_export_refuses_blobs_unless_they_are_opened(tmp_path: Path, key: SecretKey) -> None:
    store = memory()
    take(store, MaildirSource(Disk(), str(source(tmp_path / "a", bytes(seal(TEXT, key.public))))))
    with store.stage(sealed=True) as staged:
        staged.write(b"\xff" * 200)
        damaged = store.folder(ALICE, INBOX).append(staged).uid
    target = (Disk(), str(tmp_path / "out"))

    with pytest.raises(SealError, match=r"INBOX holds 2 sealed messages.*open them"):
        list(write_mbox(store, ALICE, target, progress=Silent()))
    assert not (tmp_path / "out").exists()
    inbox = next(iter(write_mbox(store, ALICE, target, progress=Silent(), opener=opening(key).open)))

    assert (inbox.written, inbox.opened, inbox.sealed) == (2, 1, 0)
    assert inbox.left == [f"INBOX: message {damaged}"]
    other = memory()
    take(other, MboxSource(Disk(), str(tmp_path / "out")))
    assert [row[5].replace(b"\r\n", b"\n") for row in seen(other)] == [TEXT.replace(b"\r\n", b"\n"), PLAIN]
    assert [row[0] for row in seen(other)] == [Uid(4), Uid(6)]
