"""Folder names and Maildir++ directory names.  Pure.

A folder ``A/B`` is the directory ``.A.B`` beside ``new``, ``cur`` and ``tmp`` of INBOX.  Each level is in modified
UTF-7 (RFC 3501 §5.1.3), as Dovecot writes by default; a dot inside a level is written ``%2e``, because the dot
separates levels.  A per cent sign is escaped only where it would be read as such an escape.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Iterable
from typing import Final

from msgstore.model.errors import InvalidFolderName, ReservedFolderName
from msgstore.model.folder import DEFAULT_FOLDERS, INBOX, FolderName, SpecialUse

__all__ = [
    "DEFAULT_SPECIAL_USE",
    "RESERVED_DIRECTORIES",
    "decode_utf7",
    "directory_of",
    "encode_utf7",
    "folder_of",
    "format_subscriptions",
    "parse_subscriptions",
]

RESERVED_DIRECTORIES: Final = frozenset(
    (
        ".uidlist", ".uidlist.lock", ".uidlist.tmp", ".sieve", ".sieve.tmp", ".sieve.lock", ".subscriptions",
        ".new", ".cur", ".tmp", ".INBOX", ".dovecot.sieve", ".dovecot.svbin", ".dovecot.lda-dupes", ".dovecot",
        ".msgstore",
    )
)  # fmt: skip
"""Directories that would hide a file of the older suite, of Dovecot or of ours."""

DEFAULT_SPECIAL_USE: Final[dict[FolderName, SpecialUse]] = {
    name: special_use for name, special_use in DEFAULT_FOLDERS if special_use is not None
}

DIRECTORY_LIMIT_OCTETS: Final = 240
"""A file name has at most 255 octets; Dovecot appends to it while it deletes a folder."""

_UTF_16: Final = codecs.lookup("utf-16-be")
"""Found when this is loaded: whoever acts for the owner of the mail later may not be able to read Python's files."""

_ESCAPED: Final = re.compile(r"%(?=2e|25)|\.")
_UNESCAPED: Final = re.compile(r"%2e|%25(?=2e|25)")
_SHIFTED: Final = re.compile(r"[^\x20-\x7e]+|&")
_ENCODED: Final = re.compile(r"&([A-Za-z0-9+,]*)-")


def directory_of(name: FolderName) -> str:
    """Give the directory of a folder below INBOX's; ``""`` for INBOX itself.

    Raises:
        ReservedFolderName: the directory would hide a file that belongs to somebody.
        InvalidFolderName: the directory name would be too long.
    """
    if name.is_inbox:
        return ""
    directory = "".join("." + _escape(encode_utf7(component)) for component in name.components)
    if directory in RESERVED_DIRECTORIES:
        raise ReservedFolderName(f"{name} is kept for files of the store")
    if len(directory) > DIRECTORY_LIMIT_OCTETS:
        raise InvalidFolderName(f"a folder name of {len(directory)} octets is too long for a directory")
    return directory


def folder_of(directory: str) -> FolderName | None:
    """Give the folder a directory stands for; None when it stands for none.

    Names that others wrote without modified UTF-7 are taken as they are.
    """
    if not directory.startswith(".") or directory in (".", "..") or directory in RESERVED_DIRECTORIES:
        return None
    try:
        return FolderName(tuple(_read_component(part) for part in directory[1:].split(".")))
    except InvalidFolderName:
        return None


def encode_utf7(text: str) -> str:
    """Write text in modified UTF-7.  RFC 3501 §5.1.3."""
    return _SHIFTED.sub(_encode_run, text)


def decode_utf7(text: str) -> str:
    """Read modified UTF-7.

    Raises:
        ValueError: the text is not modified UTF-7.

    RFC 3501 §5.1.3.
    """
    pieces: list[str] = []
    position = 0
    for found in _ENCODED.finditer(text):
        pieces += (text[position : found.start()], _decode_run(found[1]))
        position = found.end()
    pieces.append(text[position:])
    if not text.isascii() or "&" in "".join(pieces[::2]):
        raise ValueError(f"{text!r} is not modified UTF-7")
    return "".join(pieces)


def parse_subscriptions(content: bytes) -> frozenset[FolderName]:
    """Read Dovecot's ``subscriptions`` file: version 2 with tabs between levels, or the older lines.

    Lines that name no folder are passed over.
    """
    lines = content.decode("utf-8", "replace").split("\n")
    separator = "."
    if lines and lines[0].startswith("V\t"):
        separator, lines = "\t", lines[1:]
    found: set[FolderName] = set()
    for line in lines:
        if line.upper() == "INBOX":
            found.add(INBOX)
        elif line:
            try:
                found.add(FolderName(tuple(_read_component(part) for part in line.split(separator))))
            except InvalidFolderName:
                continue
    return frozenset(found)


def format_subscriptions(names: Iterable[FolderName]) -> bytes:
    """Write Dovecot's ``subscriptions`` file, version 2."""
    lines = ["\t".join(encode_utf7(component) for component in name.components) for name in sorted(names)]
    return ("V\t2\n\n" + "".join(line + "\n" for line in lines)).encode()


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda found: "%2e" if found[0] == "." else "%25", text)


def _read_component(part: str) -> str:
    plain = _UNESCAPED.sub(lambda found: "." if found[0] == "%2e" else "%", part)
    try:
        return decode_utf7(plain)
    except ValueError:
        return plain


def _encode_run(found: re.Match[str]) -> str:
    if found[0] == "&":
        return "&-"
    packed = base64.b64encode(_UTF_16.encode(found[0])[0]).decode().rstrip("=")
    return f"&{packed.replace('/', ',')}-"


def _decode_run(packed: str) -> str:
    if not packed:
        return "&"
    try:
        octets = base64.b64decode(packed.replace(",", "/") + "=" * (-len(packed) % 4), validate=True)
        return _UTF_16.decode(octets)[0]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{packed!r} is not a run of modified UTF-7") from error
