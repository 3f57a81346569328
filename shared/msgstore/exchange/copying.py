"""One folder of one store made what it is in another one: what is missing is put, the rest brought in line.

The two are compared by their columns, a page of UIDs at a time: that costs a fraction of what reading one message does,
needs nothing to be kept between two runs, and is right whatever happened to either store in between.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, cast

from msgstore.exchange.target import own_uidl
from msgstore.exchange.values import Progress
from msgstore.model.errors import MessageExpunged, StoreError
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Body, Folder, MessageStore, StagedMessage
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Cell, Column, Restored

__all__ = ["Difference", "FolderConverted", "FolderCopying", "Unreadable", "folded", "listed_pages", "read_chunks"]

_PAGE: Final = 1000
"""Messages compared at once."""

_BATCH: Final = 200
"""Messages put at once: each may be an open file until then, and a process may have 1024."""

_BATCH_OCTETS: Final = 32 << 20

_COLUMNS: Final[Sequence[Column]] = ("uid", "flags", "keywords", "modseq", "sealed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not in the target as it is in the source."""

    folder: FolderName | None
    """None for what belongs to the whole mailbox."""

    uid: Uid | None
    """None for what belongs to the whole folder."""

    text: str


@dataclass(slots=True, kw_only=True)
class FolderConverted:
    """What became of one folder."""

    folder: FolderName
    status: FolderStatus
    """The folder in the source when it was looked at; what has a higher modseq or UID there came later."""

    put: int = 0
    """Messages that were put, or would be."""

    present: int = 0
    """Messages that were there already."""

    changed: int = 0
    """Of these: whose flags, keywords, modseq or seal were others."""

    expunged: int = 0
    """Messages that were there and are gone in the source."""

    octets: int = 0
    """Of those that were put."""

    verified: int = 0
    """Messages whose octets were read on both sides and compared."""


class Unreadable(Exception):
    """A message of the source cannot be read."""


@dataclass(slots=True)
class _Page:
    """What is to be done about one page."""

    staged: ExitStack = field(default_factory=ExitStack)
    messages: list[Restored] = field(default_factory=list[Restored])
    octets: int = 0
    align: list[MessageInfo] = field(default_factory=list[MessageInfo])


