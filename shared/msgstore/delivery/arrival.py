"""One message as it comes to one mailbox: what is staged, and its pieces behind an edited header."""

from collections.abc import Iterator
from dataclasses import dataclass

from msgstore.model.envelope import Envelope, Recipient
from msgstore.model.errors import StoreUnavailable
from msgstore.model.interfaces import StagedMessage
from msgstore.sieve import EditedMessage

__all__ = ["Arrival", "EditedPieces"]

_EMPTY_LINES = (b"\r\n", b"\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a filter looks at."""

    envelope: Envelope
    recipient: Recipient
    """With a mailbox, not a forward."""

    staged: StagedMessage
    trace: bytes
    """Our own lines, with which it begins."""

    delivery_id: str
    is_alone: bool = True
    """Whether the reply to the peer is about this mailbox only."""

    @property
    def header_block(self) -> bytes:
        """The message's own header, at most 256 KiB, up to and with the empty line if there is one."""
        return self.staged.header_block[len(self.trace) :]

    @property
    def header(self) -> bytes:
        """The same without the empty line."""
        block = self.header_block
        for end in _EMPTY_LINES:
            if block == end or block.endswith(b"\n" + end):
                return block[: -len(end)]
        return block

    @property
    def octets(self) -> int:
        """Size of the message as it came."""
        return self.staged.octets - len(self.trace)

    @property
    def is_cut(self) -> bool:
        """Whether the header is longer than what is seen of it, so that nothing can be put in its place."""
        block = self.header_block
        has_end = any(block == end or block.endswith(b"\n" + end) for end in _EMPTY_LINES)
        return not has_end and len(block) < self.octets

    def body(self) -> bytes:
        """Read everything behind the header.

        Raises:
            StoreError: the staged message cannot be read.
        """
        return b"".join(self.body_pieces())

    def body_pieces(self) -> Iterator[bytes]:
        """Read everything behind the header, in pieces.

        Raises:
            StoreError: the staged message cannot be read.
        """
        before = self.staged.header_block
        forms = {before, before.replace(b"\r\n", b"\n")}
        longest = max(map(len, forms))
        held = b""
        chunks = self.staged.chunks()
        for chunk in chunks:
            held += chunk
            if len(held) >= longest:
                break
        # A store that keeps LF line ends gives them back.
        for form in sorted(forms, key=len, reverse=True):
            if held.startswith(form):
                yield held[len(form) :]
                break
        else:
            raise StoreUnavailable("the staged message does not begin as it was written")
        yield from chunks


class EditedPieces:
    """An edited message in pieces; begins anew each time."""

    def __init__(self, arrival: Arrival, edited: EditedMessage, *, before: bytes = b"") -> None:
        """``before`` stands in front of it."""
        self._arrival = arrival
        self._edited = edited
        self._before = before

    def __iter__(self) -> Iterator[bytes]:
        header = self._edited.header
        if header and not header.endswith(b"\n"):
            header += b"\r\n"
        yield self._before + header + b"\r\n"
        if self._edited.body is None:
            yield from self._arrival.body_pieces()
        else:
            yield self._edited.body
