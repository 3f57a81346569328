"""Foreign directories opened as whoever called the command, while the store is worked on as the owner of its files."""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from msgstore.store.disk import Disk

__all__ = ["CallersDisk"]


class CallersDisk(Disk):
    """A disk on which root stays root: the source of an import belongs to anybody, and so does the target of an export.

    Not for threads: who a process acts for is one for all of them.
    """

    def open_root(self, path: str, *, create: bool = False) -> int:
        """Open a directory the operator named."""
        with _as_caller():
            return super().open_root(path, create=create)

    def open_directory(self, parent_fd: int, components: Sequence[str], *, create: bool = False) -> int:
        """Walk down from a directory."""
        with _as_caller():
            return super().open_directory(parent_fd, components, create=create)

    def open_for_reading(self, directory_fd: int, name: str) -> int:
        """Open a regular file."""
        with _as_caller():
            return super().open_for_reading(directory_fd, name)

    def names(self, directory_fd: int) -> list[str]:
        """All names in a directory."""
        with _as_caller():
            return super().names(directory_fd)

    def stat(self, directory_fd: int, name: str) -> os.stat_result:
        """Look at a name without following it."""
        with _as_caller():
            return super().stat(directory_fd, name)

    def read_link(self, directory_fd: int, name: str) -> str:
        """Give what a symbolic link holds."""
        with _as_caller():
            return super().read_link(directory_fd, name)

    def replace_link(self, directory_fd: int, name: str, target: str) -> None:
        """Put a symbolic link in the place of a name."""
        with _as_caller():
            super().replace_link(directory_fd, name, target)

    def create_named(self, directory_fd: int, name: str) -> int:
        """Open a new file for reading and writing."""
        with _as_caller():
            return super().create_named(directory_fd, name)

    def set_modified(self, fd: int, seconds: float) -> None:
        """Set the time of a file."""
        with _as_caller():
            super().set_modified(fd, seconds)

    def make_directory(self, directory_fd: int, name: str) -> bool:
        """Make a directory."""
        with _as_caller():
            return super().make_directory(directory_fd, name)

    def rename(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        """Move a name over another."""
        with _as_caller():
            super().rename(source, target)

    def unlink(self, directory_fd: int, name: str) -> None:
        """Take a name away."""
        with _as_caller():
            super().unlink(directory_fd, name)


@contextmanager
def _as_caller() -> Generator[None]:
    acting = os.geteuid()
    caller = os.getuid()
    if acting == caller:
        yield
        return
    os.seteuid(caller)
    try:
        yield
    finally:
        os.seteuid(acting)
