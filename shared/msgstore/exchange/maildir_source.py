"""Maildir++ trees of Dovecot, Courier, the older suite, msgstore and others, read as they lie."""

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final, Literal, cast

from msgstore.exchange.courier_lists import UIDDB_NAME, parse_courier_subscriptions, read_courier_lists
from msgstore.exchange.dovecot_lists import Lists, has_dovecot_lists, read_dovecot_lists, read_if_there
from msgstore.exchange.sealing import is_marked
from msgstore.exchange.values import Failures, ForeignFolder, ForeignMessage, fit_keywords
from msgstore.model.errors import InvalidFolderName
from msgstore.model.folder import INBOX, FolderName, SpecialUse
from msgstore.model.message import Uid
from msgstore.store.disk import Disk
from msgstore.store.maildir.folders import RESERVED_DIRECTORIES, folder_of, parse_subscriptions
from msgstore.store.maildir.names import base_of, fields_of, flags_of, is_message_name, order_key

__all__ = ["Flavour", "MaildirSource", "parse_special_uses", "read_chunks"]

Flavour = Literal["maildir", "dovecot", "courier"]
"""Whose lists count; ``maildir`` takes those it finds, Dovecot's first."""

_INNER: Final = ("new", "cur")
_CHUNK_OCTETS: Final = 65536


def parse_special_uses(content: bytes) -> dict[FolderName, SpecialUse | None]:
    """Read ``msgstore.json``; what is not understood is passed over."""
    try:
        kept = cast("object", json.loads(content))
    except ValueError:
        return {}
    uses = cast("dict[str, object]", kept).get("special_use") if isinstance(kept, dict) else None
    known = {one.value: one for one in SpecialUse}
    found: dict[FolderName, SpecialUse | None] = {}
    for text, use in cast("dict[str, object]", uses).items() if isinstance(uses, dict) else ():
        if use is None or (isinstance(use, str) and use in known):
            try:
                found[FolderName.parse(text)] = None if use is None else known[use]
            except InvalidFolderName:
                continue
    return found


def read_chunks(fd: int) -> Iterator[bytes]:
    """Give what an open file holds from its beginning, and close it."""
    try:
        offset = 0
        while chunk := os.pread(fd, _CHUNK_OCTETS, offset):
            yield chunk
            offset += len(chunk)
    finally:
        os.close(fd)


