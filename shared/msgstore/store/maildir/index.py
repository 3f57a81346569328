"""The index of one mailbox: counts, sizes, names, modseq and tombstones of all its folders in one SQLite file.

Everything in it but modseq and tombstones can be found out again from the directories and the UID lists, so the file
may be removed at any time; then modseq begins anew above what it can have been.  Writers of all processes take turns
under SQLite's own lock; ``synchronous = NORMAL`` may roll the last turns back after a power cut, which is why modseq
jumps when the machine has been started since.
"""

import os
import sqlite3
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from functools import partial
from typing import Final, cast

from msgstore.store.maildir.packed import CHUNK_BITS
from msgstore.store.maildir.rows import NOWHERE, FolderRow, MessageRow

__all__ = ["Index", "base_hash", "is_index_safe", "remove_index"]

_VERSION: Final = 2
BUSY_SECONDS: Final = 20.0
_BOOT_SLACK_SECONDS: Final = 2.0
"""Two answers to the question when the machine was started differ by no more than this."""

_TABLES: Final = """
create table meta(version integer not null, booted_at real not null);
create table folder(
    id integer primary key, directory text not null unique,
    uidvalidity integer not null, uidnext integer not null, modseq integer not null, min_modseq integer not null,
    messages integer not null, octets integer not null, unseen integer not null,
    unsized integer not null, undated integer not null,
    listed_records integer not null, list_inode integer not null, list_octets integer not null,
    list_time integer not null, new_time integer not null, cur_time integer not null,
    keywords_time integer not null, extra_time integer not null,
    is_unsure integer not null, relist_at real not null
);
create table message(
    folder integer not null, uid integer not null, base text not null, info text not null, place integer not null,
    octets integer, wire_octets integer, internal_date integer, modseq integer not null,
    fields text, extra text, hash integer not null,
    primary key (folder, uid)
) without rowid;
create index message_hash on message(folder, hash);
create index message_modseq on message(folder, modseq);
create table expunged(
    folder integer not null, uid integer not null, modseq integer not null, at integer not null, hash integer not null,
    primary key (folder, uid)
) without rowid;
create index expunged_modseq on expunged(folder, modseq);
create index expunged_hash on expunged(folder, hash);
create table packed(folder integer not null, chunk integer not null, cells blob not null, primary key (folder, chunk));
"""


_MessageCells = tuple[int, str, str, int, int | None, int | None, int | None, int, str | None, str | None]
_FOLDER_COLUMNS: Final = tuple(one.name for one in fields(FolderRow))
_MESSAGE_COLUMNS: Final = ", ".join(one.name for one in fields(MessageRow))


_TEXT: Final = "cast(? as text)"
"""File names need not be UTF-8: SQLite is given their octets, and gives them back to a decoder of ours."""

_AS_TEXT: Final = partial(str, encoding="utf-8", errors="surrogateescape")


def _kept(text: str | None) -> str | bytes | None:
    return text if text is None or text.isascii() else text.encode("utf-8", "surrogateescape")


def _cells_of(row: MessageRow) -> tuple[object, ...]:
    """Give the cells of a message in the order of the table."""
    sizes = row.octets, row.wire_octets, row.internal_date
    return row.uid, _kept(row.base), _kept(row.info), row.place, *sizes, row.modseq, _kept(row.fields), _kept(row.extra)


def base_hash(base: str) -> int:
    """Find a base quickly: equal bases have equal hashes, and few others have."""
    return zlib.crc32(base.encode("utf-8", "surrogateescape"))


