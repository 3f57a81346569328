"""Whether a message is in a folder already, told by its date, its size and its content."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgstore.exchange.sealing import PLAIN, Coming, Sealing, plain_octets
from msgstore.model.interfaces import Body, Folder, StagedMessage
from msgstore.model.message import Uid
from msgstore.model.outcomes import Column
from msgstore.store.lines import LineEnds, to_lf

__all__ = ["Known", "Print", "read_message"]

_COLUMNS: Final[Sequence[Column]] = ("uid", "internal_date", "octets", "sealed")


@dataclass(frozen=True, slots=True)
class Print:
    """What two equal messages have in common, however their lines end."""

    wire_octets: int
    digest: bytes


class Known:
    """The messages a folder had when it was first looked at, each of which answers for one message only."""

    def __init__(self, handle: Folder | None, *, after_uid: int = 0, sealing: Sealing = PLAIN) -> None:
        """Look at messages above a UID; None stands for a folder that is not there."""
        self._handle = handle
        self._sealing = sealing
        self._uids: dict[tuple[object, object], list[tuple[Uid, bool]]] = defaultdict(list)
        if handle is None:
            return
        for uid, date, octets, sealed in handle.rows(_COLUMNS, after_uid=after_uid):
            if isinstance(uid, int):
                self._uids[date, octets].append((Uid(uid), sealed is True))

    def take(self, read: Print, internal_date: int) -> bool | None:
        """Whether a message is there, and was not taken yet; None where only a key could tell that of a sealed one."""
        uids = self._uids.get((internal_date, read.wire_octets), [])
        is_closed = False
        for one in uids:
            assert self._handle is not None
            with self._handle.retrieve(one[0]) as body:
                found, is_whole = self._print_here(body, sealed=one[1])
            if found == read:
                uids.remove(one)
                return True
            is_closed |= not is_whole
        return None if is_closed else False

    def _print_here(self, body: Body, *, sealed: bool) -> tuple[Print, bool]:
        """Read a message; false is one that nobody opened."""
        if not sealed:
            return _print_of(body.chunks()), True
        content = b"".join(body.chunks())
        plain = self._sealing.opened((content,))
        if plain is None:
            return _print_of((content,), sealed=True), False
        return _print_of((bytes(plain),)), True


def read_message(message: Coming, into: StagedMessage | None) -> Print:
    """Read a message whole, into a staged one unless that is None.

    Raises:
        OSError: it cannot be read.
        StoreError: it cannot be written.
    """

    def passed() -> Iterator[bytes]:
        for chunk in message.chunks():
            if into is not None:
                into.write(chunk)
            yield chunk

    if message.plain is not None:
        for _ in passed():
            pass
        return _print_of((bytes(message.plain),))
    return _print_of(passed(), sealed=message.sealed)


def _print_of(chunks: Iterable[bytes], *, sealed: bool = False) -> Print:
    """Read octets whole; those of a blob that nobody opens count as they are, and as the message in it."""
    if sealed:
        digest, octets = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            octets += len(chunk)
        return Print(plain_octets(octets), digest.digest())
    ends = LineEnds()
    digest = hashlib.sha256()
    held = False
    for chunk in chunks:
        ends.feed(chunk)
        plain, held = to_lf(chunk, held_cr=held)
        digest.update(plain)
    if held:
        digest.update(b"\r")
    return Print(ends.wire_octets, digest.digest())
