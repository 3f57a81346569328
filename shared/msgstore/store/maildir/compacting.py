"""Giving a folder a fresh ``cur/``: directories of ext4 never shrink, and a large one is slow to list.

Every message gets a second name in the fresh directory; then the two directories change places in one step, so that a
crash at any point leaves all mail where readers look for it.
"""

import os
import secrets
from typing import Final

from msgstore.store.maildir.changing import note_own_change
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.names import base_of
from msgstore.store.maildir.reading import Reading
from msgstore.store.maildir.rows import CUR, NEW, NOWHERE, FolderRow
from msgstore.store.maildir.tree import TRASH_PREFIX

__all__ = ["compact_folder"]

_WORTH_OCTETS: Final = 128 * 1024
"""A smaller directory is listed in no time."""

_OCTETS_A_NAME: Final = 200
"""What an entry takes at the most, with the room a directory leaves free."""


def compact_folder(reading: Reading) -> None:
    """Compact one folder: its directory, where that is worth it, and its UID list."""
    reading.run(lambda index, row: _compact(reading, index, row))


def _compact(reading: Reading, index: Index, row: FolderRow) -> None:
    house = reading.house
    with (
        index.writing(),
        house.directories.lease(house.place_of(reading.mailbox, reading.name)) as fd,
        house.lock.hold(fd),
    ):
        octets = house.disk.stat(fd, "cur").st_size
        if octets > max(_WORTH_OCTETS, row.messages * _OCTETS_A_NAME):
            _renew_cur(reading, fd)
        news = reading.ledger.sync_of(reading.name).uid_file(fd).news(row)
        if news is not None and news.listed > row.messages:
            kept = {base for place in (NEW, CUR, NOWHERE) for _, base, _ in index.names(row.id, place)}
            reading.ledger.sync_of(reading.name).uid_file(fd).compact(news, kept)
            row.listed_records = news.listed
        note_own_change(reading, fd, row, has_listed=True)
        # Whatever others did meanwhile is found by listing everything once.
        row.relist_at = 1.0
        index.save_folder(row)


def _renew_cur(reading: Reading, fd: int) -> None:
    disk = reading.house.disk
    fresh = TRASH_PREFIX + secrets.token_hex(8)
    disk.make_directory(fd, fresh)
    old_fd, fresh_fd = disk.open_directory(fd, ["cur"]), disk.open_directory(fd, [fresh])
    try:
        for name in disk.names(old_fd):
            _link(reading, (old_fd, name), (fresh_fd, name))
        disk.sync_directory(fresh_fd)
        disk.exchange((fd, fresh), (fd, "cur"))
        disk.sync_directory(fd)
        # What came into the old directory while names were given, or was renamed there, is the truth.
        there = {base_of(name): name for name in disk.names(fresh_fd)}
        for name in disk.names(old_fd):
            known = there.get(base_of(name))
            if known is None:
                _link(reading, (old_fd, name), (fresh_fd, name))
            elif known != name:
                disk.rename((fresh_fd, known), (fresh_fd, name))
        disk.sync_directory(fresh_fd)
    finally:
        os.close(old_fd)
        os.close(fresh_fd)
    root, components = reading.house.place_of(reading.mailbox, reading.name)
    reading.house.directories.forget((root, (*components, "cur")))
    disk.remove_tree(fd, fresh)


def _link(reading: Reading, source: tuple[int, str], target: tuple[int, str]) -> None:
    try:
        reading.house.disk.link(source, target)
    except FileNotFoundError:
        # Renamed or removed by another program just now; a renamed one is met again.
        return
