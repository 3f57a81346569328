"""A Disk that records every change, and what a power cut after any of them could leave.

Changes really happen in a directory; the record knows which of them are durable.  After a crash at some point of the
record a file holds its synced octets, or more of what was written, perhaps torn; a directory holds its synced entries
and a prefix of the later changes, as the journals of ext4 and xfs order them.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgstore.store.disk import Disk

Apply = Callable[["Model"], None]
IMAGES_A_POINT: Final = 3
"""Of what was not synced a different part is left in each."""


@dataclass(slots=True)
class File:
    """One file: what was written and what is durable."""

    written: bytes = b""
    durable: bytes = b""


@dataclass(slots=True)
class Directory:
    """One directory: what is there, what is durable, and the changes since."""

    durable: dict[str, int] = field(default_factory=dict[str, int])
    pending: list["Change"] = field(default_factory=list["Change"])


@dataclass(slots=True, eq=False)
class Change:
    """Entries that change together or not at all: one, or the two of a rename, perhaps in two directories."""

    entries: tuple[tuple[Directory, str, int | None], ...]

    def begin(self) -> None:
        """Wait in every directory it concerns."""
        for directory in {id(one): one for one, _, _ in self.entries}.values():
            directory.pending.append(self)


def _put(entries: dict[str, int], name: str, node: int | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


@dataclass(slots=True)
class Model:
    """The disk as the record builds it; node 0 is the root."""

    nodes: dict[int, File | Directory] = field(default_factory=lambda: {0: Directory()})
    marks: list[str] = field(default_factory=list[str])

    def file(self, node: int) -> File:
        """Give a file."""
        found = self.nodes[node]
        assert isinstance(found, File)
        return found

    def directory(self, node: int) -> Directory:
        """Give a directory."""
        found = self.nodes[node]
        assert isinstance(found, Directory)
        return found

    def sync(self, directory: Directory) -> None:
        """Make all entries of a directory durable, and what belongs to them in others."""
        for change in directory.pending:
            for other, name, node in change.entries:
                _put(other.durable, name, node)
                if other is not directory:
                    other.pending.remove(change)
        directory.pending.clear()

    def after_crash(self, chance: random.Random, place: Path) -> None:
        """Write to ``place`` what may be left."""
        survivors: dict[int, dict[str, int]] = {}
        directories = [found for found in self.nodes.values() if isinstance(found, Directory)]
        kept: dict[int, Change] = {}
        for found in directories:
            survivors[id(found)] = dict(found.durable)
            kept |= {id(change): change for change in found.pending[: chance.randint(0, len(found.pending))]}
        for found in directories:
            for change in found.pending:
                if id(change) in kept:
                    for other, name, node in change.entries:
                        if other is found:
                            _put(survivors[id(found)], name, node)
        self._restore(0, chance, place, survivors)

    def _restore(self, node: int, chance: random.Random, place: Path, survivors: dict[int, dict[str, int]]) -> None:
        found = self.nodes[node]
        if isinstance(found, File):
            place.write_bytes(_survivor(found, chance))
            # The machine was off for a while.
            os.utime(place, (1_000_000_000, 1_000_000_000))
            return
        place.mkdir(exist_ok=True)
        for name, inner in survivors[id(found)].items():
            self._restore(inner, chance, place / name, survivors)


def _survivor(file: File, chance: random.Random) -> bytes:
    if file.written == file.durable:
        return file.durable
    # Files are only appended to: what was synced before stays.
    rest = file.written[len(file.durable) :]
    torn = rest[: chance.randint(0, len(rest))]
    return file.durable + chance.choice((b"", rest, torn, b"\0" * len(torn)))


class RecordingDisk(Disk):
    """Does everything and writes it down."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.record: list[Apply] = []
        self._nodes = {root.stat().st_ino: 0}
        self._next = 1

    def replay(self, steps: int) -> Model:
        """Give the disk as it is after the first ``steps`` changes."""
        model = Model()
        for apply in self.record[:steps]:
            apply(model)
        return model

    def mark(self, text: str) -> None:
        """Note something that was promised to somebody."""
        self.record.append(lambda model: model.marks.append(text))

    def create_anonymous(self, directory_fd: int) -> int:
        return self._new_file(super().create_anonymous(directory_fd))

    def create_named(self, directory_fd: int, name: str) -> int:
        fd = self._new_file(super().create_named(directory_fd, name))
        self._entry(directory_fd, name, self._node(fd))
        return fd

    def write(self, fd: int, octets: bytes | bytearray | memoryview) -> None:
        super().write(fd, octets)
        node, content = self._node(fd), bytes(octets)

        def apply(model: Model) -> None:
            model.file(node).written += content

        self.record.append(apply)

    def sync_file(self, fd: int) -> None:
        super().sync_file(fd)
        node = self._node(fd)

        def apply(model: Model) -> None:
            model.file(node).durable = model.file(node).written

        self.record.append(apply)

    def sync_directory(self, fd: int) -> None:
        super().sync_directory(fd)
        node = self._node(fd)
        self.record.append(lambda model: model.sync(model.directory(node)))

    def link_anonymous(self, fd: int, directory_fd: int, name: str) -> None:
        super().link_anonymous(fd, directory_fd, name)
        self._entry(directory_fd, name, self._node(fd))

    def link(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        super().link(source, target)
        self._entry(target[0], target[1], self._named(source))

    def rename(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        node = self._named(source)
        super().rename(source, target)
        self._move(source, target, node)

    def rename_new(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        node = self._named(source)
        super().rename_new(source, target)
        self._move(source, target, node)

    def exchange(self, first: tuple[int, str], second: tuple[int, str]) -> None:
        nodes = self._named(first), self._named(second)
        super().exchange(first, second)
        above, below = self._node(first[0]), self._node(second[0])

        def apply(model: Model) -> None:
            one = model.directory(above), first[1], nodes[1]
            other = model.directory(below), second[1], nodes[0]
            Change((one, other)).begin()

        self.record.append(apply)

    def unlink(self, directory_fd: int, name: str) -> None:
        super().unlink(directory_fd, name)
        self._entry(directory_fd, name, None)

    def make_directory(self, directory_fd: int, name: str) -> bool:
        made = super().make_directory(directory_fd, name)
        if made:
            node = self._number(os.stat(name, dir_fd=directory_fd).st_ino)
            self.record.append(lambda model: model.nodes.__setitem__(node, Directory()))
            self._entry(directory_fd, name, node)
        return made

    def _new_file(self, fd: int) -> int:
        node = self._number(os.fstat(fd).st_ino)
        self.record.append(lambda model: model.nodes.__setitem__(node, File()))
        return fd

    def _number(self, inode: int) -> int:
        """Give a number never given before: the kernel gives an inode again as soon as it is free."""
        self._nodes[inode] = self._next
        self._next += 1
        return self._nodes[inode]

    def _node(self, fd: int) -> int:
        return self._nodes[os.fstat(fd).st_ino]

    def _named(self, place: tuple[int, str]) -> int:
        return self._nodes[os.stat(place[1], dir_fd=place[0], follow_symlinks=False).st_ino]

    def _entry(self, directory_fd: int, name: str, node: int | None) -> None:
        directory = self._node(directory_fd)
        self.record.append(lambda model: Change(((model.directory(directory), name, node),)).begin())

    def _move(self, source: tuple[int, str], target: tuple[int, str], node: int) -> None:
        above, below = self._node(source[0]), self._node(target[0])

        def apply(model: Model) -> None:
            gone = model.directory(above), source[1], None
            Change((gone, (model.directory(below), target[1], node))).begin()

        self.record.append(apply)


def images(disk: RecordingDisk, *, seed: int, begin: int = 0) -> Iterator[tuple[int, Model, Path]]:
    """Give what a power cut behind every single change may leave: after how many, the disk then, and a directory.

    What is left is looked at in memory where that is possible: a thousand small trees are made and removed.
    """
    chance = random.Random(seed)  # noqa: S311 (a seed, not a secret)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        image = Path(place) / "image"
        for steps in range(begin, len(disk.record) + 1):
            model = disk.replay(steps)
            for _ in range(IMAGES_A_POINT):
                model.after_crash(chance, image)
                yield steps, model, image
                shutil.rmtree(image)


class WithoutFileSync(RecordingDisk):
    """A mutant: content is never made durable."""

    def sync_file(self, fd: int) -> None:
        del fd


class WithoutDirectorySync(RecordingDisk):
    """A mutant: names are never made durable."""

    def sync_directory(self, fd: int) -> None:
        del fd


class NameBeforeData(RecordingDisk):
    """A mutant: content is made durable only after the name was given."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._late: list[int] = []

    def sync_file(self, fd: int) -> None:
        self._late.append(os.dup(fd))

    def sync_directory(self, fd: int) -> None:
        for late in self._late:
            super().sync_file(late)
            os.close(late)
        self._late.clear()
        super().sync_directory(fd)


class Unsynced(Disk):
    """For reading an image of a disk: whether its repairs are durable is asked elsewhere."""

    def sync_file(self, fd: int) -> None:
        del fd

    def sync_directory(self, fd: int) -> None:
        del fd
