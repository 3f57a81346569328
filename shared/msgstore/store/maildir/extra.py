"""Keywords that have no letter: a file of our own beside the UID list, for the 27th keyword of a folder and later ones.

Lines ``<base>/<keyword> ...``, appended; the last line of a base counts, one without keywords takes them away.  A file
name may hold anything but a slash.  Dovecot keeps such keywords in its own index only, where ours would be lost.  Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Self

__all__ = ["ExtraKeywords", "format_extra"]


class ExtraKeywords:
    """What the file says."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = dict(known)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read the file; a torn last line is passed over, it was never acknowledged."""
        known: dict[str, str] = {}
        for line in content.decode("utf-8", "surrogateescape").split("\n")[:-1]:
            base, _, keywords = line.partition("/")
            if keywords:
                known[base] = keywords
            else:
                known.pop(base, None)
        return cls(known)

    @property
    def bases(self) -> Iterable[str]:
        """Messages that have such keywords, or had when the file was written."""
        return self._known

    def text_of(self, base: str) -> str | None:
        """Give the keywords of a message with blanks between them; None for none."""
        return self._known.get(base)

    def format(self) -> bytes:
        """Write the whole file."""
        return b"".join(format_extra(base, words.split(" ")) for base, words in self._known.items())


def format_extra(base: str, keywords: Iterable[str]) -> bytes:
    """Write a line that can be appended."""
    return f"{base}/{' '.join(sorted(keywords))}\n".encode("utf-8", "surrogateescape")
