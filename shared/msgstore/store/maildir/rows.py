"""What is known of a folder and of a message: the rows of the index.  Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msgstore.store.maildir.names import is_seen

__all__ = ["CUR", "NEW", "NOWHERE", "FolderRow", "MessageRow"]

NEW: Final = 0
CUR: Final = 1
NOWHERE: Final = 2
"""Listed in the UID list, and no file of it was seen yet."""


@dataclass(slots=True)
class FolderRow:
    """What is known of a folder; the stamps say of which state of its directories."""

    id: int
    directory: str
    """Name below INBOX's directory; empty for INBOX."""

    uidvalidity: int
    uidnext: int
    modseq: int
    min_modseq: int
    """Changes up to here are not remembered."""

    messages: int = 0
    octets: int = 0
    unseen: int = 0
    unsized: int = 0
    """Messages whose size was not looked at yet."""

    undated: int = 0
    listed_records: int = 0
    """Records in the UID list, those of messages that are gone included."""

    list_inode: int = 0
    list_octets: int = 0
    """How far the UID list was read."""

    list_time: int = 0
    new_time: int = 0
    cur_time: int = 0
    keywords_time: int = 0
    extra_time: int = 0
    is_unsure: int = 0
    """Whether a directory was so young when it was listed that it may have changed under the same time."""

    relist_at: float = 0.0
    """When to list everything again to be sure, in seconds since 1970; 0 means no need."""

    def count(self, messages: "Iterable[MessageRow]", sign: int) -> None:
        """Add messages to the counts, or take them away."""
        for message in messages:
            if message.place == NOWHERE:
                continue
            self.messages += sign
            self.octets += sign * (message.wire_octets or 0)
            self.unsized += sign * (message.wire_octets is None)
            self.undated += sign * (message.internal_date is None)
            self.unseen += sign * (not is_seen(message.info))


@dataclass(slots=True)
class MessageRow:
    """One message."""

    uid: int
    base: str
    info: str
    """What follows the base in the file's name: empty, or from the colon on."""

    place: int
    octets: int | None
    wire_octets: int | None
    internal_date: int | None
    modseq: int
    fields: str | None
    """Fields of its record in the UID list, as they stand there; None for none."""

    extra: str | None
    """Keywords without a letter, blanks between them; None for none."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.base + self.info
