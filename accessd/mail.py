"""What the methods about mail ask of a store: blocking functions for worker threads, and where a request points."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

from accessd.bodies import OpenedBody, Slice, facts_of, is_no_blob, open_body, read_head
from accessd.calls import Call
from accessd.opening import opened_mail
from accessd.session import Session, View
from msgstore.access import contract
from msgstore.access.codes import AccessError
from msgstore.access.mailshapes import FolderArgs, HeadersResult, OpenResult, StatResult
from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.message import SEEN, UID_LIMIT, Uid

__all__ = [
    "Target",
    "mailbox_of",
    "matches",
    "open_message",
    "open_view",
    "opened",
    "read_headers",
    "require_seen",
    "session_of",
    "stat_result",
    "target_of",
]


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
    def last_uid(self) -> int:
        """The highest uid that the session may see here."""
        return UID_LIMIT if self.view is None else self.view.last_uid

    def marks(self, uidvalidity: int) -> set[Uid]:
        """What the session marked here; marks of another UIDVALIDITY were meant for messages that are gone."""
        return self.session.marks_in((self.mailbox, self.folder), uidvalidity)

    def all_marks(self) -> dict[int, frozenset[Uid]]:
        """What the session marked here, by the UIDVALIDITY it was marked under."""
        found = self.session.marks.get((self.mailbox, self.folder))
        return {} if found is None else {found[0]: frozenset(found[1])}

    def unmark(self, uids: Iterable[Uid]) -> None:
        """Forget marks of messages that are gone."""
        found = self.session.marks.get((self.mailbox, self.folder))
        if found is not None:
            found[1].difference_update(uids)


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
    """Note what a maildrop holds; its holder sees no more until the end."""
    return View(folder=name, status=store.folder(mailbox, name).stat())


def stat_result(store: MessageStore, target: Target) -> StatResult:
    """Count a folder, or what is left of a view."""
    folder = target.open(store)
    now = folder.stat()
    view = target.view
    if view is None:
        return _stat(now)
    if now.uidnext == view.status.uidnext:
        return contract.changed(_stat(now), modseq=view.status.modseq)
    rows = folder.rows(("octets", "flags"), last_uid=target.last_uid)
    return contract.changed(
        _stat(view.status),
        messages=len(rows),
        octets=sum(cast("int", octets) for octets, _ in rows),
        unseen=sum(SEEN not in cast("tuple[str, ...]", flags) for _, flags in rows),
    )


def opened(counts: FolderStatus | StatResult) -> OpenResult:
    """Tell the holder what it holds."""
    return OpenResult(
        uidvalidity=counts.uidvalidity,
        uidnext=counts.uidnext,
        modseq=counts.modseq,
        messages=counts.messages,
        octets=counts.octets,
    )


def require_seen(target: Target, uid: Uid) -> None:
    """Hide from the holder of a maildrop what came after it was opened.

    Raises:
        AccessError: NO_MESSAGE.
    """
    if uid > target.last_uid:
        raise AccessError("NO_MESSAGE", "the maildrop held no such message when it was opened")


def open_message(store: MessageStore, target: Target, wanted: Slice, uid: Uid) -> OpenedBody:
    """Open a message."""
    return open_body(target.open(store), uid, wanted)


def read_headers(store: MessageStore, target: Target, lines: int | None, uid: Uid) -> HeadersResult:
    """Read the header block and some lines.

    Raises:
        AccessError: SEALED where nobody here can read them, TOO_LARGE where they do not fit a frame.
    """
    folder, keys = target.open(store), target.session.open_keys
    with folder.retrieve(uid) as body:
        known = facts_of(body, folder, uid)
        if known is None or not known.sealed or is_no_blob(body):
            headers, text = read_head(body, lines)
            octets = body.stored_octets if known is None else known.octets
            return HeadersResult(headers=headers, octets=octets, lines=text)
        with opened_mail(body, keys) if keys else nullcontext() as opened:
            if opened is None:
                raise AccessError("SEALED", "the message is sealed", uids=[uid])
            headers, text = read_head(opened, lines)
            return HeadersResult(headers=headers, octets=known.octets, lines=text)


def matches(name: str, pattern: str, delimiter: str) -> bool:
    """Whether a folder name fits a pattern of IMAP LIST, in time linear in both; the level INBOX fits in any case.

    RFC 9051 §6.3.9.
    """
    inbox_length = len("INBOX") if name.partition(delimiter)[0] == "INBOX" else 0
    reached = {0}
    for number, character in enumerate(name):
        reached = _with_skips(reached, pattern)
        following: set[int] = set()
        for at in reached:
            if at == len(pattern):
                continue
            asked = pattern[at].upper() if number < inbox_length else pattern[at]
            wild = asked == "*" or (asked == "%" and character != delimiter)
            if wild:
                following.add(at)
            elif asked == character and asked != "%":
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
