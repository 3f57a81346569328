"""The power goes after any single change while messages are sealed where they lie: each is there once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Filing
from msgstore.model.message import FLAGGED, Uid
from msgstore.store.maildir.store import MaildirStore
from tests.crash.simulated_disk import NameBeforeData, RecordingDisk, Unsynced, WithoutFileSync, images
from tests.crash.test_power_cut import ALICE, number_of, opened

NUMBERS = (1, 2, 3)
KEYWORDS = frozenset(map(str, range(28)))
"""More than there are letters."""

FIRST, SECOND = b"\xee" * SEAL_OVERHEAD_OCTETS, b"\xdd" * SEAL_OVERHEAD_OCTETS


class ForgetsNames(RecordingDisk):
    """A mutant: from some time on names are never made durable."""

    forgets = False

    def sync_directory(self, fd: int) -> None:
        if not self.forgets:
            super().sync_directory(fd)


def octets_of(number: int) -> bytes:
    """A message that shows whether it is whole, with CRLF line ends alone."""
    rest = b"%d" % number * (50 if number % 2 else 100_000)
    return b"X-Proof: %d %s\r\n\r\n" % (number, hashlib.sha256(rest).hexdigest().encode()) + rest


def seal(store: MaildirStore, head: bytes, *, again: bool = False) -> tuple[Uid, ...]:
    """Seal everything that is plain, or everything that is sealed, as a job does that is run again."""
    inbox = store.folder(ALICE, INBOX)
    blobs = {info.uid: store.stage(sealed=True) for info in inbox.list() if info.sealed == again}
    try:
        for uid, staged in blobs.items():
            with inbox.retrieve(uid) as body:
                text = b"".join(body.chunks())
            staged.write(head + (text[SEAL_OVERHEAD_OCTETS:] if again else text))
        return inbox.seal(blobs, again=again)
    finally:
        for staged in blobs.values():
            staged.discard()


def live(root: Path, kind: type[RecordingDisk]) -> tuple[RecordingDisk, int]:
    """Mail is there and was looked at; then it is sealed, and sealed again.  Gives where that begins, too."""
    disk = kind(root)
    store = opened(root, disk)
    store.create_mailbox(ALICE)
    inbox = store.folder(ALICE, INBOX)
    for number in NUMBERS:
        with store.stage() as staged:
            staged.write(octets_of(number))
            if number == 2:
                inbox.append(staged, flags=frozenset({FLAGGED}), keywords=KEYWORDS)
            else:
                list(store.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX)]))
                inbox.list()
    for info in inbox.list():
        disk.mark(f"shown {info.uid} {info.guid}")
    begin = len(disk.record)
    if isinstance(disk, ForgetsNames):
        disk.forgets = True
    for uid in seal(store, FIRST):
        disk.mark(f"sealed {uid}")
    for uid in seal(store, SECOND, again=True):
        disk.mark(f"resealed {uid}")
    store.close()
    return disk, begin


def violations(root: Path, marks: Sequence[str]) -> list[str]:
    """Every promise that is broken, at once and when the job was run again."""
    bad: list[str] = []
    store = opened(root, Unsynced())
    inbox = store.folder(ALICE, INBOX)
    shown = {words[2]: int(words[1]) for mark in marks if (words := mark.split())[0] == "shown"}
    for is_again in (False, True):
        infos = {info.guid: info for info in inbox.list()}
        files = [name for inner in ("new", "cur") for name in (place_of(root) / inner).iterdir()]
        if {guid: info.uid for guid, info in infos.items()} != shown or len(files) != len(shown):
            bad.append(f"{len(files)} files, {[(info.uid, guid) for guid, info in infos.items()]}")
        for info in infos.values():
            with inbox.retrieve(info.uid) as body:
                text = b"".join(body.chunks())
            head = text[:SEAL_OVERHEAD_OCTETS]
            is_sealed = head in (FIRST, SECOND)
            number = number_of(text[SEAL_OVERHEAD_OCTETS:] if is_sealed else text)
            if number is None or is_sealed != info.sealed or info.octets != len(octets_of(number)):
                bad.append(f"message {info.uid} is broken")
            if f"sealed {info.uid}" in marks and not is_sealed:
                bad.append(f"message {info.uid} is plain again")
            if f"resealed {info.uid}" in marks and head != SECOND:
                bad.append(f"message {info.uid} has its old key again")
            if info.uid == 2 and info.keywords != KEYWORDS:
                bad.append("keywords are gone")
        if not is_again:
            seal(store, FIRST)
    if not all(info.sealed for info in inbox.list()):
        bad.append("running again did not seal everything")
    store.close()
    return bad


def place_of(root: Path) -> Path:
    (place,) = (found.parent for found in root.rglob("cur") if "alice" in found.parts and found.parent.name[0] != ".")
    return place


def crash_everywhere(tmp_path: Path, kind: type[RecordingDisk]) -> list[str]:
    root = tmp_path / "live"
    root.mkdir()
    disk, begin = live(root, kind)
    return [
        f"after {steps}: {text}"
        for steps, model, image in images(disk, seed=7, begin=begin)
        for text in violations(image, model.marks)
    ]


@pytest.mark.timeout(300)
def test_after_a_power_cut_at_any_point_every_message_is_there_once_plain_or_sealed(tmp_path: Path) -> None:
    assert crash_everywhere(tmp_path, RecordingDisk) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mutant", "symptom"),
    [(WithoutFileSync, "broken"), (NameBeforeData, "broken"), (ForgetsNames, "is plain again")],
)
def test_sealing_that_syncs_wrongly_is_caught(tmp_path: Path, mutant: type[RecordingDisk], symptom: str) -> None:
    assert any(symptom in text for text in crash_everywhere(tmp_path, mutant))
