"""A message held in memory because somebody gets it sealed: no octet of it touches a disk before that.

The memory is a private mapping of its own, which no core dump and no child process gets.  When the message is discarded
it is wiped and kept for the next one, or goes back to the kernel whole where it was a large one: nothing of a message
stays behind in memory that is used again for something else.
"""

import mmap
import threading
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from msgstore.model.errors import Overloaded, StoreUnavailable
from msgstore.store.lines import HeaderBlock

__all__ = ["HeldMessage", "MemoryBudget"]

_FIRST_OCTETS: Final = 65_536
_SPARE_MAPPINGS: Final = 32
"""Kept for the next messages: to map and to give back costs more than to wipe a short message."""
_PIECE_OCTETS: Final = 1 << 18
_KIND: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class MemoryBudget:
    """Octets that all messages held in this process may take together; safe in every thread."""

    def __init__(self, octets: int) -> None:
        self._guard = threading.Lock()
        self._left = octets

    def take(self, octets: int) -> None:
        """Take octets, which are to be given back.

        Raises:
            Overloaded: there are not so many left now.
        """
        with self._guard:
            if octets > self._left:
                raise Overloaded(f"{octets} octets more would be held for sealing, and {self._left} are free")
            self._left -= octets

    def give_back(self, octets: int) -> None:
        """Let others have octets that were taken."""
        with self._guard:
            self._left += octets


class HeldMessage:
    """A message in memory; satisfies :class:`msgstore.model.bodies.StagedMessage`.  One thread at a time."""

    def __init__(self, budget: MemoryBudget, *, expected_octets: int = 0) -> None:
        """Begin; ``expected_octets`` saves moves where they are about right.

        What was declared is not believed further than what is small: memory is taken as octets come.
        """
        self._budget = budget
        self._first = min(max(expected_octets, 4096), _FIRST_OCTETS)
        self._map: mmap.mmap | None = None
        self._taken = 0
        self._octets = 0
        self._header = HeaderBlock()
        self._is_discarded = False

    @property
    def octets(self) -> int:
        """Octets written so far."""
        return self._octets

    @property
    def header_block(self) -> bytes:
        """Header fields seen so far; see the interface."""
        return bytes(self._header)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append octets.

        Raises:
            StoreUnavailable: the message was discarded.
            Overloaded: too much is held already.
        """
        if self._is_discarded:
            raise StoreUnavailable("the staged message takes no more octets")
        end = self._octets + len(chunk)
        target = self._room_for(end)
        target[self._octets : end] = chunk
        self._octets = end
        if not self._header.is_complete:
            self._header.feed(bytes(chunk))

    def chunks(self) -> Iterator[bytes]:
        """Give back what was written so far, in pieces.

        Raises:
            StoreUnavailable: the message was discarded.
        """
        if self._is_discarded:
            raise StoreUnavailable("the staged message is lost")
        held = self._map
        if held is not None:
            for start in range(0, self._octets, _PIECE_OCTETS):
                yield held[start : min(start + _PIECE_OCTETS, self._octets)]

    @contextmanager
    def view(self) -> Generator[memoryview]:
        """Lend the message itself for the time of the block, in which nothing is written or discarded.

        Raises:
            StoreUnavailable: the message was discarded.
        """
        if self._is_discarded:
            raise StoreUnavailable("the staged message is lost")
        if self._map is None:
            yield memoryview(b"")
            return
        with memoryview(self._map) as whole, whole[: self._octets] as message:
            yield message

    def discard(self) -> None:
        """Wipe the memory and give it back; harmless to repeat."""
        self._is_discarded = True
        self._header.wipe()
        held, self._map = self._map, None
        if held is not None:
            _give_back(held, self._octets)
        taken, self._taken = self._taken, 0
        if taken:
            self._budget.give_back(taken)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _room_for(self, octets: int) -> mmap.mmap:
        held = self._map
        if held is not None and octets <= self._taken:
            return held
        wanted = max(octets, self._taken * 2, self._first)
        self._budget.take(wanted - self._taken)
        # Given back by discard, whatever comes now.
        self._taken = wanted
        if held is None:
            held = self._map = _take(wanted)
            return held
        if wanted <= len(held):
            return held
        try:
            # The kernel moves the pages, not their content: nothing stays where they were.
            held.resize(wanted)
        except (OSError, SystemError, ValueError) as error:
            raise _no_memory(wanted, error) from error
        return held


_spare: Final[deque[mmap.mmap]] = deque()
"""Wiped, of :data:`_FIRST_OCTETS` each; its ``append`` and ``pop`` are whole in every thread."""


def _take(octets: int) -> mmap.mmap:
    if octets > _FIRST_OCTETS:
        return _private_memory(octets)
    try:
        return _spare.pop()
    except IndexError:
        return _private_memory(_FIRST_OCTETS)


def _give_back(held: mmap.mmap, octets: int) -> None:
    """Take a mapping back, in which so many octets were written."""
    if len(held) != _FIRST_OCTETS or len(_spare) >= _SPARE_MAPPINGS:
        held.close()
        return
    held[:octets] = bytes(octets)
    _spare.append(held)


def _private_memory(octets: int) -> mmap.mmap:
    """Map fresh zeroed memory of this process alone.

    Raises:
        Overloaded: there is none.
    """
    try:
        held = mmap.mmap(-1, octets, flags=_KIND)
    except OSError as error:
        raise _no_memory(octets, error) from error
    held.madvise(mmap.MADV_DONTDUMP)
    held.madvise(mmap.MADV_DONTFORK)
    return held


def _no_memory(octets: int, error: Exception) -> Overloaded:
    return Overloaded(f"no memory for {octets} octets: {error}")
