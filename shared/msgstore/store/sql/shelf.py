"""The Sieve scripts of one mailbox in the database."""

from collections.abc import Callable
from typing import Final, TypeVar

import sqlalchemy as sa

from msgstore.model.address import MailboxId
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
from msgstore.store.sql import schema
from msgstore.store.sql.active import stamp_of
from msgstore.store.sql.house import SqlHouse
from msgstore.store.sql.places import lock_box, require_box
from msgstore.store.sql.schema import id_of_mailbox

__all__ = ["SqlScripts"]

_T = TypeVar("_T")

_script: Final = schema.script.c
_ACTIVE: Final = sa.select(schema.mailbox.c.active_script).where(
    schema.mailbox.c.mailbox_id == sa.bindparam("mailbox_id"), schema.mailbox.c.removed_at.is_(None)
)


class SqlScripts:
    """See :class:`msgstore.model.scripts.ScriptShelf`."""

    def __init__(self, house: SqlHouse, mailbox: MailboxId) -> None:
        self._house = house
        self.mailbox: Final = mailbox
        self._id: Final = id_of_mailbox(mailbox)

    def list(self) -> tuple[ScriptInfo, ...]:
        """Give all scripts, ascending by name."""

        def infos(connection: sa.Connection) -> tuple[ScriptInfo, ...]:
            require_box(connection, self.mailbox)
            active = self._active(connection)
            rows = connection.execute(
                sa.select(_script.name, sa.func.length(_script.content)).where(_script.mailbox_id == self._id)
            )
            found = [ScriptInfo(name=name, octets=octets, is_active=name == active) for name, octets in rows]
            return tuple(sorted(found, key=lambda info: info.name))

        return self._house.database.read(infos)

    def read(self, name: str) -> bytes:
        """Give a script."""

        def content(connection: sa.Connection) -> bytes:
            require_box(connection, self.mailbox)
            return self._content(connection, name)

        return self._house.database.read(content)

    def active(self) -> StoredScript | None:
        """Give the active script."""

        def stored(connection: sa.Connection) -> StoredScript | None:
            name = self._active(connection)
            return None if name is None else StoredScript(name=name, content=self._content(connection, name))

        return self._house.active_scripts.of(self._id, lambda: self._house.database.read(stored))

    def put(self, name: str, content: bytes) -> None:
        """Put a script."""
        check_script(name, content)

        def work(connection: sa.Connection) -> None:
            names = self._names(connection)
            if name in names:
                connection.execute(sa.update(schema.script).where(self._is(name)).values(content=content))
                return
            if len(names) >= SCRIPTS_LIMIT:
                raise TooManyScripts
            connection.execute(sa.insert(schema.script), {"mailbox_id": self._id, "name": name, "content": content})

        self._write(work)

    def activate(self, name: str | None) -> None:
        """Make a script the active one, or none."""

        def work(connection: sa.Connection) -> None:
            if name is not None:
                self._content(connection, name)
            self._set_active(connection, name)

        self._write(work)

    def rename(self, name: str, to: str) -> None:
        """Give a script another name."""
        check_script_name(to)

        def work(connection: sa.Connection) -> None:
            self._content(connection, name)
            if to in self._names(connection):
                raise ScriptExists("a script of that name is there")
            connection.execute(sa.update(schema.script).where(self._is(name)).values(name=to))
            if self._active(connection) == name:
                self._set_active(connection, to)

        self._write(work)

    def remove(self, name: str) -> None:
        """Take a script away."""

        def work(connection: sa.Connection) -> None:
            self._content(connection, name)
            if self._active(connection) == name:
                raise ScriptIsActive("the active script stays")
            connection.execute(sa.delete(schema.script).where(self._is(name)))

        self._write(work)

    def _write(self, work: Callable[[sa.Connection], _T]) -> _T:
        def locked(connection: sa.Connection) -> _T:
            lock_box(connection, self.mailbox)
            result = work(connection)
            stamp = stamp_of(self._house.clock)
            connection.execute(sa.update(schema.mailbox).where(box.mailbox_id == self._id).values(script_stamp=stamp))
            return result

        box = schema.mailbox.c
        try:
            return self._house.database.write(locked)
        finally:
            # Also where it is not known whether it was done.
            self._house.active_scripts.forget(self._id)

    def _is(self, name: str) -> sa.ColumnElement[bool]:
        return sa.and_(_script.mailbox_id == self._id, _script.name == name)

    def _names(self, connection: sa.Connection) -> set[str]:
        return set(connection.scalars(sa.select(_script.name).where(_script.mailbox_id == self._id)))

    def _active(self, connection: sa.Connection) -> str | None:
        found: str | None = connection.scalar(_ACTIVE, {"mailbox_id": self._id})
        return found

    def _set_active(self, connection: sa.Connection, name: str | None) -> None:
        connection.execute(
            sa.update(schema.mailbox).where(schema.mailbox.c.mailbox_id == self._id).values(active_script=name)
        )

    def _content(self, connection: sa.Connection, name: str) -> bytes:
        found: bytes | None = connection.scalar(sa.select(_script.content).where(self._is(name)))
        if found is None:
            raise ScriptNotFound("there is no script of that name")
        return found
