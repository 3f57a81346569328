"""Messages that were expunged and can still be brought back.

With an undelete window an expunged file is moved to ``msgstore-removed/<directory>/`` beside INBOX's ``cur``, out of
every reader's sight; its change time says when.  The mail of INBOX lies in ``msgstore-removed/INBOX/``.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderExists, store_error_from
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import FolderTree
from msgstore.model.outcomes import Removed
from msgstore.store.directories import Place
from msgstore.store.maildir.folders import folder_of
from msgstore.store.maildir.names import base_of, flags_of, is_message_name, sizes_of
from msgstore.store.maildir.reading import REMOVED_INBOX, REMOVED_NAME, FolderHouse, Reading, removed_place
from msgstore.store.maildir.rows import CUR

__all__ = ["RemovedHouse", "RemovedMail"]


class RemovedHouse(FolderHouse, Protocol):
    """The store, seen from here."""

    def folders(self, mailbox: MailboxId) -> FolderTree:
        """Give the folder tree of a mailbox."""
        ...


class RemovedMail:
    """What one mailbox can bring back."""

    def __init__(self, house: RemovedHouse, mailbox: MailboxId) -> None:
        self._house = house
        self._disk = house.disk
        self._mailbox = mailbox

    def all(self) -> tuple[Removed, ...]:
        """Give everything, oldest first."""
        try:
            found = [one for name in self._folders() for one in self._in(name)]
        except OSError as error:
            raise store_error_from(error) from error
        return tuple(sorted(found, key=lambda one: one.removed_at))

    def undelete(self, removed: Sequence[Removed]) -> int:
        """Bring messages back; see the interface."""
        by_folder: dict[FolderName, list[Removed]] = {}
        for one in removed:
            by_folder.setdefault(one.folder, []).append(one)
        return sum(self._bring_back(name, ones) for name, ones in by_folder.items())

    def purge(self, *, before: float) -> int:
        """Remove for good what is older than a time."""
        old = [one for one in self.all() if one.removed_at < before]
        try:
            for one in old:
                with self._house.directories.lease(self._place(one.folder)) as fd:
                    self._disk.unlink(fd, one.key)
        except OSError as error:
            raise store_error_from(error) from error
        return len(old)

    def _place(self, name: FolderName) -> Place:
        return removed_place(self._house.box_of(self._mailbox), name)

    def _folders(self) -> Iterator[FolderName]:
        root, components = self._house.box_of(self._mailbox)
        try:
            with self._house.directories.lease((root, (*components, REMOVED_NAME))) as fd:
                names = self._disk.names(fd)
        except FileNotFoundError:
            return
        for directory in names:
            name = INBOX if directory == REMOVED_INBOX else folder_of(directory)
            if name is not None:
                yield name

    def _in(self, name: FolderName) -> Iterator[Removed]:
        with self._house.directories.lease(self._place(name)) as fd:
            for file in self._disk.names(fd):
                if not is_message_name(file):
                    continue
                status = self._disk.stat(fd, file)
                sizes = sizes_of(base_of(file))
                yield Removed(
                    folder=name,
                    key=file,
                    octets=status.st_size if sizes is None else sizes.wire_octets,
                    flags=flags_of(file),
                    removed_at=int(status.st_ctime),
                )

    def _bring_back(self, name: FolderName, removed: Sequence[Removed]) -> int:
        tree = self._house.folders(self._mailbox)
        if not tree.exists(name):
            with suppress(FolderExists):
                tree.create(name)
        reading = Reading(self._house, self._mailbox, name)
        back = 0
        try:
            with (
                self._house.directories.lease(self._place(name)) as from_fd,
                self._house.directories.lease(reading.inner(CUR)) as cur,
            ):
                for one in removed:
                    try:
                        self._disk.rename((from_fd, one.key), (cur, self._new_name(one)))
                    except FileNotFoundError:
                        continue
                    back += 1
                self._disk.sync_directory(cur)
                self._disk.sync_directory(from_fd)
        except OSError as error:
            raise store_error_from(error) from error
        return back

    def _new_name(self, one: Removed) -> str:
        """Under its old name it would be taken for the message that the UID list says is gone."""
        base = base_of(one.key)
        _, comma, rest = base.partition(",")
        fresh = self._house.names.unique(seconds=self._house.clock.time(), octets=0, wire_octets=0)
        return fresh.partition(",")[0] + comma + rest + one.key[len(base) :]
