import os
from pathlib import Path

import pytest

from msgstore.store.disk import Disk
from msgstore.store.maildir.uidvalidity import highest_uidvalidity, next_uidvalidity


@pytest.fixture
def root_fd(tmp_path: Path) -> int:
    return os.open(tmp_path, os.O_RDONLY)


def test_every_value_is_above_the_one_before(root_fd: int) -> None:
    taken = [next_uidvalidity(Disk(), root_fd, at_least=number) for number in (1000, 1, 1000, 2000)]

    assert taken == [1000, 1001, 1002, 2000]
    assert highest_uidvalidity(Disk(), root_fd) == 2000


def test_behind_the_last_of_all_values_comes_the_present_second(root_fd: int) -> None:
    disk = Disk()
    before = int(disk.wall_seconds())
    assert next_uidvalidity(disk, root_fd, at_least=2**32 - 1) == 2**32 - 1

    taken = [next_uidvalidity(disk, root_fd, at_least=before) for _ in range(3)]

    assert before <= taken[0] <= before + 60
    assert taken[1:] == [taken[0] + 1, taken[0] + 2]
    assert highest_uidvalidity(disk, root_fd) == taken[-1]
