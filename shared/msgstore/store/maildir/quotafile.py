"""``maildirsize`` on the disk.

It is a cache: never synced, appended to only where it is there, and nothing that happens to it makes a delivery or a
change of a folder fail.  A line that is lost in a crash, or written while another process counts, is put right by the
next count.
"""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal, Protocol

from msgstore.model.errors import store_error_from
from msgstore.model.outcomes import Usage
from msgstore.store.directories import Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.quota import SURE_SECONDS, difference, parse_maildirsize, written

__all__ = ["SIZE_NAME", "QuotaFile"]

SIZE_NAME: Final = "maildirsize"
MARK_NAME: Final = "msgstore-quota"
"""Holds the threshold in percent of the last warning."""


class _House(Protocol):
    @property
    def disk(self) -> Disk:
        """The disk."""
        ...

    @property
    def directories(self) -> Directories:
        """Open directories."""
        ...


class QuotaFile:
    """The file of one mailbox, in the directory of its INBOX."""

    def __init__(self, house: _House, box: Place) -> None:
        self._house = house
        self._box = box

    def read(self) -> Usage | None:
        """Give what the file says; None where everything has to be counted."""
        try:
            with self._house.directories.lease(self._box) as fd:
                content, status = self._house.disk.read_file(fd, SIZE_NAME)
        except OSError:
            return None
        counted = parse_maildirsize(content)
        if counted is None:
            return None
        age = abs(self._house.disk.wall_seconds() - status.st_mtime)
        is_sure = counted.lines == 1 and age <= SURE_SECONDS
        return Usage(octets=counted.octets, messages=counted.messages, is_sure=is_sure)

    def write(self, usage: Usage) -> None:
        """Put a new count in the place of what is there."""
        disk = self._house.disk
        temporary = f"msgstore-tmp.{os.getpid()}.{secrets.token_hex(6)}"
        with suppress(OSError), self._house.directories.lease(self._box) as fd:
            file = disk.create_named(fd, temporary)
            try:
                disk.write(file, written(octets=usage.octets, messages=usage.messages))
                disk.rename((fd, temporary), (fd, SIZE_NAME))
            except BaseException:
                disk.unlink(fd, temporary)
                raise
            finally:
                os.close(file)

    def add(self, *, octets: int, messages: int) -> None:
        """Say what came or went."""
        directories, disk = self._house.directories, self._house.disk
        try:
            box = directories.take(self._box)
        except OSError:
            return
        try:
            file = directories.search(box, SIZE_NAME, lambda: disk.open_append(box.fd, SIZE_NAME))
            if file is None:
                return
            try:
                # One write: lines of several processes do not mix.
                disk.write(file, difference(octets=octets, messages=messages))
            finally:
                os.close(file)
        except OSError:
            return
        finally:
            directories.give_back(box)

    def count(self, sizes: Sequence[int | None], sign: Literal[1, -1]) -> None:
        """Say that messages of these sizes came, or went with -1; None is a size that nobody knows."""
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            self.drop()
        elif known:
            self.add(octets=sign * sum(known), messages=sign * len(known))

    def mark(self) -> int:
        """Give the threshold that the owner was told last; 0 where none was."""
        try:
            with self._house.directories.lease(self._box) as fd:
                content = self._house.disk.read_file(fd, MARK_NAME)[0].strip()
        except OSError:
            return 0
        return int(content) if content.isdigit() and len(content) < 4 else 0

    def set_mark(self, percent: int) -> None:
        """Remember a threshold.

        Raises:
            StoreError: the disk refuses.
        """
        try:
            with self._house.directories.lease(self._box) as fd:
                self._house.disk.replace(fd, MARK_NAME, b"%d\n" % percent)
        except OSError as error:
            raise store_error_from(error) from error

    def drop(self) -> None:
        """Have everything counted anew: something happened whose size is not known."""
        with suppress(OSError), self._house.directories.lease(self._box) as fd:
            self._house.disk.unlink(fd, SIZE_NAME)
