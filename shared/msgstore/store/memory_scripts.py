"""The Sieve scripts of one mailbox of the memory backend."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound
from msgstore.model.scripts import (
    SCRIPTS_LIMIT,
    ScriptExists,
    ScriptInfo,
    ScriptIsActive,
    ScriptNotFound,
    StoredScript,
    TooManyScripts,
    check_script,
    check_script_name,
)
from msgstore.store.memory_tree import MemoryBox

__all__ = ["MemoryScriptHouse", "MemoryScripts"]


class MemoryScriptHouse(Protocol):
    """The store, seen from its scripts."""

    def locked(self) -> AbstractContextManager[object]:
        """Keep everybody else out of the whole store."""
        ...

    def box(self, mailbox: MailboxId) -> MemoryBox:
        """Give what is kept of a mailbox."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryScripts:
    """See :class:`msgstore.model.scripts.ScriptShelf`."""

    _store: MemoryScriptHouse
    mailbox: MailboxId

    def list(self) -> tuple[ScriptInfo, ...]:
        """Give all scripts, ascending by name."""
        with self._store.locked():
            box = self._store.box(self.mailbox)
            return tuple(
                ScriptInfo(name=name, octets=len(content), is_active=name == box.active_script)
                for name, content in sorted(box.scripts.items())
            )

    def read(self, name: str) -> bytes:
        """Give a script."""
        with self._store.locked():
            return self._content(name)

    def active(self) -> StoredScript | None:
        """Give the active script."""
        with self._store.locked():
            try:
                name = self._store.box(self.mailbox).active_script
            except MailboxNotFound:
                return None
            return None if name is None else StoredScript(name=name, content=self._content(name))

    def put(self, name: str, content: bytes) -> None:
        """Put a script."""
        check_script(name, content)
        with self._store.locked():
            scripts = self._store.box(self.mailbox).scripts
            if name not in scripts and len(scripts) >= SCRIPTS_LIMIT:
                raise TooManyScripts
            scripts[name] = content

    def activate(self, name: str | None) -> None:
        """Make a script the active one, or none."""
        with self._store.locked():
            if name is not None:
                self._content(name)
            self._store.box(self.mailbox).active_script = name

    def rename(self, name: str, to: str) -> None:
        """Give a script another name."""
        check_script_name(to)
        with self._store.locked():
            box = self._store.box(self.mailbox)
            content = self._content(name)
            if to in box.scripts:
                raise ScriptExists("a script of that name is there")
            del box.scripts[name]
            box.scripts[to] = content
            if box.active_script == name:
                box.active_script = to

    def remove(self, name: str) -> None:
        """Take a script away."""
        with self._store.locked():
            box = self._store.box(self.mailbox)
            self._content(name)
            if box.active_script == name:
                raise ScriptIsActive("the active script stays")
            del box.scripts[name]

    def _content(self, name: str) -> bytes:
        try:
            return self._store.box(self.mailbox).scripts[name]
        except KeyError:
            raise ScriptNotFound("there is no script of that name") from None
