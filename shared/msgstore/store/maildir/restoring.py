"""Taking over folders and messages of another store with the UIDs they had there."""

import secrets
from collections.abc import Sequence
from contextlib import suppress

from msgstore.model.errors import FolderExists
from msgstore.model.outcomes import Restored
from msgstore.store.maildir.deliver import give_name
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.keywordfile import spell, write_extra
from msgstore.store.maildir.lock import UIDLIST_NAME
from msgstore.store.maildir.names import with_flags
from msgstore.store.maildir.reading import Reading
from msgstore.store.maildir.rows import CUR, FolderRow
from msgstore.store.maildir.uidlist import UidList, UidRecord
from msgstore.store.maildir.uidvalidity import next_uidvalidity
from msgstore.store.rows import check_ascending
from msgstore.store.staging import StagedFile

__all__ = ["begin_restored", "restore_messages"]


def begin_restored(reading: Reading, *, uidvalidity: int, uidnext: int) -> None:
    """Give a folder without messages a UID list of given values.

    Raises:
        FolderExists: UIDs were given out in it.
    """
    house = reading.house

    def begin(index: Index, row: FolderRow) -> None:
        if row.uidnext > 1 or row.messages:
            raise FolderExists(f"{reading.mailbox} has messages in {reading.name}, or had some")
        folder = house.place_of(reading.mailbox, reading.name)
        with index.writing(), house.directories.lease(folder) as fd, house.lock.hold(fd):
            with house.directories.lease(house.box_of(reading.mailbox)) as box_fd:
                # Whatever is made here one day has to lie above it.
                next_uidvalidity(house.disk, box_fd, at_least=uidvalidity)
            guid = ("G", secrets.token_hex(16))
            fresh = UidList(uidvalidity=uidvalidity, next_uid=uidnext, header_fields=(guid,))
            house.disk.replace(fd, UIDLIST_NAME, fresh.format())

    reading.run(begin)


def restore_messages(reading: Reading, messages: Sequence[Restored]) -> None:
    """Put messages into a folder under the UIDs they had; see the interface."""
    house = reading.house
    staged: list[tuple[Restored, StagedFile]] = []
    for one in messages:
        assert isinstance(one.staged, StagedFile), "a message is stored by the store that staged it"
        staged.append((one, one.staged))
    fds = [file.prepare(modified_seconds=one.internal_date) for one, file in staged]
    for (_, file), outcome in zip(staged, house.disk.sync_files(fds), strict=True):
        file.synced(outcome)
    linked: list[str] = []

    def put(index: Index, row: FolderRow) -> None:
        folder = house.place_of(reading.mailbox, reading.name)
        with index.writing(), house.directories.lease(folder) as fd:
            row = reading.ledger.bring_up(index, reading.name)
            check_ascending(row.uidnext, [one.uid for one in messages])
            with house.lock.hold(fd), house.directories.lease(reading.inner(CUR)) as cur:
                records: list[UidRecord] = []
                for one, file in staged:
                    record, name = _put(reading, fd, one, file)
                    linked.append(name)
                    records.append(record)
                house.disk.sync_directory(cur)
                uid_file = reading.ledger.sync_of(reading.name).uid_file(fd)
                news = uid_file.news(row)
                assert news is not None
                uid_file.append(news, records)

    try:
        reading.run(put)
    except BaseException:
        with suppress(OSError), house.directories.lease(reading.inner(CUR)) as cur:
            for name in linked:
                with suppress(FileNotFoundError):
                    house.disk.unlink(cur, name)
        raise


def _put(reading: Reading, fd: int, one: Restored, file: StagedFile) -> tuple[UidRecord, str]:
    """Give one message its name; gives that and the record of its UID, which the caller writes down."""
    house = reading.house
    spelling = spell(house.disk, fd, one.keywords) if one.keywords else None
    base = house.names.unique(seconds=one.internal_date, octets=file.stored_octets, wire_octets=file.wire_octets)
    if spelling is not None and spelling.extra:
        write_extra(house.disk, fd, {base: spelling.extra})
    name = with_flags(base, one.flags, keyword_letters=spelling.letters if spelling else None)
    with house.directories.lease(reading.inner(CUR)) as cur:
        give_name(house, file, cur, name, staged_date=one.internal_date, date=one.internal_date)
    return UidRecord(one.uid, base, () if one.uidl is None else (("P", one.uidl),)), name
