"""What the methods about mail ask of a store: blocking functions for worker threads, and where a request points."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from accessd.bodies import OpenedBody, Slice, message_info, open_body, read_head
from accessd.calls import Call
from accessd.session import Session, View
from msgstore.access.codes import AccessError
from msgstore.access.mailshapes import Cell, FolderArgs, HeadersResult, OpenResult, StatResult
from msgstore.access.uids import UidRange, contains
from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Folder, Hold, MessageStore
from msgstore.model.message import MessageInfo, Uid

__all__ = [
    "Page",
    "PageWanted",
    "Target",
    "cells_of",
    "expunge_from",
    "hold_on_machine",
    "mailbox_of",
    "matches",
    "open_message",
    "open_view",
    "opened",
    "page_of",
    "present_in",
    "read_headers",
    "seen_in",
    "session_of",
    "stat_result",
    "target_of",
]

_PAGE_OCTETS: Final = 768 * 1024
"""Leaves a quarter of the frame for what an estimate misses."""

_CELL_OCTETS: Final = 12
"""More than a number and a header take."""

_SCAN_ROWS: Final = 1000

HOLD_POLL_SECONDS: Final = 0.1
HOLD_SETTLE_SECONDS: Final = 0.3
"""Waited for in any case: an expunge in another process holds a folder for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The folder a request is about."""

    session: Session
    mailbox: MailboxId
    folder: FolderName
    view: View | None
    """Set where the session holds this maildrop alone and sees it as it was."""

    def open(self, store: MessageStore) -> Folder:
        """Give the handle; blocks where the store looks at the disk."""
        return store.folder(self.mailbox, self.folder)

    @property
    def marks(self) -> set[Uid]:
        """What the session marked here."""
        return self.session.marks.setdefault((self.mailbox, self.folder), set())


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWanted:
    """Which rows of a folder, and how wide they are."""

    ranges: tuple[UidRange, ...] | None
    """None means all."""

    after: int
    limit: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Messages of one page, and where the next one begins."""

    status: FolderStatus
    messages: tuple[MessageInfo, ...]
    next_uid: int | None


def session_of(call: Call) -> Session:
    """Give the session a request names.

    Raises:
        AccessError: NO_SESSION where it has ended meanwhile.
    """
    if call.session is None or call.session.ended:
        raise AccessError("NO_SESSION", "the session has ended")
    return call.session


def mailbox_of(call: Call, named: str | None) -> MailboxId:
    """Say whose mail a request is about.

    Raises:
        AccessError: INVALID where it does not say, DENIED where the session may not see it.
        InvalidAddress: it names nothing.
    """
    session = session_of(call)
    if named is None:
        if session.view is None:
            raise AccessError("INVALID", "mailbox is missing", key="mailbox")
        return session.mailbox
    mailbox = MailboxId.parse(named)
    if mailbox != session.mailbox:
        if session.view is not None:
            raise AccessError("INVALID", "the session holds another maildrop", key="mailbox")
        if "admin" not in call.caller.roles:
            raise AccessError("DENIED", "the session belongs to another user")
    return mailbox


def target_of(call: Call, args: FolderArgs) -> Target:
    """Say which folder a request is about.

    Raises:
        AccessError, InvalidAddress, InvalidFolderName: as for :func:`mailbox_of`, and for the folder.
    """
    session = session_of(call)
    mailbox = mailbox_of(call, args.mailbox)
    view = session.view
    if args.folder is None:
        if view is None:
            raise AccessError("INVALID", "folder is missing", key="folder")
        return Target(session=session, mailbox=mailbox, folder=view.folder, view=view)
    folder = FolderName.parse(args.folder)
    if view is not None and folder != view.folder:
        raise AccessError("INVALID", "the session holds another folder", key="folder")
    return Target(session=session, mailbox=mailbox, folder=folder, view=view)


def open_view(store: MessageStore, mailbox: MailboxId, name: FolderName) -> View:
    """Take the picture of a maildrop that its holder sees until the end."""
    folder = store.folder(mailbox, name)
    status = folder.stat()
    messages = {info.uid: info for info in folder.list()}
    return View(folder=name, status=status, messages=messages)


