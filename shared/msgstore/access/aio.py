"""The client for asyncio and uvloop: the same names as in ``sync``, awaited.

The socket is read with ``recvmsg`` here and not through a transport, because asyncio's transports read with ``recv``
and lose descriptors.  Calls of many tasks may be in flight at once.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal, Self, TypeVar
from weakref import WeakSet

from msgstore.access import contract, entries
from msgstore.access.aio_body import Body
from msgstore.access.aio_changes import Changing
from msgstore.access.aio_reading import Reading
from msgstore.access.aio_scripts import Scripts
from msgstore.access.aio_watch import Listening, Watch
from msgstore.access.bodies import pieces_of
from msgstore.access.bodyshapes import INLINE_OCTETS, DeliverResult, MessageSource
from msgstore.access.codes import AccessError
from msgstore.access.concealed import wipe_sent
from msgstore.access.conversation import FEATURES, Answer, Conversation, Told
from msgstore.access.entries import Method
from msgstore.access.frames import AT_CLIENT, FrameRefused
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
from msgstore.access.sync_body import WHOLE, part_of, receive_from

__all__ = ["AccessClient", "Body", "Session", "Watch"]

Result = TypeVar("Result")
Paged = TypeVar("Paged", ListResult, FetchResult, SearchResult)


class AccessClient(Listening):
    """One connection to the access socket, of one event loop."""

    def __init__(self, connected: socket.socket, *, timeout_seconds: float = 60.0) -> None:
        super().__init__()
        self._socket = connected
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._conversation = Conversation()
        self._features = frozenset[str]()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._sending = asyncio.Lock()
        self._sessions: WeakSet[Session] = WeakSet()
        self.told: list[Told] = []
        """What the server said unasked, but for events of watches; the caller empties it."""

        self._loop.add_reader(connected.fileno(), self._on_readable)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, path: str, *, client: str = "msgstore", timeout_seconds: float = 60.0
    ) -> AsyncGenerator[Self, None]:
        """Connect, say hello, and close at the end of the block.

        Raises:
            OSError: nobody listens there, or may not.
            AccessError: the server speaks another version.
        """
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.setblocking(False)
            async with asyncio.timeout(timeout_seconds):
                await asyncio.get_running_loop().sock_connect(connected, path)
        except BaseException:
            connected.close()
            raise
        made = cls(connected, timeout_seconds=timeout_seconds)
        try:
            await made.hello(client)
            yield made
        finally:
            made.close()

    async def hello(self, client: str, features: Sequence[str] = FEATURES) -> HelloResult:
        """Agree on version and features."""
        found = await self.ask(entries.RPC_HELLO, proto=entries.PROTO, client=client, features=list(features))
        self._features = frozenset(found.features)
        return found

    async def call(self, method: str, **args: object) -> object:
        """Call any method of the contract and give its plain result; None means left out.

        Cancelling the caller asks the server to give the request up.

        Raises:
            AccessError: the error of the response, or GOING_AWAY where the connection ended.
            OSError, TimeoutError: the connection failed or was too slow.
        """
        result, descriptor = await self._exchange(method, args)
        if descriptor is not None:
            os.close(descriptor)
        return result

    async def ask(self, method: Method[Any, Result], **args: object) -> Result:
        """Call a method by its entry of the contract and give its typed result.

        Raises:
            AccessError, OSError, TimeoutError: as for :meth:`call`.
        """
        return contract.typed(await self.call(method.name, **args), method.result)

    async def ask_with(self, method: Method[Any, Result], body: MessageSource, **args: object) -> Result:
        """Call a method that takes a message: inline, as a descriptor, or in pieces, whatever is cheapest.

        Raises:
            AccessError, OSError, TimeoutError: as for :meth:`call`.
        """
        if isinstance(body, bytes) and len(body) <= INLINE_OCTETS:
            return await self.ask(method, **args, body=body)
        if not isinstance(body, bytes) and "fd-upload" in self._features:
            result, _ = await self._exchange(method.name, args | {"as": "fd"}, upload=body.fileno())
            return contract.typed(result, method.result)
        handle = (await self.ask(entries.MESSAGE_STAGE)).handle
        try:
            offset = 0
            pieces = pieces_of(body)
            while piece := await asyncio.to_thread(next, pieces, b""):
                offset = (await self.ask(entries.MESSAGE_WRITE, handle=handle, offset=offset, data=piece)).octets
            return await self.ask(method, **args, staged=handle)
        except AccessError:
            await self.ask(entries.MESSAGE_DISCARD, handle=handle)
            raise

    async def login(
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
        opened = await self.ask(
            entries.AUTH_LOGIN, user=user, password=password, service=service, client_address=client_address
        )
        session = Session(self, opened)
        self._sessions.add(session)
        if opens_mail and opened.public_key is not None:
            await session.unlock(password)
        return session

    async def deliver(
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
        return await self.ask_with(
            entries.DELIVER_MESSAGE,
            body,
            recipients=[{"forward_path": recipient} for recipient in recipients],
            reverse_path=reverse_path,
            client=dict(client or {}),
            **more,
        )

    async def retrieve(self, **args: object) -> "Body":
        """Call ``message.retrieve`` and keep a descriptor that comes with it."""
        result, descriptor = await self._exchange(entries.MESSAGE_RETRIEVE.name, args)
        opened = contract.typed(result, RetrieveResult)
        # A handle is for the whole message, whatever part was asked for.
        return Body(self, opened, descriptor, part=WHOLE if opened.handle is None else part_of(args))

    async def pages(self, method: Method[Any, Paged], **args: object) -> AsyncGenerator[Paged, None]:
        """Call a method until its last page; the next one is under way while the last is worked on.

        Raises:
            AccessError, OSError, TimeoutError: as for :meth:`call`.
        """
        asking = asyncio.create_task(self.ask(method, **args))
        try:
            while True:
                page = await asking
                if page.next_uid is not None:
                    asking = asyncio.create_task(self.ask(method, **args | {"after_uid": page.next_uid}))
                    # In this turn of the loop it is sent.
                    await asyncio.sleep(0)
                yield page
                if page.next_uid is None:
                    return
        finally:
            asking.cancel()

    def close(self) -> None:
        """End the connection, and with it marks, locks and handles; harmless to repeat."""
        self._end(AccessError("GOING_AWAY", "the connection is closed"))

    async def _exchange(
        self, method: str, args: dict[str, object], *, upload: int | None = None
    ) -> tuple[object, int | None]:
        answered: asyncio.Future[Answer] = self._loop.create_future()
        call_id, sent = -1, False
        try:
            async with asyncio.timeout(self._timeout_seconds):
                async with self._sending:
                    if self._ended is not None:
                        raise self._ended
                    call_id, octets = self._conversation.call(method, args)
                    self._waiting[call_id] = answered
                    try:
                        begun = 0 if upload is None else await self._send_descriptor(octets, upload)
                        await self._loop.sock_sendall(self._socket, octets[begun:] if begun else octets)
                    finally:
                        wipe_sent(octets)
                    sent = True
                answer = await answered
        except (asyncio.CancelledError, TimeoutError) as error:
            if answered.done() and not answered.cancelled() and answered.exception() is None:
                # The answer came in the turn of the loop in which the caller gave up.
                answered.result().drop()
            elif sent:
                self._give_up(call_id)
            elif call_id >= 0:
                # Perhaps a part of the frame is on its way, and nothing can follow half a frame.
                self._end(AccessError("CANCELLED", f"a call was given up while it was sent ({type(error).__name__})"))
            raise
        finally:
            self._waiting.pop(call_id, None)
        if answer.error is not None:
            raise answer.error
        return answer.result, answer.descriptor

    async def _send_descriptor(self, octets: bytes | bytearray, descriptor: int) -> int:
        """Send the beginning of a frame with a descriptor; gives how much of it has left."""
        while True:
            try:
                return socket.send_fds(self._socket, [octets], [descriptor])
            except BlockingIOError:
                writable = asyncio.Event()
                number = self._socket.fileno()
                self._loop.add_writer(number, writable.set)
                try:
                    await writable.wait()
                finally:
                    self._loop.remove_writer(number)

    def _give_up(self, call_id: int) -> None:
        """Tell the server without waiting; its response is dropped when it comes."""
        if self._ended is not None or self._sending.locked():
            return
        octets = self._conversation.cancel(call_id)
        try:
            sent = self._socket.send(octets)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if sent < len(octets):
            self._end(AccessError("CANCELLED", "a call was given up while the socket was full"))

    def _on_readable(self) -> None:
        try:
            octets, descriptors = receive_from(self._socket, AT_CLIENT.read_octets)
            finished = self._conversation.receive(octets, descriptors)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, FrameRefused) as error:
            self._end(self._conversation.fatal or error)
            return
        for item in finished:
            if isinstance(item, Told):
                if not self._events.put(item):
                    self.told.append(item)
                self._event_came.set()
                continue
            waiting = self._waiting.get(item.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(item)
            else:
                item.drop()
        if not octets:
            self._end(self._conversation.fatal or AccessError("GOING_AWAY", "the server closed the connection"))

    def _end(self, why: Exception) -> None:
        if self._ended is not None:
            return
        self._ended = why
        for session in self._sessions:
            session.forget_keys()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for descriptor in self._conversation.unclaimed():
            os.close(descriptor)
        self._event_came.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(why)


class Session(Reading, Changing):
    """One login; its marks and its maildrop lock end with it."""

    def __init__(self, client: AccessClient, opened: LoginResult) -> None:
        super().__init__(client, opened)
        self.client = client
        self.token = opened.session
        self.mailbox = opened.mailbox
        self.scripts = Scripts(client, self.token)

    async def open(self, folder: str = "INBOX", *, wait_ms: int | None = None) -> OpenResult:
        """Hold the maildrop alone, as RFC 1939 §4 asks; its messages stay as they are now for this session."""
        return await self.client.ask(entries.MAILBOX_OPEN, **self._in(folder), wait_ms=wait_ms)

    async def close(self) -> None:
        """Give the maildrop back and drop the marks."""
        await self.client.ask(entries.MAILBOX_CLOSE, session=self.token)

    async def logout(self) -> None:
        """End the session, and wipe its keys."""
        self.forget_keys()
        await self.client.ask(entries.AUTH_LOGOUT, session=self.token)

    async def stat(self, folder: str = "INBOX") -> StatResult:
        """Count messages and octets."""
        return await self.client.ask(entries.FOLDER_STAT, **self._in(folder))

    async def list(self, folder: str = "INBOX", *, fields: Sequence[str] | None = None) -> Rows:
        """Give every message; ``fields`` must name uid."""
        async with aclosing(self._pages(folder, fields=fields and tuple(fields), by="columns")) as pages:
            return Rows([page async for page in pages])

    async def delete(self, *uids: UidItem, folder: str = "INBOX") -> DeleteResult:
        """Mark messages; nothing is removed before :meth:`expunge`."""
        return await self.client.ask(entries.MESSAGE_DELETE, **self._in(folder), uids=uids)

    async def undelete(self, *, uids: Sequence[UidItem] | None = None, folder: str = "INBOX") -> UndeleteResult:
        """Take marks away: those of ``uids``, or all of them where that is None."""
        return await self.client.ask(entries.MESSAGE_UNDELETE, **self._in(folder), uids=uids)

    async def expunge(
        self,
        *,
        uids: Sequence[UidItem] | None = None,
        folder: str = "INBOX",
        which: Literal["marked", "flagged"] | None = None,
    ) -> ExpungeResult:
        """Remove for good what this session marked, or what is flagged; of ``uids`` alone, where that is not None."""
        return await self._ask(entries.MESSAGE_EXPUNGE, folder, which=which, uids=uids)

    async def search(self, folder: str = "INBOX", **conditions: object) -> tuple[SearchHit, ...]:
        """Give every message that meets the conditions, page by page; :class:`SearchArgs` names them."""
        asked = self.client.pages(entries.MESSAGE_SEARCH, **self._in(folder), **conditions)
        async with aclosing(asked) as pages:
            return tuple([hit async for page in pages for hit in page.hits])

    async def watch(self, *folders: str, since: Mapping[str, int] | None = None) -> Watch:
        """Watch folders, all of them where none are named, from now or from the modseq that ``since`` has for one."""
        started = await self.client.ask(
            entries.WATCH_START, session=self.token, mailbox=self.mailbox, folders=folders or None, since=since
        )
        return Watch(self.client, started)

    async def _ask(self, method: Method[Any, Result], folder: str | None, **args: object) -> Result:
        return await self.client.ask(method, **self._in(folder), **args)

    async def _ask_with(self, method: Method[Any, Result], body: MessageSource, folder: str, **args: object) -> Result:
        return await self.client.ask_with(method, body, **self._in(folder), **args)

    def _pages(self, folder: str, **args: object) -> AsyncGenerator[ListResult, None]:
        return self.client.pages(entries.MESSAGE_LIST, **self._in(folder), **args)

    def _in(self, folder: str | None) -> dict[str, object]:
        where: dict[str, object] = {"session": self.token, "mailbox": self.mailbox}
        return where if folder is None else where | {"folder": folder}
