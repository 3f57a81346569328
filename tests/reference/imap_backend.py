"""What pymap asks of a mailbox, in calls of the access socket.

It shows what an imapd finds there: one call for many messages (flags, copies, moves), what changed since a modseq in
place of a state of its own, error hints to print (``AccessError.imap``), bodies and headers that come when asked for.
News are asked for, once a second while a client idles.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pymap.concurrent import Event
from pymap.exceptions import MailboxReadOnly
from pymap.flags import FlagOp, PermanentFlags, SessionFlags
from pymap.interfaces.session import SessionInterface
from pymap.listtree import ListTree
from pymap.mailbox import MailboxSnapshot
from pymap.parsing.message import AppendMessage
from pymap.parsing.response.code import AppendUid, CopyUid
from pymap.parsing.specials import FetchRequirement, Flag, ObjectId, SearchKey, SequenceSet
from pymap.parsing.specials.flag import Recent, Seen, Wildcard, get_system_flags
from pymap.search import SearchCriteriaSet, SearchParams
from pymap.selected import SelectedMailbox

from msgstore.access.aio import Session
from msgstore.access.changeshapes import TransferResult
from msgstore.access.codes import AccessError
from msgstore.access.folderchanges import FolderChanges
from msgstore.access.mailshapes import FolderRow, UidItem
from msgstore.access.uids import compressed, each_uid
from tests.reference.imap_messages import FIELDS, Message, Refused, told, words

__all__ = ["ImapSession"]

FLAGS: Final = (get_system_flags() - {Recent}) | {Wildcard}
"""What a client may set: every system flag that is kept, and keywords of its own."""

POLL_SECONDS: Final = 1.0
"""How soon an idling client hears of others' changes."""

GONE: Final = ("NO_MESSAGE", "EXPUNGED")
"""Codes for a message that somebody removed in the meantime."""

