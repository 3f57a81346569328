"""What a backup says of one mailbox: lines of JSON, written in order and read with every value checked.

The first line is the mailbox, then comes each folder with its messages after it, then the scripts.  A backup may come
from elsewhere: nothing in it is used before it was looked at here.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, cast

from msgstore.exchange.values import fit_keywords, fit_uidl
from msgstore.model.address import MailboxId
from msgstore.model.errors import InvalidAddress, InvalidFolderName, StoreCorrupt
from msgstore.model.folder import FolderName, SpecialUse
from msgstore.model.message import SYSTEM_FLAGS, MessageInfo, Uid, as_uid
from msgstore.model.scripts import InvalidScriptName, check_script_name

__all__ = [
    "LINE_LIMIT_OCTETS",
    "BackupDamaged",
    "FolderEntry",
    "MailboxEntry",
    "MessageEntry",
    "ScriptEntry",
    "checked_sha256",
    "guid_kept",
    "object_of",
    "parse_manifest",
    "written_manifest",
]

LINE_LIMIT_OCTETS: Final = 1 << 20
"""A line is a message with its keywords: far below, unless somebody made it up."""

_VERSION: Final = 1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GUID: Final = re.compile(r"[\x21-\x2e\x30-\x7e]{1,255}")
"""Printable and without a slash: it may become a part of a file's name."""

_UIDVALIDITY_LIMIT: Final = 2**32 - 1
"""RFC 9051 §2.3.1.1."""

_MODSEQ_LIMIT: Final = 2**63 - 1
"""RFC 7162 §3.1."""

_Row = Mapping[str, object]


