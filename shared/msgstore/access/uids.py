"""Sets of uids as the protocol writes them: numbers and pairs, both ends included. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgstore.access.mailshapes import UidItem

__all__ = ["EVERY", "UidRange", "compressed", "contains", "each_uid", "missing", "portions", "ranges_of"]

UidRange = tuple[int, int]
"""First and last, both included."""

_TOP: Final = 2**32 - 1
"""What ``nil`` as the last uid stands for."""

_PORTION: Final = 500
"""Fits a request of any peer after its login."""

EVERY: Final[tuple[UidRange, ...]] = ((1, _TOP),)
"""All uids there can be."""


def ranges_of(items: Sequence[UidItem]) -> tuple[UidRange, ...]:
    """Give ascending ranges that do not touch; a pair whose first is above its last holds nothing."""
    pairs = sorted((item, item) if isinstance(item, int) else (item[0], item[1] or _TOP) for item in items)
    merged: list[UidRange] = []
    for first, last in pairs:
        if first > last:
            continue
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def contains(ranges: Sequence[UidRange], uid: int) -> bool:
    """Whether one of the ranges, ascending as :func:`ranges_of` gives them, holds ``uid``."""
    at = bisect_right(ranges, (uid, _TOP))
    return at > 0 and uid <= ranges[at - 1][1]


def compressed(uids: Iterable[int]) -> tuple[UidItem, ...]:
    """Write uids with pairs for runs of three and more."""
    result: list[UidItem] = []
    for first, last in ranges_of(tuple(uids)):
        result.extend(range(first, last + 1) if last - first < 2 else [(first, last)])
    return tuple(result)


def portions(items: Sequence[UidItem]) -> Iterator[tuple[UidItem, ...] | None]:
    """Cut a set into ascending ones that fit a request each; of nothing is made one None, which stands for all."""
    written = [first if first == last else (first, last) for first, last in ranges_of(items)]
    if not items:
        yield None
    for begin in range(0, len(written), _PORTION):
        yield tuple(written[begin : begin + _PORTION])


def missing(ranges: Sequence[UidRange], present: Sequence[int]) -> tuple[UidItem, ...]:
    """Write what the ranges hold and ``present``, ascending, does not; an open end lacks nothing."""
    result: list[UidItem] = []
    for first, last in ranges:
        after = first
        for uid in present[bisect_left(present, first) : bisect_right(present, last)]:
            result.extend(_written(after, uid - 1))
            after = uid + 1
        if last < _TOP:
            result.extend(_written(after, last))
    return tuple(result)


def each_uid(items: Sequence[UidItem]) -> Iterator[int]:
    """Give the uids one by one; for results, whose pairs are closed."""
    for first, last in ranges_of(items):
        yield from range(first, last + 1)


def _written(first: int, last: int) -> tuple[UidItem, ...]:
    if first > last:
        return ()
    return tuple(range(first, last + 1)) if last - first < 2 else ((first, last),)
