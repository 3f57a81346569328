"""Who is in: sessions, their order of work, marks, and the maildrop one of them may hold alone."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from accessd.looks import FolderNews
from accessd.own import Own
from msgstore.access.codes import AccessError
from msgstore.access.watchshapes import FolderChange
from msgstore.crypto import SecretKey
from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import Clock, Hold
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.user import User
from msgstore.telemetry.log import logger

__all__ = ["Session", "Sessions", "Turn", "Turns", "View"]

log = logger(__name__)

_TOKEN_OCTETS: Final = 32
Place = tuple[MailboxId, FolderName]


class Turn:
    """One request's place in the order of its session."""

    def __init__(self, before: Iterable["asyncio.Future[None]"]) -> None:
        self._before = [earlier for earlier in before if not earlier.done()]
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def over(self) -> "asyncio.Future[None]":
        """Done when the request is, and everything that stood before it."""
        return self._over

    async def come(self) -> None:
        """Wait for everything that stands before."""
        if self._before:
            await asyncio.wait(self._before)

    def leave(self) -> None:
        """Let those behind go on; harmless to repeat.

        A request that was given up before its turn hides nothing: those behind still wait for what stood before it.
        """
        self._before = [earlier for earlier in self._before if not earlier.done()]
        if self._before:
            self._before[0].add_done_callback(lambda _: self.leave())
        elif not self._over.done():
            self._over.set_result(None)


def _tell_nobody(*_: object) -> None:
    return


class Turns:
    """What changes runs alone and in the order received; what reads waits for the changes before it."""

    def __init__(self) -> None:
        self._last_change: asyncio.Future[None] | None = None
        self._reads: list[asyncio.Future[None]] = []
        """Reads received since the last change."""

    @property
    def last_change(self) -> "asyncio.Future[None] | None":
        """Done when every change is over that was received so far; None where there is none."""
        found = self._last_change
        return None if found is None or found.done() else found

    def take(self, *, changes: bool) -> Turn:
        """Take the next place; called in the order in which requests are received."""
        before = [] if self._last_change is None else [self._last_change]
        if not changes:
            turn = Turn(before)
            self._reads = [read for read in self._reads if not read.done()]
            self._reads.append(turn.over)
            return turn
        turn = Turn([*before, *self._reads])
        self._last_change = turn.over
        self._reads = []
        return turn


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A maildrop as it was when it was opened: nothing with a higher uid, and nothing that its holder expunged.

    Nobody else may expunge there, so nothing has to be kept of its messages.
    """

    folder: FolderName
    status: FolderStatus

    @property
    def last_uid(self) -> int:
        """What came later has a higher one."""
        return self.status.uidnext - 1


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One login on one connection."""

    token: str
    id: str
    """Names the session to operators; opens nothing."""

    user: User
    service: str
    client_address: str | None
    since: float
    """Seconds since 1970 UTC."""

    last_used: float
    """Monotonic."""

    on_end: Callable[["Session"], None]
    """Lets its connection forget the session and close the bodies it opened."""

    busy: int = 0
    """Requests in work; a session at work is not idle."""

    ended: bool = False
    turns: Turns = field(default_factory=Turns)
    marks: dict[Place, tuple[int, set[Uid]]] = field(default_factory=dict[Place, tuple[int, set[Uid]]])
    """With the UIDVALIDITY they were made under."""

    view: View | None = None
    """The maildrop held alone."""

    hold: Hold | None = None
    """Keeps other processes from it."""

    held_place: Place | None = None
    """What is held."""

    on_change: "OnChange" = _tell_nobody
    """Tells those who watch."""

    open_keys: tuple[SecretKey, ...] = ()
    """With which sealed mail is read here; empty unless the client gave them."""

    @property
    def mailbox(self) -> MailboxId:
        """Whose mail it may see."""
        return self.user.mailbox

    def marks_in(self, place: Place, uidvalidity: int) -> set[Uid]:
        """Give the marks of a folder, which are dropped when another one has taken its name."""
        validity, marks = self.marks.get(place, (0, set[Uid]()))
        if validity != uidvalidity:
            marks = set[Uid]()
            self.marks[place] = (uidvalidity, marks)
        return marks

    def holds(self, mailbox: MailboxId, folder: FolderName) -> bool:
        """Whether this session holds that maildrop alone."""
        return self.hold is not None and self.held_place == (mailbox, folder)

    def note_own(
        self,
        mailbox: MailboxId,
        folder: FolderName,
        modseq: int | None = None,
        *,
        seen: Iterable[MessageInfo] = (),
        added: Iterable[Uid] = (),
        removed: Iterable[Uid] = (),
    ) -> None:
        """Say that the session has changed a folder; called before the request that did it is answered.

        Everybody else who watches the folder is told at once.  ``seen`` are messages as the response shows them,
        ``added`` and ``removed`` those that came and went, ``modseq`` that of the folder when messages had been added.
        """
        own = Own(
            seen=frozenset((info.uid, info.modseq) for info in seen),
            added=frozenset(added),
            modseq=modseq,
            removed=frozenset(removed),
        )
        self.on_change(self, mailbox, folder, own)

    def note_own_folder(
        self, mailbox: MailboxId, change: FolderChange, folder: FolderName, new_folder: FolderName | None = None
    ) -> None:
        """Say that the session has created, deleted or renamed a folder, as :meth:`note_own` does for messages."""
        own = Own(folder=FolderNews(change=change, folder=folder, new_folder=new_folder))
        self.on_change(self, mailbox, None, own)

    def wipe_keys(self) -> None:
        """Forget the keys that the client gave; a thread that is just using one fails."""
        keys, self.open_keys = self.open_keys, ()
        for key in keys:
            key.wipe()

    def drop_marks(self) -> None:
        """Forget what was marked; nothing was removed yet."""
        self.marks.clear()


