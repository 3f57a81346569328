"""Looking after what is kept: counts that are compared, tombstones that are forgotten, bodies that nobody names."""

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import StoreCorrupt
from msgstore.model.message import Uid
from msgstore.model.outcomes import Finding
from msgstore.store.sql import schema
from msgstore.store.sql.bodies import LargeBodies, sweep_orphans
from msgstore.store.sql.changing import drop_blobs, update_folder
from msgstore.store.sql.database import Database
from msgstore.store.sql.places import FolderRow, find_folder, lock_box, require_box
from msgstore.store.sql.schema import id_of_mailbox

__all__ = ["check_box", "collect_bodies", "forget_tombstones", "sweep"]

TOMBSTONE_SECONDS: Final = 30 * 86_400
"""How long it is remembered which UIDs are gone; who was away longer lists anew. RFC 7162 §3.2."""

COLLECT_SECONDS: Final = 86_400
"""A body waits for so long after its last row is gone: some other machine may be reading it."""

_message: Final = schema.message.c
_blob: Final = schema.blob.c
_gc: Final = schema.blob_gc.c


def check_box(
    connection: sa.Connection, mailbox: MailboxId, bodies: LargeBodies, *, repair: bool, now: float
) -> tuple[Finding, ...]:
    """Compare what the rows of folders say with what is there, and look for every body; mend counts where asked to."""
    if repair:
        lock_box(connection, mailbox)
    else:
        require_box(connection, mailbox)
    found: list[Finding] = []
    query = sa.select(schema.folder.c.name).where(schema.folder.c.mailbox_id == id_of_mailbox(mailbox))
    for name in sorted(connection.scalars(query).all()):
        folder = _folder(connection, mailbox, name, lock=repair)
        found += _wrong_counts(connection, folder, repair=repair)
        found += _missing_bodies(connection, folder, bodies)
    found += _unnamed_bodies(connection, id_of_mailbox(mailbox), repair=repair, now=now)
    return tuple(found)


def _folder(connection: sa.Connection, mailbox: MailboxId, name: str, *, lock: bool) -> FolderRow:
    return find_folder(connection, mailbox, schema.folder_name(name), lock=lock)


def _wrong_counts(connection: sa.Connection, folder: FolderRow, *, repair: bool) -> Iterator[Finding]:
    is_unseen = sa.case((_message.flags.bitwise_and(schema.SEEN_BIT) == 0, 1), else_=0)
    messages, unseen, octets, last_uid, modseq = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(is_unseen), 0),
            sa.func.coalesce(sa.func.sum(_message.octets), 0),
            sa.func.coalesce(sa.func.max(_message.uid), 0),
            sa.func.coalesce(sa.func.max(_message.modseq), 0),
        ).where(folder.place.of(schema.message))
    ).one()
    counted = {"messages": int(messages), "unseen": int(unseen), "octets": int(octets)}
    said = {"messages": folder.messages, "unseen": folder.unseen, "octets": folder.octets}
    least = {"uidnext": max(folder.uidnext, last_uid + 1), "modseq": max(folder.modseq, modseq)}
    wrong = [name for name, value in counted.items() if said[name] != value]
    low = [name for name, value in least.items() if getattr(folder, name) != value]
    if not wrong and not low:
        return
    if repair:
        update_folder(connection, folder, **counted, **least)
    text = ", ".join(f"{name} {said[name]} is {counted[name]}" for name in wrong)
    text += ", ".join(f"{name} {getattr(folder, name)} was given out already" for name in low)
    yield Finding(kind="wrong-count", place=folder.name, text=text, is_mended=repair)


