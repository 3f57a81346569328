"""The active scripts of mailboxes, remembered: each delivery asks for one, and few ever change.

Once a second it is asked which mailboxes had their scripts changed lately, by whatever machine; those are forgotten.
So a change counts everywhere after a second, and at once in the process that made it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from msgstore.model.interfaces import Clock
from msgstore.model.scripts import StoredScript
from msgstore.store.sql import schema
from msgstore.store.sql.database import Database

__all__ = ["ActiveScripts", "stamp_of"]

LOOK_SECONDS: Final = 1.0
TRUST_SECONDS: Final = 60.0
"""How long an answer stands at most, and how far the clocks of machines may be apart."""

_REMEMBER: Final = 65_536

_box: Final = schema.mailbox.c
_CHANGED: Final = sa.select(_box.mailbox_id).where(_box.script_stamp > sa.bindparam("since"))


@dataclass(frozen=True, slots=True)
class _Known:
    at: float
    script: StoredScript | None


def stamp_of(clock: Clock) -> int:
    """Give what a change is stamped with: milliseconds since 1970 UTC."""
    return int(clock.time() * 1000)


class ActiveScripts:
    """Safe in every thread."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._guard = threading.Lock()
        self._known: OrderedDict[UUID, _Known] = OrderedDict()
        self._looked_at = float("-inf")

    def of(self, mailbox_id: UUID, read: Callable[[], StoredScript | None]) -> StoredScript | None:
        """Give the script; ``read`` asks the database where it is not known.

        Raises:
            StoreError: the database cannot be asked now.
        """
        now = self._clock.monotonic()
        self._forget_changed(now)
        with self._guard:
            known = self._known.get(mailbox_id)
        if known is not None and now - known.at < TRUST_SECONDS:
            return known.script
        script = read()
        with self._guard:
            self._known[mailbox_id] = _Known(now, script)
            self._known.move_to_end(mailbox_id)
            if len(self._known) > _REMEMBER:
                self._known.popitem(last=False)
        return script

    def forget(self, mailbox_id: UUID) -> None:
        """Ask the database the next time."""
        with self._guard:
            self._known.pop(mailbox_id, None)

    def _forget_changed(self, now: float) -> None:
        with self._guard:
            if now - self._looked_at < LOOK_SECONDS:
                return
            self._looked_at = now
            if not self._known:
                return
        since = stamp_of(self._clock) - int(2 * TRUST_SECONDS * 1000)
        for mailbox_id in self._database.read(lambda connection: connection.scalars(_CHANGED, {"since": since}).all()):
            self.forget(mailbox_id)
