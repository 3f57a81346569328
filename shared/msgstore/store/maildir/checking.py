"""Looking at a mailbox for what is not as it should be, and mending it; no message is ever removed by that."""

import os
import stat
import time
from collections.abc import Iterator
from typing import Final, Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import StoreCorrupt, StoreError, store_error_from
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import FolderTree
from msgstore.model.outcomes import Finding
from msgstore.store.maildir.lock import UIDLIST_NAME
from msgstore.store.maildir.names import base_of, is_message_name, sizes_of
from msgstore.store.maildir.reading import FolderHouse, Reading
from msgstore.store.maildir.tree import TRASH_PREFIX
from msgstore.store.maildir.uidlist import parse_uidlist
from msgstore.store.staging import LEFTOVER_SECONDS

__all__ = ["CheckHouse", "Checkup"]

_INNER: Final = ("tmp", "new", "cur")
_TEMPORARY: Final = "msgstore-tmp."


class CheckHouse(FolderHouse, Protocol):
    """The store, seen from a check."""

    def folders(self, mailbox: MailboxId) -> FolderTree:
        """Give the folder tree of a mailbox."""
        ...


class Checkup:
    """One look at one mailbox."""

    def __init__(self, house: CheckHouse, mailbox: MailboxId, *, repair: bool) -> None:
        self._house = house
        self._disk = house.disk
        self._mailbox = mailbox
        self._repairs = repair

    def findings(self) -> tuple[Finding, ...]:
        """Say everything that was found, and mend what can be mended where that was asked for.

        Raises:
            StoreError: the mailbox cannot be looked at at all.
        """
        found: list[Finding] = []
        try:
            with self._house.directories.lease(self._house.box_of(self._mailbox)) as box_fd:
                found += self._leftovers(box_fd)
            found += self._index()
            for info in self._house.folders(self._mailbox).list():
                place = self._house.place_of(self._mailbox, info.name)
                with self._house.directories.lease(place) as fd:
                    found += self._folder(info.name, fd)
        except OSError as error:
            raise store_error_from(error) from error
        return tuple(found)

    def _leftovers(self, box_fd: int) -> Iterator[Finding]:
        """What a crash left of removals and of files that were to be put in the place of others."""
        for name in self._disk.names(box_fd):
            if name.startswith(TRASH_PREFIX):
                if self._repairs:
                    self._disk.remove_tree(box_fd, name)
                yield self._finding("leftover", name, "a folder was not removed to its end")
            elif name.startswith(_TEMPORARY) and self._is_old(box_fd, name):
                if self._repairs:
                    self._disk.unlink(box_fd, name)
                yield self._finding("leftover", name, "a file was not written to its end")

    def _index(self) -> Iterator[Finding]:
        ledger = self._house.ledger_of(self._mailbox)
        for text in ledger.check_index():
            if self._repairs:
                ledger.remove_index()
            yield self._finding("index-broken", "msgstore-index", text)

    def _folder(self, name: FolderName, fd: int) -> Iterator[Finding]:
        for inner in _INNER:
            try:
                os.close(self._disk.open_directory(fd, [inner]))
            except FileNotFoundError:
                if self._repairs:
                    self._disk.make_directory(fd, inner)
                    self._disk.sync_directory(fd)
                yield self._finding("missing-directory", f"{name}/{inner}", "it is made where it is needed")
        yield from self._uid_list(name, fd)
        for inner in ("new", "cur"):
            yield from self._messages(name, fd, inner)
        yield from self._temporary(name, fd)
        yield from self._counts(name)

    def _uid_list(self, name: FolderName, fd: int) -> Iterator[Finding]:
        try:
            uidlist = parse_uidlist(self._disk.read_file(fd, UIDLIST_NAME)[0])
        except FileNotFoundError:
            return
        except StoreCorrupt as error:
            yield self._finding("uidlist-broken", f"{name}/{UIDLIST_NAME}", f"{error}; UIDVALIDITY has to rise")
            return
        if uidlist.is_torn:
            yield self._finding("uidlist-torn", f"{name}/{UIDLIST_NAME}", "the last line was not written to its end")

    def _messages(self, name: FolderName, fd: int, inner: str) -> Iterator[Finding]:
        try:
            inner_fd = self._disk.open_directory(fd, [inner])
        except FileNotFoundError:
            return
        try:
            for file in self._disk.names(inner_fd):
                place = f"{name}/{inner}/{file}"
                if not is_message_name(file):
                    yield Finding(kind="not-a-message", place=place, text="a name no message can have; left alone")
                    continue
                try:
                    status = self._disk.stat(inner_fd, file)
                except FileNotFoundError:
                    continue
                if not stat.S_ISREG(status.st_mode):
                    yield Finding(kind="not-a-file", place=place, text="never opened; left alone")
                elif status.st_uid != os.geteuid():
                    yield Finding(kind="other-owner", place=place, text=f"belongs to uid {status.st_uid}")
                else:
                    yield from self._size(place, base_of(file), status.st_size)
        finally:
            os.close(inner_fd)

    @staticmethod
    def _size(place: str, base: str, octets: int) -> Iterator[Finding]:
        sizes = sizes_of(base)
        if sizes is not None and sizes.octets != octets and ",E=" not in base:
            text = f"the name says {sizes.octets} octets, the file has {octets}"
            yield Finding(kind="size-differs", place=place, text=text)

    def _temporary(self, name: FolderName, fd: int) -> Iterator[Finding]:
        try:
            tmp_fd = self._disk.open_directory(fd, ["tmp"])
        except FileNotFoundError:
            return
        try:
            for file in self._disk.names(tmp_fd):
                if self._is_old(tmp_fd, file):
                    if self._repairs:
                        self._disk.unlink(tmp_fd, file)
                    yield self._finding("leftover", f"{name}/tmp/{file}", "nobody finished it for 36 hours")
        finally:
            os.close(tmp_fd)

    def _counts(self, name: FolderName) -> Iterator[Finding]:
        """Compare what the index says with a look at everything."""
        reading = Reading(self._house, self._mailbox, name)
        try:
            before = self._house.ledger_of(self._mailbox).current(name)
            known = before.messages, before.octets, before.unseen
            reading.doubt()
            row = self._house.ledger_of(self._mailbox).current(name)
            counted = reading.run(lambda index, row: index.counted(row.id))
        except StoreError as error:
            yield Finding(kind="unreadable", place=str(name), text=str(error))
            return
        if known != (row.messages, row.octets, row.unseen):
            yield Finding(kind="index-behind", place=str(name), text="the index missed a change", is_mended=True)
        if counted != (row.messages, row.octets):
            if self._repairs:
                self._house.ledger_of(self._mailbox).remove_index()
            yield self._finding("index-counts", str(name), f"the index counts {row.messages}, and has {counted[0]}")

    def _is_old(self, fd: int, name: str) -> bool:
        try:
            return time.time() - self._disk.stat(fd, name).st_mtime > LEFTOVER_SECONDS
        except FileNotFoundError:
            return False

    def _finding(self, kind: str, place: str, text: str) -> Finding:
        return Finding(kind=kind, place=place, text=text, is_mended=self._repairs)
