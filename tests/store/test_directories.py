"""Open directories: kept, looked at again, never another one than the path leads to."""

import os
from pathlib import Path

import pytest

from msgstore.store.directories import Directories
from msgstore.store.disk import Disk
from tests.clocks import HandClock


class CountingDisk(Disk):
    """Counts the levels that are walked."""

    walks = 0

    def open_root(self, path: str, *, create: bool = False) -> int:
        self.walks += 1
        return super().open_root(path, create=create)


@pytest.fixture
def place(tmp_path: Path) -> tuple[str, tuple[str, ...]]:
    (tmp_path / "user" / "new").mkdir(parents=True)
    return (str(tmp_path), ("user", "new"))


def inode_of(directories: Directories, place: tuple[str, tuple[str, ...]]) -> int:
    with directories.lease(place) as fd:
        return os.fstat(fd).st_ino


def test_a_directory_that_is_still_there_is_looked_at_and_not_walked_to_again(
    place: tuple[str, tuple[str, ...]],
) -> None:
    watch, disk = HandClock(), CountingDisk()
    directories = Directories(disk, clock=watch)
    first = inode_of(directories, place)

    watch.now += 5
    assert inode_of(directories, place) == first
    assert disk.walks == 1
    directories.close()


def test_a_directory_that_others_put_in_its_place_is_found_within_a_second(
    tmp_path: Path, place: tuple[str, tuple[str, ...]]
) -> None:
    watch = HandClock()
    directories = Directories(Disk(), clock=watch)
    first = inode_of(directories, place)
    (tmp_path / "user").rename(tmp_path / "gone")
    (tmp_path / "user" / "new").mkdir(parents=True)

    assert inode_of(directories, place) == first
    watch.now += 1.1
    assert inode_of(directories, place) == (tmp_path / "user" / "new").stat().st_ino != first
    directories.close()


def test_who_wants_to_be_certain_is_told_at_once(tmp_path: Path, place: tuple[str, tuple[str, ...]]) -> None:
    directories = Directories(Disk(), clock=HandClock())
    inode_of(directories, place)
    (tmp_path / "user").rename(tmp_path / "gone")

    with pytest.raises(FileNotFoundError), directories.lease(place, is_certain=True):
        pass
    directories.close()


def test_a_symbolic_link_in_its_place_is_not_followed(tmp_path: Path, place: tuple[str, tuple[str, ...]]) -> None:
    watch = HandClock()
    directories = Directories(Disk(), clock=watch)
    inode_of(directories, place)
    (tmp_path / "elsewhere" / "new").mkdir(parents=True)
    (tmp_path / "user").rename(tmp_path / "gone")
    (tmp_path / "user").symlink_to("elsewhere")

    watch.now += 1.1
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        inode_of(directories, place)
    directories.close()


class LateDisk(Disk):
    """Lives some seconds later than the files, so that no directory changed just now."""

    late_seconds = 10.0

    def wall_seconds(self) -> float:
        return super().wall_seconds() + self.late_seconds


def test_a_name_that_is_not_there_is_searched_for_again_when_the_directory_has_changed(
    tmp_path: Path, place: tuple[str, tuple[str, ...]]
) -> None:
    disk = LateDisk()
    directories = Directories(disk, clock=HandClock())
    entry = directories.take(place)
    searches = 0

    def look(name: str) -> int:
        nonlocal searches
        searches += 1
        return disk.stat(entry.fd, name).st_size

    def search(name: str) -> int | None:
        return directories.search(entry, name, lambda: look(name))

    assert [search("a"), search("b"), search("a"), search("b"), searches] == [None, None, None, None, 2]
    inner = tmp_path / "user" / "new"
    before = inner.stat().st_mtime_ns
    (inner / "a").write_bytes(b"xyz")
    # As a copy does that keeps times.
    os.utime(inner, ns=(before, before))

    assert [search("a"), search("b"), search("a"), search("b"), searches] == [3, None, 3, None, 5]
    directories.give_back(entry)
    directories.close()


def test_of_a_directory_that_changed_just_now_no_absence_is_remembered(place: tuple[str, tuple[str, ...]]) -> None:
    disk = LateDisk()
    disk.late_seconds = 0.0
    directories = Directories(disk, clock=HandClock())
    entry = directories.take(place)
    searches: list[str] = []

    def look() -> int:
        searches.append("a")
        return disk.stat(entry.fd, "a").st_size

    assert [directories.search(entry, "a", look) for _ in range(3)] == [None] * 3
    assert len(searches) == 3
    directories.give_back(entry)
    directories.close()


def test_a_directory_that_is_gone_is_gone(tmp_path: Path, place: tuple[str, tuple[str, ...]]) -> None:
    watch = HandClock()
    directories = Directories(Disk(), clock=watch)
    inode_of(directories, place)
    (tmp_path / "user" / "new").rmdir()

    watch.now += 1.1
    with pytest.raises(FileNotFoundError):
        inode_of(directories, place)
    directories.close()
