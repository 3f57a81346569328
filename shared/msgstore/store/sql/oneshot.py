"""A whole batch of deliveries in one statement of PostgreSQL: it is parsed, planned and answered once.

Folders are locked in one order, and their rows stay locked to the commit: UIDs become visible in order and without
gaps.  What the statement does not place, because its folder is not there, is left to ``filing``.
"""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from msgstore.model.message import UID_LIMIT, Uid
from msgstore.store.sql import schema
from msgstore.store.sql.parcels import Parcel, Slot
from msgstore.store.sql.schema import id_of_mailbox

__all__ = ["can_file_at_once", "file_at_once"]

_TEXT: Final = f"""
with input as (
    select * from unnest(
        %b::uuid[], %b::text[], %b::uuid[], %b::uuid[], %b::bytea[], %b::text[], %b::text[],
        %b::bigint[], %b::bigint[], %b::bigint[], %b::smallint[], %b::bool[]
    ) with ordinality as t(
        mailbox_id, name, delivery_key, blob_id, data, ref, guid,
        octets, stored_octets, internal_date, flags, sealed, place
    )
), locked as (
    select f.mailbox_id, f.folder_id, f.name from folder f
    where (f.mailbox_id, f.name) in (select mailbox_id, name from input)
    order by f.mailbox_id, f.folder_id for no key update
), placed as (
    select i.*, l.folder_id, row_number() over (partition by i.mailbox_id, l.folder_id order by i.place) as nth
    from input i join locked l on (l.mailbox_id, l.name) = (i.mailbox_id, i.name)
), counted as (
    select mailbox_id, folder_id, count(*) as messages, sum(octets)::bigint as octets,
        count(*) filter (where flags & {schema.SEEN_BIT} = 0) as unseen
    from placed group by mailbox_id, folder_id
), raised as (
    update folder f set uidnext = f.uidnext + c.messages, modseq = f.modseq + c.messages,
        messages = f.messages + c.messages, unseen = f.unseen + c.unseen, octets = f.octets + c.octets
    from counted c
    where (f.mailbox_id, f.folder_id) = (c.mailbox_id, c.folder_id) and f.uidnext + c.messages <= {UID_LIMIT + 1}
    returning f.mailbox_id, f.folder_id, f.uidvalidity, f.uidnext - c.messages as uids, f.modseq - c.messages as modseqs
), slots as (
    select p.*, r.uidvalidity, r.uids + p.nth - 1 as uid, r.modseqs + p.nth as modseq
    from placed p join raised r on (r.mailbox_id, r.folder_id) = (p.mailbox_id, p.folder_id)
), bodies as (
    insert into blob (mailbox_id, blob_id, data, ref)
    select distinct on (mailbox_id, blob_id) mailbox_id, blob_id, data, ref from slots
), added as (
    insert into message (mailbox_id, folder_id, uid, modseq, blob_id, delivery_key, guid, octets, stored_octets,
        internal_date, flags, sealed)
    select mailbox_id, folder_id, uid, modseq, blob_id, delivery_key, guid, octets, stored_octets,
        internal_date, flags, sealed
    from slots
)
select place, uidvalidity, uid, modseq from slots
"""


def can_file_at_once(connection: sa.Connection, parcels: Sequence[Parcel]) -> bool:
    """Whether the statement can do it: keywords have to be spelled first, and repeats looked for."""
    return connection.dialect.name == "postgresql" and not any(
        parcel.keywords or parcel.is_repeat for parcel in parcels
    )


def file_at_once(connection: sa.Connection, parcels: Sequence[Parcel]) -> list[Slot | None]:
    """Put parcels into their folders; None for each whose folder is not there."""
    rows = [
        (
            id_of_mailbox(parcel.mailbox),
            str(parcel.folder),
            parcel.key,
            parcel.blob_id,
            parcel.data,
            parcel.ref,
            parcel.guid or parcel.key.hex,
            parcel.octets,
            parcel.stored_octets,
            parcel.internal_date,
            parcel.flags,
            parcel.sealed,
        )
        for parcel in parcels
    ]
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    slots: list[Slot | None] = [None] * len(parcels)
    for place, uidvalidity, uid, modseq in connection.exec_driver_sql(_TEXT, tuple(columns)):
        slots[place - 1] = Slot(uidvalidity, Uid(uid), modseq)
    return slots
