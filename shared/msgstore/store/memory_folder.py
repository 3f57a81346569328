"""One folder of the memory backend: its state, and the handle whose every step is taken under the store's lock."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from msgstore.model.address import MailboxId
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.errors import MessageExpunged, MessageNotFound
from msgstore.model.folder import FolderName, FolderStatus, SpecialUse
from msgstore.model.interfaces import Body, BodyFacts, Hold, StagedMessage
from msgstore.model.message import SEEN, MessageInfo, Uid
from msgstore.model.outcomes import Appended, Cell, Changes, Column, Copied, FlagChange, FlagsOutcome, Restored
from msgstore.store.body import OctetsBody
from msgstore.store.lines import LineEnds
from msgstore.store.rows import cell_of, changed_set, check_ascending

__all__ = ["MemoryFolder", "MemoryFolderState", "MemoryHouse", "new_message"]


@dataclass(slots=True)
class MemoryFolderState:
    """What is kept of a folder."""

    uidvalidity: int
    special_use: SpecialUse | None = None
    guid: str = field(default_factory=lambda: secrets.token_hex(16))
    uidnext: int = 1
    modseq: int = 1
    min_modseq: int = 0
    """What vanished up to here is not known."""

    messages: dict[int, tuple[MessageInfo, bytes]] = field(default_factory=dict[int, tuple[MessageInfo, bytes]])
    """By UID, ascending."""

    expunged: dict[int, int] = field(default_factory=dict[int, int])
    """UID to the modseq of its end."""

    keywords: dict[str, str] = field(default_factory=dict[str, str])
    """Keyword in lower case to the spelling that came first: keywords are compared without case."""

    def spelled(self, keywords: Iterable[str]) -> frozenset[str]:
        """Give keywords as this folder spells them. RFC 9051 §2.3.2."""
        return frozenset(self.keywords.setdefault(keyword.lower(), keyword) for keyword in sorted(keywords))

    def add(self, info: MessageInfo, content: bytes) -> MessageInfo:
        """Put a message at the end under the next UID and a new modseq; what the folder decides is replaced."""
        uid = Uid(self.uidnext)
        self.uidnext += 1
        self.modseq += 1
        added = replace(
            info,
            uid=uid,
            modseq=self.modseq,
            keywords=self.spelled(info.keywords),
            uidl=f"{uid:08x}{self.uidvalidity:08x}",
        )
        self.messages[uid] = (added, content)
        return added

    def remove(self, uids: Iterable[Uid]) -> tuple[Uid, ...]:
        """Expunge what is there of these."""
        gone = sorted({uid for uid in uids if uid in self.messages})
        self.modseq += bool(gone)
        for uid in gone:
            del self.messages[uid]
            self.expunged[uid] = self.modseq
        return tuple(gone)


class MemoryHouse(Protocol):
    """The store, seen from a folder; ``locked`` runs a step that nobody else sees the middle of."""

    def locked(self) -> AbstractContextManager[object]:
        """Give the lock of the whole store."""
        ...

    def place(self, mailbox: MailboxId, name: FolderName) -> MemoryFolderState:
        """Give what is kept of a folder.

        Raises:
            MailboxNotFound, FolderNotFound: it is not there.
        """
        ...

    def try_hold(self, place: tuple[MailboxId, FolderName], *, shared: bool) -> Hold | None:
        """Hold a folder within this process."""
        ...

    def new_guid(self) -> str:
        """Name a new message."""
        ...

    def set_aside(self, mailbox: MailboxId, name: FolderName, info: MessageInfo, content: bytes) -> None:
        """Keep what is about to be expunged, where such things are kept."""
        ...

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        ...

    def content_of(self, staged: StagedMessage) -> tuple[bytes, bool]:
        """Give what was staged, and whether it is sealed."""
        ...


def new_message(
    house: MemoryHouse,
    content: bytes,
    *,
    sealed: bool,
    flags: frozenset[str],
    keywords: frozenset[str],
    internal_date: float | None,
) -> MessageInfo:
    """Describe a message before it has a place."""
    ends = LineEnds()
    ends.feed(content)
    return MessageInfo(
        uid=Uid(0),
        octets=max(len(content) - SEAL_OVERHEAD_OCTETS, 0) if sealed else ends.wire_octets,
        stored_octets=len(content),
        flags=flags,
        keywords=keywords,
        internal_date=int(house.now() if internal_date is None else internal_date),
        modseq=0,
        guid=house.new_guid(),
        uidl="",
        sealed=sealed,
    )


@dataclass(frozen=True, slots=True)
class MemoryFolder:
    """See :class:`msgstore.model.mailbox.Folder`."""

    _house: MemoryHouse
    mailbox: MailboxId
    name: FolderName

    def stat(self) -> FolderStatus:
        """Count messages and octets."""
        with self._house.locked():
            return _status(self._here())

    def list(self, *, after_uid: int = 0, limit: int | None = None) -> tuple[MessageInfo, ...]:
        """Give messages above a UID, ascending."""
        with self._house.locked():
            return tuple(info for uid, (info, _) in self._here().messages.items() if uid > after_uid)[:limit]

    def rows(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[tuple[Cell, ...]]:
        """Give columns of messages."""
        with self._house.locked():
            messages = self._here().messages
            if last_uid is not None and last_uid - after_uid < len(messages):
                found = [messages[uid][0] for uid in range(after_uid + 1, last_uid + 1) if uid in messages]
            else:
                found = [
                    info
                    for uid, (info, _) in messages.items()
                    if uid > after_uid and (last_uid is None or uid <= last_uid)
                ]
        return [tuple(cell_of(info, column) for column in columns) for info in found[:limit]]

    def table(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[Sequence[Cell]]:
        """Give columns of messages."""
        rows = self.rows(columns, after_uid=after_uid, last_uid=last_uid, limit=limit)
        return list(zip(*rows, strict=True)) or [()] * len(columns)

    def retrieve(self, uid: Uid) -> Body:
        """Open one message."""
        with self._house.locked():
            folder = self._here()
            found = folder.messages.get(uid)
            if found is None:
                kind = MessageExpunged if uid < folder.uidnext else MessageNotFound
                raise kind(f"{self.mailbox} has no message {uid} in {self.name}")
            info, octets = found
            return OctetsBody(octets, BodyFacts(info.octets, info.sealed))

    def append(
        self,
        staged: StagedMessage,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        internal_date: float | None = None,
    ) -> Appended:
        """Put a staged message here."""
        with self._house.locked():
            folder = self._here()
            content, sealed = self._house.content_of(staged)
            info = new_message(
                self._house, content, sealed=sealed, flags=flags, keywords=keywords, internal_date=internal_date
            )
            added = folder.add(info, content)
            return Appended(uid=added.uid, uidvalidity=folder.uidvalidity, modseq=added.modseq)

    def restore(self, messages: Sequence[Restored], *, uidnext: int = 1) -> None:
        """Put messages here under the UIDs they had."""
        with self._house.locked():
            folder = self._here()
            check_ascending(folder.uidnext, [one.uid for one in messages], uidnext=uidnext)
            for one in messages:
                content, sealed = self._house.content_of(one.staged)
                info = new_message(
                    self._house,
                    content,
                    sealed=sealed,
                    flags=one.flags,
                    keywords=one.keywords,
                    internal_date=one.internal_date,
                )
                folder.uidnext, before = one.uid, folder.modseq
                added = folder.add(info if one.guid is None else replace(info, guid=one.guid), content)
                if one.modseq is not None:
                    folder.modseq = max(before, one.modseq)
                    added = replace(added, modseq=one.modseq)
                folder.messages[one.uid] = (added if one.uidl is None else replace(added, uidl=one.uidl), content)
            folder.uidnext = max(folder.uidnext, uidnext)

    def align(self, messages: Sequence[MessageInfo], *, vanished: Sequence[Uid] = (), modseq: int = 0) -> None:
        """Bring what is here in line with the folder it came from."""
        with self._house.locked():
            folder = self._here()
            for one in messages:
                found = folder.messages.get(one.uid)
                if found is not None:
                    info, content = found
                    keywords = folder.spelled(one.keywords)
                    now = replace(info, flags=one.flags, keywords=keywords, modseq=one.modseq)
                    folder.messages[one.uid] = (now, content)
                    folder.modseq = max(folder.modseq, one.modseq)
            self.expunge(vanished)
            folder.modseq = max(folder.modseq, modseq)
            folder.min_modseq = max(folder.min_modseq, modseq)

    def seal(self, blobs: Mapping[Uid, StagedMessage], *, again: bool = False) -> tuple[Uid, ...]:
        """Put blobs into the places of the messages they were made of."""
        with self._house.locked():
            folder = self._here()
            done: list[Uid] = []
            for uid, staged in sorted(blobs.items()):
                content, sealed = self._house.content_of(staged)
                assert sealed, "only blobs take the places of messages"
                found = folder.messages.get(uid)
                fits = found is not None and found[0].octets == max(len(content) - SEAL_OVERHEAD_OCTETS, 0)
                if found is None or not fits or found[0].sealed != again:
                    continue
                modseq = found[0].modseq if again else folder.modseq + 1
                info = replace(found[0], sealed=True, stored_octets=len(content), modseq=modseq)
                folder.messages[uid] = (info, content)
                done.append(uid)
            folder.modseq += bool(done) and not again
            return tuple(done)

    def set_flags(
        self,
        uids: Sequence[Uid],
        change: FlagChange,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        unchanged_since: int | None = None,
    ) -> FlagsOutcome:
        """Change flags and keywords under one new modseq."""
        with self._house.locked():
            folder = self._here()
            named = folder.spelled(keywords)
            modseq = folder.modseq + 1
            changed: list[MessageInfo] = []
            modified: list[Uid] = []
            for uid in sorted(set(uids)):
                found = folder.messages.get(uid)
                if found is None:
                    continue
                info, content = found
                if unchanged_since is not None and info.modseq > unchanged_since:
                    modified.append(uid)
                    continue
                now = replace(
                    info,
                    flags=changed_set(info.flags, change, flags),
                    keywords=changed_set(info.keywords, change, named),
                )
                if now != info:
                    folder.modseq = modseq
                    now = replace(now, modseq=modseq)
                    folder.messages[uid] = (now, content)
                changed.append(now)
            return FlagsOutcome(changed=tuple(changed), modified=tuple(modified), modseq=folder.modseq)

    def copy(self, uids: Sequence[Uid], to: FolderName) -> Copied:
        """Put messages into another folder too."""
        return self._transfer(uids, to, lambda info: replace(info, guid=self._house.new_guid()))

    def move(self, uids: Sequence[Uid], to: FolderName) -> Copied:
        """Put messages into another folder."""
        with self._house.locked():
            copied = self._transfer(uids, to, lambda info: info)
            self._here().remove(copied.from_uids)
            return copied

    def _transfer(self, uids: Sequence[Uid], to: FolderName, as_new: Callable[[MessageInfo], MessageInfo]) -> Copied:
        with self._house.locked():
            source, target = self._here(), self._house.place(self.mailbox, to)
            found = [source.messages[uid] for uid in sorted(set(uids)) if uid in source.messages]
            added = [target.add(as_new(info), content).uid for info, content in found]
            return Copied(
                uidvalidity=target.uidvalidity, from_uids=tuple(info.uid for info, _ in found), to_uids=tuple(added)
            )

    def changes(self, since_modseq: int) -> Changes:
        """Say what happened after a modseq; everything that happened here is remembered."""
        with self._house.locked():
            folder = self._here()
            is_complete = since_modseq >= folder.min_modseq
            since, gone = (since_modseq, folder.expunged) if is_complete else (0, {})
            return Changes(
                status=_status(folder),
                changed=tuple(info for info, _ in folder.messages.values() if info.modseq > since),
                vanished=tuple((Uid(uid), modseq) for uid, modseq in sorted(gone.items()) if modseq > since),
                is_complete=is_complete,
            )

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        """Remove messages."""
        with self._house.locked():
            folder = self._here()
            for uid in sorted(set(uids)):
                if uid in folder.messages:
                    self._house.set_aside(self.mailbox, self.name, *folder.messages[uid])
            return folder.remove(uids)

    def try_hold(self, *, shared: bool = False) -> Hold | None:
        """Hold the folder within this process."""
        with self._house.locked():
            self._here()
            return self._house.try_hold((self.mailbox, self.name), shared=shared)

    def _here(self) -> MemoryFolderState:
        return self._house.place(self.mailbox, self.name)


def _status(folder: MemoryFolderState) -> FolderStatus:
    infos: Final = [info for info, _ in folder.messages.values()]
    return FolderStatus(
        messages=len(infos),
        octets=sum(info.octets for info in infos),
        unseen=sum(SEEN not in info.flags for info in infos),
        uidvalidity=folder.uidvalidity,
        uidnext=folder.uidnext,
        modseq=folder.modseq,
    )