def _missing_bodies(connection: sa.Connection, folder: FolderRow, bodies: LargeBodies) -> Iterator[Finding]:
    joined = sa.outerjoin(
        schema.message,
        schema.blob,
        sa.and_(_blob.mailbox_id == _message.mailbox_id, _blob.blob_id == _message.blob_id),
    )
    odd = connection.execute(
        sa.select(_message.uid, _blob.blob_id, _blob.ref)
        .select_from(joined)
        .where(folder.place.of(schema.message), sa.or_(_blob.blob_id.is_(None), _blob.ref.is_not(None)))
        .order_by(_message.uid)
    )
    for uid, blob_id, ref in odd.all():
        if blob_id is None:
            yield Finding(kind="no-body", place=f"{folder.name} {uid}", text="the message has no body any more")
            continue
        try:
            bodies.open(ref).close()
        except StoreCorrupt as error:
            yield Finding(kind="no-body", place=f"{folder.name} {Uid(uid)}", text=str(error))


def _unnamed_bodies(connection: sa.Connection, mailbox_id: UUID, *, repair: bool, now: float) -> Iterator[Finding]:
    unnamed = connection.scalars(
        sa.select(_blob.blob_id).where(
            _blob.mailbox_id == mailbox_id,
            ~sa.exists().where(_message.mailbox_id == mailbox_id, _message.blob_id == _blob.blob_id),
            ~sa.exists().where(schema.removed.c.mailbox_id == mailbox_id, schema.removed.c.blob_id == _blob.blob_id),
        )
    ).all()
    if not unnamed:
        return
    if repair:
        drop_blobs(connection, mailbox_id, set(unnamed), now=now)
    text = f"{len(unnamed)} bodies that no message names take space"
    yield Finding(kind="unnamed-body", place="", text=text, is_mended=repair)


def forget_tombstones(connection: sa.Connection, mailbox: MailboxId, *, now: float) -> None:
    """Forget which UIDs are gone for longer than :data:`TOMBSTONE_SECONDS`; who asks from before lists anew."""
    lock_box(connection, mailbox)
    mailbox_id = id_of_mailbox(mailbox)
    gone = schema.expunged.c
    old = sa.and_(gone.mailbox_id == mailbox_id, gone.at < now - TOMBSTONE_SECONDS)
    edges = connection.execute(
        sa.select(gone.folder_id, sa.func.max(gone.modseq)).where(old).group_by(gone.folder_id)
    ).all()
    for folder_id, modseq in edges:
        folder = schema.folder.c
        connection.execute(
            sa.update(schema.folder)
            .where(folder.mailbox_id == mailbox_id, folder.folder_id == folder_id, folder.min_modseq < modseq)
            .values(min_modseq=modseq)
        )
    connection.execute(sa.delete(schema.expunged).where(old))


def collect_bodies(database: Database, bodies: LargeBodies, *, now: float, mailbox: MailboxId | None = None) -> int:
    """Remove large bodies whose last row is gone for :data:`COLLECT_SECONDS`, of one mailbox or all; say how many."""
    due = sa.select(_gc.mailbox_id, _gc.blob_id, _gc.ref).where(_gc.at < now - COLLECT_SECONDS)
    if mailbox is not None:
        due = due.where(_gc.mailbox_id == id_of_mailbox(mailbox))
    rows = database.read(lambda connection: connection.execute(due).all())
    for mailbox_id, blob_id, ref in rows:
        # The note goes last: what is cut short is done again.
        bodies.remove(ref)
        done = sa.delete(schema.blob_gc).where(_gc.mailbox_id == mailbox_id, _gc.blob_id == blob_id)
        database.write(lambda connection, done=done: connection.execute(done))  # type: ignore[misc]
    return len(rows)


def sweep(database: Database, bodies: LargeBodies, *, now: float) -> int:
    """Remove large bodies that nothing names: those of removed mailboxes, and what crashes left; say how many.

    A database without any mailbox is more likely the wrong one than an empty one: nothing is removed then.
    """
    if database.read(lambda connection: connection.scalar(sa.select(schema.mailbox.c.domain).limit(1))) is None:
        return 0

    def named(refs: Sequence[str]) -> set[str]:
        wanted = list(refs)
        query = sa.union(
            sa.select(_blob.ref).where(_blob.ref.in_(wanted)), sa.select(_gc.ref).where(_gc.ref.in_(wanted))
        )
        return database.read(lambda connection: {str(ref) for ref in connection.scalars(query)})

    return collect_bodies(database, bodies, now=now) + sweep_orphans(bodies, named, now=now)
