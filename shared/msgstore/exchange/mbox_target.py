"""A mailbox written out as a directory of mboxrd files, with UIDs, flags and keywords in header fields.

A folder gets its name when it is whole; whoever runs again after a kill writes only the folders that have none.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from msgstore.exchange.mbox_lines import format_facts, format_no_message, format_separator
from msgstore.exchange.mbox_source import SUFFIX
from msgstore.exchange.mbox_writer import mbox_octets
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
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.keys import SealError
from msgstore.model.message import MessageInfo
from msgstore.store.disk import Disk
from msgstore.store.maildir.folders import directory_of

__all__ = ["write_mbox"]

_PARTIAL: Final = ".partial"


def write_mbox(
    store: MessageStore,
    mailbox: MailboxId,
    target: tuple[Disk, str],
    *,
    progress: Progress,
    wanted: frozenset[FolderName] = frozenset(),
    dry_run: bool = False,
    opener: Opener | None = None,
) -> Iterator[FolderWritten]:
    """Write folders out, each answer when it is done; ``target`` is a disk and a path on it.

    Lines cannot hold a blob: with ``opener`` sealed messages are opened, and those that no key opens are left out.

    Raises:
        SealError: there is sealed mail and no ``opener``.
        FileExistsError: there is something else.
        StoreError, OSError: it could not be done; running again goes on.
    """
    infos = chosen_folders(store, mailbox, wanted)
    if opener is None:
        for info in infos:
            _refuse_sealed(store.folder(mailbox, info.name))
    if dry_run:
        yield from foreseen(store, mailbox, infos)
        return
    disk, path = target
    with closing(TargetDirectory(disk, path, kind="mbox", mailbox=mailbox, opens=opener is not None)) as directory:
        for info in infos:
            yield _write_folder(disk, directory.fd, store.folder(mailbox, info.name), progress, opener)
        subscribed = [str(info.name) for info in infos if info.subscribed]
        directory.finish({"subscriptions": subscribed, "special_use": special_uses(infos)})


def _refuse_sealed(handle: Folder) -> None:
    sealed = sum(1 for (is_sealed,) in handle.rows(["sealed"]) if is_sealed)
    if sealed:
        raise SealError(f"{handle.name} holds {sealed} sealed messages, which an mbox file cannot hold: open them")


def _write_folder(  # noqa: PLR0917 (what one folder is written with)
    disk: Disk, root_fd: int, handle: Folder, progress: Progress, opener: Opener | None
) -> FolderWritten:
    status = handle.stat()
    progress.begin(str(handle.name), status.messages)
    written = FolderWritten(folder=handle.name, uidvalidity=status.uidvalidity)
    name = (directory_of(handle.name)[1:] or "INBOX") + SUFFIX
    names = disk.names(root_fd)
    if name in names:
        written.present = status.messages
        return written
    if _PARTIAL in names:
        disk.unlink(root_fd, _PARTIAL)
    fd = disk.create_named(root_fd, _PARTIAL)
    try:
        for info, body in opened_messages(handle, uidnext=status.uidnext, is_written=lambda _: False):
            assert body is not None
            if info.sealed and opener is None:
                raise SealError(f"a sealed message came into {handle.name} meanwhile: open sealed mail")
            plain = take_octets(info, body, opener, written)
            progress.step()
            if info.sealed and plain is None:
                written.sealed -= 1
                continue
            facts = _facts(info, status, is_first=not written.written)
            for piece in mbox_octets(
                format_separator(info.internal_date), facts, body.chunks() if plain is None else (bytes(plain),)
            ):
                disk.write(fd, piece)
            written.written += 1
        if not written.written:
            disk.write(fd, format_no_message(status.uidvalidity, status.uidnext))
        disk.sync_file(fd)
    finally:
        os.close(fd)
    disk.rename((root_fd, _PARTIAL), (root_fd, name))
    disk.sync_directory(root_fd)
    return written


def _facts(info: MessageInfo, status: FolderStatus, *, is_first: bool) -> bytes:
    uidl = own_uidl(info, status.uidvalidity)
    folder = (status.uidvalidity, status.uidnext) if is_first else None
    return format_facts(uid=info.uid, flags=info.flags, keywords=info.keywords, uidl=uidl, folder=folder)
