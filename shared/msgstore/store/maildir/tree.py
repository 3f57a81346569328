"""The folders of one Maildir."""

import json
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol, cast

from msgstore.model.address import MailboxId
from msgstore.model.errors import (
    FolderExists,
    FolderHasChildren,
    FolderNotFound,
    ReservedFolderName,
    store_error_from,
)
from msgstore.model.folder import INBOX, FolderInfo, FolderName, SpecialUse
from msgstore.model.interfaces import Folder
from msgstore.store.directories import Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.levels import check_new, check_rename, levels_above, renamed_with_children
from msgstore.store.maildir.folders import (
    DEFAULT_SPECIAL_USE,
    directory_of,
    folder_of,
    format_subscriptions,
    parse_subscriptions,
)
from msgstore.store.maildir.ledger import Ledger
from msgstore.store.maildir.quotafile import QuotaFile
from msgstore.store.maildir.uidfile import UidFile, folder_guid
from msgstore.store.maildir.uidlist import UidList

__all__ = ["TRASH_PREFIX", "MaildirTree", "TreeHouse"]

SUBSCRIPTIONS_NAME: Final = "subscriptions"
FACTS_NAME: Final = "msgstore.json"
"""What no other program keeps of folders: special uses that are not the default ones."""

TRASH_PREFIX: Final = "msgstore-trash."
"""Directories on their way out; no dot begins them, so nobody takes them for folders."""


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

    def ledger_of(self, mailbox: MailboxId) -> Ledger:
        """Give what this process knows of a mailbox."""
        ...

    def folder(self, mailbox: MailboxId, name: FolderName) -> Folder:
        """Give the handle of a folder."""
        ...

    def make_maildir(self, box_fd: int, directory: str) -> None:
        """Make the directory of a folder with what is in it."""
        ...

    def begin_restored(self, mailbox: MailboxId, name: FolderName, header: UidList) -> None:
        """Give a folder without messages a UID list that has none either."""
        ...


