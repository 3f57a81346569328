"""Putting a staged message into mailboxes: no lock, no UID; linked everywhere, then synced everywhere.

The file is synced once, then gets a name in every mailbox, then each distinct directory is synced: the first sync
commits the journal, the others find little left to do.  The two syncs are waits that whoever drives the delivery has
settled, with those of other deliveries at his choice.  An error of one place takes its name back and changes no other
answer.
"""

import errno
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MsgstoreError, StoreUnavailable, store_error_from
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Clock, Filing, Wait
from msgstore.model.result import Filed
from msgstore.store.directories import Directories, OpenDirectory, Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.keywordfile import Spelling, spell, write_extra
from msgstore.store.maildir.lock import DotLock
from msgstore.store.maildir.names import NameSource, with_flags
from msgstore.store.maildir.quotafile import QuotaFile
from msgstore.store.staging import StagedFile, StagingArea
from msgstore.store.syncs import Sync

__all__ = ["NAME_TRIES", "Courier", "CourierHouse", "give_name", "needs_copy"]

_NEEDS_COPY: Final = frozenset((errno.EXDEV, errno.EMLINK, errno.ENOENT))
"""Another file system, too many links, or every earlier name is gone already: the octets are written once more."""

CLOCK_SLACK_SECONDS: Final = 0.5
"""A file written just now bears a date that is near enough, for the price of no system call."""

NAME_TRIES: Final = 10


class CourierHouse(Protocol):
    """The store, seen from a delivery."""

    @property
    def disk(self) -> Disk:
        """The disk."""
        ...

    @property
    def directories(self) -> Directories:
        """Open directories."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    @property
    def names(self) -> NameSource:
        """Makes file names."""
        ...

    @property
    def lock(self) -> DotLock:
        """Dovecot's lock."""
        ...

    def place_of(self, mailbox: MailboxId, name: FolderName) -> Place:
        """Give the directory of a folder."""
        ...

    def create_mailbox(self, mailbox: MailboxId) -> None:
        """Make a mailbox, durably."""
        ...

    def area_at(self, directory_fd: int) -> StagingArea:
        """Give a staging area on the file system of a directory."""
        ...


@dataclass(slots=True)
class _Link:
    """One name that was given and is not durable yet, in a directory that is held open for it."""

    place: Place
    name: str
    directory: OpenDirectory


