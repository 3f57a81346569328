"""Syncs that deliveries wait for, done together."""

from collections.abc import Sequence
from typing import Final

from msgstore.model.interfaces import Wait
from msgstore.store.disk import Disk

__all__ = ["Sync", "settle"]


class Sync(Wait):
    """Descriptors to sync, all of files or all of directories; each gets its outcome, None or an error.

    They stay open until the delivery goes on.
    """

    __slots__ = ("fds", "is_directory", "outcomes")

    def __init__(self, fds: Sequence[int], *, is_directory: bool) -> None:
        self.fds: Final = fds
        self.is_directory: Final = is_directory
        self.outcomes: Sequence[OSError | None] = ()


def settle(disk: Disk, waits: Sequence[Wait]) -> None:
    """Sync everything waited for: the files, then the directories, each directory once."""
    syncs = [wait for wait in waits if isinstance(wait, Sync)]
    assert len(syncs) == len(waits), "a wait is settled by the store that gave it"
    files = [sync for sync in syncs if not sync.is_directory]
    found = iter(disk.sync_files([fd for sync in files for fd in sync.fds]))
    for sync in files:
        sync.outcomes = [next(found) for _ in sync.fds]
    directories = list(dict.fromkeys(fd for sync in syncs if sync.is_directory for fd in sync.fds))
    done = dict(zip(directories, disk.sync_directories(directories), strict=True))
    for sync in syncs:
        if sync.is_directory:
            sync.outcomes = [done[fd] for fd in sync.fds]
