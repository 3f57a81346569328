"""The Maildir backend: mailboxes, folders and deliveries below one data directory."""

import errno
import itertools
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, InvalidFolderName, MailboxNotFound, MsgstoreError, store_error_from
from msgstore.model.folder import DEFAULT_FOLDERS, FolderName
from msgstore.model.interfaces import Clock, Filing, Folder, FolderTree, StagedMessage, Wait
from msgstore.model.outcomes import Finding, Removed, Usage
from msgstore.model.result import Filed
from msgstore.store.clock import SystemClock
from msgstore.store.directories import Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.changes import Inotify, MaildirChanges
from msgstore.store.maildir.checking import Checkup
from msgstore.store.maildir.compacting import compact_folder
from msgstore.store.maildir.deliver import Courier
from msgstore.store.maildir.folder import MaildirFolder
from msgstore.store.maildir.folders import directory_of
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.ledger import Ledger, Ledgers
from msgstore.store.maildir.lock import DotLock
from msgstore.store.maildir.names import NameSource, random_hex_source
from msgstore.store.maildir.quotafile import QuotaFile
from msgstore.store.maildir.reading import Reading
from msgstore.store.maildir.removed import RemovedMail
from msgstore.store.maildir.restoring import begin_restored
from msgstore.store.maildir.scripts import ActiveScripts, MaildirScripts
from msgstore.store.maildir.tree import MaildirTree
from msgstore.store.maildir.uidlist import UidList
from msgstore.store.maildir.uidvalidity import highest_uidvalidity, next_uidvalidity, recorded_uidvalidity
from msgstore.store.spool import Spool, area_at
from msgstore.store.staging import StagedFile, StagingArea
from msgstore.store.syncs import settle

__all__ = ["MaildirStore"]

_REMOVED_NAME: Final = ".msgstore-uidvalidity"
"""Beside mailboxes, none of whose names begins with a dot: the highest UIDVALIDITY of those that were removed."""

_INNER: Final = ("tmp", "new", "cur")
_PLACES: Final = 65_536
"""Places that are remembered; made again when the layout of the domain is another object."""


