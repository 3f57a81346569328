"""The client for programs with threads or none: plain blocking calls on a Unix socket.

One thread at a time uses a client.  The same names as in ``aio``, without ``await``.
"""

import os
import select
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from weakref import WeakSet

from msgstore.access import contract, entries
from msgstore.access.bodies import pieces_of
from msgstore.access.bodyshapes import INLINE_OCTETS, DeliverResult, MessageSource
from msgstore.access.codes import AccessError
from msgstore.access.concealed import wipe_sent
from msgstore.access.conversation import FEATURES, Answer, Conversation, Told
from msgstore.access.entries import Method
from msgstore.access.events import Events
from msgstore.access.frames import AT_CLIENT
from msgstore.access.mailshapes import (
    DeleteResult,
    ExpungeResult,
    FetchResult,
    ListResult,
    OpenResult,
    RetrieveResult,
    StatResult,
    UidItem,
    UndeleteResult,
)
from msgstore.access.rows import Rows
from msgstore.access.searchshapes import SearchHit, SearchResult
from msgstore.access.shapes import HelloResult, LoginResult
from msgstore.access.sync_body import WHOLE, Body, part_of, receive_from
from msgstore.access.sync_changes import Changing
from msgstore.access.sync_reading import Reading
from msgstore.access.sync_scripts import Scripts
from msgstore.access.sync_watch import Watch
from msgstore.access.watchshapes import WatchEvent

__all__ = ["AccessClient", "Body", "Session", "Watch", "receive_from"]

Result = TypeVar("Result")
Paged = TypeVar("Paged", ListResult, FetchResult, SearchResult)


