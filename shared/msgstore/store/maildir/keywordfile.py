"""The files that say what the keywords of a folder's messages are, on the disk; written under Dovecot's lock."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgstore.store.disk import Disk
from msgstore.store.maildir.extra import ExtraKeywords, format_extra
from msgstore.store.maildir.keywords import format_keywords, letters_for, parse_keywords

__all__ = ["EXTRA_NAME", "KEYWORDS_NAME", "Spelling", "spell", "write_extra"]

KEYWORDS_NAME = "dovecot-keywords"
EXTRA_NAME = "msgstore-keywords"

_COMPACT_OCTETS = 65_536
"""From this size on a file in which little counts any more is written anew."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a set of keywords is written in a folder."""

    letters: str
    extra: frozenset[str]
    """Keywords for which there is no letter."""


def spell(disk: Disk, folder_fd: int, keywords: Iterable[str], *, may_name: bool = True) -> Spelling:
    """Give letters for keywords; new names are written down, durably, before a file name shows their letter."""
    try:
        known = parse_keywords(disk.read_file(folder_fd, KEYWORDS_NAME)[0])
    except FileNotFoundError:
        known = {}
    letters, named, left = letters_for(keywords, known, may_name=may_name)
    if named != known:
        disk.replace(folder_fd, KEYWORDS_NAME, format_keywords(named))
    return Spelling(letters, left)


def write_extra(disk: Disk, folder_fd: int, changes: Mapping[str, Iterable[str]]) -> None:
    """Note the keywords without letters of messages, given by their bases, durably."""
    lines = b"".join(format_extra(base, keywords) for base, keywords in changes.items())
    if not lines:
        return
    try:
        content = disk.read_file(folder_fd, EXTRA_NAME)[0]
    except FileNotFoundError:
        disk.replace(folder_fd, EXTRA_NAME, lines)
        return
    whole, end, torn = content.rpartition(b"\n")
    if torn or len(content) >= _COMPACT_OCTETS:
        # Behind a line that a crash cut nothing can be appended: it would belong to that line.
        disk.replace(folder_fd, EXTRA_NAME, ExtraKeywords.parse(whole + end + lines).format())
        return
    descriptor = disk.open_append(folder_fd, EXTRA_NAME)
    try:
        disk.write(descriptor, lines)
        disk.sync_file(descriptor)
    finally:
        os.close(descriptor)
