"""Whether a folder that was copied is what it is in the source, octet for octet."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

from msgstore.exchange.copying import FolderConverted, FolderCopying, Unreadable, folded, listed_pages, read_chunks
from msgstore.exchange.values import Progress
from msgstore.model.errors import MessageExpunged, StoreError
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Folder
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import COLUMNS, Cell
from msgstore.store.rows import cell_of

__all__ = ["FolderVerifying"]

_KEYWORDS: Final = COLUMNS.index("keywords")
_STORED: Final = COLUMNS.index("stored_octets")


class FolderVerifying:
    """Compares one folder; what came or changed in the source since it was copied is left to the next run."""

    def __init__(
        self,
        source: Folder,
        target: Folder,
        copying: FolderCopying,
        *,
        progress: Progress,
        note: Callable[[FolderName | None, Uid | None, str], None],
    ) -> None:
        """Prepare; ``copying`` mends the one thing that no column tells: a blob that was sealed again."""
        self._source = source
        self._target = target
        self._copying = copying
        self._progress = progress
        self._note_difference = note

    def run(self, converted: FolderConverted) -> None:
        """Compare everything, and note each difference.

        Raises:
            FolderNotFound: one of the folders is gone.
            StoreError: one of them cannot be listed now.
        """
        status, there = converted.status, self._target.stat()
        for name, here, value in (
            ("UIDVALIDITY", status.uidvalidity, there.uidvalidity),
            ("UIDNEXT", status.uidnext, there.uidnext),
        ):
            if here != value:
                self._note(None, f"{name} is {value} there and {here} here")
        surplus: list[int] = []
        for infos, after, last in listed_pages(self._source, status.uidnext):
            rows = {cast("int", row[0]): row for row in self._target.rows(COLUMNS, after_uid=after, last_uid=last)}
            for info in infos:
                self._one(info, rows.pop(info.uid, None), converted)
                self._progress.step()
            surplus += rows
        if surplus and self._source.stat().modseq == status.modseq:
            # Nothing happened here since: they did not vanish meanwhile.
            for uid in surplus:
                self._note(Uid(uid), "is there and not here")

    def _one(self, info: MessageInfo, row: tuple[Cell, ...] | None, converted: FolderConverted) -> None:
        if info.modseq > converted.status.modseq:
            return
        if row is None:
            self._note(info.uid, "is not there")
            return
        for text in _differences(info, row):
            self._note(info.uid, text)
        try:
            same = self._has_same_octets(info)
            if same is False and info.sealed and row[COLUMNS.index("sealed")]:
                self._copying.reseal(info, again=True)
                converted.changed += 1
                same = self._has_same_octets(info)
        except Unreadable as error:
            self._note(info.uid, f"cannot be read: {error}")
            return
        if same is False and self._is_unchanged(info):
            self._note(info.uid, "has other octets there")
        converted.verified += same is True

    def _is_unchanged(self, info: MessageInfo) -> bool:
        """Whether a message is here as it was listed: it may have been sealed since."""
        found = self._source.rows(["modseq"], after_uid=info.uid - 1, last_uid=info.uid)
        return [row[0] for row in found] == [info.modseq]

    def _has_same_octets(self, info: MessageInfo) -> bool | None:
        """Compare the octets of a message; None where it is gone here since it was listed."""
        try:
            here = _digest(self._source, info.uid)
        except MessageExpunged:
            return None
        try:
            return here == _digest(self._target, info.uid)
        except Unreadable as error:
            raise Unreadable(f"{error} (there)") from error
        except MessageExpunged as error:
            raise Unreadable("it is gone there") from error

    def _note(self, uid: Uid | None, text: str) -> None:
        self._note_difference(self._source.name, uid, text)


def _differences(info: MessageInfo, row: Sequence[Cell]) -> Iterator[str]:
    for at, column in enumerate(COLUMNS):
        here, there = cell_of(info, column), row[at]
        if at == _KEYWORDS:
            is_same = folded(info.keywords) == folded(cast("tuple[str, ...]", there))
        else:
            # Where a backend would have to look at the file, the octets themselves tell.
            is_same = here == there or (at == _STORED and None in (here, there))
        if not is_same:
            yield f"{column} is {_shown(there)} there and {_shown(here)} here"


def _shown(cell: Cell) -> str:
    return " ".join(cell) or "empty" if isinstance(cell, tuple) else str(cell)


def _digest(folder: Folder, uid: Uid) -> bytes:
    """Read a message and give the SHA-256 of its octets as they are kept.

    Raises:
        MessageExpunged: it is gone.
        Unreadable: it cannot be read.
    """
    try:
        body = folder.retrieve(uid)
    except MessageExpunged:
        raise
    except (StoreError, OSError) as error:
        raise Unreadable(str(error)) from error
    digest = hashlib.sha256()
    with body:
        for chunk in read_chunks(body):
            digest.update(chunk)
    return digest.digest()
