"""UIDVALIDITY of a mailbox: strictly increasing, kept as Dovecot keeps it (``mailbox-uidvalidity.c``).

The file ``dovecot-uidvalidity`` holds 8 hex digits; an empty ``dovecot-uidvalidity.<8 hex>`` names the highest value
given out.  The next one is taken by renaming that file to a higher value: atomic without a lock.

A value near the end of 32 bits, which only another program can have chosen, is followed by the present second: then a
folder made anew differs from the one before it still, which is what clients look at.  RFC 9051 §2.3.1.1.
"""

import os
from typing import Final

from msgstore.store.disk import Disk

__all__ = ["highest_uidvalidity", "next_uidvalidity", "recorded_uidvalidity"]

_NAME: Final = "dovecot-uidvalidity"
_TRIES: Final = 100
_LIMIT: Final = 2**32 - 1


def highest_uidvalidity(disk: Disk, root_fd: int, *, name: str = _NAME) -> int:
    """Give the highest value taken in a directory under ``name``, 0 when there is none."""
    known = [value for value in (_value_of(one, name) for one in disk.names(root_fd)) if value is not None]
    return max([*known, recorded_uidvalidity(disk, root_fd, name)])


def next_uidvalidity(disk: Disk, root_fd: int, *, at_least: int, name: str = _NAME) -> int:
    """Take a value above every earlier one of the directory and at least ``at_least``; durable on return.

    Raises:
        OSError: the disk refuses, or others kept taking values.
    """
    for _ in range(_TRIES):
        known = sorted(value for value in (_value_of(one, name) for one in disk.names(root_fd)) if value is not None)
        highest = max([*known, recorded_uidvalidity(disk, root_fd, name)])
        wanted = max(highest + 1, at_least)
        if wanted > _LIMIT:
            wanted = int(disk.wall_seconds())
        taken = f"{name}.{wanted:08x}"
        try:
            if known:
                disk.rename_new((root_fd, f"{name}.{known[-1]:08x}"), (root_fd, taken))
            else:
                os.close(disk.create_named(root_fd, taken))
        except (FileNotFoundError, FileExistsError):
            continue  # another took it in the same moment
        disk.replace(root_fd, name, f"{wanted:08x}".encode())
        return wanted
    raise BlockingIOError("others kept taking UIDVALIDITY values")


def recorded_uidvalidity(disk: Disk, root_fd: int, name: str) -> int:
    """Give what the file says, without a look at the directory; behind the truth only while a value is being taken."""
    try:
        return int(disk.read_file(root_fd, name)[0][:8], 16)
    except (FileNotFoundError, ValueError):
        return 0


def _value_of(found: str, name: str) -> int | None:
    head, dot, digits = found.rpartition(".")
    if head != name or not dot or len(digits) != 8:
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None
