"""The reference backend: mail in memory, forgotten at exit.  The executable specification of every other backend."""

import itertools
import secrets
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from msgstore.model.address import MailboxId
from msgstore.model.errors import (
    FolderNotFound,
    MailboxNotFound,
    MsgstoreError,
    StoreUnavailable,
)
from msgstore.model.folder import DEFAULT_FOLDERS, INBOX, FolderName, SpecialUse
from msgstore.model.interfaces import Clock, Filing, Folder, FolderTree, Hold, StagedMessage, Wait
from msgstore.model.mailbox import ChangedPlace
from msgstore.model.message import MessageInfo
from msgstore.model.outcomes import Finding, Removed, Usage
from msgstore.model.result import Filed
from msgstore.store.lines import HeaderBlock
from msgstore.store.memory_changes import MemoryChanges
from msgstore.store.memory_folder import MemoryFolder, MemoryFolderState, new_message
from msgstore.store.memory_scripts import MemoryScripts
from msgstore.store.memory_tree import MemoryBox, MemoryTree

__all__ = ["MemoryStore"]


class _Staged:
    """A message on its way in."""

    def __init__(self, *, sealed: bool) -> None:
        self.is_sealed: Final = sealed
        self._pieces: list[bytes] = []
        self._header = HeaderBlock()
        self._is_discarded = False
        self.octets = 0

    @property
    def header_block(self) -> bytes:
        return bytes(self._header)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._pieces.append(bytes(chunk))
        if not self.is_sealed:
            self._header.feed(self._pieces[-1])
        self.octets += len(self._pieces[-1])

    def content(self) -> bytes:
        if self._is_discarded:
            raise StoreUnavailable("the staged message is lost")
        return b"".join(self._pieces)

    def chunks(self) -> Iterator[bytes]:
        yield self.content()

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

    def __init__(self, *, clock: Clock, default_folders: bool = True, keeps_removed: bool = False) -> None:
        self._clock: Final = clock
        self._default_folders = default_folders
        self._keeps_removed = keeps_removed
        self._boxes: dict[MailboxId, MemoryBox] = {}
        self._quota_marks: dict[MailboxId, int] = {}
        self._lock = threading.RLock()
        self._holders: dict[tuple[MailboxId, FolderName], list[_Hold]] = {}
        self._validities = itertools.count(int(clock.time()))
        self._guids = itertools.count(1)
        self._guid_prefix = f"memory-{secrets.token_hex(4)}"
        self._sources: list[MemoryChanges] = []

    def create_mailbox(self, mailbox: MailboxId) -> None:
        """Make the mailbox and its default folders."""
        with self._lock:
            if mailbox in self._boxes:
                return
            box = self._boxes[mailbox] = MemoryBox(folders={INBOX: self.new_state()})
            if self._default_folders:
                for name, special_use in DEFAULT_FOLDERS:
                    box.folders[name] = self.new_state(special_use)

    def mailbox_exists(self, mailbox: MailboxId) -> bool:
        """Whether the mailbox has a place here."""
        return mailbox in self._boxes

    def remove_mailbox(self, mailbox: MailboxId) -> None:
        """Remove the mailbox with all its mail."""
        with self.locked():
            self._boxes.pop(mailbox, None)

    def folder(self, mailbox: MailboxId, name: FolderName) -> Folder:
        """Give a handle."""
        self.box(mailbox)
        return MemoryFolder(self, mailbox, name)

    def folders(self, mailbox: MailboxId) -> FolderTree:
        """Give the folder tree."""
        self.box(mailbox)
        return MemoryTree(self, mailbox)

    def scripts(self, mailbox: MailboxId) -> MemoryScripts:
        """Give the scripts of a mailbox."""
        return MemoryScripts(self, mailbox)

    def stage(self, *, expected_octets: int | None = None, sealed: bool = False) -> StagedMessage:
        """Begin a message."""
        del expected_octets
        return _Staged(sealed=sealed)

    def deliver(self, staged: StagedMessage, filings: Sequence[Filing]) -> Iterator[Filed | MsgstoreError]:
        """Put a staged message into every place."""
        assert isinstance(staged, _Staged)
        done: dict[tuple[MailboxId, FolderName], Filed | MsgstoreError] = {}
        for filing in filings:
            place = (filing.mailbox, filing.folder)
            if place not in done:
                try:
                    done[place] = self._file(staged, filing)
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

    def sweep(self) -> int:
        """Nothing is left that belongs to nobody."""
        return 0

    def watch_changes(self) -> MemoryChanges:
        """Tell of changes."""
        source = MemoryChanges(self._state_of, lock=self._lock, on_close=self._forget_source)
        with self._lock:
            self._sources.append(source)
        return source

    def _forget_source(self, source: object) -> None:
        self._sources = [one for one in self._sources if one is not source]

    def _state_of(self, place: ChangedPlace) -> object:
        mailbox, folder = place
        box = self._boxes.get(mailbox)
        if box is None or folder is None:
            return box and tuple(box.folders)
        found = box.folders.get(folder)
        return found and (found.uidvalidity, found.modseq)

    def check_health(self) -> None:
        """Memory is always well."""

    def close(self) -> None:
        """Nothing to give back."""

    def _file(self, staged: _Staged, filing: Filing) -> Filed:
        content = staged.content()
        with self.locked():
            self.create_mailbox(filing.mailbox)
            folder = self.place(filing.mailbox, filing.folder)
            info = new_message(
                self,
                content,
                sealed=staged.is_sealed,
                flags=filing.flags,
                keywords=filing.keywords,
                internal_date=filing.internal_date,
            )
            uid = folder.add(info, content).uid
            return Filed(mailbox=filing.mailbox, folder=filing.folder, uidvalidity=folder.uidvalidity, uid=uid)

    def usage(self, mailbox: MailboxId) -> Usage:
        """Say what the mailbox holds."""
        with self._lock:
            infos = [info for folder in self.box(mailbox).folders.values() for info, _ in folder.messages.values()]
            return Usage(octets=sum(info.octets for info in infos), messages=len(infos))

    def recount(self, mailbox: MailboxId) -> Usage:
        """Count; nothing is kept that could be wrong."""
        return self.usage(mailbox)

    def quota_mark(self, mailbox: MailboxId) -> int:
        """Give the threshold that the owner was told last."""
        return self._quota_marks.get(mailbox, 0)

    def set_quota_mark(self, mailbox: MailboxId, percent: int) -> None:
        """Remember a threshold."""
        self._quota_marks[mailbox] = percent

    def control_directory(self, mailbox: MailboxId) -> None:
        """Nothing here has files."""
        self.box(mailbox)

    def records(self) -> None:
        """What scripts did is remembered beside the mail."""

    def removed(self, mailbox: MailboxId) -> tuple[Removed, ...]:
        """Give what can still be brought back."""
        with self._lock:
            return tuple(one for one, _, _ in self.box(mailbox).removed)

    def undelete(self, mailbox: MailboxId, removed: Sequence[Removed]) -> int:
        """Bring messages back under new UIDs."""
        with self._lock:
            box, back = self.box(mailbox), 0
            for kept in [kept for kept in box.removed if kept[0] in removed]:
                one, info, content = kept
                if one.folder not in box.folders:
                    self.folders(mailbox).create(one.folder)
                box.folders[one.folder].add(info, content)
                box.removed.remove(kept)
                back += 1
            return back

    def purge_removed(self, mailbox: MailboxId, *, before: float) -> int:
        """Remove for good what was expunged before a time."""
        with self._lock:
            box = self.box(mailbox)
            kept = [one for one in box.removed if one[0].removed_at >= before]
            gone = len(box.removed) - len(kept)
            box.removed = kept
            return gone

    def check(self, mailbox: MailboxId, *, repair: bool = False) -> tuple[Finding, ...]:
        """Nothing can go wrong here."""
        del repair
        self.box(mailbox)
        return ()

    def reindex(self, mailbox: MailboxId) -> None:
        """Nothing is kept twice."""
        self.box(mailbox)

    def compact(self, mailbox: MailboxId) -> None:
        """Nothing is left behind."""
        self.box(mailbox)

    # For the handles.

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep everybody else out of the whole store."""
        with self._lock:
            try:
                yield
            finally:
                for source in self._sources:
                    source.compare()

    def place(self, mailbox: MailboxId, name: FolderName) -> MemoryFolderState:
        """Give what is kept of a folder."""
        try:
            return self.box(mailbox).folders[name]
        except KeyError:
            raise FolderNotFound(f"{mailbox} has no folder {name}") from None

    def box(self, mailbox: MailboxId) -> MemoryBox:
        """Give what is kept of a mailbox.

        Raises:
            MailboxNotFound: there is none.
        """
        try:
            return self._boxes[mailbox]
        except KeyError:
            raise MailboxNotFound(f"there is no mailbox {mailbox}") from None

    def new_state(self, special_use: SpecialUse | None = None) -> MemoryFolderState:
        """Begin a folder."""
        return MemoryFolderState(uidvalidity=next(self._validities), special_use=special_use)

    def new_guid(self) -> str:
        """Name a new message."""
        return f"{self._guid_prefix}-{next(self._guids)}"

    def set_aside(self, mailbox: MailboxId, name: FolderName, info: MessageInfo, content: bytes) -> None:
        """Keep what is about to be expunged, where such things are kept."""
        if self._keeps_removed:
            at = int(self._clock.time())
            one = Removed(folder=name, key=info.guid, octets=info.octets, flags=info.flags, removed_at=at)
            self.box(mailbox).removed.append((one, info, content))

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        return self._clock.time()

    def content_of(self, staged: StagedMessage) -> tuple[bytes, bool]:
        """Give what was staged, and whether it is sealed."""
        assert isinstance(staged, _Staged), "a message is stored by the store that staged it"
        return staged.content(), staged.is_sealed
