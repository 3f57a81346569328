"""The folders of one Maildir."""

import os
from dataclasses import dataclass
from typing import Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderExists, store_error_from
from msgstore.model.folder import INBOX, FolderInfo, FolderName, SpecialUse
from msgstore.store.directories import Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.folders import DEFAULT_SPECIAL_USE, directory_of, folder_of, parse_subscriptions

__all__ = ["MaildirTree", "TreeHouse"]


class TreeHouse(Protocol):
    """The store, seen from a tree."""

    @property
    def disk(self) -> Disk:
        """The disk."""
        ...

    @property
    def directories(self) -> Directories:
        """Open directories."""
        ...

    def box_of(self, mailbox: MailboxId) -> Place:
        """Give the directory of INBOX, which holds the other folders."""
        ...

    def make_maildir(self, box_fd: int, directory: str) -> None:
        """Make the directory of a folder with what is in it."""
        ...


@dataclass(frozen=True, slots=True)
class MaildirTree:
    """See :class:`msgstore.model.interfaces.FolderTree`."""

    _house: TreeHouse
    mailbox: MailboxId

    def list(self) -> tuple[FolderInfo, ...]:
        """Give all folders, INBOX first."""
        names = {INBOX}
        try:
            with self._house.directories.lease(self._house.box_of(self.mailbox)) as box_fd:
                for directory in self._house.disk.names(box_fd):
                    name = folder_of(directory)
                    if name is not None and self._is_maildir(box_fd, directory):
                        names.add(name)
                subscribed = self._subscribed(box_fd)
        except OSError as error:
            raise store_error_from(error) from error
        parents = {name.parent for name in names}
        return tuple(
            FolderInfo(
                name=name,
                special_use=DEFAULT_SPECIAL_USE.get(name),
                subscribed=name in subscribed,
                has_children=name in parents,
            )
            for name in sorted(names, key=lambda name: (not name.is_inbox, name))
        )

    def create(self, name: FolderName, *, special_use: SpecialUse | None = None) -> None:
        """Make a folder and the levels above it, durably.

        The special use of other folders than the default ones is not kept yet.
        """
        del special_use
        directory = directory_of(name)
        try:
            with self._house.directories.lease(self._house.box_of(self.mailbox)) as box_fd:
                if name.is_inbox or self._is_maildir(box_fd, directory):
                    raise FolderExists(f"{self.mailbox} has a folder {name}")
                for depth in range(1, len(name.components)):
                    above = directory_of(FolderName(name.components[:depth]))
                    if above and not self._is_maildir(box_fd, above):
                        self._house.make_maildir(box_fd, above)
                self._house.make_maildir(box_fd, directory)
                self._house.disk.sync_directory(box_fd)
        except OSError as error:
            raise store_error_from(error) from error

    def exists(self, name: FolderName) -> bool:
        """Whether such a folder is there now."""
        directory = directory_of(name)
        root, components = self._house.box_of(self.mailbox)
        inner = (*components, directory, "cur") if directory else (*components, "cur")
        try:
            with self._house.directories.lease((root, inner)):
                return True
        except OSError:
            return False

    def _is_maildir(self, box_fd: int, directory: str) -> bool:
        try:
            os.close(self._house.disk.open_directory(box_fd, [directory, "cur"]))
        except OSError:
            return False
        return True

    def _subscribed(self, box_fd: int) -> frozenset[FolderName]:
        try:
            return parse_subscriptions(self._house.disk.read_file(box_fd, "subscriptions")[0])
        except FileNotFoundError:
            return frozenset()
