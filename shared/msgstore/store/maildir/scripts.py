"""The Sieve scripts of one mailbox: files in ``sieve/``, and the active one where ``.sieve`` leads.

Both lie in the directory of the mailbox, beside the Maildir where that has a directory of its own.  ``.sieve`` is a
symbolic link to ``sieve/NAME.sieve``; other programs that read ``.sieve`` find the active script there.  Where it is a
plain file, as installations before this one have it, that file is a script under the name ``personal``, and the active
one; it moves to the others when another script becomes the active one.

The link is read and never followed: a link that leads anywhere else is an error, not a script.  Each change is one
rename or unlink that is durable on return, after what it needs has become durable; a delivery sees the script before it
or the one after it.
"""

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound, StoreUnavailable, store_error_from
from msgstore.model.scripts import (
    SCRIPT_LIMIT_OCTETS,
    SCRIPTS_LIMIT,
    ScriptExists,
    ScriptInfo,
    ScriptIsActive,
    ScriptNotFound,
    ScriptTooLarge,
    StoredScript,
    TooManyScripts,
    check_script,
    check_script_name,
)
from msgstore.store.directories import SETTLED_SECONDS, Directories, Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.ledger import Ledger
from msgstore.store.maildir.scriptnames import DIRECTORY_NAME, file_in_link, file_of, link_to, name_file_of, name_of

__all__ = ["LINK_NAME", "PLAIN_NAME", "ActiveScripts", "MaildirScripts", "ScriptHouse"]

LINK_NAME: Final = ".sieve"
PLAIN_NAME: Final = "personal"
"""What the script in a plain ``.sieve`` is called."""

_CACHED_OCTETS: Final = 16 * 1024 * 1024
"""Scripts that are remembered by this process; most have a few hundred octets."""

_Stamp = tuple[int, int, int, int, int]


class ScriptHouse(Protocol):
    """The store, seen from its scripts."""

    @property
    def disk(self) -> Disk:
        """The disk."""
        ...

    @property
    def directories(self) -> Directories:
        """Open directories."""
        ...

    @property
    def active_scripts(self) -> "ActiveScripts":
        """What is remembered of active scripts."""
        ...

    def home_of(self, mailbox: MailboxId) -> Place:
        """Give the directory that holds everything of a mailbox."""
        ...

    def box_of(self, mailbox: MailboxId) -> Place:
        """Give the directory of INBOX."""
        ...

    def ledger_of(self, mailbox: MailboxId) -> Ledger:
        """Give what this process knows of a mailbox."""
        ...

    def mailbox_exists(self, mailbox: MailboxId) -> bool:
        """Whether the mailbox has a place in the store."""
        ...