@dataclass(frozen=True, slots=True)
class MaildirTree:
    """See :class:`msgstore.model.mailbox.FolderTree`."""

    _house: TreeHouse
    mailbox: MailboxId

    def list(self) -> tuple[FolderInfo, ...]:
        """Give all folders, INBOX first."""
        with self._box() as box_fd:
            names = self._names(box_fd)
            subscribed = self._subscribed(box_fd)
            uses = {**DEFAULT_SPECIAL_USE, **self._special_uses(box_fd)}
        parents = {name.parent for name in names}
        return tuple(
            FolderInfo(
                name=name,
                special_use=uses.get(name),
                subscribed=name in subscribed,
                has_children=name in parents,
            )
            for name in sorted(names, key=lambda name: (not name.is_inbox, name))
        )

    def create(self, name: FolderName, *, special_use: SpecialUse | None = None) -> None:
        """Make a folder and the levels above it, durably."""
        directory = directory_of(name)
        with self._changing() as box_fd:
            if name.is_inbox or self._is_maildir(box_fd, directory):
                raise FolderExists(f"{self.mailbox} has a folder {name}")
            check_new(name)
            self._make_levels_above(box_fd, name)
            self._house.make_maildir(box_fd, directory)
            self._house.disk.sync_directory(box_fd)
            if special_use is not None or name in DEFAULT_SPECIAL_USE or name in self._special_uses(box_fd):
                self._keep_special_uses(box_fd, {**self._special_uses(box_fd), name: special_use})

    def exists(self, name: FolderName) -> bool:
        """Whether such a folder is there now."""
        directory = directory_of(name)
        root, components = self._house.box_of(self.mailbox)
        inner = (*components, directory, "cur") if directory else (*components, "cur")
        try:
            with self._house.directories.lease((root, inner)) as fd:
                return os.fstat(fd).st_nlink > 0
        except OSError:
            return False

    def guid(self, name: FolderName) -> str | None:
        """Give what names the folder for ever, as Dovecot's list of its UIDs has it."""
        house = self._house
        root, components = place = house.box_of(self.mailbox)
        directory = directory_of(name)
        with self._box() as box_fd:
            self._require(box_fd, name)
            with house.directories.lease((root, (*components, directory)) if directory else place) as fd:
                return UidFile(house.disk, house.directories, fd, root=place).guid()

    def delete(self, name: FolderName) -> None:
        """Remove a folder: it is renamed first, so that no half of it is ever seen."""
        if name.is_inbox:
            raise ReservedFolderName("INBOX cannot be removed")
        directory = directory_of(name)
        with self._changing() as box_fd:
            self._require(box_fd, name)
            if any(other.parent == name for other in self._names(box_fd)):
                raise FolderHasChildren(f"{name} has folders below it")
            trash = TRASH_PREFIX + secrets.token_hex(8)
            self._house.disk.rename((box_fd, directory), (box_fd, trash))
            self._house.disk.sync_directory(box_fd)
            self._forget(directory)
            uses = self._special_uses(box_fd)
            if name in uses:
                self._keep_special_uses(box_fd, {one: use for one, use in uses.items() if one != name})
            self._house.disk.remove_tree(box_fd, trash)
        QuotaFile(self._house, self._house.box_of(self.mailbox)).drop()

    def rename(self, name: FolderName, to: FolderName) -> None:
        """Give a folder and those below it other names; INBOX stays and is emptied."""
        check_rename(name, to)
        with self._changing() as box_fd:
            self._require(box_fd, name)
            names = self._names(box_fd)
            pairs = () if name.is_inbox else renamed_with_children(name, to, names)
            for new in (to, *(new for _, new in pairs)):
                if new in names:
                    raise FolderExists(f"{self.mailbox} has a folder {new}")
                directory_of(new)
            self._make_levels_above(box_fd, to)
            if name.is_inbox:
                self._house.make_maildir(box_fd, directory_of(to))
                self._house.disk.sync_directory(box_fd)
                self._note_plain(box_fd, to)
            else:
                self._rename_all(box_fd, pairs)
        if name.is_inbox:
            inbox = self._house.folder(self.mailbox, INBOX)
            inbox.move([info.uid for info in inbox.list()], to)

    def _rename_all(self, box_fd: int, pairs: tuple[tuple[FolderName, FolderName], ...]) -> None:
        """Rename those below first: what a crash leaves behind still lies below something."""
        ledger = self._house.ledger_of(self.mailbox)
        for old, new in reversed(pairs):
            self._house.disk.rename((box_fd, directory_of(old)), (box_fd, directory_of(new)))
            self._forget(directory_of(old))
            ledger.note_rename(directory_of(old), directory_of(new))
        self._house.disk.sync_directory(box_fd)
        moved = dict(pairs)
        uses = self._special_uses(box_fd)
        for old, new in pairs:
            use = uses.pop(old) if old in uses else DEFAULT_SPECIAL_USE.get(old)
            if use is not None or new in DEFAULT_SPECIAL_USE:
                uses[new] = use
        if uses != self._special_uses(box_fd):
            self._keep_special_uses(box_fd, uses)
        subscribed = self._subscribed(box_fd)
        if subscribed & moved.keys():
            self._keep_subscribed(box_fd, frozenset(moved.get(one, one) for one in subscribed))

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
        if not self.exists(name):
            with suppress(FolderExists):
                self.create(name)
        fields = (("G", folder_guid(guid) or secrets.token_hex(16)),)
        header = UidList(uidvalidity=uidvalidity, next_uid=uidnext, header_fields=fields)
        self._house.begin_restored(self.mailbox, name, header)
        if special_use is not None:
            with self._changing() as box_fd:
                uses = self._special_uses(box_fd)
                if {**DEFAULT_SPECIAL_USE, **uses}.get(name) is not special_use:
                    self._keep_special_uses(box_fd, {**uses, name: special_use})

    def subscribe(self, name: FolderName, *, wanted: bool = True) -> None:
        """Note that the user wants to see a folder, or not."""
        directory_of(name)
        with self._changing() as box_fd:
            subscribed = self._subscribed(box_fd)
            changed = (subscribed | {name}) if wanted else (subscribed - {name})
            if changed != subscribed:
                self._keep_subscribed(box_fd, changed)

    # Parts.

    @contextmanager
    def _box(self) -> Generator[int]:
        try:
            with self._house.directories.lease(self._house.box_of(self.mailbox)) as box_fd:
                yield box_fd
        except OSError as error:
            raise store_error_from(error) from error

    @contextmanager
    def _changing(self) -> Generator[int]:
        """Be the only one in all processes who changes the tree."""
        ledger = self._house.ledger_of(self.mailbox)
        with ledger.lock, self._box() as box_fd, ledger.turn():
            yield box_fd

    def _require(self, box_fd: int, name: FolderName) -> None:
        if not name.is_inbox and not self._is_maildir(box_fd, directory_of(name)):
            raise FolderNotFound(f"{self.mailbox} has no folder {name}")

    def _forget(self, directory: str) -> None:
        root, components = self._house.box_of(self.mailbox)
        self._house.directories.forget((root, (*components, directory)))
        self._house.ledger_of(self.mailbox).forget(directory)

    def _make_levels_above(self, box_fd: int, name: FolderName) -> None:
        for level in levels_above(name):
            directory = directory_of(level)
            if directory and not self._is_maildir(box_fd, directory):
                self._house.make_maildir(box_fd, directory)
                self._note_plain(box_fd, level)

    def _note_plain(self, box_fd: int, name: FolderName) -> None:
        """A folder made under a default name is not for what the default one was, which may go on under another."""
        if name in DEFAULT_SPECIAL_USE:
            self._keep_special_uses(box_fd, {**self._special_uses(box_fd), name: None})

    def _names(self, box_fd: int) -> set[FolderName]:
        names = {INBOX}
        for directory in self._house.disk.names(box_fd):
            name = folder_of(directory)
            if name is not None and self._is_maildir(box_fd, directory):
                names.add(name)
        return names

    def _is_maildir(self, box_fd: int, directory: str) -> bool:
        try:
            os.close(self._house.disk.open_directory(box_fd, [directory, "cur"]))
        except OSError:
            return False
        return True

    def _subscribed(self, box_fd: int) -> frozenset[FolderName]:
        try:
            return parse_subscriptions(self._house.disk.read_file(box_fd, SUBSCRIPTIONS_NAME)[0])
        except FileNotFoundError:
            return frozenset()

    def _keep_subscribed(self, box_fd: int, names: frozenset[FolderName]) -> None:
        self._house.disk.replace(box_fd, SUBSCRIPTIONS_NAME, format_subscriptions(names))

    def _special_uses(self, box_fd: int) -> dict[FolderName, SpecialUse | None]:
        """Give the special uses that are kept, None where a default one was taken away."""
        try:
            content = json.loads(self._house.disk.read_file(box_fd, FACTS_NAME)[0])
        except (FileNotFoundError, ValueError):
            return {}
        if not isinstance(content, dict):
            return {}
        kept = cast("dict[str, object]", content).get("special_use")
        found: dict[FolderName, SpecialUse | None] = {}
        for text, use in cast("dict[str, object]", kept).items() if isinstance(kept, dict) else ():
            known = [one for one in SpecialUse if one.value == use]
            found[FolderName(tuple(text.split("/")))] = known[0] if known else None
        return found

    def _keep_special_uses(self, box_fd: int, uses: Mapping[FolderName, SpecialUse | None]) -> None:
        kept = {str(name): None if use is None else use.value for name, use in sorted(uses.items())}
        content = json.dumps({"special_use": kept}, ensure_ascii=False, indent=1) + "\n"
        self._house.disk.replace(box_fd, FACTS_NAME, content.encode())
