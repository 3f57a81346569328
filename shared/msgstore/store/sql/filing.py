"""The transaction that puts parcels into folders: UIDs in order, without gaps, visible all at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MsgstoreError, StoreUnavailable
from msgstore.model.folder import FolderName
from msgstore.model.message import UID_LIMIT, Uid
from msgstore.store.sql import schema
from msgstore.store.sql.inserting import (
    BlobRow,
    MessageRow,
    Raised,
    insert_blobs,
    insert_messages,
    raise_folders,
)
from msgstore.store.sql.oneshot import can_file_at_once, file_at_once
from msgstore.store.sql.parcels import Parcel, Slot
from msgstore.store.sql.places import FolderRow, find_folders, make_box
from msgstore.store.sql.schema import Place, id_of_mailbox, keywords_of, keywords_to_text

__all__ = ["Growth", "blob_row", "file_parcels", "message_row", "respelled", "spell"]

_KNOWN: Final = sa.select(
    schema.message.c.delivery_key, schema.message.c.folder_id, schema.message.c.uid, schema.message.c.modseq
).where(
    schema.message.c.mailbox_id == sa.bindparam("mailbox_id"),
    schema.message.c.delivery_key.in_(sa.bindparam("keys", expanding=True)),
)


def file_parcels(
    connection: sa.Connection, parcels: Sequence[Parcel], *, now: float, default_folders: bool
) -> list[Slot | MsgstoreError]:
    """Put every parcel into its folder and say where it lies; a folder that is not there is an error of its parcels.

    A mailbox that is not there is made.  A parcel that may have been filed before is not filed again.
    """
    if not can_file_at_once(connection, parcels):
        return _one_by_one(connection, parcels, now=now, default_folders=default_folders)
    slots = file_at_once(connection, parcels)
    left = [parcel for parcel, slot in zip(parcels, slots, strict=True) if slot is None]
    if not left:
        return [slot for slot in slots if slot is not None]
    rest = iter(_one_by_one(connection, left, now=now, default_folders=default_folders))
    return [next(rest) if slot is None else slot for slot in slots]


def _one_by_one(
    connection: sa.Connection, parcels: Sequence[Parcel], *, now: float, default_folders: bool
) -> list[Slot | MsgstoreError]:
    folders = _locked(connection, {parcel.place for parcel in parcels}, now=now, default_folders=default_folders)
    done = _known(connection, [parcel for parcel in parcels if parcel.is_repeat], folders)
    answers: list[Slot | MsgstoreError] = []
    blobs: dict[tuple[UUID, UUID], BlobRow] = {}
    messages: list[MessageRow] = []
    grown = {place: Growth(row) for place, row in folders.items()}
    for parcel in parcels:
        row = folders.get(parcel.place)
        if row is None:
            answers.append(FolderNotFound(f"{parcel.mailbox} has no folder {parcel.folder}"))
            continue
        name = (parcel.key, row.place.folder_id)
        if name not in done:
            growth = grown[parcel.place]
            if growth.uidnext > UID_LIMIT:
                answers.append(StoreUnavailable(f"{parcel.folder} of {parcel.mailbox} has had the highest UID"))
                continue
            done[name] = growth.add(parcel.octets, parcel.flags)
            blobs[row.place.mailbox_id, parcel.blob_id] = blob_row(parcel)
            spelled = spell(connection, row.place, parcel.keywords) if parcel.keywords else parcel.keywords
            messages.append(message_row(row.place, parcel, done[name], spelled))
        answers.append(done[name])
    insert_blobs(connection, list(blobs.values()))
    insert_messages(connection, messages)
    raise_folders(connection, [growth.raised() for growth in grown.values() if growth.messages])
    return answers


class Growth:
    """What is added to a folder."""

    def __init__(self, row: FolderRow) -> None:
        self._row = row
        self.place: Final = row.place
        self.uidnext = row.uidnext
        self.modseq = row.modseq
        self.messages = self.unseen = self.octets = 0

    def add(self, octets: int, flags: int) -> Slot:
        """Count a message and give it the next UID, and a modseq of its own as if it had come alone."""
        self.modseq += 1
        slot = Slot(self._row.uidvalidity, Uid(self.uidnext), self.modseq)
        self.uidnext += 1
        self.messages += 1
        self.unseen += not flags & schema.SEEN_BIT
        self.octets += octets
        return slot

    def raised(self) -> Raised:
        """Give what is to be written into the row of the folder."""
        return Raised(
            self.uidnext,
            self.modseq,
            self.messages,
            self.unseen,
            self.octets,
            self.place.mailbox_id,
            self.place.folder_id,
        )

    def row(self) -> FolderRow:
        """Give the row of the folder as it is now."""
        return replace(
            self._row,
            uidnext=self.uidnext,
            modseq=self.modseq,
            messages=self._row.messages + self.messages,
            unseen=self._row.unseen + self.unseen,
            octets=self._row.octets + self.octets,
        )


def blob_row(parcel: Parcel) -> BlobRow:
    """Give the row of a body."""
    return BlobRow(id_of_mailbox(parcel.mailbox), parcel.blob_id, parcel.data, parcel.ref)


def spell(connection: sa.Connection, place: Place, keywords: frozenset[str]) -> frozenset[str]:
    """Give keywords as their folder spells them; new ones are spelled as they come. RFC 9051 §2.3.2."""
    folded = {word.lower(): word for word in sorted(keywords, reverse=True)}
    query = sa.select(schema.keyword.c.folded, schema.keyword.c.spelling).where(
        place.of(schema.keyword), schema.keyword.c.folded.in_(list(folded))
    )
    known = {row.folded: row.spelling for row in connection.execute(query)}
    new = [
        {"mailbox_id": place.mailbox_id, "folder_id": place.folder_id, "folded": low, "spelling": word}
        for low, word in folded.items()
        if low not in known
    ]
    if new:
        connection.execute(sa.insert(schema.keyword), new)
    return frozenset(known.get(low, word) for low, word in folded.items())


def respelled(connection: sa.Connection, place: Place, text: str | None) -> str | None:
    """Give keywords of another folder, as rows keep them, as this one spells them."""
    return None if text is None else keywords_to_text(spell(connection, place, keywords_of(text)))


def _locked(
    connection: sa.Connection, places: set[tuple[MailboxId, FolderName]], *, now: float, default_folders: bool
) -> dict[tuple[MailboxId, FolderName], FolderRow]:
    found = find_folders(connection, places, lock=True)
    missing = {place for place in places if place not in found}
    if missing:
        for mailbox in sorted({mailbox for mailbox, _ in missing}, key=str):
            make_box(connection, mailbox, now=now, default_folders=default_folders)
        found |= find_folders(connection, missing, lock=True)
    return found


def _known(
    connection: sa.Connection, parcels: Sequence[Parcel], folders: dict[tuple[MailboxId, FolderName], FolderRow]
) -> dict[tuple[object, int], Slot]:
    done: dict[tuple[object, int], Slot] = {}
    rows = {(row.place.mailbox_id, row.place.folder_id): row for row in folders.values()}
    for mailbox in {parcel.mailbox for parcel in parcels}:
        mailbox_id = id_of_mailbox(mailbox)
        keys = [parcel.key for parcel in parcels if parcel.mailbox == mailbox]
        for key, folder_id, uid, modseq in connection.execute(_KNOWN, {"mailbox_id": mailbox_id, "keys": keys}):
            row = rows.get((mailbox_id, folder_id))
            if row is not None:
                done[key, folder_id] = Slot(row.uidvalidity, Uid(uid), modseq)
    return done


def message_row(
    place: Place, parcel: Parcel, slot: Slot, keywords: frozenset[str], *, uidl: str | None = None
) -> MessageRow:
    """Give the row of a message."""
    return MessageRow(
        place.mailbox_id,
        place.folder_id,
        slot.uid,
        slot.modseq,
        parcel.blob_id,
        parcel.key,
        parcel.guid or parcel.key.hex,
        uidl,
        parcel.octets,
        parcel.stored_octets,
        parcel.internal_date,
        parcel.flags,
        keywords_to_text(keywords) if keywords else None,
        parcel.sealed,
    )
