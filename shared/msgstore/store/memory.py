"""The reference backend: mail in memory, forgotten at exit.  The executable specification of every other backend."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from msgstore.model.address import MailboxId
from msgstore.model.errors import (
    FolderExists,
    FolderNotFound,
    MailboxNotFound,
    MessageExpunged,
    MessageNotFound,
    MsgstoreError,
    StoreUnavailable,
)
from msgstore.model.folder import DEFAULT_FOLDERS, INBOX, FolderInfo, FolderName, FolderStatus, SpecialUse
from msgstore.model.interfaces import Body, Clock, Filing, Folder, FolderTree, Hold, StagedMessage, Wait
from msgstore.model.message import SEEN, MessageInfo, Uid
from msgstore.model.result import Filed
from msgstore.store.body import OctetsBody
from msgstore.store.lines import HeaderBlock, LineEnds

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Folder:
    uidvalidity: int
    special_use: SpecialUse | None = None
    uidnext: int = 1
    modseq: int = 1
    messages: dict[int, tuple[MessageInfo, bytes]] = field(default_factory=dict[int, tuple[MessageInfo, bytes]])


_Box = dict[FolderName, _Folder]


class _Staged:
    """A message on its way in."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._header = HeaderBlock()
        self._is_discarded = False
        self.octets = 0

    @property
    def header_block(self) -> bytes:
        return bytes(self._header)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._pieces.append(bytes(chunk))
        self._header.feed(self._pieces[-1])
        self.octets += len(self._pieces[-1])

    def content(self) -> bytes:
        if self._is_discarded:
            raise StoreUnavailable("the staged message is lost")
        return b"".join(self._pieces)

    def discard(self) -> None:
        self._is_discarded = True
        self._pieces.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class _Hold:
    """One holder among those of a folder."""

    def __init__(self, holders: "list[_Hold]", lock: "threading.RLock", *, is_shared: bool) -> None:
        self._holders = holders
        self._lock = lock
        self.is_shared = is_shared

    def release(self) -> None:
        """Give the folder back."""
        with self._lock:
            if self in self._holders:
                self._holders.remove(self)


