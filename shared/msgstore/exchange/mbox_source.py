"""mbox files as a source: a single file is INBOX, a directory holds a folder in each file, levels are directories."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, cast

from msgstore.exchange.dovecot_lists import read_if_there
from msgstore.exchange.maildir_source import parse_special_uses
from msgstore.exchange.mbox_lines import header_date, read_folder_facts, read_message_facts, separator_date
from msgstore.exchange.mbox_reader import MboxMessage, read_messages
from msgstore.exchange.values import Failures, ForeignFolder, ForeignMessage, fit_keywords, fit_uidl
from msgstore.model.errors import InvalidFolderName
from msgstore.model.folder import INBOX, FolderName, SpecialUse
from msgstore.model.message import Uid
from msgstore.store.disk import Disk
from msgstore.store.maildir.folders import decode_utf7, folder_of

__all__ = ["MARKER_NAME", "SUFFIX", "MboxSource"]

MARKER_NAME: Final = "msgstore-export.json"
"""Stands in directories that an export wrote; says how files are named there and what mbox files cannot say."""

SUFFIX: Final = ".mbox"
_INBOX_NAMES: Final = ("inbox", "mbox")
_LEVELS: Final = 20
"""Directories below each other that are walked; folders are not nested deeper."""


class MboxSource:
    """An mbox file or a directory of them."""

    def __init__(self, disk: Disk, path: str) -> None:
        """Open it.

        Raises:
            OSError: it cannot be opened.
        """
        self._disk = disk
        self.failures: Final = Failures()
        above, name = os.path.split(path)
        self._fd = disk.open_root(above or "/")
        self._file: str | None = name
        try:
            if stat.S_ISDIR(disk.stat(self._fd, name).st_mode):
                root = disk.open_directory(self._fd, [name])
                os.close(self._fd)
                self._fd, self._file = root, None
        except OSError:
            self.close()
            raise
        self._marker = self._read_marker()

    def folders(self) -> Iterator[ForeignFolder]:
        """Give all folders, INBOX first."""
        places: dict[FolderName, tuple[str, ...]]
        if self._file is not None:
            places = {INBOX: (self._file,)}
        elif self._marker is not None:
            places = dict(self._exported())
        else:
            places = dict(self._walk((), self._fd))
        for name, place in sorted(places.items(), key=lambda one: (not one[0].is_inbox, one[0])):
            where = "/".join(place)
            try:
                directory_fd = self._disk.open_directory(self._fd, place[:-1])
                try:
                    fd = self._disk.open_for_reading(directory_fd, place[-1])
                finally:
                    os.close(directory_fd)
            except OSError as error:
                self.failures.add(where, error.strerror or str(error))
                continue
            try:
                folder = self._folder(name, fd, place=where)
                if folder is not None:
                    yield folder
            finally:
                os.close(fd)

    def subscriptions(self) -> frozenset[FolderName]:
        """Folders the user wants to see: as an export noted them, or as Dovecot does."""
        if self._file is not None:
            return frozenset()
        if self._marker is not None:
            noted = self._marker.get("subscriptions")
            texts = [text for text in cast("list[object]", noted) if isinstance(text, str)] if _is_list(noted) else []
        else:
            content = read_if_there(self._disk, self._fd, ".subscriptions", place="", failures=self.failures)
            lines = (content or b"").decode("utf-8", "replace").split("\n")
            is_new = lines[0].startswith("V\t")
            texts = [line.replace("\t", "/") if is_new else line for line in lines[int(is_new) :] if line]
        names = (_parsed(text) for text in texts)
        return frozenset(name for name in names if name is not None)

    def special_uses(self) -> Mapping[FolderName, SpecialUse | None]:
        """What folders are for, as an export noted it."""
        return {} if self._marker is None else parse_special_uses(json.dumps(self._marker).encode())

    def close(self) -> None:
        """Close the root; harmless to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _read_marker(self) -> dict[str, object] | None:
        if self._file is not None:
            return None
        content = read_if_there(self._disk, self._fd, MARKER_NAME, place="", failures=self.failures)
        if content is None:
            return None
        try:
            read = cast("object", json.loads(content))
        except ValueError:
            self.failures.add(MARKER_NAME, "cannot be read")
            return {}
        return cast("dict[str, object]", read) if isinstance(read, dict) else {}

    def _exported(self) -> Iterator[tuple[FolderName, tuple[str, ...]]]:
        for name in self._disk.names(self._fd):
            stem = name.removesuffix(SUFFIX)
            folder = INBOX if stem == "INBOX" else folder_of(f".{stem}")
            if stem == name:
                continue
            if folder is None:
                self.failures.add(name, "this cannot be the name of a folder")
            else:
                yield folder, (name,)

    def _walk(self, levels: tuple[str, ...], fd: int) -> Iterator[tuple[FolderName, tuple[str, ...]]]:
        for name in sorted(self._disk.names(fd)):
            if name.startswith("."):
                continue
            place = (*levels, name)
            try:
                mode = self._disk.stat(fd, name).st_mode
                if stat.S_ISDIR(mode) and len(place) <= _LEVELS:
                    inner = self._disk.open_directory(fd, [name])
                    try:
                        yield from self._walk(place, inner)
                    finally:
                        os.close(inner)
                    continue
            except OSError as error:
                self.failures.add("/".join(place), error.strerror or str(error))
                continue
            if not stat.S_ISREG(mode):
                self.failures.add("/".join(place), "is not a file")
                continue
            folder = INBOX if not levels and name.lower() in _INBOX_NAMES else _parsed("/".join(place))
            if folder is None:
                self.failures.add("/".join(place), "this cannot be the name of a folder")
            else:
                yield folder, place

    def _folder(self, name: FolderName, fd: int, *, place: str) -> ForeignFolder | None:
        try:
            first = next(read_messages(fd), None)
        except (ValueError, OSError) as error:
            self.failures.add(place, str(error))
            return None
        facts = None if first is None else read_folder_facts(first.fields)
        return ForeignFolder(
            name=name,
            uidvalidity=None if facts is None else facts.uidvalidity,
            uidnext=1 if facts is None else facts.uidnext,
            expected=None,
            messages=partial(
                self._messages,
                fd,
                place,
                uidnext=1 if facts is None else facts.uidnext,
                skips_first=facts is not None and facts.is_no_message,
            ),
        )

    def _messages(self, fd: int, place: str, *, uidnext: int, skips_first: bool) -> Iterator[ForeignMessage]:
        """Give those with UIDs that ascend; all from the first one without on have none: order is all they have."""
        modified = int(os.fstat(fd).st_mtime)
        last, number = 0, 0
        try:
            for number, message in enumerate(read_messages(fd), 1):
                if number == 1 and skips_first:
                    continue
                facts = read_message_facts(message.fields)
                uid = facts.uid if facts.uid is not None and last < facts.uid < uidnext else None
                if facts.uid is not None and uid is None and uidnext > 1:
                    self.failures.add(f"{place}: message {number}", f"its UID {facts.uid} cannot be kept")
                last = uidnext if uid is None else uid
                yield self._message(message, f"{place}: message {number}", uid, modified)
        except ValueError as error:
            self.failures.add(f"{place}: behind message {number}", str(error))

    def _message(self, message: MboxMessage, place: str, uid: int | None, modified: int) -> ForeignMessage:
        facts = read_message_facts(message.fields)
        keywords, unfit = fit_keywords(facts.keywords)
        for keyword in sorted(unfit):
            self.failures.add(f"{place}: keyword {keyword}", "IMAP does not allow such keywords")
        dates = (separator_date(message.separator), header_date(message.fields.get(b"date")), modified)
        return ForeignMessage(
            place=place,
            uid=None if uid is None else Uid(uid),
            internal_date=next(date for date in dates if date is not None),
            chunks=message.chunks,
            flags=facts.flags,
            keywords=keywords,
            uidl=fit_uidl(facts.uidl),
        )


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _parsed(text: str) -> FolderName | None:
    """Read a name of a foreign file, in modified UTF-7 or UTF-8; None where it names no folder."""
    with suppress(ValueError):
        text = decode_utf7(text)
    try:
        return FolderName.parse(text)
    except InvalidFolderName:
        return None
