"""Following what was sealed where it lies: the message has another base then, and stays the same one.

Whoever seals gives the blob its name, writes the UID list, and takes the name of the plain file away.  What a crash in
between leaves is put right by the next look at the folder: the blob counts, under the UID the message had.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from msgstore.store.disk import Disk
from msgstore.store.maildir.names import SEALED_MARK, came_of, unique_of

__all__ = ["Followed", "find_sealed", "take_twins_away"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What was found."""

    renamed: Mapping[str, str]
    """Bases of messages that are known in plain, to those they have now."""

    twins: frozenset[str]
    """Bases whose plain file is there beside the blob."""


def find_sealed(there: Mapping[str, object], known: Iterable[str]) -> Followed | None:
    """Compare the bases of files with those that are known; None, and quickly, where nothing was sealed."""
    sealed = {unique_of(base): base for base in there if SEALED_MARK in base}
    if not sealed:
        return None

    def now(plain: str) -> str | None:
        base = sealed.get(unique_of(plain))
        return base if base is not None and came_of(base, plain) else None

    renamed = {plain: base for plain in known if SEALED_MARK not in plain and (base := now(plain)) is not None}
    twins = frozenset(plain for plain in there if SEALED_MARK not in plain and now(plain) is not None)
    return Followed(renamed=renamed, twins=twins) if renamed or twins else None


def take_twins_away(disk: Disk, folder_fd: int, names: Mapping[str, Iterable[str]]) -> None:
    """Remove plain files whose blobs are there, by the inner directory they are in; the blobs are durable first."""
    inner_fds = {inner: disk.open_directory(folder_fd, [inner]) for inner in ("new", "cur")}
    try:
        for fd in inner_fds.values():
            disk.sync_directory(fd)
        for inner, listed in names.items():
            for name in listed:
                # Renamed meanwhile, it is taken away by the look that follows the renaming.
                with suppress(FileNotFoundError):
                    disk.unlink(inner_fds[inner], name)
    finally:
        for fd in inner_fds.values():
            os.close(fd)
