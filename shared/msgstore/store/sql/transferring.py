"""Messages that come into a folder from another one, or from another store."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound
from msgstore.model.folder import FolderName
from msgstore.model.message import Uid
from msgstore.model.outcomes import Copied, Restored
from msgstore.store.rows import check_ascending
from msgstore.store.sql import schema
from msgstore.store.sql.changing import found_rows, remove_rows, update_folder
from msgstore.store.sql.filing import Growth, blob_row, message_row, respelled, spell
from msgstore.store.sql.inserting import MessageRow, insert_blobs, insert_messages, raise_folders
from msgstore.store.sql.parcels import Parcel
from msgstore.store.sql.places import FolderRow, find_folders, require_box
from msgstore.store.sql.schema import can_be_text, new_id

__all__ = ["restore", "transfer"]

_message: Final = schema.message.c
_COLUMNS: Final = tuple(
    _message[name]
    for name in ("uid", "blob_id", "guid", "octets", "stored_octets", "internal_date", "flags", "keywords", "sealed")
)


def restore(
    connection: sa.Connection,
    folder: FolderRow,
    messages: Sequence[Restored],
    *,
    parcels: Sequence[Parcel],
    uidnext: int,
) -> None:
    """Put messages here under the UIDs they had; ``parcels`` are their bodies."""
    check_ascending(folder.uidnext, [one.uid for one in messages], uidnext=uidnext)
    growth = Growth(folder)
    rows: list[MessageRow] = []
    for one, parcel in zip(messages, parcels, strict=True):
        growth.uidnext, before = one.uid, growth.modseq
        slot = growth.add(parcel.octets, parcel.flags)
        if one.modseq is not None:
            growth.modseq = max(before, one.modseq)
        keywords = spell(connection, folder.place, parcel.keywords) if parcel.keywords else parcel.keywords
        row = message_row(folder.place, parcel, slot, keywords, uidl=one.uidl)
        guid = row.guid if one.guid is None or not can_be_text(one.guid) else one.guid
        rows.append(row._replace(guid=guid, modseq=slot.modseq if one.modseq is None else one.modseq))
    growth.uidnext = max(growth.uidnext, uidnext)
    insert_blobs(connection, [blob_row(parcel) for parcel in parcels])
    insert_messages(connection, rows)
    raise_folders(connection, [growth.raised()])


def transfer(
    connection: sa.Connection,
    source: tuple[MailboxId, FolderName],
    to: FolderName,
    uids: Sequence[Uid],
    *,
    is_move: bool,
    now: float,
) -> Copied:
    """Put messages into another folder of the mailbox, their bodies shared; with ``is_move`` they are gone here."""
    here, there = _both(connection, source, to)
    found = list(found_rows(connection, here, uids, _COLUMNS))
    growth = Growth(there)
    rows = [_row(connection, there, growth, row, guid=row.guid if is_move else new_id().hex) for row in found]
    if rows:
        insert_messages(connection, rows)
        raise_folders(connection, [growth.raised()])
    if rows and is_move:
        _take_away(connection, here if here.place.folder_id != there.place.folder_id else growth.row(), found, now=now)
    return Copied(
        uidvalidity=there.uidvalidity,
        from_uids=tuple(Uid(row.uid) for row in found),
        to_uids=tuple(Uid(there.uidnext + index) for index in range(len(found))),
    )


def _both(
    connection: sa.Connection, source: tuple[MailboxId, FolderName], to: FolderName
) -> tuple[FolderRow, FolderRow]:
    mailbox, _ = source
    places = (source, (mailbox, to))
    found = find_folders(connection, set(places), lock=True)
    for place in places:
        if place not in found:
            require_box(connection, mailbox)
            raise FolderNotFound(f"{mailbox} has no folder {place[1]}")
    return found[places[0]], found[places[1]]


def _row(connection: sa.Connection, there: FolderRow, growth: Growth, row: Any, *, guid: str) -> MessageRow:
    slot = growth.add(row.octets, row.flags)
    return MessageRow(
        there.place.mailbox_id,
        there.place.folder_id,
        slot.uid,
        slot.modseq,
        row.blob_id,
        new_id(),
        guid,
        None,
        row.octets,
        row.stored_octets,
        row.internal_date,
        row.flags,
        respelled(connection, there.place, row.keywords),
        row.sealed,
    )


def _take_away(connection: sa.Connection, folder: FolderRow, found: Sequence[Any], *, now: float) -> None:
    remove_rows(connection, folder, [row.uid for row in found], now=now)
    update_folder(
        connection,
        folder,
        modseq=folder.modseq + 1,
        messages=folder.messages - len(found),
        unseen=folder.unseen - sum(not row.flags & schema.SEEN_BIT for row in found),
        octets=folder.octets - sum(row.octets for row in found),
    )
