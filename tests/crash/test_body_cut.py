"""The power goes after any single change while bodies are kept in files: what a row may name is there and whole."""

import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from msgstore.model.errors import StoreError
from msgstore.store.spool import Spool
from msgstore.store.sql.bodies import FileBodies
from msgstore.store.staging import StagedFile
from tests.crash.simulated_disk import (
    NameBeforeData,
    RecordingDisk,
    Unsynced,
    WithoutDirectorySync,
    WithoutFileSync,
    images,
)
from tests.crash.test_power_cut import number_of, proof

NUMBERS = (1, 2)


class FarAway(RecordingDisk):
    """Staged files seem to lie on another file system, but for the copies that are made of them."""

    is_near = True

    def supports_anonymous(self, directory_fd: int) -> bool:
        del directory_fd
        return True

    def link_anonymous(self, fd: int, directory_fd: int, name: str) -> None:
        self.is_near = not self.is_near
        if not self.is_near:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        super().link_anonymous(fd, directory_fd, name)


class WithNames(RecordingDisk):
    """A file system on which every file has a name."""

    def supports_anonymous(self, directory_fd: int) -> bool:
        del directory_fd
        return False


class WithoutParentSync(RecordingDisk):
    """A mutant: the names of the fan-out directories are never made durable."""

    def sync_directory(self, fd: int) -> None:
        if self._node(fd) != 0:
            super().sync_directory(fd)


def live(root: Path, kind: type[RecordingDisk]) -> RecordingDisk:
    """Each body is kept for two mailboxes; then the first goes from one of them.  All marks are what rows would say."""
    disk = kind(root)
    spool, bodies = Spool(disk, str(root)), FileBodies(disk, str(root))
    refs: list[str] = []
    for number in NUMBERS:
        with StagedFile(spool.area(), name=str(number)) as staged:
            staged.write(proof(number, 100_000))
            for mailbox in range(2):
                refs.append(bodies.keep(UUID(int=number << 64 | mailbox), staged))
                disk.mark(f"kept {number} {refs[-1]}")
    disk.mark(f"unnamed 1 {refs[0]}")
    bodies.remove(refs[0])
    spool.close()
    bodies.close()
    return disk


def violations(image: Path, marks: list[str]) -> Iterator[str]:
    """Every promise that the files break."""
    bodies = FileBodies(Unsynced(), str(image))
    unnamed = {mark.split()[2] for mark in marks if mark.startswith("unnamed")}
    for mark in marks:
        _, number, ref = mark.split()
        if ref not in unnamed:
            try:
                with bodies.open(ref) as body:
                    found = number_of(b"".join(body.chunks()))
            except StoreError:
                yield f"{mark}: is gone"
            else:
                if found != int(number):
                    yield f"{mark}: is another or broken"
    for ref in bodies.refs(older_than=math.inf):
        with bodies.open(ref) as body:
            if number_of(b"".join(body.chunks())) is None:
                yield f"{ref} is broken"


def crash_everywhere(root: Path, kind: type[RecordingDisk]) -> Iterator[str]:
    """Give every broken promise after a cut behind every single change."""
    for steps, model, image in images(live(root, kind), seed=11):
        yield from (f"after {steps}: {text}" for text in violations(image, model.marks))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", [RecordingDisk, FarAway, WithNames])
def test_after_a_power_cut_at_any_point_every_body_that_was_kept_is_there_and_none_is_partial(
    tmp_path: Path, kind: type[RecordingDisk]
) -> None:
    assert list(crash_everywhere(tmp_path, kind)) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("mutant", "symptom"),
    [
        (WithoutFileSync, "broken"),
        (WithoutDirectorySync, "gone"),
        (WithoutParentSync, "gone"),
        (NameBeforeData, "broken"),
    ],
)
def test_a_place_that_syncs_wrongly_is_caught(tmp_path: Path, mutant: type[RecordingDisk], symptom: str) -> None:
    assert any(symptom in text for text in crash_everywhere(tmp_path, mutant))


def test_a_directory_that_another_process_made_and_did_not_sync_is_made_durable(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path)
    spool, bodies = Spool(disk, str(tmp_path)), FileBodies(disk, str(tmp_path))
    area = spool.area()
    root_fd = disk.open_root(str(tmp_path))
    disk.make_directory(root_fd, "07")
    os.close(root_fd)

    with StagedFile(area, name="one") as staged:
        staged.write(proof(7, 100_000))
        disk.mark(f"kept 7 {bodies.keep(UUID(int=7), staged)}")

    end = len(disk.record)
    assert [
        text for _, model, image in images(disk, seed=3, begin=end) for text in violations(image, model.marks)
    ] == []