class AccessClient:
    """One connection to the access socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._conversation = Conversation()
        self._features = frozenset[str]()
        self._expected: set[int] = set()
        """Calls whose answers somebody waits for."""

        self._arrived: dict[int, Answer] = {}
        self._sessions: WeakSet[Session] = WeakSet()
        self.told: list[Told] = []
        """What the server said unasked, but for events of watches; the caller empties it."""

        self._events = Events()

    @classmethod
    def connect(cls, path: str, *, client: str = "msgstore", timeout_seconds: float = 60.0) -> Self:
        """Connect and say hello; use the result as a context manager.

        Raises:
            OSError: nobody listens there, or may not.
            AccessError: the server speaks another version.
        """
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(timeout_seconds)
            connected.connect(path)
            made = cls(connected)
            made.hello(client)
        except BaseException:
            connected.close()
            raise
        return made

    def hello(self, client: str, features: Sequence[str] = FEATURES) -> HelloResult:
        """Agree on version and features."""
        found = self.ask(entries.RPC_HELLO, proto=entries.PROTO, client=client, features=list(features))
        self._features = frozenset(found.features)
        return found

    def call(self, method: str, **args: object) -> object:
        """Call any method of the contract and give its plain result; None means left out.

        Raises:
            AccessError: the error of the response, or GOING_AWAY where the connection ended.
            OSError: the connection failed or was too slow.
        """
        result, descriptor = self._exchange(method, args)
        if descriptor is not None:
            os.close(descriptor)
        return result

    def ask(self, method: Method[Any, Result], **args: object) -> Result:
        """Call a method by its entry of the contract and give its typed result.

        Raises:
            AccessError, OSError: as for :meth:`call`.
        """
        return contract.typed(self.call(method.name, **args), method.result)

    def ask_with(self, method: Method[Any, Result], body: MessageSource, **args: object) -> Result:
        """Call a method that takes a message: inline, as a descriptor, or in pieces, whatever is cheapest.

        Raises:
            AccessError, OSError: as for :meth:`call`.
        """
        if isinstance(body, bytes) and len(body) <= INLINE_OCTETS:
            return self.ask(method, **args, body=body)
        if not isinstance(body, bytes) and "fd-upload" in self._features:
            call_id = self._send(method.name, args | {"as": "fd"}, descriptor=body.fileno())
            return contract.typed(self._wait(call_id)[0], method.result)
        handle = self.ask(entries.MESSAGE_STAGE).handle
        try:
            offset = 0
            for piece in pieces_of(body):
                offset = self.ask(entries.MESSAGE_WRITE, handle=handle, offset=offset, data=piece).octets
            return self.ask(method, **args, staged=handle)
        except AccessError:
            self.ask(entries.MESSAGE_DISCARD, handle=handle)
            raise

    def login(
        self,
        user: str,
        password: str,
        *,
        service: str,
        client_address: str | None = None,
        opens_mail: bool = True,
    ) -> "Session":
        """Open a session, and with ``opens_mail`` the keys of its user, so that sealed mail is read like any other.

        Raises:
            AccessError: AUTH_FAILED, AUTH_TEMP, RATE_LIMITED, DOMAIN_NOT_HOSTED.
        """
        opened = self.ask(
            entries.AUTH_LOGIN, user=user, password=password, service=service, client_address=client_address
        )
        session = Session(self, opened)
        self._sessions.add(session)
        if opens_mail and opened.public_key is not None:
            session.unlock(password)
        return session

    def next_event(self, watch: int, timeout_seconds: float | None = None) -> WatchEvent | None:
        """Wait for the next event of a watch; None where none comes in time.

        Raises:
            AccessError, OSError: the connection ended.
        """
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while (event := self._events.take(watch)) is None:
            left = None if until is None else max(0.0, until - time.monotonic()) * 1000
            readable = select.poll()
            readable.register(self._socket, select.POLLIN)
            if not readable.poll(left):
                return None
            self._read()
        return event

    def stop_watch(self, watch: int) -> None:
        """End a watch; what it told and nobody read is dropped."""
        self.ask(entries.WATCH_STOP, watch=watch)
        self._events.forget(watch)

    def close(self) -> None:
        """End the connection, and with it marks, locks and handles."""
        for session in self._sessions:
            session.forget_keys()
        for descriptor in self._conversation.unclaimed():
            os.close(descriptor)
        for call_id in list(self._arrived):
            self._forget(call_id)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def deliver(
        self,
        body: MessageSource,
        *recipients: str,
        reverse_path: str | None,
        client: Mapping[str, str] | None = None,
        **more: object,
    ) -> DeliverResult:
        """Hand a message over for delivery, as LMTP does; one result per recipient in the order given.

        ``reverse_path`` None is the null path; ``more`` is what else the method takes.
        """
        return self.ask_with(
            entries.DELIVER_MESSAGE,
            body,
            recipients=[{"forward_path": recipient} for recipient in recipients],
            reverse_path=reverse_path,
            client=dict(client or {}),
            **more,
        )

    def retrieve(self, **args: object) -> Body:
        """Call ``message.retrieve`` and keep a descriptor that comes with it."""
        result, descriptor = self._exchange(entries.MESSAGE_RETRIEVE.name, args)
        opened = contract.typed(result, RetrieveResult)
        # A handle is for the whole message, whatever part was asked for.
        return Body(self, opened, descriptor, part=WHOLE if opened.handle is None else part_of(args))

    def pages(self, method: Method[Any, Paged], **args: object) -> Iterator[Paged]:
        """Call a method until its last page; the next one is under way while the last is worked on.

        Raises:
            AccessError, OSError: as for :meth:`call`.
        """
        asked: int | None = self._send(method.name, args)
        try:
            while asked is not None:
                result, _ = self._wait(asked)
                page = contract.typed(result, method.result)
                asked = None
                if page.next_uid is not None:
                    asked = self._send(method.name, args | {"after_uid": page.next_uid})
                yield page
        finally:
            if asked is not None:
                self._forget(asked)

    def _exchange(self, method: str, args: dict[str, object]) -> tuple[object, int | None]:
        return self._wait(self._send(method, args))

    def _send(self, method: str, args: dict[str, object], *, descriptor: int | None = None) -> int:
        call_id, octets = self._conversation.call(method, args)
        try:
            sent = 0 if descriptor is None else socket.send_fds(self._socket, [octets], [descriptor])
            with memoryview(octets) as whole:
                self._socket.sendall(whole[sent:])
        except OSError:
            # Perhaps a part of the frame is on its way, and nothing can follow half a frame.
            self.close()
            raise
        finally:
            wipe_sent(octets)
        self._expected.add(call_id)
        return call_id

    def _wait(self, call_id: int) -> tuple[object, int | None]:
        try:
            while call_id not in self._arrived:
                self._read()
            found = self._arrived.pop(call_id)
        finally:
            self._forget(call_id)
        if found.error is not None:
            raise found.error
        return found.result, found.descriptor

    def _forget(self, call_id: int) -> None:
        """Drop the answer of a call, also when it comes later."""
        self._expected.discard(call_id)
        left = self._arrived.pop(call_id, None)
        if left is not None:
            left.drop()

    def _read(self) -> None:
        octets, descriptors = receive_from(self._socket, AT_CLIENT.read_octets)
        if not octets:
            raise self._conversation.fatal or AccessError("GOING_AWAY", "the server closed the connection")
        for item in self._conversation.receive(octets, descriptors):
            if isinstance(item, Told):
                if not self._events.put(item):
                    self.told.append(item)
            elif item.id in self._expected:
                self._arrived[item.id] = item
            else:
                item.drop()


class Session(Reading, Changing):
    """One login; its marks and its maildrop lock end with it."""

    def __init__(self, client: AccessClient, opened: LoginResult) -> None:
        super().__init__(client, opened)
        self.client = client
        self.token = opened.session
        self.mailbox = opened.mailbox
        self.scripts = Scripts(client, self.token)

    def open(self, folder: str = "INBOX", *, wait_ms: int | None = None) -> OpenResult:
        """Hold the maildrop alone, as RFC 1939 §4 asks; its messages stay as they are now for this session."""
        return self.client.ask(entries.MAILBOX_OPEN, **self._in(folder), wait_ms=wait_ms)

    def close(self) -> None:
        """Give the maildrop back and drop the marks."""
        self.client.ask(entries.MAILBOX_CLOSE, session=self.token)

    def logout(self) -> None:
        """End the session, and wipe its keys."""
        self.forget_keys()
        self.client.ask(entries.AUTH_LOGOUT, session=self.token)

    def stat(self, folder: str = "INBOX") -> StatResult:
        """Count messages and octets."""
        return self.client.ask(entries.FOLDER_STAT, **self._in(folder))

    def list(self, folder: str = "INBOX", *, fields: Sequence[str] | None = None) -> Rows:
        """Give every message; ``fields`` must name uid."""
        return Rows(self._pages(folder, fields=fields and tuple(fields), by="columns"))

    def delete(self, *uids: UidItem, folder: str = "INBOX") -> DeleteResult:
        """Mark messages; nothing is removed before :meth:`expunge`."""
        return self.client.ask(entries.MESSAGE_DELETE, **self._in(folder), uids=uids)

    def undelete(self, *, uids: Sequence[UidItem] | None = None, folder: str = "INBOX") -> UndeleteResult:
        """Take marks away: those of ``uids``, or all of them where that is None."""
        return self.client.ask(entries.MESSAGE_UNDELETE, **self._in(folder), uids=uids)

    def expunge(
        self,
        *,
        uids: Sequence[UidItem] | None = None,
        folder: str = "INBOX",
        which: Literal["marked", "flagged"] | None = None,
    ) -> ExpungeResult:
        """Remove for good what this session marked, or what is flagged; of ``uids`` alone, where that is not None."""
        return self._ask(entries.MESSAGE_EXPUNGE, folder, which=which, uids=uids)

    def search(self, folder: str = "INBOX", **conditions: object) -> tuple[SearchHit, ...]:
        """Give every message that meets the conditions, page by page; :class:`SearchArgs` names them."""
        pages = self.client.pages(entries.MESSAGE_SEARCH, **self._in(folder), **conditions)
        return tuple(hit for page in pages for hit in page.hits)

    def _ask(self, method: Method[Any, Result], folder: str | None, **args: object) -> Result:
        return self.client.ask(method, **self._in(folder), **args)

    def _ask_with(self, method: Method[Any, Result], body: MessageSource, folder: str, **args: object) -> Result:
        return self.client.ask_with(method, body, **self._in(folder), **args)

    def _pages(self, folder: str, **args: object) -> Iterator[ListResult]:
        return self.client.pages(entries.MESSAGE_LIST, **self._in(folder), **args)

    def _in(self, folder: str | None) -> dict[str, object]:
        where: dict[str, object] = {"session": self.token, "mailbox": self.mailbox}
        return where if folder is None else where | {"folder": folder}

    def watch(self, *folders: str, since: Mapping[str, int] | None = None) -> Watch:
        """Watch folders, all of them where none are named, from now or from the modseq that ``since`` has for one."""
        started = self.client.ask(
            entries.WATCH_START, session=self.token, mailbox=self.mailbox, folders=folders or None, since=since
        )
        return Watch(self.client, started)
