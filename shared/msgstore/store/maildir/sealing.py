"""Sealing messages where they lie: blobs take the places of their messages, which stay what they are.

A message that was plain gets another base, for names say what is sealed.  Under Dovecot's lock the blob gets its name
beside the plain file and is durable there, then the UID list names it under the UID the message had, then the plain
file goes.  A crash in between leaves both files; the next look takes the blob for the message and the plain file away.
A message that was sealed before keeps its name, and its file changes in one step.
"""

import errno
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from msgstore.model.message import Uid
from msgstore.store.maildir.deliver import give_name
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.keywordfile import write_extra
from msgstore.store.maildir.names import SEALED_MARK, base_of, sealed_base
from msgstore.store.maildir.reading import Reading
from msgstore.store.maildir.rows import CUR, NEW, NOWHERE, FolderRow, MessageRow
from msgstore.store.maildir.uidlist import can_be_field
from msgstore.store.staging import StagedFile

__all__ = ["Sealing"]

_HUNTS: Final = 5
"""Listings in which a plain file is looked for that others renamed."""

_NO_EXCHANGE: Final = frozenset((errno.EINVAL, errno.ENOSYS))
"""File systems that cannot let two names change places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One message and the blob made of it."""

    message: MessageRow
    staged: StagedFile
    modified: float

    @property
    def base(self) -> str:
        """The base of the sealed message."""
        assert self.message.wire_octets is not None
        return sealed_base(self.message.base, self.message.wire_octets)


