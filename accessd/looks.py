"""What a watcher is to be told: looks at folders, for worker threads, and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgstore.access.uids import compressed
from msgstore.access.watchshapes import FolderChange
from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MailboxNotFound
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.mailbox import ChangeSource
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Changes

__all__ = [
    "Baseline",
    "Begun",
    "FolderLook",
    "FolderNews",
    "News",
    "TreeLook",
    "begin",
    "look_at_folder",
    "look_at_tree",
    "news_of",
]

_ROWS_LIMIT: Final = 1000
"""Rows, or pieces of a set of uids, that one look may have to tell; above it the client lists."""

_STEP_UIDS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Up to where a watcher knows a folder."""

    uidvalidity: int
    modseq: int
    uidnext: int
    """Messages from here on are new to it."""

    @classmethod
    def of(cls, status: FolderStatus) -> "Baseline":
        """Know everything that is there."""
        return cls(uidvalidity=status.uidvalidity, modseq=status.modseq, uidnext=status.uidnext)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderNews:
    """Something that happened to a folder as a whole."""

    change: FolderChange
    folder: FolderName
    new_folder: FolderName | None = None
    uidvalidity: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What happened to the messages of a folder between two baselines."""

    new: tuple[MessageInfo, ...] = ()
    flags: tuple[MessageInfo, ...] = ()
    expunged: tuple[Uid, ...] = ()
    is_resync: bool = False
    """Too much, or not remembered: the client lists."""

    folder: FolderNews | None = None
    """Instead of all of it."""

    def __bool__(self) -> bool:
        return bool(self.new or self.flags or self.expunged or self.is_resync or self.folder)

    @property
    def weight(self) -> int:
        """How much memory it takes, in rows."""
        return 1 + len(self.new) + len(self.flags) + len(self.expunged)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderLook:
    """A folder at one moment; without a status it is not there."""

    status: FolderStatus | None
    changes: Changes | None = None
    """Since the modseq that was asked for; None where nothing changed."""

    is_told: bool = False
    """Whether the store tells of its changes unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLook:
    """The folders of a mailbox at one moment."""

    names: tuple[FolderName, ...]
    fresh: Mapping[FolderName, int]
    """Uidvalidity of each folder that was not known."""

    is_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where the folders of a new watch stand, and what its client does not know yet."""

    folders: Mapping[FolderName, tuple[Baseline, News]]
    names: frozenset[FolderName] = field(default_factory=frozenset[FolderName])
    """Every folder of the mailbox."""


def look_at_folder(
    store: MessageStore, source: ChangeSource | None, place: tuple[MailboxId, FolderName], since: int | None
) -> FolderLook:
    """Look at a folder; first of all make sure that its changes are told where a source is given."""
    try:
        is_told = source is not None and source.watch(*place)
        folder = store.folder(*place)
        status = folder.stat()
        if since is None or status.modseq == since:
            return FolderLook(status=status, is_told=is_told)
        changes = folder.changes(since)
    except (FolderNotFound, MailboxNotFound):
        return FolderLook(status=None)
    return FolderLook(status=changes.status, changes=changes, is_told=is_told)


def look_at_tree(
    store: MessageStore, source: ChangeSource | None, mailbox: MailboxId, known: frozenset[FolderName]
) -> TreeLook:
    """Look which folders there are."""
    try:
        is_told = source is not None and source.watch(mailbox, None)
        names = tuple(info.name for info in store.folders(mailbox).list())
    except MailboxNotFound:
        return TreeLook(names=(), fresh={})
    fresh: dict[FolderName, int] = {}
    gone: set[FolderName] = set()
    for name in names:
        if name in known:
            continue
        try:
            fresh[name] = store.folder(mailbox, name).stat().uidvalidity
        except (FolderNotFound, MailboxNotFound):
            gone.add(name)
    return TreeLook(names=tuple(name for name in names if name not in gone), fresh=fresh, is_told=is_told)


def news_of(folder: FolderName, baseline: Baseline, look: FolderLook) -> tuple[Baseline, News]:
    """Say what a look tells somebody who knows the folder up to a baseline, and up to where it is known then."""
    status, changes = look.status, look.changes
    assert status is not None
    after = Baseline.of(status)
    if status.uidvalidity != baseline.uidvalidity:
        return after, News(folder=FolderNews(change="uidvalidity", folder=folder, uidvalidity=status.uidvalidity))
    if status.modseq == baseline.modseq:
        return baseline, News()
    # To somebody who knows nothing all that is there is new, whatever is remembered of what was.
    is_complete = changes is None or changes.is_complete or not baseline.modseq
    if status.modseq < baseline.modseq or not is_complete:
        return after, News(is_resync=True)
    if changes is None:
        # The look was made for somebody who knew more; the next one is for all.
        return baseline, News()
    changed = [info for info in changes.changed if info.modseq > baseline.modseq]
    news = News(
        new=tuple(info for info in changed if info.uid >= baseline.uidnext),
        flags=tuple(info for info in changed if info.uid < baseline.uidnext),
        expunged=tuple(uid for uid, modseq in changes.vanished if modseq > baseline.modseq and uid < baseline.uidnext),
    )
    sets = (compressed(news.expunged), compressed(info.uid for info in news.new), news.flags)
    return after, News(is_resync=True) if max(map(len, sets)) > _ROWS_LIMIT else news


def begin(
    store: MessageStore,
    source: ChangeSource | None,
    mailbox: MailboxId,
    *,
    wanted: Sequence[FolderName] | None,
    since: Mapping[FolderName, int],
) -> Begun:
    """Find where the folders of a new watch stand; what happens from now on is told.

    Raises:
        FolderNotFound, MailboxNotFound: a folder that was named is not there.
        StoreError: it cannot be looked at.
    """
    if source is not None:
        source.watch(mailbox, None)
    names = tuple(info.name for info in store.folders(mailbox).list())
    found: dict[FolderName, tuple[Baseline, News]] = {}
    for name in names if wanted is None else wanted:
        try:
            if source is not None:
                source.watch(mailbox, name)
            found[name] = _first(store.folder(mailbox, name), name, since.get(name))
        except FolderNotFound:
            if wanted is not None:
                raise
    return Begun(folders=found, names=frozenset(names))


def _first(folder: Folder, name: FolderName, since: int | None) -> tuple[Baseline, News]:
    status = folder.stat()
    if since is None or since == status.modseq:
        return Baseline.of(status), News()
    changes = folder.changes(since)
    status = changes.status
    known = Baseline(uidvalidity=status.uidvalidity, modseq=since, uidnext=_known_below(folder, changes))
    after, news = news_of(name, known, FolderLook(status=status, changes=changes))
    # Of those that are gone nobody can say whether the client knew them.
    gone = tuple(uid for uid, modseq in changes.vanished if modseq > since)
    if not news.is_resync and len(compressed(gone)) <= _ROWS_LIMIT:
        news = News(new=news.new, flags=news.flags, expunged=gone)
    return after, news


def _known_below(folder: Folder, changes: Changes) -> int:
    """Give the uid below which every message was there before the changes.

    A message that did not change was there, and so were all with lower uids.
    """
    changed = {info.uid for info in changes.changed}
    top, step = changes.status.uidnext, _STEP_UIDS
    while top > 1:
        low = max(1, top - step)
        uids = [row[0] for row in folder.rows(("uid",), after_uid=low - 1, last_uid=top - 1)]
        unchanged = [uid for uid in uids if isinstance(uid, int) and uid not in changed]
        if unchanged:
            return max(unchanged) + 1
        top, step = low, step * 2
    return 1
