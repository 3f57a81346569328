"""Taking over folders and messages of another store with the UIDs they had there."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgstore.model.errors import FolderExists, StoreCorrupt
from msgstore.model.outcomes import Restored
from msgstore.store.disk import Disk
from msgstore.store.maildir.aligning import give_modseqs
from msgstore.store.maildir.deliver import give_name
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.keywordfile import spell, write_extra
from msgstore.store.maildir.lock import UIDLIST_NAME
from msgstore.store.maildir.names import base_of, with_flags
from msgstore.store.maildir.reading import Reading
from msgstore.store.maildir.rows import CUR, FolderRow
from msgstore.store.maildir.uidlist import UidList, UidRecord, can_be_field, parse_uidlist
from msgstore.store.maildir.uidvalidity import next_uidvalidity
from msgstore.store.rows import check_ascending
from msgstore.store.staging import StagedFile

__all__ = ["begin_restored", "restore_messages"]

_HIDDEN: Final = ".msgstore-restored."
"""Begins the name of a file that is not to be seen yet; readers pass over names that begin with a dot."""


def begin_restored(reading: Reading, header: UidList) -> None:
    """Give a folder without messages a UID list that has none either.

    Under another UIDVALIDITY modseq begins anew, below every one that comes from elsewhere.

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
                next_uidvalidity(house.disk, box_fd, at_least=header.uidvalidity)
            house.disk.replace(fd, UIDLIST_NAME, header.format())
            if row.uidvalidity != header.uidvalidity:
                index.begin_folder(row.directory, uidvalidity=header.uidvalidity, modseq=1)

    reading.run(begin)


def restore_messages(reading: Reading, messages: Sequence[Restored], *, uidnext: int) -> None:
    """Put messages into a folder under the UIDs they had; see the interface.

    Files of which no UID is known yet would be taken for new mail by every reader, so they are hidden until their UIDs
    are written down.  Who dies in between leaves hidden files, which the next call brings to light or removes.
    """
    house = reading.house
    staged: list[tuple[Restored, StagedFile]] = []
    for one in messages:
        assert isinstance(one.staged, StagedFile), "a message is stored by the store that staged it"
        staged.append((one, one.staged))
    fds = [file.prepare(modified_seconds=one.internal_date) for one, file in staged]
    for (_, file), outcome in zip(staged, house.disk.sync_files(fds), strict=True):
        file.synced(outcome)

    def put(index: Index, row: FolderRow) -> None:
        folder = house.place_of(reading.mailbox, reading.name)
        with index.writing(), house.directories.lease(folder) as fd, house.directories.lease(reading.inner(CUR)) as cur:
            with house.lock.hold(fd):
                _finish_earlier(house.disk, fd, cur)
            row = reading.ledger.bring_up(index, reading.name)
            check_ascending(row.uidnext, [one.uid for one in messages], uidnext=uidnext)
            with house.lock.hold(fd):
                uid_file = reading.ledger.sync_of(reading.name).uid_file(fd)
                news = uid_file.news(row)
                assert news is not None
                _put_all(reading, (fd, cur), staged, lambda records: uid_file.append(news, records))
                uid_file.raise_uidnext(news, uidnext)
            modseqs = {one.uid: one.modseq for one in messages if one.modseq is not None}
            if modseqs:
                give_modseqs(reading, index, modseqs)

    reading.run(put)


def _finish_earlier(disk: Disk, folder_fd: int, cur_fd: int) -> None:
    """Show what a call that died has written down UIDs for, and remove what it has not."""
    hidden = [name for name in disk.names(cur_fd) if name.startswith(_HIDDEN)]
    if not hidden:
        return
    try:
        listed = {record.base for record in parse_uidlist(disk.read_file(folder_fd, UIDLIST_NAME)[0]).records}
    except (FileNotFoundError, StoreCorrupt):
        listed = set[str]()
    for name in hidden:
        if base_of(name.removeprefix(_HIDDEN)) in listed:
            disk.rename((cur_fd, name), (cur_fd, name.removeprefix(_HIDDEN)))
        else:
            disk.unlink(cur_fd, name)
    disk.sync_directory(cur_fd)
    if listed:
        # A list that is another file is read whole: the UIDs of files that came late are found only there.
        disk.replace(folder_fd, UIDLIST_NAME, disk.read_file(folder_fd, UIDLIST_NAME)[0])


def _put_all(
    reading: Reading,
    fds: tuple[int, int],
    staged: Sequence[tuple[Restored, StagedFile]],
    write_down: Callable[[Sequence[UidRecord]], None],
) -> None:
    """Give messages hidden names, write their UIDs down, and show them; ``fds`` are the folder and its ``cur``."""
    _, cur = fds
    disk = reading.house.disk
    if not staged:
        return
    names: list[str] = []
    records: list[UidRecord] = []
    try:
        for one, file in staged:
            record, name = _put(reading, fds, one, file)
            names.append(name)
            records.append(record)
        disk.sync_directory(cur)
        write_down(records)
    except BaseException:
        for name in names:
            with suppress(OSError):
                disk.unlink(cur, _HIDDEN + name)
        raise
    for name in names:
        disk.rename((cur, _HIDDEN + name), (cur, name))
    disk.sync_directory(cur)


def _put(reading: Reading, fds: tuple[int, int], one: Restored, file: StagedFile) -> tuple[UidRecord, str]:
    """Give one message its hidden name; gives the name to be and the record of its UID, which is not written down."""
    house = reading.house
    fd, cur = fds
    spelling = spell(house.disk, fd, one.keywords) if one.keywords else None
    base = house.names.unique(
        seconds=one.internal_date,
        octets=file.stored_octets,
        wire_octets=file.wire_octets,
        is_sealed=file.is_sealed,
    )
    if spelling is not None and spelling.extra:
        write_extra(house.disk, fd, {base: spelling.extra})
    name = with_flags(base, one.flags, keyword_letters=spelling.letters if spelling else None)
    give_name(house, file, cur, _HIDDEN + name, staged_date=one.internal_date, date=one.internal_date)
    fields = (("P", one.uidl), ("G", one.guid if one.guid is not None and can_be_field(one.guid) else None))
    return UidRecord(one.uid, base, tuple((key, text) for key, text in fields if text is not None)), name