class FolderCopying:
    """Copies one folder; ``target`` is None where a dry run finds no such folder there."""

    def __init__(
        self,
        source: Folder,
        target: Folder | None,
        store: MessageStore,
        *,
        progress: Progress,
        note: Callable[[FolderName | None, Uid | None, str], None],
        dry_run: bool = False,
        skips: bool = False,
    ) -> None:
        """Prepare; ``store`` is that of the target.

        With ``skips`` what cannot be read is noted and left out for good, since UIDs only ascend: else copying stops in
        front of it.
        """
        self._source = source
        self._target = target
        self._store = store
        self._progress = progress
        self._note_difference = note
        self._dry_run = dry_run
        self._skips = skips
        self._page = _Page()

    def run(self, converted: FolderConverted) -> bool:
        """Copy what was there when ``converted.status`` was read; false where it had to stop before the end.

        Raises:
            FolderNotFound: one of the folders is gone.
            StoreError: the target takes nothing now; what was put stays, and running again goes on.
        """
        status = converted.status
        given = 1 if self._target is None else self._target.stat().uidnext
        try:
            for infos, after, last in listed_pages(self._source, status.uidnext):
                if not self._one_page(infos, (after, last), given, converted):
                    return False
        finally:
            self._page.staged.close()
        if self._target is not None and not self._dry_run:
            self._target.restore((), uidnext=status.uidnext)
            self._target.align((), modseq=status.modseq)
        return True

    def _one_page(
        self, infos: Sequence[MessageInfo], between: tuple[int, int], given: int, converted: FolderConverted
    ) -> bool:
        there = self._rows_there(*between)
        uidvalidity = converted.status.uidvalidity
        is_whole = True
        try:
            for info in infos:
                row = there.pop(info.uid, None)
                if row is not None:
                    converted.present += 1
                    self._compare(info, row, converted)
                elif info.uid < given:
                    self._note(info.uid, "was given out there, and its message is not there")
                else:
                    self._put(info, uidvalidity, converted)
                self._progress.step()
        except Unreadable:
            is_whole = False
        self._flush(converted)
        if is_whole:
            converted.expunged += len(there)
        if self._target is not None and not self._dry_run:
            # Those that were to be looked at yet are not gone.
            gone = sorted(there) if is_whole else []
            if self._page.align or gone:
                self._target.align(self._page.align, vanished=[Uid(uid) for uid in gone])
        self._page.align.clear()
        return is_whole

    def _rows_there(self, after: int, last: int) -> dict[int, tuple[Cell, ...]]:
        if self._target is None:
            return {}
        rows = self._target.rows(_COLUMNS, after_uid=after, last_uid=last)
        return {cast("int", row[0]): row for row in rows}

    def _compare(self, info: MessageInfo, row: tuple[Cell, ...], converted: FolderConverted) -> None:
        _, flags, keywords, modseq, sealed = row
        is_sealed_since = info.sealed and not sealed
        if is_sealed_since and not self._dry_run and not self._try_reseal(info):
            return
        is_same = (
            info.flags == frozenset(cast("tuple[str, ...]", flags))
            and folded(info.keywords) == folded(cast("tuple[str, ...]", keywords))
            and info.modseq == modseq
        )
        if is_sealed_since or not is_same:
            converted.changed += 1
            self._page.align.append(info)

    def _try_reseal(self, info: MessageInfo) -> bool:
        try:
            self.reseal(info, again=False)
        except Unreadable as error:
            self._note(info.uid, f"cannot be read: {error}")
            return False
        return True

    def reseal(self, info: MessageInfo, *, again: bool) -> None:
        """Put the blob that the source has now into the place of the message there.

        Raises:
            Unreadable: the source does not give it.
            StoreError: the target does not take it.
        """
        staged = self._staged(info)
        if staged is None or self._target is None:
            return
        with staged:
            self._target.seal({info.uid: staged}, again=again)

    def _put(self, info: MessageInfo, uidvalidity: int, converted: FolderConverted) -> None:
        if self._dry_run:
            converted.put += 1
            converted.octets += info.stored_octets or info.octets
            return
        try:
            staged = self._staged(info)
        except Unreadable as error:
            self._note(info.uid, f"cannot be read: {error}")
            if self._skips:
                return
            raise
        if staged is None:
            return
        page = self._page
        page.staged.callback(staged.discard)
        page.octets += staged.octets
        page.messages.append(
            Restored(
                staged=staged,
                uid=info.uid,
                internal_date=info.internal_date,
                flags=info.flags,
                keywords=info.keywords,
                uidl=own_uidl(info, uidvalidity),
                guid=info.guid,
                modseq=info.modseq,
            )
        )
        if len(page.messages) >= _BATCH or page.octets >= _BATCH_OCTETS:
            self._flush(converted)

    def _staged(self, info: MessageInfo) -> StagedMessage | None:
        """Read a message of the source into a staged one; None where it is gone since it was listed."""
        try:
            body = self._source.retrieve(info.uid)
        except MessageExpunged:
            return None
        except (StoreError, OSError) as error:
            raise Unreadable(str(error)) from error
        # It may have been sealed where it lies since it was listed.
        sealed = info.sealed if body.facts is None else body.facts.sealed
        staged = self._store.stage(expected_octets=body.stored_octets, sealed=sealed)
        try:
            with body:
                _fill(staged, body)
        except BaseException:
            staged.discard()
            raise
        return staged

    def _flush(self, converted: FolderConverted) -> None:
        page = self._page
        if not page.messages or self._target is None:
            return
        self._target.restore(page.messages)
        converted.put += len(page.messages)
        converted.octets += page.octets
        page.staged.close()
        self._page = _Page(align=page.align)

    def _note(self, uid: Uid, text: str) -> None:
        self._note_difference(self._source.name, uid, text)


def listed_pages(folder: Folder, uidnext: int) -> Iterator[tuple[Sequence[MessageInfo], int, int]]:
    """Give messages below a UID in pages, each with the UIDs between which nothing else is: above, and up to.

    The last page ends at ``uidnext``; without messages it is empty.
    """
    after = 0
    while True:
        page = folder.list(after_uid=after, limit=_PAGE)
        is_last = len(page) < _PAGE or page[-1].uid >= uidnext - 1
        last = uidnext - 1 if is_last else page[-1].uid
        yield tuple(info for info in page if info.uid < uidnext), after, last
        if is_last:
            return
        after = last


def _fill(staged: StagedMessage, body: Body) -> None:
    for chunk in read_chunks(body):
        staged.write(chunk)
    if staged.octets != body.stored_octets:
        raise Unreadable(f"ends after {staged.octets} of {body.stored_octets} octets")


def read_chunks(body: Body) -> Iterator[bytes]:
    """Give a message of the source in pieces.

    Raises:
        Unreadable: the disk answers with an error.
    """
    try:
        yield from body.chunks()
    except (StoreError, OSError) as error:
        raise Unreadable(str(error)) from error


def folded(keywords: Sequence[str] | frozenset[str]) -> frozenset[str]:
    """Give keywords as they are compared: without case. RFC 9051 §2.3.2."""
    return frozenset(keyword.lower() for keyword in keywords)
