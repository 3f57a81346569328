"""The power goes after any single change: what was promised is there, what was not is whole or absent."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing
from msgstore.model.message import SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.model.result import Filed
from msgstore.store.disk import Disk
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.crash.simulated_disk import (
    NameBeforeData,
    RecordingDisk,
    Unsynced,
    WithoutDirectorySync,
    WithoutFileSync,
    images,
)

ALICE, BOB = MailboxId("alice", "example.com"), MailboxId("bob", "example.com")
WORK = FolderName(("Work",))


def proof(number: int, octets: int) -> bytes:
    """A message that shows whether it is whole."""
    rest = bytes((number + index) % 251 for index in range(octets))
    return b"X-Proof: %d %s\r\n\r\n" % (number, hashlib.sha256(rest).hexdigest().encode()) + rest


def number_of(text: bytes) -> int | None:
    """The number of a whole message; None for a broken one."""
    head, _, rest = text.partition(b"\r\n\r\n")
    words = head.split()
    whole = len(words) == 3 and words[2] == hashlib.sha256(rest).hexdigest().encode()
    return int(words[1]) if whole else None


def at_once(seconds: float) -> None:
    del seconds


def opened(root: Path, disk: Disk) -> MaildirStore:
    store = MaildirStore(str(root), layout_for=lambda _: Layout(), disk=disk, hostname="test.example")
    store.lock._sleep = at_once  # nobody else is there to be waited for
    return store


def deliver(store: MaildirStore, disk: RecordingDisk, number: int, *places: tuple[MailboxId, FolderName]) -> None:
    with store.stage() as staged:
        staged.write(proof(number, 50 if number % 2 else 100_000))
        filings = [Filing(mailbox=mailbox, folder=folder) for mailbox, folder in places]
        for answer in store.deliver(staged, filings):
            assert isinstance(answer, Filed)
            disk.mark(f"stored {number} {answer.mailbox.local_part} {answer.folder}")


def look(store: MaildirStore, disk: RecordingDisk, mailbox: MailboxId, folder: FolderName) -> None:
    handle = store.folder(mailbox, folder)
    validity = handle.stat().uidvalidity
    for info in handle.list():
        with handle.retrieve(info.uid) as body:
            number = number_of(b"".join(body.chunks()))
        disk.mark(f"shown {number} {mailbox.local_part} {folder} {validity} {info.uid}")


def rearrange(store: MaildirStore, disk: RecordingDisk) -> None:
    """Append, flag, copy, move, rename and remove."""
    inbox = store.folder(ALICE, INBOX)
    with store.stage() as staged:
        staged.write(proof(6, 70))
        uid = inbox.append(staged, keywords=frozenset({"k"})).uid
    disk.mark("stored 6 alice INBOX")
    disk.mark(f"shown 6 alice INBOX {inbox.stat().uidvalidity} {uid}")
    inbox.set_flags([uid], FlagChange.ADD, flags=frozenset({SEEN}), keywords=frozenset({"another"}))
    uid_of = {number_of_message(store, INBOX, info.uid): info.uid for info in inbox.list()}
    inbox.copy([uid_of[4]], WORK)
    disk.mark("stored 4 alice Work")
    disk.mark("expunging 5 alice INBOX")
    inbox.move([uid_of[5]], WORK)
    disk.mark("stored 5 alice Work")
    disk.mark("expunged 5 alice INBOX")
    look(store, disk, ALICE, WORK)
    store.folders(ALICE).subscribe(WORK)
    look(store, disk, ALICE, INBOX)


def number_of_message(store: MaildirStore, folder: FolderName, uid: Uid) -> int | None:
    with store.folder(ALICE, folder).retrieve(uid) as body:
        return number_of(b"".join(body.chunks()))


def live(root: Path, kind: type[RecordingDisk]) -> RecordingDisk:
    """A short life of a store: deliveries to one and to many, reading, removing, a new folder."""
    disk = kind(root)
    store = opened(root, disk)
    deliver(store, disk, 1, (ALICE, INBOX))
    deliver(store, disk, 2, (ALICE, INBOX), (BOB, INBOX))
    look(store, disk, ALICE, INBOX)
    store.folders(ALICE).create(WORK)
    deliver(store, disk, 3, (ALICE, WORK), (BOB, INBOX))
    deliver(store, disk, 4, (ALICE, INBOX))
    look(store, disk, ALICE, INBOX)
    look(store, disk, BOB, INBOX)
    disk.mark("expunging 1 alice INBOX")
    assert store.folder(ALICE, INBOX).expunge([Uid(1)]) == (1,)
    disk.mark("expunged 1 alice INBOX")
    deliver(store, disk, 5, (ALICE, INBOX))
    look(store, disk, ALICE, INBOX)
    rearrange(store, disk)
    store.close()
    return disk


def contents(root: Path) -> dict[tuple[str, str], dict[tuple[int, int], int | None]]:
    """What an ordinary store finds after the crash: number by uidvalidity and UID, for each folder."""
    found: dict[tuple[str, str], dict[tuple[int, int], int | None]] = {}
    store = opened(root, Unsynced())
    for mailbox in (ALICE, BOB):
        if not store.mailbox_exists(mailbox):
            continue
        for info in store.folders(mailbox).list():
            handle = store.folder(mailbox, info.name)
            validity = handle.stat().uidvalidity
            there = found[mailbox.local_part, str(info.name)] = {}
            for message in handle.list():
                with handle.retrieve(message.uid) as body:
                    there[validity, message.uid] = number_of(b"".join(body.chunks()))
    store.close()
    return found


def violations(found: dict[tuple[str, str], dict[tuple[int, int], int | None]], marks: Sequence[str]) -> list[str]:
    """Every promise that the contents break."""
    bad = [f"{place} shows a broken message" for place, there in found.items() if None in there.values()]
    touched = {tuple(mark.split()[1:4]) for mark in marks if mark.startswith("expunging")}
    removed = {tuple(mark.split()[1:4]) for mark in marks if mark.startswith("expunged")}
    for mark in marks:
        words = mark.split()
        number, place = int(words[1]), (words[2], words[3])
        there = found.get(place, {})
        key = (words[1], *place)
        if words[0] == "stored" and key not in touched and list(there.values()).count(number) != 1:
            bad.append(f"{mark}: found {list(there.values()).count(number)} times")
        if words[0] == "shown":
            now = there.get((int(words[4]), int(words[5])))
            if now is not None and now != number:
                bad.append(f"{mark}: the UID names {now} now")
            if now is None and key not in touched:
                bad.append(f"{mark}: the UID names nothing now")
        if words[0] == "expunged" and key in removed and number in there.values():
            bad.append(f"{mark}: is back")
    return bad


def crash_everywhere(tmp_path: Path, kind: type[RecordingDisk]) -> Iterator[str]:
    """Give every broken promise after a cut behind every single change."""
    root = tmp_path / "live"
    root.mkdir()
    for steps, model, image in images(live(root, kind), seed=7):
        yield from (f"after {steps}: {text}" for text in violations(contents(image), model.marks))


@pytest.mark.timeout(300)
def test_after_a_power_cut_at_any_point_every_promise_holds(tmp_path: Path) -> None:
    assert list(crash_everywhere(tmp_path, RecordingDisk)) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mutant", "symptom"),
    [
        (WithoutFileSync, "broken"),
        (WithoutDirectorySync, "found 0 times"),
        (NameBeforeData, "broken"),
    ],
)
def test_a_store_that_syncs_wrongly_is_caught(tmp_path: Path, mutant: type[RecordingDisk], symptom: str) -> None:
    assert any(symptom in text for text in crash_everywhere(tmp_path, mutant))
