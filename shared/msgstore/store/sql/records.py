"""What scripts did before: who was sent a reply, which message was seen, in the database."""

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import store_error_from
from msgstore.store.disk import Disk
from msgstore.store.sql import schema
from msgstore.store.sql.database import Database
from msgstore.store.sql.inserting import put
from msgstore.store.sql.schema import id_of_mailbox

__all__ = ["ROWS_LIMIT", "SqlRecords"]

ROWS_LIMIT: Final = 10_000
"""Of one kind and mailbox; the oldest go first. RFC 5230 §4.2 asks for 1000 at least."""

_SWEEP_EACH: Final = 200
"""Records between two sweeps, by each process."""

_CLOCK_SLACK_SECONDS: Final = 3600.0
"""A record from further in the future was made by a clock that was wrong, and may count for years."""

_seen: Final = schema.seen.c


class SqlRecords:
    """See :class:`msgstore.model.store.Records`.

    Only processes of one machine keep each other away: two machines that ask for one mark at the same moment may both
    be told that it is new.
    """

    def __init__(self, database: Database, *, disk: Disk, locks_directory: str) -> None:
        self._database = database
        self._disk = disk
        self._locks_directory = locks_directory
        self._until_sweep: dict[MailboxId, int] = {}

    def has(self, mailbox: MailboxId, kind: str, key: bytes, *, now: float, seconds: float) -> bool:
        """Whether there is a record that counts."""
        query = sa.select(_seen.at, _seen.until).where(
            _seen.mailbox_id == id_of_mailbox(mailbox), _seen.kind == kind, _seen.mark == key
        )
        found = self._database.read(lambda connection: connection.execute(query).first())
        if found is None or found.at > now + _CLOCK_SLACK_SECONDS:
            return False
        return bool(now < min(found.until, found.at + seconds))

    def add(self, mailbox: MailboxId, records: Iterable[tuple[str, bytes, float]], *, now: float) -> None:
        """Make records, all or none."""
        mailbox_id = id_of_mailbox(mailbox)
        rows: list[dict[str, object]] = [
            {"mailbox_id": mailbox_id, "kind": kind, "mark": key, "at": int(now), "until": int(now + seconds)}
            for kind, key, seconds in records
        ]
        left = self._until_sweep.get(mailbox, 0) - len(rows)
        is_due = left <= 0

        def work(connection: sa.Connection) -> None:
            put(connection, schema.seen, rows)
            if is_due:
                _sweep(connection, mailbox, {str(row["kind"]) for row in rows}, now=now)

        self._database.write(work)
        self._until_sweep[mailbox] = _SWEEP_EACH if is_due else left

    def lock_directory(self) -> int:
        """Open the directory of this machine's locks."""
        try:
            return self._disk.open_root(self._locks_directory, create=True)
        except OSError as error:
            raise store_error_from(error) from error


def _sweep(connection: sa.Connection, mailbox: MailboxId, kinds: Iterable[str], *, now: float) -> None:
    mailbox_id = id_of_mailbox(mailbox)
    connection.execute(sa.delete(schema.seen).where(_seen.mailbox_id == mailbox_id, _seen.until <= now))
    for kind in kinds:
        of_kind = sa.and_(_seen.mailbox_id == mailbox_id, _seen.kind == kind)
        oldest_kept = sa.select(_seen.at).where(of_kind).order_by(_seen.at.desc()).offset(ROWS_LIMIT - 1).limit(1)
        edge = connection.scalar(oldest_kept)
        if edge is not None:
            connection.execute(sa.delete(schema.seen).where(of_kind, _seen.at < edge))
