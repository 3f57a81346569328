"""The date of a message is the time of its file, whatever the year."""

import os
from pathlib import Path

import pytest

from msgstore.store.disk import Disk


@pytest.mark.parametrize("seconds", [0, 1, 1_700_000_000, 1_700_000_000.5, 4_797_346_325, 9_000_000_001, -1.5])
def test_a_file_keeps_the_second_it_is_given(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "message"
    path.touch()
    fd = os.open(path, os.O_RDWR)

    Disk().set_modified(fd, seconds)

    os.close(fd)
    assert path.stat().st_mtime_ns == int(seconds * 2) * 500_000_000