OnChange = Callable[[Session, MailboxId, FolderName | None, Own], None]


class Sessions:
    """Every session of this process, and who holds which maildrop."""

    def __init__(self, *, clock: Clock, idle_seconds: float) -> None:
        self.idle_seconds: Final = idle_seconds
        self._clock = clock
        self._by_token: dict[str, Session] = {}
        self._holders: dict[Place, Session] = {}
        self._freed: dict[Place, asyncio.Event] = {}
        self.on_change: OnChange = _tell_nobody
        """For sessions that start from now on; see :meth:`Session.note_own`."""

    def __len__(self) -> int:
        return len(self._by_token)

    @property
    def held(self) -> int:
        """Maildrops held alone."""
        return len(self._holders)

    def every(self) -> tuple[Session, ...]:
        """Give all sessions, oldest first."""
        return tuple(self._by_token.values())

    def start(
        self,
        user: User,
        *,
        service: str,
        client_address: str | None,
        on_end: Callable[[Session], None],
    ) -> Session:
        """Open a session."""
        session = Session(
            token=secrets.token_hex(_TOKEN_OCTETS),
            id=secrets.token_hex(8),
            user=user,
            service=service,
            client_address=client_address,
            since=self._clock.time(),
            last_used=self._clock.monotonic(),
            on_end=on_end,
            on_change=self.on_change,
        )
        self._by_token[session.token] = session
        return session

    def touch(self, session: Session) -> None:
        """Note that the session is used.

        Raises:
            AccessError: NO_SESSION where it has ended or been idle for too long.
        """
        self._end_if_idle(session)
        if session.ended:
            raise AccessError("NO_SESSION", "the session has ended")
        session.last_used = self._clock.monotonic()

    def end(self, session: Session) -> None:
        """End a session with its marks, handles and maildrop; harmless to repeat."""
        if session.ended:
            return
        session.ended = True
        del self._by_token[session.token]
        self.release(session)
        session.drop_marks()
        session.wipe_keys()
        session.on_end(session)
        log.info("access.session_ended", user=str(session.mailbox), service=session.service, session=session.id)

    def end_idle(self) -> None:
        """End every session that was silent for too long."""
        for session in self.every():
            self._end_if_idle(session)

    def holder(self, mailbox: MailboxId, folder: FolderName) -> Session | None:
        """Say who holds a maildrop alone now."""
        found = self._holders.get((mailbox, folder))
        if found is not None:
            self._end_if_idle(found)
        return self._holders.get((mailbox, folder))

    async def hold(self, session: Session, folder: FolderName, *, wait_seconds: float) -> None:
        """Take a maildrop alone; the view is the caller's to set.

        Raises:
            AccessError: LOCKED where another session holds it for longer than ``wait_seconds``.
        """
        place = (session.mailbox, folder)
        try:
            async with asyncio.timeout(wait_seconds):
                while self.holder(*place) is not None:
                    await self._freed.setdefault(place, asyncio.Event()).wait()
        except TimeoutError:
            raise AccessError("LOCKED", "another session holds the maildrop", after_ms=5000) from None
        if session.ended:
            raise AccessError("NO_SESSION", "the session has ended")
        self._holders[place] = session
        session.held_place = place

    def release(self, session: Session) -> None:
        """Give back what the session holds alone; harmless without."""
        session.view = None
        session.held_place = None
        if session.hold is not None:
            session.hold.release()
            session.hold = None
        for place in [place for place, holder in self._holders.items() if holder is session]:
            del self._holders[place]
            freed = self._freed.pop(place, None)
            if freed is not None:
                freed.set()

    def _end_if_idle(self, session: Session) -> None:
        if not session.busy and self._clock.monotonic() - session.last_used > self.idle_seconds:
            self.end(session)