class Index:
    """An open index; one thread at a time.

    Raises:
        sqlite3.Error: the file cannot be used.
    """

    def __init__(self, path: str, *, booted_at: float, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._database.text_factory = _AS_TEXT
        try:
            self._database.execute("pragma journal_mode = wal").fetchone()
            self._database.execute("pragma synchronous = normal")
            self._database.execute("pragma cache_size = -512")
            self._prepare(booted_at)
        except BaseException:
            self._database.close()
            raise

    def _prepare(self, booted_at: float) -> None:
        known = self._version()
        if known is not None and known[0] == _VERSION and abs(known[1] - booted_at) <= _BOOT_SLACK_SECONDS:
            return
        with self.writing():
            known = self._version()
            if known is None or known[0] != _VERSION:
                self._make_tables(booted_at)
            else:
                # What was rolled back had modseq values that somebody may have seen; nothing listed is trusted.
                self._database.execute(
                    "update folder set modseq = max(modseq + 1, ?), relist_at = 1, is_unsure = 1", (self._now_ms(),)
                )
                self._database.execute("update meta set booted_at = ?", (booted_at,))

    def _version(self) -> tuple[int, float] | None:
        try:
            found: tuple[int, float] | None = self._database.execute("select version, booted_at from meta").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error) and "no such column" not in str(error):
                raise
            return None
        return found

    def _make_tables(self, booted_at: float) -> None:
        for table in ("meta", "folder", "message", "expunged", "packed"):
            self._database.execute(f"drop table if exists {table}")  # the names are ours
        for statement in _TABLES.split(";"):
            if statement.strip():
                self._database.execute(statement)
        self._database.execute("insert into meta values (?, ?)", (_VERSION, booted_at))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def writing(self) -> Generator[None]:
        """Be the only writer of all processes while the block runs; everything in it is undone when it raises.

        Raises:
            sqlite3.OperationalError: another writer did not finish in time.
        """
        if self._database.in_transaction:
            yield
            return
        self._database.execute("begin immediate")
        # Leaves the transaction by commit or, on an error, by rollback.
        with self._database:
            yield

    @contextmanager
    def writing_at_once(self, *, is_wanted: bool) -> Generator[bool]:
        """Be the only writer, and say so, where that is wanted and nobody else writes just now; never waits."""
        if not is_wanted or self._database.in_transaction:
            yield self._database.in_transaction
            return
        self._database.execute("pragma busy_timeout = 0")
        try:
            self._database.execute("begin immediate")
        except sqlite3.OperationalError:
            # Busy, or on a disk that takes nothing: whoever reads does without.
            yield False
            return
        finally:
            self._database.execute(f"pragma busy_timeout = {int(BUSY_SECONDS * 1000)}")
        with self._database:
            yield True

    # Folders.

    def folder(self, directory: str) -> FolderRow | None:
        """Give what is known of a folder."""
        found = self._database.execute(
            f"select {', '.join(_FOLDER_COLUMNS)} from folder where directory = ?", (directory,)
        ).fetchone()
        return None if found is None else FolderRow(*found)

    def folders(self) -> list[FolderRow]:
        """Give all folders that are known."""
        found = self._database.execute(f"select {', '.join(_FOLDER_COLUMNS)} from folder")
        return [FolderRow(*row) for row in found]

    def begin_folder(self, directory: str, *, uidvalidity: int, modseq: int) -> FolderRow:
        """Forget what is known of a folder and begin anew."""
        self.forget_folder(directory)
        names, row = _FOLDER_COLUMNS[1:], FolderRow(0, directory, uidvalidity, 1, modseq, modseq)
        made = self._database.execute(
            f"insert into folder({', '.join(names)}) values ({', '.join('?' * len(names))})", astuple(row)[1:]
        )
        assert made.lastrowid is not None
        row.id = made.lastrowid
        return row

    def forget_folder(self, directory: str) -> None:
        """Forget a folder."""
        for (number,) in self._database.execute("select id from folder where directory = ?", (directory,)).fetchall():
            for table in ("message", "expunged", "packed"):
                self._database.execute(f"delete from {table} where folder = ?", (number,))
            self._database.execute("delete from folder where id = ?", (number,))

    def rename_folder(self, directory: str, to: str) -> None:
        """Note that the directory of a folder has another name now."""
        self.forget_folder(to)
        self._database.execute("update folder set directory = ? where directory = ?", (to, directory))

    def save_folder(self, row: FolderRow) -> None:
        """Keep a folder's row."""
        pairs = ", ".join(f"{name} = ?" for name in _FOLDER_COLUMNS[1:])
        self._database.execute(f"update folder set {pairs} where id = ?", (*astuple(row)[1:], row.id))

    # Messages.

    def message(self, folder: int, uid: int) -> MessageRow | None:
        """Give one message."""
        found = self._database.execute(
            f"select {_MESSAGE_COLUMNS} from message where folder = ? and uid = ?", (folder, uid)
        ).fetchone()
        return None if found is None else MessageRow(*found)

    def message_in(self, directory: str, uid: int) -> MessageRow | None:
        """Give one message of a folder by the folder's name."""
        found = self._database.execute(
            f"select {_MESSAGE_COLUMNS} from message where uid = ?"
            " and folder = (select id from folder where directory = ?)",
            (uid, directory),
        ).fetchone()
        return None if found is None else MessageRow(*found)

    def by_base(self, folder: int, base: str) -> MessageRow | None:
        """Give the message of a base."""
        found = self._database.execute(
            f"select {_MESSAGE_COLUMNS} from message where folder = ? and hash = ? and base = {_TEXT}",
            (folder, base_hash(base), _kept(base)),
        ).fetchone()
        return None if found is None else MessageRow(*found)

    def selected(
        self, folder: int, columns: str, where: str, values: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        """Give columns of messages that meet a condition, ascending by UID unless it ends in an order of its own."""
        order = "" if " order by " in where else " order by uid"
        return self._database.execute(
            f"select {columns} from message where folder = ? and {where}{order}", (folder, *values)
        ).fetchall()

    def messages(self, folder: int, where: str, values: Sequence[object] = ()) -> list[MessageRow]:
        """Give messages that meet a condition, as :meth:`selected`."""
        found = cast("list[_MessageCells]", self.selected(folder, _MESSAGE_COLUMNS, where, values))
        return [MessageRow(*row) for row in found]

    def names(self, folder: int, place: int) -> list[tuple[int, str, str]]:
        """Give UID, base and info of everything in one place."""
        return self._database.execute(
            "select uid, base, info from message where folder = ? and place = ?", (folder, place)
        ).fetchall()

    def packed(self, folder: int, chunks: range) -> dict[int, bytes]:
        """Give the blocks that are kept of these chunks, ascending; see ``packed``."""
        found = self._database.execute(
            "select chunk, cells from packed where folder = ? and chunk >= ? and chunk < ? order by chunk",
            (folder, chunks.start, chunks.stop),
        )
        return dict(found.fetchall())

    def keep_packed(self, folder: int, blocks: Mapping[int, bytes]) -> None:
        """Keep blocks until one of their messages changes."""
        self._database.executemany(
            "insert or replace into packed values (?, ?, ?)", ((folder, *block) for block in blocks.items())
        )

    def _unpack(self, folder: int, uids: Iterable[int]) -> None:
        """Forget the blocks in which these messages are."""
        chunks = {uid >> CHUNK_BITS for uid in uids}
        self._database.executemany(
            "delete from packed where folder = ? and chunk = ?", ((folder, chunk) for chunk in chunks)
        )

    def insert(self, folder: int, rows: Sequence[MessageRow]) -> None:
        """Add messages."""
        self._unpack(folder, (row.uid for row in rows))
        self._database.executemany(
            f"insert or replace into message(folder, {_MESSAGE_COLUMNS}, hash) values"
            f" (?, ?, {_TEXT}, {_TEXT}, ?, ?, ?, ?, ?, {_TEXT}, {_TEXT}, ?)",
            ((folder, *_cells_of(row), base_hash(row.base)) for row in rows),
        )

    def update(self, folder: int, rows: Sequence[MessageRow]) -> None:
        """Keep where messages are, what their names say, their sizes, dates and modseq."""
        self._unpack(folder, (row.uid for row in rows))
        self._database.executemany(
            f"update message set info = {_TEXT}, place = ?, octets = ?, wire_octets = ?, internal_date = ?, modseq = ?,"
            " extra = ? where folder = ? and uid = ?",
            (
                (
                    row.info,
                    row.place,
                    row.octets,
                    row.wire_octets,
                    row.internal_date,
                    row.modseq,
                    row.extra,
                    folder,
                    row.uid,
                )
                for row in rows
            ),
        )

    def rebase(self, folder: int, uid: int, base: str, fields: str | None) -> None:
        """Note that a message has another base now, and fields of its record."""
        self._unpack(folder, (uid,))
        self._database.execute(
            f"update message set base = {_TEXT}, hash = ?, fields = {_TEXT} where folder = ? and uid = ?",
            (_kept(base), base_hash(base), _kept(fields), folder, uid),
        )

    def remove(self, folder: int, uids: Sequence[int]) -> None:
        """Forget messages without a trace."""
        self._unpack(folder, uids)
        self._database.executemany("delete from message where folder = ? and uid = ?", ((folder, uid) for uid in uids))

    def bury(self, folder: int, gone: Iterable[tuple[int, str]], *, modseq: int, at: int) -> None:
        """Take messages out, given by UID and base, and remember that they went."""
        rows = [(folder, uid, modseq, at, base_hash(base)) for uid, base in gone]
        self.remove(folder, [row[1] for row in rows])
        self._database.executemany("insert or replace into expunged values (?, ?, ?, ?, ?)", rows)

    def is_buried(self, folder: int, base: str) -> bool:
        """Whether a message of this base may have been taken out before; certain when it says no."""
        found = self._database.execute(
            "select 1 from expunged where folder = ? and hash = ? limit 1", (folder, base_hash(base))
        ).fetchone()
        return found is not None

    def has_vanished(self, folder: int) -> bool:
        """Whether anything is remembered that went."""
        found = self._database.execute("select 1 from expunged where folder = ? limit 1", (folder,)).fetchone()
        return found is not None

    def revive(self, folder: int, uid: int) -> None:
        """Take a tombstone away: the message was only out of sight."""
        self._database.execute("delete from expunged where folder = ? and uid = ?", (folder, uid))

    def vanished(self, folder: int, since_modseq: int) -> list[tuple[int, int]]:
        """Give UID and modseq of what was expunged after a modseq, ascending by UID."""
        return self._database.execute(
            "select uid, modseq from expunged where folder = ? and modseq > ? order by uid", (folder, since_modseq)
        ).fetchall()

    def forget_vanished(self, folder: int, *, before: int) -> int:
        """Forget tombstones older than a time; gives the highest modseq among them, 0 for none."""
        found: tuple[int | None] = self._database.execute(
            "select max(modseq) from expunged where folder = ? and at < ?", (folder, before)
        ).fetchone()
        if found[0] is None:
            return 0
        self._database.execute("delete from expunged where folder = ? and at < ?", (folder, before))
        return found[0]

    def counted(self, folder: int) -> tuple[int, int]:
        """Count messages and octets by looking at every one."""
        found: tuple[int, int] = self._database.execute(
            f"select count(*), coalesce(sum(wire_octets), 0) from message where folder = ? and place < {NOWHERE}",
            (folder,),
        ).fetchone()
        return found

    def check(self) -> list[str]:
        """Say what SQLite finds wrong with the file; nothing when it is well."""
        found = [str(row[0]) for row in self._database.execute("pragma quick_check")]
        return [] if found == ["ok"] else found


def remove_index(unlink: Callable[[str], None], name: str) -> None:
    """Remove an index with the files SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        try:
            unlink(name + suffix)
        except FileNotFoundError:
            continue


def is_index_safe(directory_fd: int, name: str) -> bool:
    """Whether the file of an index is none yet or a plain one of ours; SQLite would follow a link out of the store."""
    for suffix in ("", "-wal", "-shm"):
        try:
            status = os.stat(name + suffix, dir_fd=directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if (status.st_mode & 0o170000) != 0o100000 or status.st_nlink != 1 or status.st_uid != os.geteuid():
            return False
    return True
