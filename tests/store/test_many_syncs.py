"""Many syncs with one call: every one is answered, in its place."""

import errno
import os
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from msgstore.store.disk import Disk
from msgstore.store.manysyncs import LIMIT, ManySyncs


@pytest.fixture
def files(tmp_path: Path) -> Generator[list[int]]:
    fds = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(8)]
    for fd in fds:
        os.write(fd, b"x" * 5000)
    yield fds
    for fd in fds:
        os.close(fd)


def a_closed_one() -> int:
    fd = os.open("/", os.O_RDONLY)
    os.close(fd)
    return fd


def numbers_of(errors: list[OSError | None]) -> list[int | None]:
    return [None if error is None else error.errno for error in errors]


def test_all_files_of_a_set_are_synced(files: list[int]) -> None:
    many = ManySyncs()

    assert many.files(files) == [None] * 8
    assert many.files(files[:1]) == [None]


def test_all_directories_of_a_set_are_synced(tmp_path: Path) -> None:
    fds = [os.open(tmp_path, os.O_RDONLY), os.open(tmp_path.parent, os.O_RDONLY)]

    assert ManySyncs().directories(fds) == [None, None]
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("at", [1, 4, 7])
def test_one_that_cannot_be_synced_changes_no_other_answer(files: list[int], at: int) -> None:
    reader, writer = os.pipe()
    for bad, number in ((reader, errno.EINVAL), (a_closed_one(), errno.EBADF)):
        fds = [*files[:at], bad, *files[at + 1 :]]

        assert numbers_of(Disk(many=ManySyncs()).sync_files(fds)) == [None] * at + [number] + [None] * (7 - at)
    os.close(reader)
    os.close(writer)


def test_where_the_first_is_not_taken_the_plain_calls_answer(files: list[int]) -> None:
    many, bad = ManySyncs(), a_closed_one()

    assert many.files([bad, *files]) == []
    assert numbers_of(Disk(many=many).sync_files([bad, *files])) == [errno.EBADF] + [None] * 8
    assert numbers_of(Disk(many=many).sync_directories([bad, *files])) == [errno.EBADF] + [None] * 8


def test_more_than_fit_and_machines_that_are_not_known_are_left_to_the_plain_calls(files: list[int]) -> None:
    assert ManySyncs().files(files[:1] * (LIMIT + 1)) == [None] * LIMIT
    assert Disk(many=ManySyncs()).sync_files(files[:1] * (LIMIT + 1)) == [None] * (LIMIT + 1)
    assert ManySyncs(machine="pdp11").files(files) == []
    assert Disk(many=ManySyncs(machine="pdp11")).sync_files(files) == [None] * 8


def test_threads_do_not_take_each_others_answers(files: list[int]) -> None:
    many, bad = ManySyncs(), a_closed_one()
    found: list[list[int | None]] = []

    def work(at: int) -> None:
        disk = Disk(many=many)
        fds = [*files[:at], bad, *files[at + 1 :]]
        expected: list[int | None] = [None] * at + [errno.EBADF] + [None] * (7 - at)
        found.extend(answer for _ in range(30) if (answer := numbers_of(disk.sync_files(fds))) != expected)

    threads = [threading.Thread(target=work, args=(at,)) for at in (1, 3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not found