_CHANGES: Final[Mapping[FlagOp, Literal["set", "add", "remove"]]] = {
    FlagOp.REPLACE: "set",
    FlagOp.ADD: "add",
    FlagOp.DELETE: "remove",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a client has been told of the folder it selected; kept where pymap keeps a modseq."""

    uidvalidity: int
    modseq: int


class ImapSession(SessionInterface):
    """What pymap asks for, in calls of the access socket."""

    def __init__(self, owner: str, session: Session) -> None:
        self._owner = owner
        self._session = session

    @property
    def owner(self) -> str:
        """The name of the login."""
        return self._owner

    @property
    def filter_set(self) -> None:
        """No scripts."""
        return

    def close(self) -> None:
        """Nothing to end: the connection ends the session."""

    async def cleanup(self) -> None:
        """Nothing is left over by a command."""

    async def list_mailboxes(
        self,
        ref_name: str,
        filter_: str,
        subscribed: bool = False,  # noqa: FBT001, FBT002 - pymap's signature
        selected: SelectedMailbox | None = None,
    ) -> tuple[Iterable[tuple[str, str | None, Sequence[bytes]]], SelectedMailbox | None]:
        """List folders; an empty filter asks for the delimiter. RFC 3501 §6.3.8."""
        with told():
            pattern = None if subscribed else ref_name + filter_
            found = await self._session.folders(pattern, subscribed=subscribed)
        rows: list[tuple[str, str | None, Sequence[bytes]]] = []
        if not filter_:
            rows.append(("", found.delimiter, [b"Noselect"]))
        elif subscribed:
            # Levels above a subscribed folder show where % ends at them. RFC 3501 §6.3.9.
            tree = ListTree(found.delimiter).update(*(row.name for row in found.folders))
            matching = tree.list_matching(ref_name, filter_)
            wanted = [one for one in matching if one.exists or filter_.endswith("%")]
            rows += [(one.name, found.delimiter, one.attributes) for one in wanted]
        else:
            rows += [(row.name, found.delimiter, _attributes(row)) for row in found.folders]
        return rows, await self._updated(selected)

    async def get_mailbox(
        self, name: str, selected: SelectedMailbox | None = None
    ) -> tuple[MailboxSnapshot, SelectedMailbox | None]:
        """Count a folder for STATUS."""
        return await self._snapshot(name), await self._updated(selected)

    async def create_mailbox(
        self, name: str, selected: SelectedMailbox | None = None
    ) -> tuple[ObjectId, SelectedMailbox | None]:
        """Make a folder; a delimiter at the end only says that others are to follow. RFC 3501 §6.3.3."""
        with told():
            made = await self._session.create_folder(name.removesuffix("/"))
        return self._folder_id(name, made.uidvalidity), await self._updated(selected)

    async def delete_mailbox(self, name: str, selected: SelectedMailbox | None = None) -> SelectedMailbox | None:
        """Remove a folder with its messages."""
        with told():
            await self._session.delete_folder(name)
        return await self._updated(selected)

    async def rename_mailbox(
        self, before_name: str, after_name: str, selected: SelectedMailbox | None = None
    ) -> SelectedMailbox | None:
        """Give a folder another name."""
        with told():
            await self._session.rename_folder(before_name, after_name.removesuffix("/"))
        return await self._updated(selected)

    async def subscribe(self, name: str, selected: SelectedMailbox | None = None) -> SelectedMailbox | None:
        """Note that the user wants to see a folder."""
        with told():
            await self._session.subscribe(name)
        return await self._updated(selected)

    async def unsubscribe(self, name: str, selected: SelectedMailbox | None = None) -> SelectedMailbox | None:
        """Note that the user does not want to see a folder."""
        with told():
            await self._session.unsubscribe(name)
        return await self._updated(selected)

    async def append_messages(
        self, name: str, messages: Sequence[AppendMessage], selected: SelectedMailbox | None = None
    ) -> tuple[AppendUid, SelectedMailbox | None]:
        """Put messages into a folder; each is durable when the next is sent."""
        uids: list[int] = []
        uidvalidity = 0
        for message in messages:
            flags, keywords = words(message.flag_set)
            with told():
                added = await self._session.append(
                    bytes(message.literal),
                    name,
                    flags=flags,
                    keywords=keywords,
                    internal_date=None if message.when is None else int(message.when.timestamp()),
                )
            uidvalidity = added.uidvalidity
            uids.append(added.uid)
        return AppendUid(uidvalidity, uids), await self._updated(selected)

    async def select_mailbox(
        self,
        name: str,
        readonly: bool = False,  # noqa: FBT001, FBT002 - pymap's signature
    ) -> tuple[MailboxSnapshot, SelectedMailbox]:
        """Open a folder: all its rows, and the modseq from which the news will be asked for."""
        with told():
            listed = await self._session.changes(0, name, fields=FIELDS)
        selected = SelectedMailbox(
            self._folder_id(name, listed.uidvalidity),
            readonly,
            PermanentFlags(FLAGS),
            SessionFlags([Recent]),
            lookup=name,
        )
        self._take(selected, listed)
        first_unseen = next((at for at, row in enumerate(listed.rows, 1) if "\\Seen" not in (row.flags or ())), None)
        return await self._snapshot(name, first_unseen), selected

    async def check_mailbox(
        self,
        selected: SelectedMailbox,
        *,
        wait_on: Event | None = None,
        housekeeping: bool = False,  # noqa: ARG002 - pymap's signature
    ) -> SelectedMailbox:
        """Say what is new, at once or after a while."""
        if wait_on is not None:
            await wait_on.wait(timeout=POLL_SECONDS)
        return await self._news(selected)

    async def fetch_messages(
        self,
        selected: SelectedMailbox,
        sequence_set: SequenceSet,
        set_seen: bool,  # noqa: FBT001 - pymap's signature
    ) -> tuple[Iterable[tuple[int, Message]], SelectedMailbox]:
        """Give messages, marked as seen before they are read where that is wanted; not what is known to be gone."""
        wanted = (await self._news(selected)).messages.get_uids(sequence_set)
        if set_seen and wanted:
            folder, seen = _folder_of(selected), [str(Seen)]
            with told():
                await self._session.set_flags(*_uids(wanted), change="add", flags=seen, folder=folder)
            await self._news(selected)
        found = [(seq, _cached(selected, uid)) for seq, uid in wanted]
        return [(seq, message) for seq, message in found if message is not None], selected

    async def search_mailbox(
        self, selected: SelectedMailbox, keys: frozenset[SearchKey]
    ) -> tuple[Iterable[tuple[int, Message]], SelectedMailbox]:
        """Find messages; what the rows cannot tell is read."""
        requirement = FetchRequirement.reduce(key.requirement for key in keys)
        criteria = SearchCriteriaSet(keys, SearchParams(selected))
        found: list[tuple[int, Message]] = []
        for seq, uid in selected.messages.get_uids(criteria.sequence_set):
            message = _cached(selected, uid)
            if message is None:
                continue
            try:
                loaded = await message.load_content(requirement)
            except AccessError as error:
                if error.code not in GONE:
                    raise Refused(error) from error
                continue
            if criteria.matches(seq, message, loaded):
                found.append((seq, message))
        return found, await self._news(selected)

    async def expunge_mailbox(self, selected: SelectedMailbox, uid_set: SequenceSet | None = None) -> SelectedMailbox:
        """Remove what is flagged for it, of all messages or of those named."""
        if selected.readonly:
            raise MailboxReadOnly
        uids = None if uid_set is None else _uids(selected.messages.get_uids(uid_set))
        with told():
            gone = await self._session.expunge(uids=uids, folder=_folder_of(selected), which="flagged")
        if gone.failed:
            raise Refused(AccessError("IO", "some messages were not removed"))
        return await self._news(selected)

    async def copy_messages(
        self, selected: SelectedMailbox, sequence_set: SequenceSet, mailbox: str
    ) -> tuple[CopyUid | None, SelectedMailbox]:
        """Copy messages: all that exist, or none."""
        uids = _uids(selected.messages.get_uids(sequence_set))
        with told():
            done = await self._session.copy(*uids, to=mailbox, folder=_folder_of(selected))
        return _copied(done), await self._news(selected)

    async def move_messages(
        self, selected: SelectedMailbox, sequence_set: SequenceSet, mailbox: str
    ) -> tuple[CopyUid | None, SelectedMailbox]:
        """Move messages: all that exist, or none."""
        if selected.readonly:
            raise MailboxReadOnly
        uids = _uids(selected.messages.get_uids(sequence_set))
        with told():
            done = await self._session.move(*uids, to=mailbox, folder=_folder_of(selected))
        return _copied(done), await self._news(selected)

    async def update_flags(
        self,
        selected: SelectedMailbox,
        sequence_set: SequenceSet,
        flag_set: frozenset[Flag],
        mode: FlagOp = FlagOp.REPLACE,
    ) -> tuple[Iterable[tuple[int, Message]], SelectedMailbox]:
        """Change flags and keywords, of all messages in one call."""
        if selected.readonly:
            raise MailboxReadOnly
        wanted = selected.messages.get_uids(sequence_set)
        if not wanted:
            return [], await self._news(selected)
        flags, keywords = words(flag_set)
        before = {uid: _cached(selected, uid) for _, uid in wanted}
        with told():
            await self._session.set_flags(
                *_uids(wanted),
                change=_CHANGES[mode],
                flags=flags,
                keywords=keywords,
                folder=_folder_of(selected),
            )
        selected = await self._news(selected)
        changed: list[tuple[int, Message]] = []
        for seq, uid in wanted:
            message = _cached(selected, uid)
            if message is None and (old := before[uid]) is not None:
                message = old.removed()
            if message is not None:
                changed.append((seq, message))
        return changed, selected

    async def _updated(self, selected: SelectedMailbox | None) -> SelectedMailbox | None:
        return None if selected is None else await self._news(selected)

    async def _news(self, selected: SelectedMailbox) -> SelectedMailbox:
        """Take what changed since the client was last told; a folder that is gone, or another now, ends it."""
        known: Known = selected.mod_sequence
        folder = _folder_of(selected)
        try:
            with told():
                news = await self._session.changes(known.modseq, folder, fields=FIELDS)
                if news.vanished is None:
                    news = await self._session.changes(0, folder, fields=FIELDS)
        except Refused as refused:
            if refused.code != "NO_FOLDER":
                raise
            selected.set_deleted()
            return selected
        if news.uidvalidity != known.uidvalidity:
            selected.set_deleted()
        else:
            self._take(selected, news)
        return selected

    def _take(self, selected: SelectedMailbox, news: FolderChanges) -> None:
        messages = [Message(self._session, _folder_of(selected), row) for row in news.rows]
        if news.vanished is None:
            selected.set_messages(messages)
        else:
            selected.add_updates(messages, list(each_uid(news.vanished)))
        selected.mod_sequence = Known(uidvalidity=news.uidvalidity, modseq=news.modseq)

    async def _snapshot(self, name: str, first_unseen: int | None = None) -> MailboxSnapshot:
        with told():
            counts = await self._session.stat(name)
        return MailboxSnapshot(
            self._folder_id(name, counts.uidvalidity),
            readonly=False,
            uid_validity=counts.uidvalidity,
            permanent_flags=FLAGS,
            session_flags=frozenset({Recent}),
            exists=counts.messages,
            recent=0,
            unseen=counts.unseen,
            first_unseen=first_unseen,
            next_uid=counts.uidnext,
        )

    def _folder_id(self, name: str, uidvalidity: int) -> ObjectId:
        """Make up an id, which pymap compares and always tells; it does not outlive a rename."""
        return ObjectId.new_mailbox_id(hashlib.sha256(f"{name} {uidvalidity}".encode()).digest()[:16])


def _attributes(row: FolderRow) -> Sequence[bytes]:
    children = b"HasChildren" if row.has_children else b"HasNoChildren"
    return [children] if row.special_use is None else [children, row.special_use.removeprefix("\\").encode()]


def _folder_of(selected: SelectedMailbox) -> str:
    return str(selected.lookup)


def _cached(selected: SelectedMailbox, uid: int) -> Message | None:
    found = selected.messages.get(uid)
    assert found is None or isinstance(found, Message)
    return found


def _uids(found: Sequence[tuple[int, int]]) -> tuple[UidItem, ...]:
    return compressed(uid for _, uid in found)


def _copied(done: TransferResult) -> CopyUid | None:
    pairs = list(zip(each_uid(done.from_uids), each_uid(done.to_uids), strict=True))
    return CopyUid(done.uidvalidity, pairs) if pairs else None