class MaildirSource:
    """A tree with INBOX at its root and every other folder in a directory ``.A.B``."""

    def __init__(self, disk: Disk, path: str, *, flavour: Flavour = "maildir") -> None:
        """Open a tree.

        Raises:
            OSError: it cannot be opened, or there is no ``cur`` in it.
        """
        self._disk = disk
        self._flavour = flavour
        self.failures: Final = Failures()
        self._fd = disk.open_root(path)
        try:
            os.close(disk.open_directory(self._fd, ["cur"]))
        except OSError:
            self.close()
            raise

    def folders(self) -> Iterator[ForeignFolder]:
        """Give all folders, INBOX first."""
        for name, directory in sorted(self._directories().items(), key=lambda one: (not one[0].is_inbox, one[0])):
            try:
                fd = self._disk.open_directory(self._fd, [directory] if directory else [])
            except OSError as error:
                self.failures.add(directory, error.strerror or str(error))
                continue
            try:
                yield self._folder(name, fd, place=directory or "INBOX")
            finally:
                os.close(fd)

    def subscriptions(self) -> frozenset[FolderName]:
        """Folders the user wants to see."""
        if not self._is_courier(self._fd):
            content = read_if_there(self._disk, self._fd, "subscriptions", place="", failures=self.failures)
            return parse_subscriptions(content or b"")
        content = read_if_there(self._disk, self._fd, "courierimapsubscribed", place="", failures=self.failures)
        return parse_courier_subscriptions(content or b"")

    def special_uses(self) -> Mapping[FolderName, SpecialUse | None]:
        """What folders are for, as msgstore keeps it."""
        content = read_if_there(self._disk, self._fd, "msgstore.json", place="", failures=self.failures)
        return parse_special_uses(content or b"")

    def close(self) -> None:
        """Close the root; harmless to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _is_courier(self, fd: int) -> bool:
        if self._flavour != "maildir":
            return self._flavour == "courier"
        return not has_dovecot_lists(self._disk, fd) and UIDDB_NAME in self._disk.names(fd)

    def _directories(self) -> dict[FolderName, str]:
        found = {INBOX: ""}
        for directory in sorted(self._disk.names(self._fd)):
            if not directory.startswith(".") or directory in RESERVED_DIRECTORIES:
                continue
            try:
                os.close(self._disk.open_directory(self._fd, [directory, "cur"]))
            except (FileNotFoundError, NotADirectoryError):
                self._report_link(directory)
                continue
            except OSError as error:
                self.failures.add(directory, error.strerror or str(error))
                continue
            name = folder_of(directory)
            if name is None:
                self.failures.add(directory, "this cannot be the name of a folder")
            elif name in found:
                self.failures.add(directory, f"another directory is {name} as well")
            else:
                found[name] = directory
        return found

    def _report_link(self, directory: str) -> None:
        """Report a symbolic link that looks like a folder: opened without following it is no directory."""
        try:
            os.readlink(directory, dir_fd=self._fd)
        except OSError:
            return
        self.failures.add(directory, "symbolic links are not followed")

    def _folder(self, name: FolderName, fd: int, *, place: str) -> ForeignFolder:
        read = read_courier_lists if self._is_courier(fd) else read_dovecot_lists
        lists = read(self._disk, fd, place=place, failures=self.failures)
        files = self._files(fd, place=place)
        listed = sorted((lists.uids[base], base) for base in files if base in lists.uids)
        unlisted = sorted((base for base in files if base not in lists.uids), key=order_key)
        order: list[tuple[Uid | None, str]] = [(Uid(uid), base) for uid, base in listed]
        order += [(None, base) for base in unlisted]
        return ForeignFolder(
            name=name,
            uidvalidity=lists.uidvalidity,
            uidnext=lists.uidnext,
            expected=len(order),
            messages=partial(self._messages, fd, order, files, lists, place),
        )

    def _files(self, fd: int, *, place: str) -> dict[str, tuple[str, str]]:
        """Give directory and name of every message by its base; one that is being moved is where it moves to."""
        files: dict[str, tuple[str, str]] = {}
        for inner in _INNER:
            try:
                inner_fd = self._disk.open_directory(fd, [inner])
            except OSError as error:
                self.failures.add(f"{place}/{inner}", error.strerror or str(error))
                continue
            try:
                for name in self._disk.names(inner_fd):
                    if is_message_name(name):
                        files[base_of(name)] = (inner, name)
                    elif not name.startswith("."):
                        self.failures.add(f"{place}/{inner}/{name}", "this cannot be the name of a message")
            finally:
                os.close(inner_fd)
        return files

    def _messages(  # noqa: PLR0917 (what was read of the folder)
        self,
        folder_fd: int,
        order: list[tuple[Uid | None, str]],
        files: dict[str, tuple[str, str]],
        lists: Lists,
        place: str,
    ) -> Iterator[ForeignMessage]:
        inner_fds: dict[str, int] = {}
        try:
            for uid, base in order:
                inner, name = files[base]
                where = f"{place}/{inner}/{name}"
                try:
                    if inner not in inner_fds:
                        inner_fds[inner] = self._disk.open_directory(folder_fd, [inner])
                    date = int(self._disk.stat(inner_fds[inner], name).st_mtime)
                    sealed = is_marked(fields_of(base).get("E"))
                except (OSError, ValueError) as error:
                    self.failures.add(where, getattr(error, "strerror", None) or str(error))
                    continue
                keywords, unfit = fit_keywords(lists.keywords_of(name))
                for keyword in sorted(unfit):
                    self.failures.add(f"{place}: keyword {keyword}", "IMAP does not allow such keywords")
                yield ForeignMessage(
                    place=where,
                    uid=uid,
                    internal_date=date,
                    chunks=partial(self._chunks, inner_fds[inner], name),
                    flags=flags_of(name),
                    keywords=keywords,
                    uidl=lists.uidls.get(base),
                    sealed=sealed,
                )
        finally:
            for inner_fd in inner_fds.values():
                os.close(inner_fd)

    def _chunks(self, inner_fd: int, name: str) -> Iterator[bytes]:
        yield from read_chunks(self._disk.open_for_reading(inner_fd, name))
