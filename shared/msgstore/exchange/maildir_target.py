"""A mailbox written out as a Maildir++ tree that Dovecot, msgstore and our own import read with the same UIDs.

Names follow from UID, UIDVALIDITY, date and sizes, so whoever runs again after a kill knows what is there.  The UID
list of a folder is written when all its files are.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from msgstore.exchange.script_target import ScriptsTarget
from msgstore.exchange.sealing import Opener
from msgstore.exchange.target import (
    FolderWritten,
    TargetDirectory,
    chosen_folders,
    foreseen,
    opened_messages,
    own_uidl,
    special_uses,
    take_octets,
)
from msgstore.exchange.values import Progress
from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Body, Folder, MessageStore
from msgstore.model.message import MessageInfo
from msgstore.store.disk import Disk
from msgstore.store.lines import LineEnds
from msgstore.store.maildir.extra import format_extra
from msgstore.store.maildir.folders import directory_of, format_subscriptions
from msgstore.store.maildir.keywords import format_keywords, letters_for
from msgstore.store.maildir.names import base_of, with_flags
from msgstore.store.maildir.uidlist import UidList, UidRecord

__all__ = ["write_maildir"]

_INNER: Final = ("cur", "new", "tmp")
_OURS: Final = ".M0V"
"""Stands in the names we give, with UIDVALIDITY and UID behind it."""

_SYNC_EVERY: Final = 100
"""Files synced together: each is open until then."""


@dataclass(slots=True, kw_only=True)
class _Lists:
    """What is written beside the messages of a folder."""

    letters: dict[str, str] = field(default_factory=dict[str, str])
    extra: list[bytes] = field(default_factory=list[bytes])
    records: list[UidRecord] = field(default_factory=list[UidRecord])


def write_maildir(
    store: MessageStore,
    mailbox: MailboxId,
    target: tuple[Disk, str],
    *,
    progress: Progress,
    wanted: frozenset[FolderName] = frozenset(),
    dry_run: bool = False,
    opener: Opener | None = None,
    scripts: ScriptsTarget | None = None,
) -> Iterator[FolderWritten]:
    """Write folders out, each answer when it is done; ``target`` is a disk and a path on it.

    Sealed messages stay blobs and are marked as such, unless ``opener`` opens them.  With ``scripts`` the user's
    scripts follow the last folder.

    Raises:
        FileExistsError: there is something else.
        StoreError, OSError: it could not be done; running again goes on.
    """
    infos = chosen_folders(store, mailbox, wanted)
    if dry_run:
        yield from foreseen(store, mailbox, infos)
        if scripts is not None:
            scripts.write(store.scripts(mailbox), None)
        return
    disk, path = target
    with closing(TargetDirectory(disk, path, kind="maildir", mailbox=mailbox, opens=opener is not None)) as directory:
        highest = 0
        # A tree without INBOX is none.
        os.close(_open_folder(disk, directory.fd, ""))
        for info in infos:
            folder_fd = _open_folder(disk, directory.fd, directory_of(info.name))
            try:
                written = _FolderTarget(disk, folder_fd, store.folder(mailbox, info.name), opener).write(progress)
            finally:
                os.close(folder_fd)
            highest = max(highest, written.uidvalidity)
            yield written
        subscribed = format_subscriptions(info.name for info in infos if info.subscribed)
        disk.replace(directory.fd, "subscriptions", subscribed)
        facts = json.dumps({"special_use": special_uses(infos)}, ensure_ascii=False, indent=1)
        disk.replace(directory.fd, "msgstore.json", f"{facts}\n".encode())
        if scripts is not None:
            scripts.write(store.scripts(mailbox), (disk, directory.fd))
        # Whatever is made here one day has to lie above all of them.
        disk.replace(directory.fd, f"dovecot-uidvalidity.{highest:08x}", b"")
        disk.replace(directory.fd, "dovecot-uidvalidity", f"{highest:08x}".encode())
        directory.finish({})


def _open_folder(disk: Disk, root_fd: int, name: str) -> int:
    fd = disk.open_directory(root_fd, [name] if name else [], create=True)
    try:
        for inner in _INNER:
            os.close(disk.open_directory(fd, [inner], create=True))
    except BaseException:
        os.close(fd)
        raise
    return fd


class _FolderTarget:
    """Writes one folder."""

    def __init__(self, disk: Disk, folder_fd: int, handle: Folder, opener: Opener | None) -> None:
        self._disk = disk
        self._opener = opener
        self._fd = folder_fd
        self._handle = handle
        self._status = handle.stat()
        self._lists = _Lists()
        self._written = FolderWritten(folder=handle.name, uidvalidity=self._status.uidvalidity)
        self._waiting: list[tuple[int, str, str]] = []

    def write(self, progress: Progress) -> FolderWritten:
        """Write what is missing, then the lists."""
        disk = self._disk
        progress.begin(str(self._handle.name), self._status.messages)
        cur, tmp = (disk.open_directory(self._fd, [inner]) for inner in ("cur", "tmp"))
        try:
            for leftover in disk.names(tmp):
                disk.unlink(tmp, leftover)
            there = {_key_of(name): name for name in disk.names(cur) if _OURS in _key_of(name)}
            uidnext = self._status.uidnext
            messages = opened_messages(self._handle, uidnext=uidnext, is_written=lambda one: self._key(one) in there)
            for info, body in messages:
                self._one(info, body, there.pop(self._key(info), None), (cur, tmp))
                progress.step()
            self._show(cur, tmp)
            for gone in there.values():
                disk.unlink(cur, gone)
            disk.sync_directory(cur)
        finally:
            for fd, _, _ in self._waiting:
                os.close(fd)
            os.close(cur)
            os.close(tmp)
        self._write_lists()
        return self._written

    def _key(self, info: MessageInfo) -> str:
        return f"{info.internal_date}{_OURS}{self._status.uidvalidity}U{info.uid}"

    def _one(self, info: MessageInfo, body: Body | None, name: str | None, fds: tuple[int, int]) -> None:
        cur, _ = fds
        letters, self._lists.letters, extra = letters_for(info.keywords, self._lists.letters)
        plain: bytearray | None = None
        if body is None:
            assert name is not None
            base = base_of(name)
            self._written.present += 1
        else:
            plain = take_octets(info, body, self._opener, self._written)
            base = f"{self._key(info)},{_sizes(info, body, plain)}"
            self._written.written += 1
        wanted = with_flags(base, info.flags, keyword_letters=letters)
        uidl = own_uidl(info, self._status.uidvalidity)
        self._lists.records.append(UidRecord(info.uid, base, () if uidl is None else (("P", uidl),)))
        if extra:
            self._lists.extra.append(format_extra(base, extra))
        if body is not None:
            chunks = body.chunks() if plain is None else iter((plain,))
            self._write(chunks, base, wanted, date=info.internal_date, fds=fds)
        elif name is not None and name != wanted:
            self._disk.rename((cur, name), (cur, wanted))

    def _write(
        self, chunks: Iterator[bytes | bytearray], base: str, name: str, *, date: int, fds: tuple[int, int]
    ) -> None:
        cur, tmp = fds
        fd = self._disk.create_named(tmp, base)
        self._waiting.append((fd, base, name))
        for chunk in chunks:
            self._disk.write(fd, chunk)
        self._disk.set_modified(fd, date)
        if len(self._waiting) >= _SYNC_EVERY:
            self._show(cur, tmp)

    def _show(self, cur: int, tmp: int) -> None:
        """Make files durable and give them their names."""
        errors = self._disk.sync_files([fd for fd, _, _ in self._waiting])
        while self._waiting:
            fd, base, name = self._waiting.pop(0)
            os.close(fd)
            error = errors.pop(0)
            if error is not None:
                raise error
            self._disk.rename((tmp, base), (cur, name))

    def _write_lists(self) -> None:
        status, lists = self._status, self._lists
        if lists.letters:
            self._disk.replace(self._fd, "dovecot-keywords", format_keywords(lists.letters))
        if lists.extra:
            self._disk.replace(self._fd, "msgstore-keywords", b"".join(lists.extra))
        uidlist = UidList(
            uidvalidity=status.uidvalidity,
            next_uid=status.uidnext,
            records=lists.records,
            header_fields=(("G", secrets.token_hex(16)),),
        )
        self._disk.replace(self._fd, "dovecot-uidlist", uidlist.format())


def _sizes(info: MessageInfo, body: Body, plain: bytearray | None) -> str:
    """Say how large the message is; a sealed one is as large as what is in it."""
    if plain is not None:
        ends = LineEnds()
        ends.feed(bytes(plain))
        return f"S={ends.octets},W={ends.wire_octets}"
    return f"S={info.octets},W={info.octets},E=1" if info.sealed else f"S={body.stored_octets},W={info.octets}"


def _key_of(name: str) -> str:
    return base_of(name).partition(",")[0]
