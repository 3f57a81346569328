"""What both ways of writing a mailbox out share: the directory, its marker, the result."""

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from msgstore.exchange.mbox_source import MARKER_NAME
from msgstore.exchange.sealing import Opener
from msgstore.model.address import MailboxId
from msgstore.model.errors import MessageNotFound
from msgstore.model.folder import FolderInfo, FolderName
from msgstore.model.interfaces import Body, Folder, MessageStore
from msgstore.model.message import MessageInfo
from msgstore.store.disk import Disk

__all__ = [
    "FolderWritten",
    "TargetDirectory",
    "chosen_folders",
    "foreseen",
    "opened_messages",
    "own_uidl",
    "special_uses",
    "take_octets",
]

_PAGE: Final = 1000
"""Messages asked for at once."""


@dataclass(slots=True, kw_only=True)
class FolderWritten:
    """What became of one folder."""

    folder: FolderName
    uidvalidity: int
    written: int = 0
    """Messages that were written, or would be."""

    present: int = 0
    """Messages that an earlier run had written."""

    sealed: int = 0
    """Of those written: blobs, written as they are."""

    opened: int = 0
    """Of those written: sealed here, and opened."""

    left: list[str] = field(default_factory=list[str])
    """Sealed messages that were to be opened and that no key opens."""


class TargetDirectory:
    """The directory an export writes to: a new one, an empty one, or one in which an export was not finished."""

    def __init__(self, disk: Disk, path: str, *, kind: str, mailbox: MailboxId, opens: bool = False) -> None:
        """Open it, and make it where it is missing.

        Raises:
            FileExistsError: it holds anything but an unfinished export of the same mailbox and kind.
            OSError: it cannot be opened.
        """
        self._disk = disk
        self._facts: dict[str, object] = {"mailbox": str(mailbox), "kind": kind}
        if opens:
            # What was written sealed must not be taken for open by a later run, nor the other way round.
            self._facts["opened"] = True
        self.fd: Final = disk.open_root(path, create=True)
        try:
            self._begin(path)
        except BaseException:
            os.close(self.fd)
            raise

    def _begin(self, path: str) -> None:
        names = self._disk.names(self.fd)
        if MARKER_NAME in names:
            try:
                read = cast("object", json.loads(self._disk.read_file(self.fd, MARKER_NAME)[0]))
            except ValueError:
                read = None
            if read != {**self._facts, "finished": False}:
                raise FileExistsError(errno.EEXIST, "holds another export, or a finished one", path)
        elif names:
            raise FileExistsError(errno.EEXIST, "is not empty", path)
        else:
            self._write({**self._facts, "finished": False})

    def finish(self, more: Mapping[str, object]) -> None:
        """Note that everything is there."""
        self._write({**self._facts, **more, "finished": True})

    def _write(self, facts: Mapping[str, object]) -> None:
        content = json.dumps(facts, ensure_ascii=False, indent=1) + "\n"
        self._disk.replace(self.fd, MARKER_NAME, content.encode())

    def close(self) -> None:
        """Close the directory."""
        os.close(self.fd)


def chosen_folders(store: MessageStore, mailbox: MailboxId, wanted: frozenset[FolderName]) -> tuple[FolderInfo, ...]:
    """Give the folders of a mailbox that are to be written, INBOX first."""
    return tuple(info for info in store.folders(mailbox).list() if not wanted or info.name in wanted)


def foreseen(store: MessageStore, mailbox: MailboxId, infos: Sequence[FolderInfo]) -> Iterator[FolderWritten]:
    """Say what would be written, and write nothing."""
    for info in infos:
        status = store.folder(mailbox, info.name).stat()
        yield FolderWritten(folder=info.name, uidvalidity=status.uidvalidity, written=status.messages)


def own_uidl(info: MessageInfo, uidvalidity: int) -> str | None:
    """Give the POP3 id of a message where it is another one than UID and UIDVALIDITY make."""
    return info.uidl if info.uidl != f"{info.uid:08x}{uidvalidity:08x}" else None


def take_octets(info: MessageInfo, body: Body, opener: Opener | None, written: FolderWritten) -> bytearray | None:
    """Open a sealed message where that is wanted, and count it; None where it goes out as it is."""
    plain = None
    if info.sealed and opener is not None:
        plain = opener(b"".join(body.chunks()))
        if plain is None:
            written.left.append(f"{written.folder}: message {info.uid}")
    written.opened += plain is not None
    written.sealed += info.sealed and plain is None
    return plain


def opened_messages(
    folder: Folder, *, uidnext: int, is_written: Callable[[MessageInfo], bool]
) -> Iterator[tuple[MessageInfo, Body | None]]:
    """Give messages below a UID, opened unless they are written already; one that is gone meanwhile is passed over."""
    after = 0
    while page := folder.list(after_uid=after, limit=_PAGE):
        for info in page:
            if info.uid >= uidnext:
                return
            if is_written(info):
                yield info, None
                continue
            try:
                body = folder.retrieve(info.uid)
            except MessageNotFound:
                continue
            with body:
                yield info, body
        after = page[-1].uid


def special_uses(infos: Sequence[FolderInfo]) -> dict[str, str | None]:
    """Give what folders are for, in the words of ``msgstore.json``."""
    return {str(info.name): None if info.special_use is None else info.special_use.value for info in infos}
