"""Changes to the messages of one folder, whose row is locked by then, and what changed since."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from msgstore.model.message import SEEN, MessageInfo, Uid
from msgstore.model.outcomes import Changes, FlagChange, FlagsOutcome
from msgstore.store.rows import changed_set
from msgstore.store.sql import schema
from msgstore.store.sql.filing import blob_row, spell
from msgstore.store.sql.inserting import insert_blobs
from msgstore.store.sql.parcels import Parcel
from msgstore.store.sql.places import FolderRow
from msgstore.store.sql.rows import INFO_COLUMNS, info_of
from msgstore.store.sql.schema import flags_to_bits, keywords_to_text, new_id

__all__ = [
    "align",
    "changes",
    "drop_blobs",
    "expunge",
    "found_rows",
    "in_pieces",
    "note_outside",
    "remove_rows",
    "seal",
    "set_flags",
    "update_folder",
]

PIECE: Final = 500
"""UIDs in one statement: databases take a bounded number of values."""

_message: Final = schema.message.c
_FLAG: Final = (
    sa.update(schema.message)
    .where(
        _message.mailbox_id == sa.bindparam("of_mailbox"),
        _message.folder_id == sa.bindparam("of_folder"),
        _message.uid == sa.bindparam("of_uid"),
    )
    .values(flags=sa.bindparam("to_flags"), keywords=sa.bindparam("to_keywords"), modseq=sa.bindparam("to_modseq"))
)


def in_pieces(uids: Iterable[int]) -> Iterator[list[int]]:
    """Give UIDs ascending, each once, in pieces."""
    ordered = sorted(set(uids))
    for start in range(0, len(ordered), PIECE):
        yield ordered[start : start + PIECE]


def update_folder(connection: sa.Connection, folder: FolderRow, **values: object) -> None:
    """Write into the row of a folder."""
    connection.execute(sa.update(schema.folder).where(folder.place.of(schema.folder)).values(**values))


def set_flags(
    connection: sa.Connection,
    folder: FolderRow,
    uids: Sequence[Uid],
    change: FlagChange,
    *,
    flags: frozenset[str],
    keywords: frozenset[str],
    unchanged_since: int | None,
) -> FlagsOutcome:
    """Change flags and keywords under one new modseq."""
    named = spell(connection, folder.place, keywords) if keywords else keywords
    modseq = folder.modseq + 1
    changed: list[MessageInfo] = []
    modified: list[Uid] = []
    rows: list[dict[str, object]] = []
    unseen = 0
    for info in _infos(connection, folder, uids):
        if unchanged_since is not None and info.modseq > unchanged_since:
            modified.append(info.uid)
            continue
        now_flags = changed_set(info.flags, change, flags)
        now_keywords = changed_set(info.keywords, change, named)
        if (now_flags, now_keywords) == (info.flags, info.keywords):
            changed.append(info)
            continue
        unseen += (SEEN in info.flags) - (SEEN in now_flags)
        changed.append(replace(info, flags=now_flags, keywords=now_keywords, modseq=modseq))
        rows.append(_flag_row(folder, changed[-1]))
    if rows:
        connection.execute(_FLAG, rows)
        update_folder(connection, folder, modseq=modseq, unseen=folder.unseen + unseen)
    return FlagsOutcome(changed=tuple(changed), modified=tuple(modified), modseq=modseq if rows else folder.modseq)


def _flag_row(folder: FolderRow, info: MessageInfo) -> dict[str, object]:
    return {
        "of_mailbox": folder.place.mailbox_id,
        "of_folder": folder.place.folder_id,
        "of_uid": info.uid,
        "to_flags": flags_to_bits(info.flags),
        "to_keywords": keywords_to_text(info.keywords),
        "to_modseq": info.modseq,
    }


def align(
    connection: sa.Connection,
    folder: FolderRow,
    messages: Sequence[MessageInfo],
    *,
    vanished: Sequence[Uid],
    modseq: int,
    now: float,
    keeps: bool,
) -> None:
    """Bring what is here in line with the folder it came from."""
    wanted = {one.uid: one for one in messages}
    spelled = {words: spell(connection, folder.place, words) for words in {one.keywords for one in messages} if words}
    rows: list[dict[str, object]] = []
    unseen, highest = folder.unseen, folder.modseq
    for info in _infos(connection, folder, list(wanted)):
        one = wanted[info.uid]
        rows.append(_flag_row(folder, replace(one, keywords=spelled.get(one.keywords, one.keywords))))
        unseen += (SEEN in info.flags) - (SEEN in one.flags)
        highest = max(highest, one.modseq)
    if rows:
        connection.execute(_FLAG, rows)
        update_folder(connection, folder, modseq=highest, unseen=unseen)
    gone = expunge(connection, replace(folder, modseq=highest, unseen=unseen), vanished, now=now, keeps=keeps)
    update_folder(
        connection,
        folder,
        modseq=max(highest + bool(gone), modseq),
        min_modseq=max(folder.min_modseq, modseq),
    )


def expunge(
    connection: sa.Connection, folder: FolderRow, uids: Sequence[Uid], *, now: float, keeps: bool
) -> tuple[Uid, ...]:
    """Remove messages; with ``keeps`` they can be brought back."""
    columns = (_message.uid, *(_message[name] for name in _KEPT))
    found = list(found_rows(connection, folder, uids, columns))
    if not found:
        return ()
    if keeps:
        connection.execute(sa.insert(schema.removed), [_removed(folder, row, now) for row in found])
    remove_rows(connection, folder, [row.uid for row in found], now=now)
    if not keeps:
        drop_blobs(connection, folder.place.mailbox_id, {row.blob_id for row in found}, now=now)
    update_folder(
        connection,
        folder,
        modseq=folder.modseq + 1,
        messages=folder.messages - len(found),
        unseen=folder.unseen - sum(not row.flags & schema.SEEN_BIT for row in found),
        octets=folder.octets - sum(row.octets for row in found),
    )
    return tuple(Uid(row.uid) for row in found)


_KEPT: Final = ("blob_id", "guid", "octets", "stored_octets", "internal_date", "flags", "keywords", "sealed")


def _removed(folder: FolderRow, row: Any, now: float) -> dict[str, object]:
    return {
        "mailbox_id": folder.place.mailbox_id,
        "removed_id": new_id(),
        "folder_name": folder.name,
        "removed_at": int(now),
        **{name: getattr(row, name) for name in _KEPT},
    }


def remove_rows(connection: sa.Connection, folder: FolderRow, uids: Sequence[int], *, now: float) -> None:
    """Take rows away and note that they are gone, under the next modseq of the folder."""
    for piece in in_pieces(uids):
        connection.execute(sa.delete(schema.message).where(folder.place.of(schema.message), _message.uid.in_(piece)))
        connection.execute(
            sa.insert(schema.expunged),
            [
                {
                    "mailbox_id": folder.place.mailbox_id,
                    "folder_id": folder.place.folder_id,
                    "uid": uid,
                    "modseq": folder.modseq + 1,
                    "at": int(now),
                }
                for uid in piece
            ],
        )


def drop_blobs(connection: sa.Connection, mailbox_id: uuid.UUID, blob_ids: Iterable[uuid.UUID], *, now: float) -> None:
    """Take bodies away that nothing names any more; those outside of the database are noted for the sweep."""
    ordered = sorted(blob_ids)
    for start in range(0, len(ordered), PIECE):
        unnamed = sa.and_(
            schema.blob.c.mailbox_id == mailbox_id,
            schema.blob.c.blob_id.in_(ordered[start : start + PIECE]),
            ~sa.exists().where(_message.mailbox_id == mailbox_id, _message.blob_id == schema.blob.c.blob_id),
            ~sa.exists().where(
                schema.removed.c.mailbox_id == mailbox_id, schema.removed.c.blob_id == schema.blob.c.blob_id
            ),
        )
        note_outside(connection, unnamed, now=now)
        connection.execute(sa.delete(schema.blob).where(unnamed))


def note_outside(connection: sa.Connection, which: sa.ColumnElement[bool], *, now: float) -> None:
    """Note for the sweep those of these bodies that lie outside of the database; their rows are about to go."""
    blob = schema.blob.c
    outside = sa.select(blob.mailbox_id, blob.blob_id, blob.ref, sa.literal(int(now), sa.BigInteger)).where(
        which, blob.ref.is_not(None)
    )
    connection.execute(sa.insert(schema.blob_gc).from_select(["mailbox_id", "blob_id", "ref", "at"], outside))


def seal(
    connection: sa.Connection, folder: FolderRow, bodies: Mapping[Uid, Parcel], *, again: bool, now: float
) -> tuple[Uid, ...]:
    """Put blobs into the places of the messages they were made of."""
    done: list[Uid] = []
    old: set[uuid.UUID] = set()
    columns = (_message.uid, _message.octets, _message.sealed, _message.modseq, _message.blob_id)
    modseq = folder.modseq + 1
    for row in found_rows(connection, folder, list(bodies), columns):
        body = bodies[Uid(row.uid)]
        assert body.sealed, "only blobs take the places of messages"
        if row.octets != body.octets or row.sealed is not again:
            continue
        insert_blobs(connection, [blob_row(body)])
        connection.execute(
            sa.update(schema.message)
            .where(folder.place.of(schema.message), _message.uid == row.uid)
            .values(
                blob_id=body.blob_id,
                stored_octets=body.stored_octets,
                sealed=True,
                modseq=row.modseq if again else modseq,
            )
        )
        old.add(row.blob_id)
        done.append(Uid(row.uid))
    drop_blobs(connection, folder.place.mailbox_id, old, now=now)
    if done and not again:
        update_folder(connection, folder, modseq=modseq)
    return tuple(done)


def changes(connection: sa.Connection, folder: FolderRow, since_modseq: int) -> Changes:
    """Say what happened after a modseq."""
    changed = connection.execute(
        sa.select(*INFO_COLUMNS)
        .where(folder.place.of(schema.message), _message.modseq > since_modseq)
        .order_by(_message.uid)
    )
    gone = connection.execute(
        sa.select(schema.expunged.c.uid, schema.expunged.c.modseq)
        .where(folder.place.of(schema.expunged), schema.expunged.c.modseq > since_modseq)
        .order_by(schema.expunged.c.uid)
    )
    return Changes(
        status=folder.status,
        changed=tuple(info_of(folder, row) for row in changed),
        vanished=tuple((Uid(row.uid), row.modseq) for row in gone),
        is_complete=since_modseq >= folder.min_modseq,
    )


def _infos(connection: sa.Connection, folder: FolderRow, uids: Sequence[Uid]) -> Iterator[MessageInfo]:
    for row in found_rows(connection, folder, uids, INFO_COLUMNS):
        yield info_of(folder, row)


def found_rows(
    connection: sa.Connection, folder: FolderRow, uids: Sequence[Uid], columns: Sequence[sa.ColumnElement[Any]]
) -> Iterator[Any]:
    """Give columns of those messages that are there, ascending by UID."""
    for piece in in_pieces(uids):
        yield from connection.execute(
            sa.select(*columns).where(folder.place.of(schema.message), _message.uid.in_(piece)).order_by(_message.uid)
        ).all()
