"""Scripts of a mailbox written out where Pigeonhole has them: ``sieve/``, and the link ``.dovecot.sieve``."""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from msgstore.exchange.script_source import DOVECOT_LINK_NAME
from msgstore.exchange.values import Failures
from msgstore.model.errors import StoreError
from msgstore.model.scripts import ScriptInfo, ScriptShelf
from msgstore.store.disk import Disk
from msgstore.store.maildir.scriptnames import DIRECTORY_NAME, file_of, link_to, name_file_of

__all__ = ["ScriptsTarget"]


class ScriptsTarget:
    """Writes the scripts of one mailbox beside its mail, broken ones too: whoever reads them judges them."""

    def __init__(self) -> None:
        """Nothing is written yet."""
        self.written: list[ScriptInfo] = []
        """Those that were written, or would be."""

        self.failures: Final = Failures()
        """Those that cannot be read."""

    def write(self, shelf: ScriptShelf, target: tuple[Disk, int] | None) -> None:
        """Write all scripts into an open directory, durably; with None say what would be written.

        What an earlier run left and is no script now goes away.

        Raises:
            StoreError: the shelf cannot be looked at.
            OSError: the directory cannot be written to.
        """
        infos = shelf.list()
        try:
            shelf.active()
        except StoreError as error:
            self.failures.add("the active script", str(error))
        if target is None:
            self.written.extend(infos)
            return
        disk, root_fd = target
        if infos:
            fd = disk.open_directory(root_fd, [DIRECTORY_NAME], create=True)
            try:
                self._fill(disk, fd, shelf, infos)
            finally:
                os.close(fd)
        active = next((info.name for info in self.written if info.is_active), None)
        if active is not None:
            disk.replace_link(root_fd, DOVECOT_LINK_NAME, link_to(file_of(active)))
            return
        with suppress(FileNotFoundError):
            disk.unlink(root_fd, DOVECOT_LINK_NAME)

    def _fill(self, disk: Disk, fd: int, shelf: ScriptShelf, infos: Sequence[ScriptInfo]) -> None:
        files: set[str] = set()
        for info in infos:
            try:
                content = shelf.read(info.name)
            except StoreError as error:
                self.failures.add(f"script {info.name}", str(error))
                continue
            file = file_of(info.name)
            beside = name_file_of(file)
            if beside is not None:
                disk.replace(fd, beside, info.name.encode())
                files.add(beside)
            disk.replace(fd, file, content)
            files.add(file)
            self.written.append(info)
        for leftover in disk.names(fd):
            if leftover not in files:
                disk.unlink(fd, leftover)
