"""The folders of one mailbox of the memory backend."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderExists, FolderHasChildren, ReservedFolderName
from msgstore.model.folder import INBOX, FolderInfo, FolderName, SpecialUse
from msgstore.model.interfaces import Folder
from msgstore.model.message import MessageInfo
from msgstore.model.outcomes import Removed
from msgstore.store.levels import check_new, check_rename, levels_above, renamed_with_children
from msgstore.store.memory_folder import MemoryFolderState

__all__ = ["MemoryBox", "MemoryTree", "MemoryTreeHouse"]


@dataclass(slots=True)
class MemoryBox:
    """What is kept of a mailbox."""

    folders: dict[FolderName, MemoryFolderState]
    subscribed: frozenset[FolderName] = frozenset()
    scripts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    active_script: str | None = None
    removed: list[tuple[Removed, MessageInfo, bytes]] = field(default_factory=list[tuple[Removed, MessageInfo, bytes]])


class MemoryTreeHouse(Protocol):
    """The store, seen from a tree."""

    def locked(self) -> AbstractContextManager[object]:
        """Keep everybody else out of the whole store."""
        ...

    def box(self, mailbox: MailboxId) -> MemoryBox:
        """Give what is kept of a mailbox."""
        ...

    def place(self, mailbox: MailboxId, name: FolderName) -> MemoryFolderState:
        """Give what is kept of a folder."""
        ...

    def new_state(self, special_use: SpecialUse | None = None) -> MemoryFolderState:
        """Begin a folder."""
        ...

    def folder(self, mailbox: MailboxId, name: FolderName) -> Folder:
        """Give the handle of a folder."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryTree:
    """See :class:`msgstore.model.mailbox.FolderTree`."""

    _store: MemoryTreeHouse
    mailbox: MailboxId

    def list(self) -> tuple[FolderInfo, ...]:
        """Give all folders, INBOX first."""
        with self._store.locked():
            box = self._store.box(self.mailbox)
            parents = {name.parent for name in box.folders}
            return tuple(
                FolderInfo(
                    name=name,
                    special_use=box.folders[name].special_use,
                    subscribed=name in box.subscribed,
                    has_children=name in parents,
                )
                for name in sorted(box.folders, key=lambda name: (not name.is_inbox, name))
            )

    def exists(self, name: FolderName) -> bool:
        """Whether such a folder is there now."""
        return name in self._store.box(self.mailbox).folders

    def guid(self, name: FolderName) -> str | None:
        """Give what names the folder for ever."""
        return self._store.place(self.mailbox, name).guid

    def create(self, name: FolderName, *, special_use: SpecialUse | None = None) -> None:
        """Make a folder and the levels above it."""
        with self._store.locked():
            box = self._store.box(self.mailbox)
            if name in box.folders:
                raise FolderExists(f"{self.mailbox} has a folder {name}")
            check_new(name)
            self._make_levels_above(box, name)
            box.folders[name] = self._store.new_state(special_use)

    def delete(self, name: FolderName) -> None:
        """Remove a folder with its messages."""
        with self._store.locked():
            box = self._store.box(self.mailbox)
            if name.is_inbox:
                raise ReservedFolderName("INBOX cannot be removed")
            self._store.place(self.mailbox, name)
            if any(other.parent == name for other in box.folders):
                raise FolderHasChildren(f"{name} has folders below it")
            del box.folders[name]

    def rename(self, name: FolderName, to: FolderName) -> None:
        """Give a folder and those below it other names."""
        with self._store.locked():
            box = self._store.box(self.mailbox)
            check_rename(name, to)
            self._store.place(self.mailbox, name)
            if to in box.folders:
                raise FolderExists(f"{self.mailbox} has a folder {to}")
            self._make_levels_above(box, to)
            if name.is_inbox:
                box.folders[to] = self._store.new_state()
                inbox = self._store.folder(self.mailbox, INBOX)
                inbox.move([info.uid for info in inbox.list()], to)
                return
            moved = dict(renamed_with_children(name, to, box.folders))
            for old, new in moved.items():
                box.folders[new] = box.folders.pop(old)
            box.subscribed = frozenset(moved.get(one, one) for one in box.subscribed)

    def restore(
        self,
        name: FolderName,
        *,
        uidvalidity: int,
        uidnext: int,
        guid: str | None = None,
        special_use: SpecialUse | None = None,
    ) -> None:
        """Make a folder as another store had it."""
        with self._store.locked():
            box = self._store.box(self.mailbox)
            known = box.folders.get(name)
            if known is not None and known.uidnext > 1:
                raise FolderExists(f"{self.mailbox} has messages in {name}, or had some")
            if known is None:
                check_new(name)
            self._make_levels_above(box, name)
            made = MemoryFolderState(uidvalidity=uidvalidity, special_use=special_use, uidnext=uidnext)
            if special_use is None and known is not None:
                made.special_use = known.special_use
            if guid is not None:
                made.guid = guid
            if known is not None and known.uidvalidity == uidvalidity:
                # Whoever has seen it under this UIDVALIDITY knows its modseq.
                made.modseq = known.modseq
            box.folders[name] = made

    def subscribe(self, name: FolderName, *, wanted: bool = True) -> None:
        """Note that the user wants to see a folder, or not."""
        with self._store.locked():
            box = self._store.box(self.mailbox)
            box.subscribed = (box.subscribed | {name}) if wanted else (box.subscribed - {name})

    def _make_levels_above(self, box: MemoryBox, name: FolderName) -> None:
        for level in levels_above(name):
            if level not in box.folders:
                box.folders[level] = self._store.new_state()
