"""Whether a message is in a folder already, told by its date, its size and its content."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from msgstore.exchange.values import ForeignMessage
from msgstore.model.interfaces import Folder, StagedMessage
from msgstore.model.message import Uid
from msgstore.store.lines import LineEnds, to_lf

__all__ = ["Known", "Print", "read_message"]


@dataclass(frozen=True, slots=True)
class Print:
    """What two equal messages have in common, however their lines end."""

    wire_octets: int
    digest: bytes


class Known:
    """The messages a folder had when it was first looked at, each of which answers for one message only."""

    def __init__(self, handle: Folder | None, *, after_uid: int = 0) -> None:
        """Look at messages above a UID; None stands for a folder that is not there."""
        self._handle = handle
        self._uids: dict[tuple[object, object], list[Uid]] = defaultdict(list)
        if handle is None:
            return
        for uid, date, octets in handle.rows(["uid", "internal_date", "octets"], after_uid=after_uid):
            if isinstance(uid, int):
                self._uids[date, octets].append(Uid(uid))

    def take(self, read: Print, internal_date: int) -> bool:
        """Whether a message is there, and was not taken yet."""
        uids = self._uids.get((internal_date, read.wire_octets), [])
        for uid in uids:
            assert self._handle is not None
            with self._handle.retrieve(uid) as body:
                if _print_of(body.chunks()) == read:
                    uids.remove(uid)
                    return True
        return False


def read_message(message: ForeignMessage, into: StagedMessage | None) -> Print:
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

    return _print_of(passed())


def _print_of(chunks: Iterable[bytes]) -> Print:
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
