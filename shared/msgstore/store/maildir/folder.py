"""One folder of a Maildir: count, list, open, remove."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MessageExpunged, MessageNotFound, StoreUnavailable, store_error_from
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Body, Hold
from msgstore.model.message import SEEN, MessageInfo, Uid
from msgstore.store.body import FileBody
from msgstore.store.directories import Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.lines import LineEnds
from msgstore.store.maildir.keywords import names_for
from msgstore.store.maildir.names import flags_of, keyword_letters_of, sizes_of
from msgstore.store.maildir.view import Entry, FolderView, Looker

__all__ = ["FolderHouse", "MaildirFolder"]

_TRIES: Final = 20
"""How often a name is looked up again while others keep renaming the file."""

_CHUNK_OCTETS: Final = 1 << 20


class FolderHouse(Protocol):
    """The store, seen from a folder."""

    @property
    def disk(self) -> Disk:
        """The disk."""
        ...

    @property
    def directories(self) -> Directories:
        """Open directories."""
        ...

    def place_of(self, mailbox: MailboxId, name: FolderName) -> Place:
        """Give the directory of a folder."""
        ...

    def looker(self, mailbox: MailboxId, name: FolderName) -> Looker:
        """Give the one looker of a folder in this process."""
        ...


class _DirectoryHold:
    """A lock on the directory of a folder; the kernel gives it back when the process ends."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Give the folder back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class MaildirFolder:
    """See :class:`msgstore.model.interfaces.Folder`."""

    _house: FolderHouse
    mailbox: MailboxId
    name: FolderName

    def try_hold(self, *, shared: bool = False) -> Hold | None:
        """Hold the folder on this machine; see the interface."""
        try:
            with self._house.directories.lease(self._house.place_of(self.mailbox, self.name)) as folder_fd:
                fd = self._house.disk.try_lock(folder_fd, shared=shared)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FolderNotFound(f"{self.mailbox} has no folder {self.name}") from error
        except OSError as error:
            raise store_error_from(error) from error
        return None if fd is None else _DirectoryHold(fd)

    def stat(self) -> FolderStatus:
        """Count messages and octets; moves nothing."""
        view = self._view()
        octets = 0
        for entry in view.entries:
            self._learn_sizes(entry)
            octets += entry.wire_octets or 0
        return FolderStatus(
            messages=len(view.entries),
            octets=octets,
            unseen=sum(SEEN not in flags_of(entry.name) for entry in view.entries),
            uidvalidity=view.uidvalidity,
            uidnext=view.uidnext,
            modseq=0,
        )

    def list(self, *, after_uid: int = 0, limit: int | None = None) -> tuple[MessageInfo, ...]:
        """Give messages above a UID, ascending."""
        view = self._view()
        wanted = [entry for entry in view.entries if entry.record.uid > after_uid][:limit]
        return tuple(info for entry in wanted if (info := self._info(entry, view)) is not None)

    def retrieve(self, uid: Uid) -> Body:
        """Open one message."""
        looker = self._house.looker(self.mailbox, self.name)
        view = looker.cached() or self._view()
        for _ in range(_TRIES):
            entry = view.find(uid)
            if entry is not None:
                try:
                    return FileBody(self._open(entry))
                except FileNotFoundError:
                    looker.drop()  # renamed or removed by somebody: look again
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.EINVAL):
                        raise MessageNotFound(f"message {uid} is no regular file") from error
                    raise store_error_from(error) from error
            fresh = self._view()
            if fresh.find(uid) is None:
                kind = MessageExpunged if uid < fresh.uidnext else MessageNotFound
                raise kind(f"{self.mailbox} has no message {uid} in {self.name}")
            view = fresh
        raise StoreUnavailable(f"message {uid} is renamed all the time")

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        """Remove exactly these messages, durably."""
        view = self._view()
        wanted = {uid for uid in uids if view.find(uid) is not None}
        gone: set[Uid] = set()
        looker = self._house.looker(self.mailbox, self.name)
        try:
            for _ in range(_TRIES):
                self._remove(view, wanted - gone, gone)
                if gone == wanted:
                    break
                # What had another name than the view says was renamed, or removed by somebody else.
                looker.drop()
                view = self._view()
                gone |= {uid for uid in wanted if view.find(uid) is None}
                if gone == wanted:
                    break
            self._sync()
        except OSError as error:
            raise store_error_from(error) from error
        finally:
            looker.drop()
        return tuple(sorted(gone))

    def _remove(self, view: FolderView, uids: set[Uid], gone: set[Uid]) -> None:
        for uid in sorted(uids):
            entry = view.find(uid)
            assert entry is not None
            with self._house.directories.lease(self._inner(entry.directory)) as inner_fd:
                try:
                    self._house.disk.unlink(inner_fd, entry.name)
                except FileNotFoundError:
                    continue
            gone.add(uid)

    def _sync(self) -> None:
        """Removals are durable before anybody is told: mail that a user deleted must not come back."""
        for directory in ("new", "cur"):
            with self._house.directories.lease(self._inner(directory)) as inner_fd:
                self._house.disk.sync_directory(inner_fd)

    def _view(self) -> FolderView:
        try:
            return self._house.looker(self.mailbox, self.name).view()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FolderNotFound(f"{self.mailbox} has no folder {self.name}") from error
        except OSError as error:
            raise store_error_from(error) from error

    def _inner(self, directory: str) -> Place:
        root, components = self._house.place_of(self.mailbox, self.name)
        return root, (*components, directory)

    def _open(self, entry: Entry) -> int:
        with self._house.directories.lease(self._inner(entry.directory)) as inner_fd:
            return self._house.disk.open_for_reading(inner_fd, entry.name)

    def _info(self, entry: Entry, view: FolderView) -> MessageInfo | None:
        """Give what is known of a message; None when it went away while we looked."""
        if not self._learn_sizes(entry) or not self._learn_date(entry):
            return None
        uid, record = Uid(entry.record.uid), entry.record
        assert entry.wire_octets is not None
        assert entry.internal_date is not None
        return MessageInfo(
            uid=uid,
            octets=entry.wire_octets,
            stored_octets=entry.octets,
            flags=flags_of(entry.name),
            keywords=names_for(keyword_letters_of(entry.name), view.keywords),
            internal_date=entry.internal_date,
            modseq=0,
            guid=record.get("G") or record.base,
            uidl=record.get("P") or f"{uid:08x}{view.uidvalidity:08x}",
        )

    def _learn_sizes(self, entry: Entry) -> bool:
        """Take sizes from the name, the UID list or, once, from the file; False when the file is gone."""
        if entry.wire_octets is not None:
            return True
        sizes = sizes_of(entry.record.base)
        stored, wire = entry.record.get("S"), entry.record.get("W")
        if sizes is not None:
            entry.octets, entry.wire_octets = sizes.octets, sizes.wire_octets
        elif stored is not None and wire is not None and stored.isdigit() and wire.isdigit():
            entry.octets, entry.wire_octets = int(stored), int(wire)
        else:
            try:
                entry.octets, entry.wire_octets = self._measured(entry)
            except (FileNotFoundError, MessageNotFound):
                return False
        return True

    def _measured(self, entry: Entry) -> tuple[int, int]:
        ends = LineEnds()
        with self.retrieve(Uid(entry.record.uid)) as body:
            offset = 0
            while piece := body.read(offset, _CHUNK_OCTETS):
                ends.feed(piece)
                offset += len(piece)
        return ends.octets, ends.wire_octets

    def _learn_date(self, entry: Entry) -> bool:
        if entry.internal_date is not None:
            return True
        try:
            with self._house.directories.lease(self._inner(entry.directory)) as inner_fd:
                entry.internal_date = int(self._house.disk.stat(inner_fd, entry.name).st_mtime)
        except FileNotFoundError:
            try:
                with self.retrieve(Uid(entry.record.uid)) as body:
                    descriptor = body.fileno()
                    assert descriptor is not None
                    entry.internal_date = int(os.fstat(descriptor).st_mtime)
            except MessageNotFound:
                return False
        return True
