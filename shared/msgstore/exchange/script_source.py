"""Scripts of other programs, read as they lie: ``sieve/`` and the active one where ``.dovecot.sieve`` leads.

That is the layout of Pigeonhole and, with ``.sieve`` in the place of the link, of msgstore and what came before it.  A
link is read and never followed; a plain file in its place is a script without a name, and the active one.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from msgstore.exchange.values import Failures
from msgstore.model.scripts import (
    SCRIPT_LIMIT_OCTETS,
    InvalidScriptName,
    ScriptTooLarge,
    check_script,
    check_script_name,
)
from msgstore.store.disk import Disk
from msgstore.store.maildir.scriptnames import DIRECTORY_NAME, SUFFIX, file_of, name_file_of, name_of
from msgstore.store.maildir.scripts import LINK_NAME, PLAIN_NAME

__all__ = ["DOVECOT_LINK_NAME", "ForeignScript", "find_scripts", "read_scripts"]

DOVECOT_LINK_NAME: Final = ".dovecot.sieve"
"""Where Pigeonhole looks for the active script unless it is told otherwise."""

_LINKS: Final = (DOVECOT_LINK_NAME, LINK_NAME)
"""Those that may say which script is active; the first that is there does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignScript:
    """One script of a source."""

    place: str
    """Names it in reports."""

    name: str
    content: bytes
    is_active: bool = False


def find_scripts(disk: Disk, tree: str) -> str | None:
    """Give the directory that holds the scripts of a Maildir's owner; None where there are none.

    It is the tree itself, or the directory above a tree that is called ``Maildir``: there lies the home directory.

    Raises:
        OSError: one of them cannot be opened.
    """
    above, name = os.path.split(tree.rstrip("/"))
    for path in (tree, above) if name.lower() == "maildir" else (tree,):
        fd = disk.open_root(path)
        try:
            if _has_scripts(disk, fd):
                return path
        finally:
            os.close(fd)
    return None


def _has_scripts(disk: Disk, fd: int) -> bool:
    for name in (*_LINKS, DIRECTORY_NAME):
        with suppress(FileNotFoundError):
            # A folder may be called as the link is: it is a directory then.
            if stat.S_ISDIR(disk.stat(fd, name).st_mode) == (name == DIRECTORY_NAME):
                return True
    return False


def read_scripts(disk: Disk, path: str, *, failures: Failures) -> tuple[ForeignScript, ...]:
    """Read all scripts in a directory, ascending by name, at most one of them active; none is judged.

    What cannot be read, or has a name that no script can have, is reported.

    Raises:
        OSError: the directory cannot be opened.
    """
    fd = disk.open_root(path)
    try:
        found = {script.name: script for script in _beside(disk, fd, failures)}
        is_decided = False
        for link in _LINKS:
            try:
                status = disk.stat(fd, link)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                continue
            name = _active(disk, fd, link, found=found, failures=failures)
            if name is not None and not is_decided:
                found[name] = replace(found[name], is_active=True)
            is_decided = True
    finally:
        os.close(fd)
    return tuple(script for _, script in sorted(found.items()))


def _beside(disk: Disk, fd: int, failures: Failures) -> Iterator[ForeignScript]:
    """Give the scripts in ``sieve/``; what does not end as a script does is something of another program."""
    try:
        shelf_fd = disk.open_directory(fd, [DIRECTORY_NAME])
    except FileNotFoundError:
        return
    except OSError as error:
        failures.add(DIRECTORY_NAME, error.strerror or str(error))
        return
    taken: set[str] = set()
    try:
        for file in sorted(disk.names(shelf_fd)):
            if file == SUFFIX or not file.endswith(SUFFIX) or file in _LINKS:
                continue
            place = f"{DIRECTORY_NAME}/{file}"
            try:
                name = _name(disk, shelf_fd, file)
                content = _content(disk, shelf_fd, file)
                check_script(name, content)
            except (InvalidScriptName, ScriptTooLarge) as error:
                failures.add(place, str(error))
            except OSError as error:
                failures.add(place, error.strerror or str(error))
            else:
                if name in taken:
                    failures.add(place, f"another file is {name} as well")
                    continue
                taken.add(name)
                yield ForeignScript(place=place, name=name, content=content)
    finally:
        os.close(shelf_fd)


def _name(disk: Disk, shelf_fd: int, file: str) -> str:
    """Give the name of a script: as msgstore writes names of files, else the file's own without its end."""
    beside = name_file_of(file)
    if beside is not None:
        with suppress(FileNotFoundError):
            name = disk.read_file(shelf_fd, beside)[0].decode("utf-8", "replace")
            if file_of(name) == file:
                return name
    return name_of(file) or file.removesuffix(SUFFIX)


def _content(disk: Disk, fd: int, file: str) -> bytes:
    if disk.stat(fd, file).st_size > SCRIPT_LIMIT_OCTETS:
        raise ScriptTooLarge
    return disk.read_file(fd, file)[0]


def _active(disk: Disk, fd: int, link: str, *, found: dict[str, ForeignScript], failures: Failures) -> str | None:
    """Give the name of the active script, which a plain file in the place of the link gets here."""
    try:
        target = disk.read_link(fd, link)
    except OSError:
        return _plain(disk, fd, link, found=found, failures=failures)
    for script in found.values():
        # Pigeonhole writes the link relative to its own directory, other programs as a whole path.
        if target == script.place or target.endswith(f"/{script.place}"):
            return script.name
    failures.add(link, f"it leads to {target}, which is none of the scripts; links are not followed")
    return None


def _plain(disk: Disk, fd: int, file: str, *, found: dict[str, ForeignScript], failures: Failures) -> str | None:
    try:
        content = _content(disk, fd, file)
    except ScriptTooLarge as error:
        failures.add(file, str(error))
        return None
    except OSError as error:
        failures.add(file, error.strerror or str(error))
        return None
    name, number = PLAIN_NAME, 1
    while name in found and found[name].content != content:
        number += 1
        name = f"{PLAIN_NAME}-{number}"
    check_script_name(name)
    found[name] = ForeignScript(place=file, name=name, content=content)
    return name