class BackupDamaged(StoreCorrupt):
    """Something in a backup is not as it was written, or was never written by a backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEntry:
    """One message and where its octets are."""

    info: MessageInfo
    """Without a GUID or a POP3 unique-id, ``""``, where it had one that a backup does not keep."""

    sha256: str
    """Of the octets as they are kept; names the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptEntry:
    """One script and where its octets are."""

    name: str
    is_active: bool
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderEntry:
    """One folder as it was at one modseq."""

    name: FolderName
    uidvalidity: int
    uidnext: int
    modseq: int
    guid: str | None
    special_use: SpecialUse | None
    subscribed: bool
    messages: Sequence[MessageEntry] = ()
    """Ascending by UID, all below ``uidnext``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxEntry:
    """A mailbox as it was."""

    mailbox: MailboxId
    quota_mark: int
    """The threshold in percent that the owner was told last; 0 where none was."""

    folders: Sequence[FolderEntry] = ()
    scripts: Sequence[ScriptEntry] = ()

    def bodies(self) -> Iterator[tuple[FolderName | None, Uid | None, str]]:
        """Give every body that is named, with the folder and the UID; both None for those of scripts."""
        for folder in self.folders:
            for one in folder.messages:
                yield folder.name, one.info.uid, one.sha256
        for script in self.scripts:
            yield None, None, script.sha256


def written_manifest(
    mailbox: MailboxId, quota_mark: int, parts: Iterable[FolderEntry | MessageEntry | ScriptEntry]
) -> Iterator[bytes]:
    """Give the lines of a manifest; each folder goes before its messages, which are not looked for in the folder."""
    yield _line(kind="mailbox", version=_VERSION, mailbox=str(mailbox), quota_mark=quota_mark)
    for part in parts:
        match part:
            case FolderEntry():
                yield _folder_line(part)
            case MessageEntry():
                yield _message_line(part)
            case ScriptEntry():
                yield _line(kind="script", name=part.name, active=part.is_active, body=part.sha256)


def _folder_line(one: FolderEntry) -> bytes:
    return _line(
        kind="folder",
        name=list(one.name.components),
        uidvalidity=one.uidvalidity,
        uidnext=one.uidnext,
        modseq=one.modseq,
        guid=one.guid,
        special_use=None if one.special_use is None else one.special_use.value,
        subscribed=one.subscribed,
    )


def _message_line(one: MessageEntry) -> bytes:
    info = one.info
    return _line(
        kind="message",
        uid=info.uid,
        octets=info.octets,
        stored_octets=info.stored_octets,
        flags=sorted(info.flags),
        keywords=sorted(info.keywords),
        internal_date=info.internal_date,
        modseq=info.modseq,
        guid=guid_kept(info) or None,
        uidl=info.uidl,
        sealed=info.sealed,
        body=one.sha256,
    )


def guid_kept(info: MessageInfo) -> str:
    """Give the GUID of a message as a backup keeps it; ``""`` for one that it does not keep."""
    return info.guid if _GUID.fullmatch(info.guid) else ""


def _line(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


@dataclass(slots=True)
class _Open:
    """A folder whose messages are being read."""

    entry: FolderEntry
    messages: list[MessageEntry] = field(default_factory=list[MessageEntry])

    def closed(self) -> FolderEntry:
        one = self.entry
        return FolderEntry(
            name=one.name,
            uidvalidity=one.uidvalidity,
            uidnext=one.uidnext,
            modseq=one.modseq,
            guid=one.guid,
            special_use=one.special_use,
            subscribed=one.subscribed,
            messages=self.messages,
        )


def parse_manifest(lines: Iterable[bytes]) -> MailboxEntry:
    """Read a manifest.

    Raises:
        BackupDamaged: a line is not what a manifest holds in that place, with its number.
    """
    head: tuple[MailboxId, int] | None = None
    folders: list[_Open] = []
    names: set[FolderName] = set()
    scripts: list[ScriptEntry] = []
    for number, line in enumerate(lines, 1):
        try:
            row = object_of(line)
            if head is None:
                head = _mailbox(row)
                continue
            match row.get("kind"):
                case "folder":
                    entry = _folder(row)
                    _require(entry.name not in names, "a folder twice")
                    names.add(entry.name)
                    folders.append(_Open(entry))
                case "message":
                    _require(folders, "a message before any folder")
                    _take_message(folders[-1], row)
                case "script":
                    scripts.append(_script(row))
                case _:
                    _refuse("an unknown kind")
        except (BackupDamaged, ValueError, InvalidAddress, InvalidFolderName, InvalidScriptName) as error:
            raise BackupDamaged(f"line {number}: {error}") from error
    if head is None:
        raise BackupDamaged("it is empty")
    return MailboxEntry(mailbox=head[0], quota_mark=head[1], folders=[one.closed() for one in folders], scripts=scripts)


def object_of(line: bytes) -> _Row:
    """Read an object of JSON.

    Raises:
        BackupDamaged: it is none, or over a limit.
    """
    if len(line) > LINE_LIMIT_OCTETS:
        raise BackupDamaged("it is too long")
    try:
        row = cast("object", json.loads(line))
    except (ValueError, RecursionError) as error:
        raise BackupDamaged("it is not JSON") from error
    if not isinstance(row, dict):
        raise BackupDamaged("it is no object")
    return cast("_Row", row)


def _mailbox(row: _Row) -> tuple[MailboxId, int]:
    _require(row.get("kind") == "mailbox" and row.get("version") == _VERSION, "no manifest of this version")
    text = _text(row, "mailbox")
    mailbox = MailboxId.parse(text)
    _require(str(mailbox) == text, "a mailbox by a name that is not its own")
    return mailbox, _number(row, "quota_mark", least=0, most=100)


def _folder(row: _Row) -> FolderEntry:
    use = row.get("special_use")
    return FolderEntry(
        name=FolderName(_texts(row, "name")),
        uidvalidity=_number(row, "uidvalidity", least=1, most=_UIDVALIDITY_LIMIT),
        uidnext=_number(row, "uidnext", least=1, most=_UIDVALIDITY_LIMIT),
        modseq=_number(row, "modseq", least=0, most=_MODSEQ_LIMIT),
        guid=None if row.get("guid") is None else _guid(row),
        special_use=None if use is None else SpecialUse(use),
        subscribed=_claim(row, "subscribed"),
    )


def _take_message(folder: _Open, row: _Row) -> None:
    one = _message(row)
    last = folder.messages[-1].info.uid if folder.messages else 0
    _require(last < one.info.uid < folder.entry.uidnext, "a UID out of order")
    folder.messages.append(one)


def _message(row: _Row) -> MessageEntry:
    flags, keywords = frozenset(_texts(row, "flags")), frozenset(_texts(row, "keywords"))
    _require(flags <= set(SYSTEM_FLAGS), "an unknown flag")
    stored = None if row.get("stored_octets") is None else _number(row, "stored_octets", least=0, most=_MODSEQ_LIMIT)
    info = MessageInfo(
        uid=as_uid(_number(row, "uid", least=1, most=_UIDVALIDITY_LIMIT)),
        octets=_number(row, "octets", least=0, most=_MODSEQ_LIMIT),
        stored_octets=stored,
        flags=flags,
        # A store may hold what no client can ask for: mail is not left out because of it.
        keywords=fit_keywords(keywords)[0],
        internal_date=_number(row, "internal_date", least=-(2**40), most=2**40),
        modseq=_number(row, "modseq", least=0, most=_MODSEQ_LIMIT),
        guid="" if row.get("guid") is None else _guid(row),
        uidl=fit_uidl(_text(row, "uidl")) or "",
        sealed=_claim(row, "sealed"),
    )
    return MessageEntry(info=info, sha256=checked_sha256(row.get("body")))


def _script(row: _Row) -> ScriptEntry:
    name = _text(row, "name")
    check_script_name(name)
    return ScriptEntry(name=name, is_active=_claim(row, "active"), sha256=checked_sha256(row.get("body")))


def checked_sha256(value: object) -> str:
    """Let pass what can be a SHA-256 in lower case, and so the name of a body.

    Raises:
        BackupDamaged: it is none.
    """
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise BackupDamaged("no SHA-256 where one belongs")
    return value


def _guid(row: _Row) -> str:
    guid = _text(row, "guid")
    _require(_GUID.fullmatch(guid) is not None, "a GUID that cannot be one")
    return guid


def _text(row: _Row, name: str) -> str:
    value = row.get(name)
    _require(isinstance(value, str), f"no text as {name}")
    return cast("str", value)


def _texts(row: _Row, name: str) -> tuple[str, ...]:
    value = row.get(name)
    is_fit = isinstance(value, list) and all(isinstance(one, str) for one in cast("list[object]", value))
    _require(is_fit, f"no list of texts as {name}")
    return tuple(cast("list[str]", value))


def _number(row: _Row, name: str, *, least: int, most: int) -> int:
    value = row.get(name)
    is_fit = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    _require(is_fit, f"no number that fits as {name}")
    return cast("int", value)


def _claim(row: _Row, name: str) -> bool:
    value = row.get(name)
    _require(isinstance(value, bool), f"neither true nor false as {name}")
    return cast("bool", value)


def _require(claim: object, text: str) -> None:
    if not claim:
        _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise BackupDamaged(text)
