"""What Dovecot, the older suite and msgstore keep beside the messages of a Maildir folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from msgstore.exchange.values import Failures, fit_uidl
from msgstore.model.errors import StoreCorrupt
from msgstore.store.disk import Disk
from msgstore.store.maildir.extra import ExtraKeywords
from msgstore.store.maildir.keywords import names_for, parse_keywords
from msgstore.store.maildir.names import base_of, keyword_letters_of
from msgstore.store.maildir.uidlist import UidList, parse_older_uidlist, parse_uidlist

__all__ = ["Lists", "has_dovecot_lists", "read_dovecot_lists", "read_if_there"]

_LISTS = ("dovecot-uidlist", ".uidlist")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What was read of one folder."""

    uidvalidity: int | None = None
    uidnext: int = 1
    uids: Mapping[str, int] = field(default_factory=dict[str, int])
    """By base name."""

    uidls: Mapping[str, str] = field(default_factory=dict[str, str])
    """By base name; only where they are other than those that follow from UIDs."""

    keywords_of: Callable[[str], frozenset[str]] = lambda _: frozenset()
    """Gives the keywords of a file name."""


def has_dovecot_lists(disk: Disk, folder_fd: int) -> bool:
    """Whether there is a UID list of Dovecot, msgstore or the older suite."""
    names = disk.names(folder_fd)
    return any(name in names for name in _LISTS)


def read_if_there(disk: Disk, folder_fd: int, name: str, *, place: str, failures: Failures) -> bytes | None:
    """Read a small file of a folder; None where there is none, or none that can be read, which is reported."""
    try:
        return disk.read_file(folder_fd, name)[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        failures.add(f"{place}/{name}", error.strerror or str(error))
        return None


def read_dovecot_lists(disk: Disk, folder_fd: int, *, place: str, failures: Failures) -> Lists:
    """Read the UID list, ``dovecot-uidlist`` before the one of the older suite, and the keyword files."""
    uidlist = _uidlist(disk, folder_fd, place=place, failures=failures)
    letters = read_if_there(disk, folder_fd, "dovecot-keywords", place=place, failures=failures)
    extra = read_if_there(disk, folder_fd, "msgstore-keywords", place=place, failures=failures)
    known = parse_keywords(letters or b"")
    further = ExtraKeywords.parse(extra or b"")

    def keywords_of(name: str) -> frozenset[str]:
        words = further.text_of(base_of(name))
        return names_for(keyword_letters_of(name), known) | frozenset((words or "").split())

    if uidlist is None:
        return Lists(keywords_of=keywords_of)
    uidls: dict[str, str] = {}
    for record in uidlist.records:
        uidl = record.get("P")
        if uidl is not None and fit_uidl(uidl) is None:
            failures.add(f"{place}: UID {record.uid}", "its POP3 unique-id is none, a new one is given")
        elif uidl is not None:
            uidls[record.base] = uidl
    return Lists(
        uidvalidity=uidlist.uidvalidity,
        uidnext=uidlist.uidnext,
        uids={record.base: record.uid for record in uidlist.records},
        uidls=uidls,
        keywords_of=keywords_of,
    )


def _uidlist(disk: Disk, folder_fd: int, *, place: str, failures: Failures) -> UidList | None:
    for name, parse in zip(_LISTS, (parse_uidlist, parse_older_uidlist), strict=True):
        content = read_if_there(disk, folder_fd, name, place=place, failures=failures)
        if content is None:
            continue
        try:
            uidlist = parse(content)
        except StoreCorrupt as error:
            failures.add(f"{place}/{name}", f"{error}; its UIDs are not kept")
            return None
        if uidlist.is_torn:
            failures.add(f"{place}/{name}", "the last line has no end and is passed over")
        return uidlist
    return None
