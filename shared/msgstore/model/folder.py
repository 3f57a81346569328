"""Folders of a mailbox: names, special use, counts."""

import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import Final

from msgstore.model.errors import InvalidFolderName

__all__ = ["DEFAULT_FOLDERS", "DELIMITER", "INBOX", "FolderInfo", "FolderName", "FolderStatus", "SpecialUse"]

DELIMITER: Final = "/"
"""Separates levels of a folder name in text, on the socket and in logs; on disk the Maildir++ dot stands for it."""

COMPONENT_LIMIT_OCTETS: Final = 200
"""Leaves room for the levels around it and for escapes in a file name of at most 255 octets."""

_FORBIDDEN: Final = frozenset("\x7f\u2028\u2029" + DELIMITER)


class SpecialUse(Enum):
    """What a folder is for. RFC 6154 §2."""

    ARCHIVE = "\\Archive"
    DRAFTS = "\\Drafts"
    JUNK = "\\Junk"
    SENT = "\\Sent"
    TRASH = "\\Trash"


@dataclass(frozen=True, slots=True, order=True)
class FolderName:
    """The name of one folder: its levels, outermost first, in NFC.

    Raises:
        InvalidFolderName: a level is empty, ``.``, ``..``, too long, or holds a control character or the delimiter.
    """

    components: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.components:
            raise InvalidFolderName("a folder name needs at least one level")
        for component in self.components:
            _check_component(component)

    def __str__(self) -> str:
        return DELIMITER.join(self.components)

    @property
    def is_inbox(self) -> bool:
        """Whether this is the folder that every mailbox has."""
        return self.components == ("INBOX",)

    @property
    def parent(self) -> "FolderName | None":
        """The folder above; None at the top."""
        return FolderName(self.components[:-1]) if len(self.components) > 1 else None

    @classmethod
    def parse(cls, text: str) -> "FolderName":
        """Read a name with :data:`DELIMITER` between levels; ``""`` and INBOX in any case mean the inbox.

        Raises:
            InvalidFolderName: the text cannot name a folder.
        """
        if text == "" or text.upper() == "INBOX":
            return INBOX
        first, *rest = unicodedata.normalize("NFC", text).split(DELIMITER)
        return cls(("INBOX" if first.upper() == "INBOX" else first, *rest))


def _check_component(component: str) -> None:
    if component in ("", ".", ".."):
        raise InvalidFolderName(f"{component!r} cannot be a level of a folder name")
    if any(character < " " or character in _FORBIDDEN or "\ud800" <= character <= "\udfff" for character in component):
        raise InvalidFolderName("a folder name holds a character that is not allowed")
    if len(component.encode()) > COMPONENT_LIMIT_OCTETS:
        raise InvalidFolderName(f"a level of a folder name is over {COMPONENT_LIMIT_OCTETS} octets")


INBOX: Final = FolderName(("INBOX",))
"""The folder that every mailbox has. RFC 9051 §5.1."""

DEFAULT_FOLDERS: Final[tuple[tuple[FolderName, SpecialUse | None], ...]] = (
    (FolderName(("Junk",)), SpecialUse.JUNK),
    (FolderName(("Trash",)), SpecialUse.TRASH),
    (FolderName(("Sent",)), SpecialUse.SENT),
    (FolderName(("Drafts",)), SpecialUse.DRAFTS),
    (FolderName(("List",)), None),
    (FolderName(("Bulk",)), None),
)
"""Folders that a new mailbox gets, as installations of the older suite have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderStatus:
    """Counts of one folder at one moment."""

    messages: int
    octets: int
    """Sum of what :attr:`MessageInfo.octets` says."""

    unseen: int
    uidvalidity: int
    uidnext: int
    modseq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderInfo:
    """One folder in a listing."""

    name: FolderName
    special_use: SpecialUse | None = None
    subscribed: bool = False
    has_children: bool = False
