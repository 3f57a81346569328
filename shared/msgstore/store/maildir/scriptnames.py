"""Names of scripts as names of files.  Pure.

A name stands as it is, with ``%`` and two digits for what a file name cannot hold; ``sieve/NAME.sieve`` is also where
Dovecot keeps a script.  A name that would be too long for a file is hashed, and stands in a file beside the script.
"""

import hashlib
import re
from typing import Final

__all__ = ["DIRECTORY_NAME", "SUFFIX", "file_in_link", "file_of", "link_to", "name_file_of", "name_of"]

DIRECTORY_NAME: Final = "sieve"
SUFFIX: Final = ".sieve"

_LIMIT_OCTETS: Final = 200
"""Below the 255 of Linux; a name of 128 characters has up to 512."""

_UNSAFE: Final = re.compile(r"^\.|[/%\x00-\x1f\x7f]")
_ENCODED: Final = re.compile(r"%([0-9A-F]{2})")
_HASHED: Final = re.compile(r"%=[0-9a-f]{64}")
"""No name is encoded like that: what follows a percent sign is a digit there."""


def file_of(name: str) -> str:
    """Give the file of a script: one component, which begins with no dot, whatever the name holds."""
    stem = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)
    octets = stem.encode("utf-8", "surrogatepass")
    if len(octets) > _LIMIT_OCTETS:
        stem = "%=" + hashlib.sha256(octets).hexdigest()
    return stem + SUFFIX


def name_file_of(file: str) -> str | None:
    """Give the file that holds the name of a script; None where the file's own name tells it."""
    stem = file.removesuffix(SUFFIX)
    return f"{stem}.name" if _HASHED.fullmatch(stem) else None


def name_of(file: str) -> str | None:
    """Give the name of the script in a file; None where no name leads to that file, or not by itself."""
    stem = file.removesuffix(SUFFIX)
    if stem == file:
        return None
    name = _ENCODED.sub(lambda found: chr(int(found[1], 16)), stem)
    return name if file_of(name) == file else None


def link_to(file: str) -> str:
    """Give what the link of the active script holds."""
    return f"{DIRECTORY_NAME}/{file}"


def file_in_link(target: str) -> str | None:
    """Give the file that a link leads to; None where it leads anywhere but to a file beside the other scripts."""
    directory, _, file = target.partition("/")
    if directory != DIRECTORY_NAME or "/" in file or file.startswith(".") or not file.endswith(SUFFIX):
        return None
    return file