class MemoryStore:
    """See :class:`msgstore.model.interfaces.MessageStore`."""

    def __init__(self, *, clock: Clock, default_folders: bool = True) -> None:
        self._clock: Final = clock
        self._default_folders = default_folders
        self._boxes: dict[MailboxId, _Box] = {}
        self._lock = threading.RLock()
        self._holders: dict[tuple[MailboxId, FolderName], list[_Hold]] = {}
        self._validities = itertools.count(int(clock.time()))
        self._guids = itertools.count(1)

    def create_mailbox(self, mailbox: MailboxId) -> None:
        """Make the mailbox and its default folders."""
        with self._lock:
            if mailbox in self._boxes:
                return
            box = self._boxes[mailbox] = {INBOX: self._new_folder()}
            if self._default_folders:
                for name, special_use in DEFAULT_FOLDERS:
                    box[name] = self._new_folder(special_use)

    def mailbox_exists(self, mailbox: MailboxId) -> bool:
        """Whether the mailbox has a place here."""
        return mailbox in self._boxes

    def remove_mailbox(self, mailbox: MailboxId) -> None:
        """Remove the mailbox with all its mail."""
        with self._lock:
            self._boxes.pop(mailbox, None)

    def folder(self, mailbox: MailboxId, name: FolderName) -> Folder:
        """Give a handle."""
        self._box(mailbox)
        return _Handle(self, mailbox, name)

    def folders(self, mailbox: MailboxId) -> FolderTree:
        """Give the folder tree."""
        self._box(mailbox)
        return _Tree(self, mailbox)

    def stage(self, *, expected_octets: int | None = None) -> StagedMessage:
        """Begin a message."""
        del expected_octets
        return _Staged()

    def deliver(self, staged: StagedMessage, filings: Sequence[Filing]) -> Iterator[Filed | MsgstoreError]:
        """Put a staged message into every place."""
        assert isinstance(staged, _Staged)
        done: dict[tuple[MailboxId, FolderName], Filed | MsgstoreError] = {}
        for filing in filings:
            place = (filing.mailbox, filing.folder)
            if place not in done:
                try:
                    done[place] = self._file(staged.content(), filing)
                except MsgstoreError as error:
                    done[place] = error
            yield done[place]

    def deliver_in_steps(
        self, staged: StagedMessage, filings: Sequence[Filing]
    ) -> Iterator[Filed | MsgstoreError | Wait]:
        """Put a staged message into every place; there is nothing to wait for."""
        return self.deliver(staged, filings)

    def settle(self, waits: Sequence[Wait]) -> None:
        """Nothing waits."""
        assert not waits, "a wait is settled by the store that gave it"

    def try_hold(self, place: tuple[MailboxId, FolderName], *, shared: bool) -> Hold | None:
        """Hold a folder within this process."""
        with self._lock:
            holders = self._holders.setdefault(place, [])
            if holders and not (shared and all(holder.is_shared for holder in holders)):
                return None
            hold = _Hold(holders, self._lock, is_shared=shared)
            holders.append(hold)
            return hold

    def check_health(self) -> None:
        """Memory is always well."""

    def close(self) -> None:
        """Nothing to give back."""

    def _file(self, content: bytes, filing: Filing) -> Filed:
        with self._lock:
            self.create_mailbox(filing.mailbox)
            folder = self.place(filing.mailbox, filing.folder)
            uid = Uid(folder.uidnext)
            folder.uidnext += 1
            folder.modseq += 1
            ends = LineEnds()
            ends.feed(content)
            date = self._clock.time() if filing.internal_date is None else filing.internal_date
            info = MessageInfo(
                uid=uid,
                octets=ends.wire_octets,
                stored_octets=len(content),
                flags=filing.flags,
                keywords=filing.keywords,
                internal_date=int(date),
                modseq=folder.modseq,
                guid=f"memory-{next(self._guids)}",
                uidl=f"{uid:08x}{folder.uidvalidity:08x}",
            )
            folder.messages[uid] = (info, content)
            return Filed(mailbox=filing.mailbox, folder=filing.folder, uidvalidity=folder.uidvalidity, uid=uid)

    def _new_folder(self, special_use: SpecialUse | None = None) -> _Folder:
        return _Folder(uidvalidity=next(self._validities), special_use=special_use)

    def _box(self, mailbox: MailboxId) -> _Box:
        try:
            return self._boxes[mailbox]
        except KeyError:
            raise MailboxNotFound(f"there is no mailbox {mailbox}") from None

    def place(self, mailbox: MailboxId, name: FolderName) -> _Folder:
        """Give what is kept of a folder, for the handles of this module."""
        try:
            return self._box(mailbox)[name]
        except KeyError:
            raise FolderNotFound(f"{mailbox} has no folder {name}") from None

    def change(self, mailbox: MailboxId, name: FolderName, special_use: SpecialUse | None) -> None:
        """Make a folder and the levels above it, for the tree of this module."""
        with self._lock:
            box = self._box(mailbox)
            if name in box:
                raise FolderExists(f"{mailbox} has a folder {name}")
            for depth in range(1, len(name.components)):
                box.setdefault(FolderName(name.components[:depth]), self._new_folder())
            box[name] = self._new_folder(special_use)

    def names(self, mailbox: MailboxId) -> dict[FolderName, SpecialUse | None]:
        """Give the folders of a mailbox, for the tree of this module."""
        with self._lock:
            return {name: folder.special_use for name, folder in self._box(mailbox).items()}

    def take_out(self, mailbox: MailboxId, name: FolderName, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        """Remove messages, for the handles of this module."""
        with self._lock:
            folder = self.place(mailbox, name)
            gone = sorted({uid for uid in uids if uid in folder.messages})
            for uid in gone:
                del folder.messages[uid]
            folder.modseq += bool(gone)
            return tuple(gone)


@dataclass(frozen=True, slots=True)
class _Handle:
    _store: MemoryStore
    mailbox: MailboxId
    name: FolderName

    def stat(self) -> FolderStatus:
        folder = self._store.place(self.mailbox, self.name)
        infos = [info for info, _ in list(folder.messages.values())]
        return FolderStatus(
            messages=len(infos),
            octets=sum(info.octets for info in infos),
            unseen=sum(SEEN not in info.flags for info in infos),
            uidvalidity=folder.uidvalidity,
            uidnext=folder.uidnext,
            modseq=folder.modseq,
        )

    def list(self, *, after_uid: int = 0, limit: int | None = None) -> tuple[MessageInfo, ...]:
        folder = self._store.place(self.mailbox, self.name)
        infos = sorted((info for info, _ in list(folder.messages.values())), key=lambda info: info.uid)
        return tuple(info for info in infos if info.uid > after_uid)[:limit]

    def retrieve(self, uid: Uid) -> Body:
        folder = self._store.place(self.mailbox, self.name)
        found = folder.messages.get(uid)
        if found is None:
            kind = MessageExpunged if uid < folder.uidnext else MessageNotFound
            raise kind(f"{self.mailbox} has no message {uid} in {self.name}")
        return OctetsBody(found[1])

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        return self._store.take_out(self.mailbox, self.name, uids)

    def try_hold(self, *, shared: bool = False) -> Hold | None:
        self._store.place(self.mailbox, self.name)
        return self._store.try_hold((self.mailbox, self.name), shared=shared)


@dataclass(frozen=True, slots=True)
class _Tree:
    _store: MemoryStore
    mailbox: MailboxId

    def list(self) -> tuple[FolderInfo, ...]:
        names = self._store.names(self.mailbox)
        parents = {name.parent for name in names}
        ordered = sorted(names, key=lambda name: (not name.is_inbox, name))
        return tuple(FolderInfo(name=name, special_use=names[name], has_children=name in parents) for name in ordered)

    def create(self, name: FolderName, *, special_use: SpecialUse | None = None) -> None:
        self._store.change(self.mailbox, name, special_use)

    def exists(self, name: FolderName) -> bool:
        return name in self._store.names(self.mailbox)