class MaildirStore:
    """See :class:`msgstore.model.interfaces.MessageStore`; layout and promises are in the package's docstring.

    ``layout_for`` gives the layout of a domain and may raise a MsgstoreError.
    """

    def __init__(
        self,
        data_dir: str,
        *,
        layout_for: Callable[[str], Layout],
        disk: Disk | None = None,
        clock: Clock | None = None,
        line_endings: Literal["crlf", "lf"] = "crlf",
        default_folders: bool = True,
        keeps_removed: bool = False,
        hostname: str | None = None,
        random_hex: Callable[[], str] | None = None,
    ) -> None:
        self.disk: Final = disk or Disk()
        self.clock: Final[Clock] = clock or SystemClock()
        self.directories: Final = Directories(self.disk, clock=self.clock)
        host = hostname or socket.gethostname()
        self.lock: Final = DotLock(self.disk, hostname=host, process=os.getpid())
        numbers = itertools.count()
        self.names: Final = NameSource(
            hostname=host,
            process=os.getpid(),
            next_number=lambda: next(numbers),
            random_hex=random_hex or random_hex_source(),
        )
        self._data_dir = data_dir
        self._layout_for = layout_for
        self._line_endings: Literal["crlf", "lf"] = line_endings
        self._default_folders = default_folders
        self.keeps_removed: Final = keeps_removed
        self._spool = Spool(self.disk, data_dir)
        self._staged = itertools.count()
        self._places: dict[tuple[MailboxId, FolderName], tuple[Layout, Place]] = {}
        self._ledgers = Ledgers(self)
        self.active_scripts: Final = ActiveScripts()

    def create_mailbox(self, mailbox: MailboxId) -> None:
        """Make the mailbox and its default folders, durably; harmless when it is there."""
        place = self._box(mailbox)
        # What we hold open may have been removed by another process.
        self.directories.forget(place)
        try:
            with self.directories.lease(place, create=True) as box_fd:
                wanted = [name for name, _ in DEFAULT_FOLDERS] if self._default_folders else []
                if self.mailbox_exists(mailbox):
                    wanted = []
                for name in wanted:
                    self.make_maildir(box_fd, directory_of(name))
                # INBOX last: its `cur` is what makes the mailbox one.
                self._make_inner(box_fd)
        except OSError as error:
            raise store_error_from(error) from error

    def mailbox_exists(self, mailbox: MailboxId) -> bool:
        """Whether the mailbox has a place in the store."""
        root, components = self._box(mailbox)
        try:
            with self.directories.lease((root, (*components, "cur"))) as fd:
                if os.fstat(fd).st_nlink > 0:
                    return True
            # Another process removed what we hold open; it may have made it anew.
            self.directories.forget((root, components))
            with self.directories.lease((root, (*components, "cur"))):
                return True
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:
                return False
            raise store_error_from(error) from error

    def remove_mailbox(self, mailbox: MailboxId) -> None:
        """Remove the mailbox with all its mail: it is renamed first, so that no half of it is ever seen."""
        root, components = self.home_of(mailbox)
        self._ledgers.forget(mailbox)
        try:
            with self.directories.lease((root, components[:-1])) as parent_fd:
                self._remember_uidvalidity(mailbox, parent_fd)
                trash = f".msgstore-trash.{secrets.token_hex(8)}"
                self.disk.rename((parent_fd, components[-1]), (parent_fd, trash))
                self.directories.forget((root, components))
                self.disk.sync_directory(parent_fd)
                self.disk.remove_tree(parent_fd, trash)
        except FileNotFoundError:
            return
        except OSError as error:
            raise store_error_from(error) from error

    def _remember_uidvalidity(self, mailbox: MailboxId, parent_fd: int) -> None:
        """Keep what a mailbox was given beside it: one made anew under its name must begin above that."""
        try:
            with self.directories.lease(self._box(mailbox)) as box_fd:
                highest = highest_uidvalidity(self.disk, box_fd)
        except (FileNotFoundError, NotADirectoryError):
            return
        if highest > recorded_uidvalidity(self.disk, parent_fd, _REMOVED_NAME):
            next_uidvalidity(self.disk, parent_fd, at_least=highest, name=_REMOVED_NAME)

    def first_uidvalidity(self, mailbox: MailboxId) -> int:
        """Give the least value for a new folder: the second, or more where a mailbox of that name had more."""
        root, components = self.home_of(mailbox)
        with self.directories.lease((root, components[:-1])) as parent_fd:
            removed = recorded_uidvalidity(self.disk, parent_fd, _REMOVED_NAME)
        return max(int(self.clock.time()), removed + 1)

    def folder(self, mailbox: MailboxId, name: FolderName) -> Folder:
        """Give a handle; see the interface."""
        self._require(mailbox)
        return MaildirFolder(self, mailbox, name)

    def folders(self, mailbox: MailboxId) -> FolderTree:
        """Give the folder tree of a mailbox."""
        self._require(mailbox)
        return MaildirTree(self, mailbox)

    def scripts(self, mailbox: MailboxId) -> MaildirScripts:
        """Give the scripts of a mailbox."""
        return MaildirScripts(self, mailbox)

    def stage(self, *, expected_octets: int | None = None, sealed: bool = False) -> StagedMessage:
        """Begin a message; small ones touch no disk before they are delivered."""
        del expected_octets
        try:
            area = self._spool.area()
        except OSError as error:
            raise store_error_from(error) from error
        return StagedFile(area, name=str(next(self._staged)), line_endings=self._line_endings, sealed=sealed)

    def deliver(self, staged: StagedMessage, filings: Sequence[Filing]) -> Iterator[Filed | MsgstoreError]:
        """Put a staged message into every place, durably; see the interface."""
        for answer in self.deliver_in_steps(staged, filings):
            if isinstance(answer, Wait):
                self.settle((answer,))
            else:
                yield answer

    def deliver_in_steps(
        self, staged: StagedMessage, filings: Sequence[Filing]
    ) -> Iterator[Filed | MsgstoreError | Wait]:
        """Put a staged message into every place, stopping before each phase of syncs; see the interface."""
        assert isinstance(staged, StagedFile), "a message is delivered by the store that staged it"
        return Courier(self, staged).deliver(filings)

    def settle(self, waits: Sequence[Wait]) -> None:
        """Sync what deliveries wait for."""
        settle(self.disk, waits)

    def usage(self, mailbox: MailboxId) -> Usage:
        """Say what the mailbox holds: what ``maildirsize`` says, or a new count."""
        self._require(mailbox)
        return QuotaFile(self, self._box(mailbox)).read() or self.recount(mailbox)

    def recount(self, mailbox: MailboxId) -> Usage:
        """Count every folder and note the sum in ``maildirsize``."""
        octets = messages = 0
        for info in self.folders(mailbox).list():
            try:
                status = self.folder(mailbox, info.name).stat()
            except FolderNotFound:
                continue
            octets, messages = octets + status.octets, messages + status.messages
        usage = Usage(octets=octets, messages=messages)
        QuotaFile(self, self._box(mailbox)).write(usage)
        return usage

    def quota_mark(self, mailbox: MailboxId) -> int:
        """Give the threshold that the owner was told last."""
        return QuotaFile(self, self._box(mailbox)).mark()

    def set_quota_mark(self, mailbox: MailboxId, percent: int) -> None:
        """Remember a threshold."""
        QuotaFile(self, self._box(mailbox)).set_mark(percent)

    def control_directory(self, mailbox: MailboxId) -> int:
        """Open the directory of INBOX."""
        # What is held open may be what another process removed; this looks.
        self._require(mailbox)
        try:
            with self.directories.lease(self._box(mailbox)) as box_fd:
                return os.dup(box_fd)
        except OSError as error:
            raise store_error_from(error) from error

    def records(self) -> None:
        """What scripts did is remembered beside the mail."""

    def removed(self, mailbox: MailboxId) -> tuple[Removed, ...]:
        """Give what can still be brought back."""
        self._require(mailbox)
        return RemovedMail(self, mailbox).all()

    def undelete(self, mailbox: MailboxId, removed: Sequence[Removed]) -> int:
        """Bring messages back under new UIDs."""
        self._require(mailbox)
        return RemovedMail(self, mailbox).undelete(removed)

    def purge_removed(self, mailbox: MailboxId, *, before: float) -> int:
        """Remove for good what was expunged before a time."""
        self._require(mailbox)
        return RemovedMail(self, mailbox).purge(before=before)

    def check(self, mailbox: MailboxId, *, repair: bool = False) -> tuple[Finding, ...]:
        """Look at everything that is kept of a mailbox; see the interface."""
        self._require(mailbox)
        return Checkup(self, mailbox, repair=repair).findings()

    def reindex(self, mailbox: MailboxId) -> None:
        """Remove the index and make it anew."""
        self._require(mailbox)
        self.ledger_of(mailbox).remove_index()
        self.recount(mailbox)

    def compact(self, mailbox: MailboxId) -> None:
        """Give every folder a fresh directory and a UID list without the dead."""
        self._require(mailbox)
        for info in self.folders(mailbox).list():
            compact_folder(Reading(self, mailbox, info.name))

    def sweep(self) -> int:
        """Nothing is left that belongs to nobody."""
        return 0

    def watch_changes(self) -> MaildirChanges | None:
        """Have the kernel tell of changes; None where it has no descriptor to give."""
        try:
            inotify = Inotify()
        except OSError:
            return None
        return MaildirChanges(
            self.directories,
            lambda mailbox, folder: self._box(mailbox) if folder is None else self.place_of(mailbox, folder),
            inotify,
        )

    def check_health(self) -> None:
        """Write, sync and remove something small where mail is kept."""
        try:
            self._spool.check()
        except OSError as error:
            raise store_error_from(error) from error

    def close(self) -> None:
        """Give back descriptors."""
        self._ledgers.close()
        self.directories.close()
        self._spool.close()

    def place_of(self, mailbox: MailboxId, name: FolderName) -> Place:
        """Give the directory of a folder.

        Raises:
            InvalidFolderName, ReservedFolderName: there can be none.
        """
        layout = self._layout(mailbox)
        known = self._places.get((mailbox, name))
        if known is not None and known[0] == layout:
            return known[1]
        root, components = layout.maildir_place(self._data_dir, mailbox)
        directory = directory_of(name)
        place = (root, ((*components, directory) if directory else components))
        if len(self._places) >= _PLACES:
            self._places.clear()
        self._places[mailbox, name] = (layout, place)
        return place

    def box_of(self, mailbox: MailboxId) -> Place:
        """Give the directory of INBOX, which holds the other folders."""
        return self._box(mailbox)

    def home_of(self, mailbox: MailboxId) -> Place:
        """Give the directory that holds everything of a mailbox, its scripts too."""
        return self._layout(mailbox).mailbox_place(self._data_dir, mailbox)

    def begin_restored(self, mailbox: MailboxId, name: FolderName, header: UidList) -> None:
        """Give a folder without messages a UID list that has none either."""
        begin_restored(Reading(self, mailbox, name), header)

    def ledger_of(self, mailbox: MailboxId) -> Ledger:
        """Give what this process knows of a mailbox."""
        return self._ledgers.of(mailbox)

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return int(self.clock.time() * 1000)

    def area_at(self, directory_fd: int) -> StagingArea:
        """Give a staging area on the file system of a directory; the directory stays its owner's."""
        return area_at(self.disk, directory_fd)

    def make_maildir(self, box_fd: int, directory: str) -> None:
        """Make the directory of a folder with what is in it, durable but for its own name in ``box_fd``."""
        self.disk.make_directory(box_fd, directory)
        inner_fd = self.disk.open_directory(box_fd, [directory])
        try:
            self._make_inner(inner_fd)
        finally:
            os.close(inner_fd)

    def _make_inner(self, fd: int) -> None:
        for name in _INNER:
            self.disk.make_directory(fd, name)
        self.disk.sync_directory(fd)

    def _require(self, mailbox: MailboxId) -> None:
        if not self.mailbox_exists(mailbox):
            raise MailboxNotFound(f"there is no mailbox {mailbox}")

    def _box(self, mailbox: MailboxId) -> Place:
        return self._layout(mailbox).maildir_place(self._data_dir, mailbox)

    def _layout(self, mailbox: MailboxId) -> Layout:
        try:
            return self._layout_for(mailbox.domain)
        except ValueError as error:
            raise InvalidFolderName(f"the layout of {mailbox.domain} is broken: {error}") from error
