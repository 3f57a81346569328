"""UIDVALIDITY of a mailbox: strictly increasing, kept as Dovecot keeps it (``mailbox-uidvalidity.c``).

The file ``dovecot-uidvalidity`` holds 8 hex digits; an empty ``dovecot-uidvalidity.<8 hex>`` names the highest value
given out.  The next one is taken by renaming that file to a higher value: atomic without a lock.
"""

import os
from typing import Final

from msgstore.store.disk import Disk

__all__ = ["next_uidvalidity"]

_NAME: Final = "dovecot-uidvalidity"
_TRIES: Final = 100


def next_uidvalidity(disk: Disk, root_fd: int, *, at_least: int) -> int:
    """Take a value above every earlier one of the mailbox and at least ``at_least``; durable on return.

    Raises:
        OSError: the disk refuses, or others kept taking values.
    """
    for _ in range(_TRIES):
        known = sorted(value for value in map(_value_of, disk.names(root_fd)) if value is not None)
        highest = max([*known, _written(disk, root_fd)])
        wanted = max(highest + 1, at_least)
        name = f"{_NAME}.{wanted:08x}"
        try:
            if known:
                disk.rename_new((root_fd, f"{_NAME}.{known[-1]:08x}"), (root_fd, name))
            else:
                os.close(disk.create_named(root_fd, name))
        except (FileNotFoundError, FileExistsError):
            continue  # another took it in the same moment
        disk.replace(root_fd, _NAME, f"{wanted:08x}".encode())
        return wanted
    raise BlockingIOError("others kept taking UIDVALIDITY values")


def _written(disk: Disk, root_fd: int) -> int:
    try:
        return int(disk.read_file(root_fd, _NAME)[0][:8], 16)
    except (FileNotFoundError, ValueError):
        return 0


def _value_of(name: str) -> int | None:
    head, dot, digits = name.rpartition(".")
    if head != _NAME or not dot or len(digits) != 8:
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None