async def hold_on_machine(call: Call, target: Target, *, wait_seconds: float) -> Hold:
    """Hold a maildrop that no session of this process holds against those of other processes too.

    They cannot tell when they give it back, so it is asked for again and again.

    Raises:
        AccessError: LOCKED where another one holds it for longer than ``wait_seconds``.
    """
    deadline = asyncio.get_running_loop().time() + wait_seconds

    def attempt() -> Hold | None:
        return target.open(call.services.store).try_hold()

    while True:
        hold = await call.acquire(_let_go, attempt)
        if hold is not None:
            return hold
        if asyncio.get_running_loop().time() >= deadline:
            raise AccessError("LOCKED", "another session holds the maildrop", after_ms=5000)
        await asyncio.sleep(HOLD_POLL_SECONDS)


def _let_go(hold: Hold | None) -> None:
    if hold is not None:
        hold.release()


def stat_result(store: MessageStore, target: Target) -> StatResult:
    """Count a folder, or what is left of a view."""
    view = target.view
    if view is None:
        return _stat(target.open(store).stat())
    rows = view.messages.values()
    return StatResult(
        messages=len(rows),
        octets=sum(info.octets for info in rows),
        unseen=sum("\\Seen" not in info.flags for info in rows),
        uidvalidity=view.status.uidvalidity,
        uidnext=view.status.uidnext,
        modseq=view.status.modseq,
    )


def opened(view: View) -> OpenResult:
    """Tell the holder what it holds."""
    return OpenResult(
        uidvalidity=view.status.uidvalidity,
        uidnext=view.status.uidnext,
        modseq=view.status.modseq,
        messages=len(view.messages),
        octets=sum(info.octets for info in view.messages.values()),
    )


def page_of(store: MessageStore, target: Target, wanted: PageWanted) -> Page:
    """Collect one page: at most ``limit`` rows, and what fits one frame."""
    ranges, after, limit = wanted.ranges, wanted.after, wanted.limit
    if target.view is not None:
        status = target.view.status
        source: Iterable[MessageInfo] = (info for info in target.view.messages.values() if info.uid > after)
    else:
        folder = target.open(store)
        # Counted first: what arrives in between is in the rows and above uidnext, and no reader misses it.
        status = folder.stat()
        source = _walk(folder, after, ranges, limit + 1)
    chosen: list[MessageInfo] = []
    octets = 0
    for info in source:
        if ranges is not None and not contains(ranges, info.uid):
            continue
        octets += _row_octets(info, wanted.columns)
        if len(chosen) == limit or (chosen and octets > _PAGE_OCTETS):
            return Page(status=status, messages=tuple(chosen), next_uid=chosen[-1].uid)
        chosen.append(info)
    return Page(status=status, messages=tuple(chosen), next_uid=None)


def seen_in(target: Target, uid: Uid) -> MessageInfo | None:
    """Give what a view knows of a message; None without a view.

    Raises:
        AccessError: EXPUNGED or NO_MESSAGE where the view does not hold it.
    """
    if target.view is None:
        return None
    info = target.view.messages.get(uid)
    if info is None and uid < target.view.status.uidnext:
        raise AccessError("EXPUNGED", "the message is gone")
    if info is None:
        raise AccessError("NO_MESSAGE", "the maildrop held no such message when it was opened")
    return info


def open_message(
    store: MessageStore, target: Target, wanted: Slice, message: tuple[Uid, MessageInfo | None]
) -> OpenedBody:
    """Open a message of which the view may know something."""
    uid, info = message
    return open_body(target.open(store), uid, info, wanted)


def read_headers(
    store: MessageStore, target: Target, lines: int | None, message: tuple[Uid, MessageInfo | None]
) -> HeadersResult:
    """Read the header block and some lines.

    Raises:
        AccessError: SEALED where nobody here can read them, TOO_LARGE where they do not fit a frame.
    """
    uid, known = message
    folder = target.open(store)
    with folder.retrieve(uid) as body:
        info = message_info(folder, uid) if known is None else known
        if info is not None and info.sealed:
            raise AccessError("SEALED", "the message is sealed", uids=[uid])
        headers, text = read_head(body, lines)
        octets = body.stored_octets if info is None else info.octets
    return HeadersResult(headers=headers, octets=octets, lines=text)


