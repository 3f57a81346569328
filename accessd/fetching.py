"""Many bodies in one answer: what one costs alone is mostly the way there and back; a blocking function for threads."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final, cast

from accessd.bodies import fetch_body
from accessd.mail import Target
from msgstore.access.mailshapes import FetchResult, RetrieveResult
from msgstore.access.uids import UidRange
from msgstore.model.errors import MessageExpunged, MessageNotFound
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.message import Uid

__all__ = ["fetch"]

_MESSAGES: Final = 200
"""Of one answer: so long is a thread held."""

_BODIES_OCTETS: Final = 640 * 1024
"""Of one answer: with what is said of each it fits a frame."""


def fetch(store: MessageStore, target: Target, ranges: Sequence[UidRange], after: int) -> FetchResult:
    """Collect messages until an answer is full; ``ranges`` ascend.

    Raises:
        MsgstoreError: what the store says of the folder.
    """
    folder = target.open(store)
    if not ranges:
        # No message asks whether its folder is there.
        folder.stat()
    found: list[RetrieveResult] = []
    octets, last_seen = 0, after
    for uid in itertools.islice(_uids(folder, ranges, after, target.last_uid), _MESSAGES):
        try:
            one = fetch_body(folder, uid)
        except (MessageNotFound, MessageExpunged):
            last_seen = uid
            continue
        octets += len(one.body or b"")
        if found and octets > _BODIES_OCTETS:
            break
        found.append(one)
        last_seen = uid
    else:
        if next(_uids(folder, ranges, last_seen, target.last_uid), None) is None:
            return FetchResult(messages=tuple(found))
    return FetchResult(messages=tuple(found), next_uid=last_seen)


def _uids(folder: Folder, ranges: Sequence[UidRange], after: int, last_uid: int) -> Iterator[Uid]:
    """Give what may be there; a uid that is named alone need not be looked up before it is read."""
    for first, last in ranges:
        begin, end = max(first, after + 1), min(last, last_uid)
        if begin == end:
            yield Uid(begin)
        elif begin < end:
            rows = folder.rows(("uid",), after_uid=begin - 1, last_uid=end, limit=_MESSAGES + 1)
            yield from (Uid(cast("int", row[0])) for row in rows)
