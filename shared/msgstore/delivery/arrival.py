"""One message as scripts look at it, and as it comes to one mailbox."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from msgstore.model.envelope import Envelope, Recipient
from msgstore.model.errors import StoreUnavailable
from msgstore.model.interfaces import StagedMessage
from msgstore.sieve import EditedMessage, Message

__all__ = ["Arrival", "Content", "EditedPieces"]

_EMPTY_LINES: Final = (b"\r\n", b"\n")


class Content:
    """What is staged, without our own lines; all recipients share it, so it is read once.  One thread at a time."""

    def __init__(self, staged: StagedMessage, trace: bytes, *, sealed: bool = False) -> None:
        """``trace`` are our own lines, with which it begins; of a sealed message nothing is decoded."""
        self.staged: Final = staged
        self.trace: Final = trace
        self.is_sealed: Final = sealed

    @cached_property
    def header_block(self) -> bytes:
        """The message's own header, at most 256 KiB, up to and with the empty line if there is one."""
        return self.staged.header_block[len(self.trace) :]

    @cached_property
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
        return len(self.header) == len(self.header_block) < self.octets

    @cached_property
    def message(self) -> Message:
        """The message for the engine; its body is read when a script asks for it."""
        return Message(self.header, lambda: b"".join(self.body_pieces()), octets=self.octets, sealed=self.is_sealed)

    def body_pieces(self) -> Iterator[bytes]:
        """Read everything behind the header, in pieces.

        Raises:
            StoreError: the staged message cannot be read.
        """
        before = self.staged.header_block
        # A store that keeps LF line ends gives them back.
        forms = (before, before.replace(b"\r\n", b"\n"))
        held = b""
        chunks = self.staged.chunks()
        for chunk in chunks:
            held += chunk
            if len(held) >= len(before):
                break
        for form in forms:
            if held.startswith(form):
                yield held[len(form) :]
                break
        else:
            raise StoreUnavailable("the staged message does not begin as it was written")
        yield from chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a filter looks at."""

    envelope: Envelope
    recipient: Recipient
    """With a mailbox, not a forward."""

    content: Content
    delivery_id: str
    is_alone: bool = True
    """Whether the reply to the peer is about this mailbox only."""


class EditedPieces:
    """An edited message in pieces; begins anew each time."""

    def __init__(self, content: Content, edited: EditedMessage, *, before: bytes = b"") -> None:
        """``content`` is the message as it came; ``before`` stands in front of the edited one."""
        self._content = content
        self._edited = edited
        self._before = before

    def __iter__(self) -> Iterator[bytes]:
        header = self._edited.header
        if header and not header.endswith(b"\n"):
            header += b"\r\n"
        yield self._before + header + b"\r\n"
        if self._edited.body is None:
            yield from self._content.body_pieces()
        else:
            yield self._edited.body