def present_in(store: MessageStore, target: Target, ranges: Sequence[UidRange]) -> list[Uid]:
    """Give the uids of the ranges that are there, ascending."""
    if target.view is not None:
        return [uid for uid in target.view.messages if contains(ranges, uid)]
    found = _walk(target.open(store), 0, ranges, _SCAN_ROWS)
    return [info.uid for info in found if contains(ranges, info.uid)]


def expunge_from(store: MessageStore, target: Target, uids: Sequence[Uid]) -> tuple[list[Uid], list[Uid], int]:
    """Remove for good; gives what is gone, what could not be removed, and the folder's modseq.

    Raises:
        AccessError: LOCKED where a session of another process holds the folder alone.
    """
    folder = target.open(store)
    hold = None if target.session.hold is not None else folder.try_hold(shared=True)
    if hold is None and target.session.hold is None:
        raise AccessError("LOCKED", "another session holds the maildrop", after_ms=5000)
    try:
        return _expunge(folder, uids)
    finally:
        _let_go(hold)


def _expunge(folder: Folder, uids: Sequence[Uid]) -> tuple[list[Uid], list[Uid], int]:
    gone = set(folder.expunge(uids)) if uids else set[Uid]()
    left = [uid for uid in uids if uid not in gone]
    ranges = [(uid, uid) for uid in left]
    # What somebody else removed meanwhile is no failure: it is gone, as was asked for.
    failed = {info.uid for info in _walk(folder, 0, ranges, _SCAN_ROWS)} & set(left) if left else set[Uid]()
    return sorted(gone), sorted(failed), folder.stat().modseq


def cells_of(info: MessageInfo, fields: Sequence[str]) -> tuple[Cell, ...]:
    """Write one row."""
    return tuple(_cell(info, field) for field in fields)


def matches(name: str, pattern: str, delimiter: str) -> bool:
    """Whether a folder name fits a pattern of IMAP LIST, in time linear in both; INBOX fits in any case.

    RFC 9051 §6.3.9.
    """
    if name == "INBOX":
        pattern = "INBOX" if pattern.upper() == "INBOX" else pattern
    reached = {0}
    for character in name:
        reached = _with_skips(reached, pattern)
        following: set[int] = set()
        for at in reached:
            if at == len(pattern):
                continue
            wild = pattern[at] == "*" or (pattern[at] == "%" and character != delimiter)
            if wild:
                following.add(at)
            elif pattern[at] == character and pattern[at] != "%":
                following.add(at + 1)
        reached = following
    return len(pattern) in _with_skips(reached, pattern)


def _with_skips(reached: set[int], pattern: str) -> set[int]:
    """A wildcard may stand for nothing."""
    result = set(reached)
    for at in sorted(reached):
        while at < len(pattern) and pattern[at] in "*%":
            at += 1  # noqa: PLW2901
            result.add(at)
    return result


def _stat(status: FolderStatus) -> StatResult:
    return StatResult(
        messages=status.messages,
        octets=status.octets,
        unseen=status.unseen,
        uidvalidity=status.uidvalidity,
        uidnext=status.uidnext,
        modseq=status.modseq,
    )


def _walk(folder: Folder, after: int, ranges: Sequence[UidRange] | None, step: int) -> Iterator[MessageInfo]:
    """Give messages ascending, skipping the gaps between the ranges without reading them."""
    step = max(1, min(step, _SCAN_ROWS + 1))
    for first, last in ranges if ranges is not None else ((1, 2**32 - 1),):
        cursor = max(after, first - 1)
        while cursor < last:
            # A range of few uids has no more rows than that, and rows above it would be read for nothing.
            asked = min(step, last - cursor)
            rows = folder.list(after_uid=cursor, limit=asked)
            for info in rows:
                if info.uid > last:
                    break
                yield info
            if len(rows) < asked:
                break
            cursor = rows[-1].uid


def _row_octets(info: MessageInfo, columns: int) -> int:
    text = len(info.uidl) + len(info.guid)
    words = sum(len(word.encode()) + 5 for word in (*info.flags, *info.keywords))
    return text + words + columns * _CELL_OCTETS


def _cell(info: MessageInfo, field: str) -> Cell:
    match field:
        case "flags":
            return tuple(sorted(info.flags))
        case "keywords":
            return tuple(sorted(info.keywords))
        case _:
            value: int | str | bool | None = getattr(info, field)
            return value
