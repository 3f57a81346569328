"""A message on its way into the database: staged, then one parcel for each place it goes to."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from msgstore.model.address import MailboxId
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.errors import MsgstoreError, StoreUnavailable
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Wait
from msgstore.model.message import Uid
from msgstore.store.lines import HeaderBlock, LineEnds
from msgstore.store.sql.schema import INLINE_LIMIT_OCTETS, new_id
from msgstore.store.staging import StagedFile

__all__ = ["Parcel", "Parcels", "Slot", "SqlStaged"]


class SqlStaged:
    """A message being staged: in memory while it fits into a row, in a file after that.  One thread at a time."""

    def __init__(self, new_file: Callable[[], StagedFile], *, sealed: bool) -> None:
        self._new_file = new_file
        self.is_sealed: Final = sealed
        self._pieces: list[bytes] = []
        self._file: StagedFile | None = None
        self._ends = LineEnds()
        self._header = HeaderBlock()
        self._is_lost = False

    @property
    def octets(self) -> int:
        """Octets written so far."""
        return self._ends.octets

    @property
    def header_block(self) -> bytes:
        """Header fields seen so far."""
        return bytes(self._header)

    @property
    def wire_octets(self) -> int:
        """Size as clients receive it: opened, every line end CRLF."""
        return max(self.octets - SEAL_OVERHEAD_OCTETS, 0) if self.is_sealed else self._ends.wire_octets

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append octets."""
        self._require()
        octets = bytes(chunk)
        self._ends.feed(octets)
        if not self.is_sealed:
            self._header.feed(octets)
        if self._file is None and self.octets > INLINE_LIMIT_OCTETS:
            self._file = self._new_file()
            for piece in self._pieces:
                self._file.write(piece)
            self._pieces.clear()
        if self._file is not None:
            self._file.write(octets)
        else:
            self._pieces.append(octets)

    def chunks(self) -> Iterator[bytes]:
        """Give back what was written so far."""
        self._require()
        if self._file is not None:
            yield from self._file.chunks()
        elif self._pieces:
            yield self.content()

    def content(self) -> bytes:
        """Give the whole of what fits into a row."""
        self._require()
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def file(self) -> StagedFile | None:
        """Give the file that it is in; None while it fits into a row."""
        self._require()
        return self._file

    def discard(self) -> None:
        """Give up what was staged."""
        self._is_lost = True
        self._pieces.clear()
        if self._file is not None:
            self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _require(self) -> None:
        if self._is_lost:
            raise StoreUnavailable("the staged message is lost")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a parcel came to lie: what its folder decided."""

    uidvalidity: int
    uid: Uid
    modseq: int


@dataclass(slots=True, kw_only=True)
class Parcel:
    """One message for one folder, with everything its rows need but what the folder decides."""

    mailbox: MailboxId
    folder: FolderName
    blob_id: uuid.UUID
    """The same for all folders of one mailbox: the body is kept once."""

    data: bytes | None
    ref: str | None
    octets: int
    stored_octets: int
    sealed: bool
    flags: int
    keywords: frozenset[str]
    internal_date: int
    key: uuid.UUID = field(default_factory=new_id)
    """Names this delivery: done again with the same key it is not done twice."""

    guid: str = ""
    is_repeat: bool = False
    """Whether it may have been done already."""

    outcome: Slot | MsgstoreError | None = None

    @property
    def place(self) -> tuple[MailboxId, FolderName]:
        """The folder it is for."""
        return self.mailbox, self.folder


class Parcels(Wait):
    """What a delivery waits for: that its parcels are committed."""

    __slots__ = ("parcels",)

    def __init__(self, parcels: list[Parcel]) -> None:
        self.parcels: Final = parcels