class ActiveScripts:
    """Active scripts as they were read, by the state of their file; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[MailboxId, tuple[str, _Stamp, StoredScript]] = OrderedDict()
        self._octets = 0

    def get(self, mailbox: MailboxId, file: str, status: os.stat_result) -> StoredScript | None:
        """Give what the file holds; None where it is another file, or has changed."""
        with self._lock:
            known = self._known.get(mailbox)
            if known is None or known[:2] != (file, _stamp(status)):
                return None
            self._known.move_to_end(mailbox)
            return known[2]

    def keep(self, mailbox: MailboxId, file: str, status: os.stat_result, script: StoredScript) -> None:
        """Remember what a file holds."""
        with self._lock:
            self._drop(self._known.pop(mailbox, None))
            self._known[mailbox] = (file, _stamp(status), script)
            self._octets += len(script.content)
            while self._octets > _CACHED_OCTETS:
                self._drop(self._known.popitem(last=False)[1])

    def _drop(self, gone: tuple[str, _Stamp, StoredScript] | None) -> None:
        if gone is not None:
            self._octets -= len(gone[2].content)


def _stamp(status: os.stat_result) -> _Stamp:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class _Link:
    """What stands under ``.sieve``: a plain file, a link to a file of ours, or something that is no script of ours."""

    is_plain: bool = False
    file: str | None = None
    is_foreign: bool = False


_ABSENT: Final = _Link()


@dataclass(frozen=True, slots=True)
class MaildirScripts:
    """See :class:`msgstore.model.scripts.ScriptShelf`."""

    _house: ScriptHouse
    mailbox: MailboxId

    def list(self) -> tuple[ScriptInfo, ...]:
        """Give all scripts, ascending by name."""
        with self._reading() as home_fd:
            link = self._link(home_fd)
            found: dict[str, ScriptInfo] = {}
            with self._shelf(home_fd) as shelf_fd:
                for name, file, octets in self._files(shelf_fd):
                    found[name] = ScriptInfo(name=name, octets=octets, is_active=file == link.file)
            if link.is_plain:
                octets = self._house.disk.stat(home_fd, LINK_NAME).st_size
                found[PLAIN_NAME] = ScriptInfo(name=PLAIN_NAME, octets=octets, is_active=True)
        return tuple(info for _, info in sorted(found.items()))

    def read(self, name: str) -> bytes:
        """Give a script."""
        with self._reading() as home_fd:
            return self._content(home_fd, name)

    def active(self) -> StoredScript | None:
        """Give the active script: a link read and a file looked at, where that has not changed."""
        home, directories = self._house.home_of(self.mailbox), self._house.directories
        try:
            opened = directories.take(home)
            try:
                link = directories.search(opened, LINK_NAME, lambda: self._found_link(opened.fd))
                if link is not None and link.is_plain:
                    return self._current(opened.fd, LINK_NAME, PLAIN_NAME)
            finally:
                directories.give_back(opened)
        except (FileNotFoundError, NotADirectoryError):
            # There is no mailbox yet.
            return None
        except OSError as error:
            raise store_error_from(error) from error
        if link is None:
            return None
        if link.is_foreign:
            raise StoreUnavailable("the link of the active script leads to no script of the mailbox")
        if link.file is None:
            return None
        try:
            with self._house.directories.lease((home[0], (*home[1], DIRECTORY_NAME))) as shelf_fd:
                name = self._name(shelf_fd, link.file)
                if name is None:
                    raise StoreUnavailable("the active script has no name")
                return self._current(shelf_fd, link.file, name)
        except OSError as error:
            raise store_error_from(error) from error

    def put(self, name: str, content: bytes) -> None:
        """Put a script."""
        check_script(name, content)
        with self._changing() as home_fd:
            if name == PLAIN_NAME and self._link(home_fd).is_plain:
                self._house.disk.replace(home_fd, LINK_NAME, content)
                return
            with self._shelf(home_fd, create=True) as shelf_fd:
                names = {known for known, _, _ in self._files(shelf_fd)}
                if name not in names and len(names) >= SCRIPTS_LIMIT:
                    raise TooManyScripts
                self._write(shelf_fd, name, content)

    def activate(self, name: str | None) -> None:
        """Make a script the active one, or none."""
        with self._changing() as home_fd:
            link = self._link(home_fd)
            if name is not None:
                self._content(home_fd, name)
            if link.is_plain and name != PLAIN_NAME:
                # It stays a script, and stands beside the others before its place is taken.
                with self._shelf(home_fd, create=True) as shelf_fd:
                    self._write(shelf_fd, PLAIN_NAME, self._content(home_fd, PLAIN_NAME))
            if name is None:
                if link != _ABSENT:
                    self._house.disk.unlink(home_fd, LINK_NAME)
                    self._house.disk.sync_directory(home_fd)
            elif not (link.is_plain and name == PLAIN_NAME):
                self._house.disk.replace_link(home_fd, LINK_NAME, link_to(file_of(name)))

    def rename(self, name: str, to: str) -> None:
        """Give a script another name; there are both for a moment, and the active one is one of them."""
        check_script_name(to)
        with self._changing() as home_fd:
            link = self._link(home_fd)
            content = self._content(home_fd, name)
            if self._is_there(home_fd, link, to):
                raise ScriptExists("a script of that name is there")
            with self._shelf(home_fd, create=True) as shelf_fd:
                self._write(shelf_fd, to, content)
                is_plain = link.is_plain and name == PLAIN_NAME
                if is_plain:
                    # A copy of it that an interrupted change left would become a script again.
                    with suppress(FileNotFoundError):
                        self._unlink(shelf_fd, file_of(name))
                if is_plain or link.file == file_of(name):
                    self._house.disk.replace_link(home_fd, LINK_NAME, link_to(file_of(to)))
                if not is_plain:
                    self._unlink(shelf_fd, file_of(name))

    def remove(self, name: str) -> None:
        """Take a script away."""
        with self._changing() as home_fd:
            link = self._link(home_fd)
            self._content(home_fd, name)
            if (link.is_plain and name == PLAIN_NAME) or link.file == file_of(name):
                raise ScriptIsActive("the active script stays")
            with self._shelf(home_fd) as shelf_fd:
                self._unlink(shelf_fd, file_of(name))

    # Parts.

    @contextmanager
    def _reading(self) -> Generator[int]:
        if not self._house.mailbox_exists(self.mailbox):
            raise MailboxNotFound(f"there is no mailbox {self.mailbox}")
        try:
            with self._house.directories.lease(self._house.home_of(self.mailbox)) as home_fd:
                yield home_fd
        except OSError as error:
            raise store_error_from(error) from error

    @contextmanager
    def _changing(self) -> Generator[int]:
        """Be the only one in all processes who changes the scripts."""
        ledger = self._house.ledger_of(self.mailbox)
        with self._reading() as home_fd, ledger.lock, ledger.turn():
            yield home_fd

    @contextmanager
    def _shelf(self, home_fd: int, *, create: bool = False) -> Generator[int | None]:
        """Open the directory of the scripts; None where there is none."""
        try:
            fd = self._house.disk.open_directory(home_fd, [DIRECTORY_NAME], create=create)
        except FileNotFoundError:
            yield None
            return
        try:
            yield fd
        finally:
            os.close(fd)

    def _link(self, home_fd: int) -> _Link:
        try:
            return self._found_link(home_fd)
        except FileNotFoundError:
            return _ABSENT

    def _found_link(self, home_fd: int) -> _Link:
        """Look what stands under ``.sieve``.

        Raises:
            FileNotFoundError: nothing does.
        """
        try:
            target = self._house.disk.read_link(home_fd, LINK_NAME)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            mode = self._house.disk.stat(home_fd, LINK_NAME).st_mode
            # A folder of that name may have been made by another program.
            return _Link(is_plain=stat.S_ISREG(mode), is_foreign=not stat.S_ISREG(mode) and not stat.S_ISDIR(mode))
        file = file_in_link(target)
        return _Link(file=file, is_foreign=file is None)

    def _current(self, directory_fd: int, file: str, name: str) -> StoredScript:
        """Give a script, read anew where its file is another one or has changed."""
        known = self._house.active_scripts.get(self.mailbox, file, self._house.disk.stat(directory_fd, file))
        if known is not None:
            return known
        content, status = self._bounded(directory_fd, file)
        script = StoredScript(name=name, content=content)
        # What was written just now could be written again within one tick of the file system's clock.
        if status.st_ctime_ns < (self._house.disk.wall_seconds() - SETTLED_SECONDS) * 1e9:
            self._house.active_scripts.keep(self.mailbox, file, status, script)
        return script

    def _bounded(self, directory_fd: int, file: str) -> tuple[bytes, os.stat_result]:
        if self._house.disk.stat(directory_fd, file).st_size > SCRIPT_LIMIT_OCTETS:
            raise ScriptTooLarge
        return self._house.disk.read_file(directory_fd, file)

    def _content(self, home_fd: int, name: str) -> bytes:
        if name == PLAIN_NAME and self._link(home_fd).is_plain:
            return self._bounded(home_fd, LINK_NAME)[0]
        with self._shelf(home_fd) as shelf_fd:
            try:
                if shelf_fd is not None:
                    return self._bounded(shelf_fd, file_of(name))[0]
            except FileNotFoundError:
                pass
        raise ScriptNotFound("there is no script of that name")

    def _is_there(self, home_fd: int, link: _Link, name: str) -> bool:
        if link.is_plain and name == PLAIN_NAME:
            return True
        with self._shelf(home_fd) as shelf_fd:
            return any(known == name for known, _, _ in self._files(shelf_fd))

    def _files(self, shelf_fd: int | None) -> Generator[tuple[str, str, int]]:
        """Give name, file and octets of every script beside the others; what has no name of ours is not ours."""
        if shelf_fd is None:
            return
        for file in self._house.disk.names(shelf_fd):
            with suppress(FileNotFoundError):
                name = self._name(shelf_fd, file)
                status = self._house.disk.stat(shelf_fd, file)
                if name is not None and stat.S_ISREG(status.st_mode):
                    yield name, file, status.st_size

    def _name(self, shelf_fd: int, file: str) -> str | None:
        beside = name_file_of(file)
        if beside is None:
            return name_of(file)
        octets, _ = self._house.disk.read_file(shelf_fd, beside)
        name = octets.decode("utf-8", "replace")
        return name if file_of(name) == file else None

    def _write(self, shelf_fd: int | None, name: str, content: bytes) -> None:
        assert shelf_fd is not None, "the directory was made"
        file = file_of(name)
        beside = name_file_of(file)
        if beside is not None:
            self._house.disk.replace(shelf_fd, beside, name.encode())
        self._house.disk.replace(shelf_fd, file, content)

    def _unlink(self, shelf_fd: int | None, file: str) -> None:
        assert shelf_fd is not None, "a script lies there"
        self._house.disk.unlink(shelf_fd, file)
        beside = name_file_of(file)
        if beside is not None:
            self._house.disk.unlink(shelf_fd, beside)
        self._house.disk.sync_directory(shelf_fd)
