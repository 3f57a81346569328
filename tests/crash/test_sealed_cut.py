"""The power goes after any change of the disk: no plaintext was ever written, and no blob is half there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.crypto import open_sealed
from msgstore.crypto.secret import SecretKey
from msgstore.delivery.sealing import Sealing
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Filing
from msgstore.model.keys import SealError
from msgstore.model.result import Filed
from tests.crash.simulated_disk import RecordingDisk, Unsynced, WithoutFileSync, images
from tests.crash.test_power_cut import ALICE, BOB, WORK, opened
from tests.crypto.vectors import golden_key

MARK = b"not a word of this may ever touch the disk"


def text(number: int) -> bytes:
    return b"X-Number: %d\r\n\r\n" % number + MARK + b"." * (10 if number % 2 else 100_000)


def live(root: Path, kind: type[RecordingDisk]) -> RecordingDisk:
    """Deliveries to alice, who has a key, and to bob, who has none."""
    disk = kind(root)
    store = opened(root, disk)
    store.create_mailbox(ALICE)
    store.folders(ALICE).create(WORK)
    sealing = Sealing(store)
    with golden_key() as key:
        keys = {ALICE: key.public.octets}
    for number, places in enumerate([[(ALICE, INBOX)], [(ALICE, WORK)], [(ALICE, INBOX), (BOB, INBOX)]], 1):
        filings = [Filing(mailbox=mailbox, folder=folder) for mailbox, folder in places]
        with sealing.stage(sealed_for_some=True) as staged:
            staged.write(text(number))
            for answer in sealing.deliver(staged, filings, keys):
                assert isinstance(answer, Filed)
                disk.mark(f"{number} {answer.mailbox.local_part} {answer.folder}")
    store.close()
    return disk


def found_in(image: Path, key: SecretKey) -> set[str]:
    """Open all mail that is there, as its owner does; what cannot be opened is ``broken``."""
    found: set[str] = set()
    store = opened(image, Unsynced())
    for mailbox in (ALICE, BOB):
        if not store.mailbox_exists(mailbox):
            continue
        for folder in store.folders(mailbox).list():
            handle = store.folder(mailbox, folder.name)
            for info in handle.list():
                with handle.retrieve(info.uid) as body:
                    octets = b"".join(body.chunks())
                try:
                    plain = bytes(open_sealed(octets, key)) if info.sealed else octets
                except SealError:
                    plain = b"X-Number: broken"
                number = plain.split(b"\r\n")[0].removeprefix(b"X-Number: ").decode()
                found.add(f"{number} {mailbox.local_part} {folder.name}")
                if number != "broken" and plain != text(int(number)):
                    found.add("broken")
    store.close()
    return found


def faults(tmp_path: Path, kind: type[RecordingDisk]) -> Iterator[str]:
    root = tmp_path / "live"
    root.mkdir()
    with golden_key() as key:
        for steps, model, image in images(live(root, kind), seed=11):
            plain = [path for path in image.rglob("*") if path.is_file() and MARK in path.read_bytes()]
            yield from (f"after {steps}: plaintext in {path}" for path in plain if "/bob/" not in str(path))
            found = found_in(image, key)
            yield from (f"after {steps}: {one}" for one in found if "broken" in one)
            yield from (f"after {steps}: {mark} is lost" for mark in model.marks if mark not in found)


@pytest.mark.timeout(300)
def test_a_power_cut_leaves_whole_blobs_and_no_plaintext(tmp_path: Path) -> None:
    assert list(faults(tmp_path, RecordingDisk)) == []


@pytest.mark.timeout(300)
def test_a_store_that_does_not_sync_blobs_is_caught(tmp_path: Path) -> None:
    assert any("broken" in fault for fault in faults(tmp_path, WithoutFileSync))


def test_what_is_written_in_plaintext_is_caught(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path)
    store = opened(tmp_path, disk)
    store.create_mailbox(ALICE)
    with store.stage() as staged:
        staged.write(text(1))
        list(store.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX)]))
    store.close()

    assert [path for path in tmp_path.rglob("*") if path.is_file() and MARK in path.read_bytes()]