class Sealing:
    """Seals messages of one folder."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._house = reading.house
        self._disk = reading.house.disk

    def seal(self, blobs: Mapping[Uid, StagedFile], *, again: bool) -> tuple[Uid, ...]:
        """Put blobs into the places of their messages, durably; see the interface."""
        tasks = self._reading.run(lambda index, row: self._tasks(index, row, blobs, again=again))
        self._make_durable(tasks)

        def act(index: Index, row: FolderRow) -> tuple[Uid, ...]:
            with index.writing(), self._house.directories.lease(self._folder()) as fd:
                row = self._reading.ledger.bring_up(index, self._reading.name)
                # As they are now: others may have sealed, marked or removed some since the blobs were made.
                mine = [
                    replace(one, message=message)
                    for one in tasks
                    if (message := index.message(row.id, one.message.uid)) and _fits(message, one.staged, again=again)
                ]
                done = self._replace(mine) if again else self._swap(fd, row, mine)
                row.relist_at = 1.0
                index.save_folder(row)
                self._reading.ledger.bring_up(index, self._reading.name)
            return tuple(sorted(Uid(one.message.uid) for one in done))

        return self._reading.run(act) if tasks else ()

    def _tasks(self, index: Index, row: FolderRow, blobs: Mapping[Uid, StagedFile], *, again: bool) -> list[_Task]:
        tasks: list[_Task] = []
        for uid, staged in sorted(blobs.items()):
            message = index.message(row.id, uid)
            if message is None or not _fits(message, staged, again=again):
                continue
            with suppress(FileNotFoundError), self._house.directories.lease(self._reading.inner(message.place)) as fd:
                # The date of the message is that of its file, in whole seconds.
                modified = float(self._disk.stat(fd, message.name).st_mtime_ns // 1_000_000_000)
                tasks.append(_Task(message=message, staged=staged, modified=modified))
        return tasks

    def _make_durable(self, tasks: Sequence[_Task]) -> None:
        fds = [one.staged.prepare(modified_seconds=one.modified) for one in tasks]
        for one, outcome in zip(tasks, self._disk.sync_files(fds), strict=True):
            one.staged.synced(outcome)

    # From plain to sealed.

    def _swap(self, fd: int, row: FolderRow, tasks: Sequence[_Task]) -> list[_Task]:
        with self._house.lock.hold(fd):
            uid_file = self._reading.ledger.sync_of(self._reading.name).uid_file(fd)
            news = uid_file.news(row)
            if news is None or not tasks:
                return []
            write_extra(
                self._disk, fd, {one.base: (one.message.extra or "").split() for one in tasks if one.message.extra}
            )
            with self._inner() as inner:
                linked = [one for one in tasks if self._link(inner[one.message.place], one)]
                self._sync(inner, (one.message.place for one in linked))
                if linked:
                    uid_file.rename(news, {one.message.base: one.base for one in linked})
                renamed = [one for one in linked if not self._unlink(inner[one.message.place], one)]
                touched = {one.message.place for one in linked}
                if renamed:
                    touched |= self._hunt(inner, {one.message.base: one for one in renamed})
                self._sync(inner, touched)
        return linked

    def _link(self, inner_fd: int, one: _Task) -> bool:
        """Give the blob its name; false where the plain file has another one now, or is gone."""
        try:
            self._disk.stat(inner_fd, one.message.name)
            name = one.base + one.message.info
            give_name(self._house, one.staged, inner_fd, name, staged_date=one.modified, date=one.modified)
        except (FileNotFoundError, FileExistsError):
            return False
        return True

    def _unlink(self, inner_fd: int, one: _Task) -> bool:
        try:
            self._disk.unlink(inner_fd, one.message.name)
        except FileNotFoundError:
            return False
        return True

    def _hunt(self, inner: Mapping[int, int], wanted: dict[str, _Task]) -> set[int]:
        """Take plain files away that others renamed, and let the blobs have the flags these were given.

        Where one is not found somebody removed it at the same moment; its blob stays, for nothing is to be lost.
        """
        touched: set[int] = set()
        for _ in range(_HUNTS):
            for place, fd in inner.items():
                for name in self._disk.names(fd):
                    one = wanted.get(base_of(name))
                    if one is None:
                        continue
                    with suppress(FileNotFoundError):
                        self._disk.unlink(fd, name)
                        info = name[len(one.message.base) :]
                        source = (inner[one.message.place], one.base + one.message.info)
                        self._disk.rename(source, (fd, one.base + info))
                        del wanted[one.message.base]
                        touched.add(place)
            if not wanted:
                break
        return touched

    # From one key to another.

    def _replace(self, tasks: Sequence[_Task]) -> list[_Task]:
        done: list[_Task] = []
        with self._inner() as inner, self._house.directories.lease(self._tmp()) as tmp:
            try:
                for one in tasks:
                    name = self._house.names.unique(seconds=self._house.clock.time(), octets=0, wire_octets=0)
                    give_name(self._house, one.staged, tmp, name, staged_date=one.modified, date=one.modified)
                    try:
                        if self._exchange((tmp, name), (inner[one.message.place], one.message.name)):
                            done.append(one)
                    finally:
                        with suppress(FileNotFoundError):
                            self._disk.unlink(tmp, name)
            finally:
                self._sync(inner, (one.message.place for one in done))
        return done

    def _exchange(self, fresh: tuple[int, str], old: tuple[int, str]) -> bool:
        """Put one file in the place of another in one step; false where that has another name now, or is gone."""
        try:
            self._disk.exchange(fresh, old)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _NO_EXCHANGE:
                raise
            try:
                self._disk.stat(*old)
            except FileNotFoundError:
                return False
            self._disk.rename(fresh, old)
        return True

    # Places.

    def _sync(self, inner: Mapping[int, int], places: Iterable[int]) -> None:
        """Make the names durable in the directories where something was done."""
        for place in sorted(set(places)):
            self._disk.sync_directory(inner[place])

    def _folder(self) -> tuple[str, tuple[str, ...]]:
        return self._house.place_of(self._reading.mailbox, self._reading.name)

    def _tmp(self) -> tuple[str, tuple[str, ...]]:
        root, components = self._folder()
        return root, (*components, "tmp")

    @contextmanager
    def _inner(self) -> Generator[Mapping[int, int]]:
        directories = self._house.directories
        with (
            directories.lease(self._reading.inner(NEW)) as new,
            directories.lease(self._reading.inner(CUR)) as cur,
        ):
            yield {NEW: new, CUR: cur}


def _fits(message: MessageRow, staged: StagedFile, *, again: bool) -> bool:
    """Whether a blob can have been made of a message as it is now."""
    if message.place == NOWHERE or message.wire_octets != staged.wire_octets:
        return False
    return (SEALED_MARK in message.base) == again and (again or can_be_field(message.base))