class Courier:
    """Delivers one staged message."""

    def __init__(self, house: CourierHouse, staged: StagedFile) -> None:
        self._house = house
        self._staged = staged
        self._date = 0.0

    def deliver(self, filings: Sequence[Filing]) -> Iterator[Filed | MsgstoreError | Wait]:
        """Give one answer for each filing, in order, and a wait before each phase; see ``deliver_in_steps``."""
        now = self._house.clock.time()
        dates = [now if filing.internal_date is None else filing.internal_date for filing in filings]
        self._date = dates[0] if dates else now
        try:
            is_now = abs(self._date - self._house.disk.wall_seconds()) < CLOCK_SLACK_SECONDS
            fd = self._staged.prepare(modified_seconds=None if is_now else self._date)
            if not self._staged.is_synced:
                content = Sync((fd,), is_directory=False)
                yield content
                self._staged.synced(content.outcomes[0])
        except MsgstoreError as error:
            for _ in filings:
                yield error
            return
        links: dict[tuple[MailboxId, FolderName], _Link | MsgstoreError] = {}
        try:
            for filing, date in zip(filings, dates, strict=True):
                where = (filing.mailbox, filing.folder)
                if where not in links:
                    links[where] = self._try_link(filing, date)
            outcomes = yield from self._sync([link for link in links.values() if isinstance(link, _Link)])
        finally:
            for link in links.values():
                if isinstance(link, _Link):
                    self._house.directories.give_back(link.directory)
        for (mailbox, _), link in links.items():
            if isinstance(link, _Link) and outcomes[link.place] is None:
                box = self._house.place_of(mailbox, INBOX)
                QuotaFile(self._house, box).add(octets=self._staged.wire_octets, messages=1)
        for filing in filings:
            link = links[filing.mailbox, filing.folder]
            outcome = outcomes[link.place] if isinstance(link, _Link) else link
            yield Filed(mailbox=filing.mailbox, folder=filing.folder) if outcome is None else outcome

    def _sync(self, links: Sequence[_Link]) -> Generator[Wait, None, dict[Place, MsgstoreError | None]]:
        """Have the directories synced and take back the names in those where that fails."""
        directories = {link.place: link.directory for link in links}
        outcomes: dict[Place, MsgstoreError | None] = {}
        names = Sync([entry.fd for entry in directories.values()], is_directory=True)
        yield names
        for (place, entry), outcome in zip(directories.items(), names.outcomes, strict=True):
            outcomes[place] = None if outcome is None else store_error_from(outcome)
            if outcome is not None:
                self._take_back(entry.fd, [link.name for link in links if link.place == place])
        return outcomes

    def _take_back(self, inner_fd: int, names: Sequence[str]) -> None:
        for name in names:
            # A second error must not hide the first.
            with suppress(OSError):
                self._house.disk.unlink(inner_fd, name)

    def _try_link(self, filing: Filing, date: float) -> _Link | MsgstoreError:
        try:
            return self._link(filing, date)
        except MsgstoreError as error:
            return error
        except OSError as error:
            return store_error_from(error)

    def _link(self, filing: Filing, date: float) -> _Link:
        root, components = self._house.place_of(filing.mailbox, filing.folder)
        inner = "cur" if filing.flags or filing.keywords else "new"
        place: Place = (root, (*components, inner))
        try:
            return self._link_at(place, filing, date)
        except FileNotFoundError:
            # The mailbox is new, or a directory we hold open was removed and made again.
            self._house.directories.forget((root, components))
        self._house.create_mailbox(filing.mailbox)
        try:
            return self._link_at(place, filing, date)
        except FileNotFoundError as error:
            raise FolderNotFound(f"{filing.mailbox} has no folder {filing.folder}") from error

    def _link_at(self, place: Place, filing: Filing, date: float) -> _Link:
        """Give a name; the directory stays ours until :meth:`deliver` gives it back."""
        spelling = self._spell(place, filing) if filing.keywords else None
        directory = self._house.directories.take(place)
        try:
            return _Link(place, self._name_at(place, directory.fd, filing, spelling=spelling, date=date), directory)
        except BaseException:
            self._house.directories.give_back(directory)
            raise

    def _name_at(self, place: Place, inner_fd: int, filing: Filing, *, spelling: Spelling | None, date: float) -> str:
        for _ in range(NAME_TRIES):
            name = self._house.names.unique(
                seconds=self._house.clock.time(),
                octets=self._staged.stored_octets,
                wire_octets=self._staged.wire_octets,
                is_sealed=self._staged.is_sealed,
            )
            if spelling is not None and spelling.extra:
                self._note_extra(place, name, spelling)
            if filing.flags or spelling is not None:
                name = with_flags(name, filing.flags, keyword_letters=spelling.letters if spelling else None)
            try:
                give_name(self._house, self._staged, inner_fd, name, staged_date=self._date, date=date)
            except FileExistsError:
                continue
            return name
        raise StoreUnavailable("no free file name was found")

    def _spell(self, place: Place, filing: Filing) -> Spelling:
        """Give the letters of keywords; new names are written down under the lock first, as Dovecot does."""
        folder: Place = (place[0], place[1][:-1])
        with self._house.directories.lease(folder) as folder_fd, self._house.lock.hold(folder_fd):
            return spell(self._house.disk, folder_fd, filing.keywords)

    def _note_extra(self, place: Place, base: str, spelling: Spelling) -> None:
        folder: Place = (place[0], place[1][:-1])
        with self._house.directories.lease(folder) as folder_fd, self._house.lock.hold(folder_fd):
            write_extra(self._house.disk, folder_fd, {base: spelling.extra})


def needs_copy(error: OSError) -> bool:
    """Whether a name can only be given to another copy of the octets."""
    return error.errno in _NEEDS_COPY


class _Areas(Protocol):
    def area_at(self, directory_fd: int) -> StagingArea:
        """Give a staging area on the file system of a directory."""
        ...


def give_name(house: _Areas, staged: StagedFile, inner_fd: int, name: str, *, staged_date: float, date: float) -> None:
    """Give a staged file, synced with one date, a name; a copy gets it where it has to bear another date.

    Raises:
        FileExistsError: the name is taken.
        FileNotFoundError: the directory is gone.
        OSError: the disk answers with an error.
    """
    if date == staged_date:
        try:
            staged.link(inner_fd, name)
        except OSError as error:
            if not needs_copy(error):
                raise
            # Tells a directory that is gone from a file that is.
            if error.errno == errno.ENOENT and os.fstat(inner_fd).st_nlink == 0:
                raise
        else:
            return
    copy = staged.copy_to(house.area_at(inner_fd), name=name, modified_seconds=date)
    try:
        copy.move(inner_fd, name)
    finally:
        copy.discard()
