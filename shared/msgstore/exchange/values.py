"""What every source of mail says of itself: folders, messages, and what it had to pass over."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgstore.model.folder import FolderName, SpecialUse
from msgstore.model.message import Uid

__all__ = [
    "Failures",
    "ForeignFolder",
    "ForeignMessage",
    "PassedOver",
    "Progress",
    "Source",
    "fit_keywords",
    "fit_uidl",
]

_KEYWORD: Final = re.compile(r'[^\x00-\x20\x7f-\U0010ffff(){%*"\\\]]{1,100}')
"""ATOM-CHAR of RFC 9051 §9; longer ones would make lines of the keyword file long."""

_UIDL: Final = re.compile(r"[\x21-\x7e]{1,70}")
"""RFC 1939 §7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignMessage:
    """One message of a source."""

    place: str
    """Names it in reports."""

    uid: Uid | None
    """None where the source gave it none yet."""

    internal_date: int
    """Seconds since 1970 UTC."""

    chunks: Callable[[], Iterator[bytes]]
    """Reads the message from its beginning; raises OSError where it cannot be read."""

    flags: frozenset[str] = frozenset()
    keywords: frozenset[str] = frozenset()
    uidl: str | None = None
    """None where it follows from UID and UIDVALIDITY."""

    sealed: bool = False
    """Whether the source says that the octets are a blob for the owner's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFolder:
    """One folder of a source."""

    name: FolderName
    uidvalidity: int | None
    """None where the source has no UIDs."""

    uidnext: int
    """The UID that comes next; 1 where the source has no UIDs."""

    expected: int | None
    """How many messages there are; None where that is found out on the way."""

    messages: Callable[[], Iterator[ForeignMessage]]
    """Reads them: those with UIDs first, ascending, then those without, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """Something that could not be taken over."""

    place: str
    reason: str


@dataclass(slots=True)
class Failures:
    """What a source had to pass over, in the order it was found."""

    found: list[PassedOver] = field(default_factory=list[PassedOver])

    def add(self, place: str, reason: str) -> None:
        """Note one thing, once; names of files are made printable."""
        one = PassedOver(place=place.encode("utf-8", "backslashreplace").decode(), reason=reason)
        if one not in self.found[-50:]:
            self.found.append(one)


class Source(Protocol):
    """Mail of another program, opened; one thread at a time."""

    @property
    def failures(self) -> Failures:
        """What was passed over so far."""
        ...

    def folders(self) -> Iterator[ForeignFolder]:
        """Give all folders, INBOX first; what is read of one is good until the next is asked for.

        Raises:
            OSError: the source as a whole cannot be read.
        """
        ...

    def subscriptions(self) -> frozenset[FolderName]:
        """Folders the user wants to see."""
        ...

    def special_uses(self) -> Mapping[FolderName, SpecialUse | None]:
        """What folders are for; a folder that is not in it has what the store gives its name."""
        ...

    def close(self) -> None:
        """Give back descriptors."""
        ...


class Progress(Protocol):
    """Shows how far long work is."""

    def begin(self, label: str, total: int | None) -> None:
        """Begin a part of so many steps; None where nobody knows."""
        ...

    def step(self) -> None:
        """One more is done."""
        ...


def fit_keywords(keywords: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Part keywords into those that IMAP allows, each in one spelling, and the rest."""
    fit: dict[str, str] = {}
    unfit: set[str] = set()
    for keyword in sorted(keywords):
        if _KEYWORD.fullmatch(keyword):
            fit.setdefault(keyword.lower(), keyword)
        else:
            unfit.add(keyword)
    return frozenset(fit.values()), frozenset(unfit)


def fit_uidl(uidl: str | None) -> str | None:
    """Give a POP3 unique-id that POP3 allows; None for any other."""
    return uidl if uidl is not None and _UIDL.fullmatch(uidl) else None
