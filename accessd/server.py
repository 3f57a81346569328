"""The access socket: accepts peers the settings name, and ends everything in good order."""

import asyncio
import socket
import uuid
from collections.abc import Sequence
from typing import Final

from accessd import calls, methods
from accessd.bodies import Handles
from accessd.calls import AccessCounters, Call, Caller, LoginRules, NoCounters, Services
from accessd.connection import Connection, Rules
from accessd.peers import Peers, credentials_of
from accessd.session import Sessions
from accessd.uploads import Uploads
from accessd.watching import Hints, Watching
from msgstore.access.frames import Request
from msgstore.access.shapes import Limits
from msgstore.auth.keyaccess import KeyAccess
from msgstore.config.schema import AccessSettings
from msgstore.model.errors import Overloaded
from msgstore.model.interfaces import AuthProvider, Clock, DeliveryAgent, MessageStore, StagedMessage
from msgstore.service.offload import Offload
from msgstore.sieve import Engine, default_engine
from msgstore.store.requests import RequestLog
from msgstore.telemetry.log import logger

__all__ = ["AccessServer"]

log = logger(__name__)

_SWEEP_SECONDS: Final = 30.0
"""How often idle sessions are looked for; one in the way of another is found at once."""


class AccessServer:
    """Serves the access protocol on given sockets, in one event loop."""

    def __init__(  # noqa: PLR0913 (each is a part that may be another one)
        self,
        settings: AccessSettings,
        *,
        store: MessageStore,
        auth: AuthProvider,
        agent: DeliveryAgent | None = None,
        engine: Engine | None = None,
        requests: RequestLog | None = None,
        keys: KeyAccess | None = None,
        offload: Offload,
        passwords: Offload,
        clock: Clock,
        peers: Peers,
        login: LoginRules | None = None,
        counters: AccessCounters | None = None,
        hints: Hints | None = None,
    ) -> None:
        self._settings = settings
        self._peers = peers
        self._counters: AccessCounters = NoCounters() if counters is None else counters
        self._connections: dict[Connection, Caller] = {}
        self._accepting: list[asyncio.Task[None]] = []
        self._room = asyncio.Event()
        self._stopping = False
        self._services = Services(
            store=store,
            auth=auth,
            agent=agent,
            engine=default_engine() if engine is None else engine,
            requests=RequestLog(":memory:", clock=clock) if requests is None else requests,
            keys=keys,
            opens_keys=settings.open_keys,
            offload=offload,
            passwords=passwords,
            clock=clock,
            sessions=Sessions(clock=clock, idle_seconds=settings.idle_seconds),
            limits=Limits(
                inflight=settings.max_inflight,
                handles=settings.max_handles,
                idle_ms=int(settings.idle_seconds * 1000),
                alive_ms=int(settings.alive_seconds * 1000),
            ),
            login=LoginRules() if login is None else login,
            request_seconds=settings.request_seconds,
            boot=str(uuid.uuid4()),
            counters=self._counters,
            watching=Watching(settings, store=store, offload=offload, hints=hints, on_count=self._counters.set_watches),
            max_watches=settings.max_watches,
            stats=self._stats,
        )
        self._services.sessions.on_change = self._services.watching.note_own

    @property
    def services(self) -> Services:
        """What connections of this process work on, whatever protocol they speak."""
        return self._services

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Accept and serve until :meth:`stop` has been called and its grace is over; the sockets stay the caller's."""
        self._services.watching.open()
        try:
            await self._serve(sockets)
        finally:
            self._services.watching.close()

    async def _serve(self, sockets: Sequence[socket.socket]) -> None:
        async with asyncio.TaskGroup() as group:
            self._accepting = [group.create_task(self._accept_all(listening, group)) for listening in sockets]
            sweeper = group.create_task(self._sweep())
            await asyncio.wait(self._accepting)
            while self._connections:
                self._room.clear()
                await self._room.wait()
            sweeper.cancel()

    async def stop(self) -> None:
        """Take no more peers and requests, let running requests finish within the grace, then close everything."""
        self._stopping = True
        for task in self._accepting:
            task.cancel()
        for connection in list(self._connections):
            connection.go_away(self._settings.grace_seconds)
        try:
            async with asyncio.timeout(self._settings.grace_seconds):
                while self._connections:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            log.warning("access.grace_over", connections=len(self._connections))
            for connection in list(self._connections):
                connection.abort()

    def sessions_held(self) -> int:
        """Say how many sessions are open now."""
        return len(self._services.sessions)

    def _stats(self) -> tuple[int, int, int]:
        inflight = sum(connection.inflight for connection in self._connections)
        handles = sum(len(caller.handles) for caller in self._connections.values())
        return len(self._connections), inflight, handles

    async def _accept_all(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        listening.setblocking(False)
        loop = asyncio.get_running_loop()
        while not self._stopping:
            while len(self._connections) >= self._settings.max_connections:
                self._room.clear()
                await self._room.wait()
            try:
                connected, _ = await loop.sock_accept(listening)
            except OSError as error:
                # Mostly no descriptor is left: a moment later one may be.
                log.error("access.accept_failed", error=error)  # noqa: TRY400 - not a logging.Logger
                await asyncio.sleep(1.0)
                continue
            self._admit(connected, group)

    def _admit(self, connected: socket.socket, group: asyncio.TaskGroup) -> None:
        connected.setblocking(False)
        peer = credentials_of(connected)
        roles = self._peers.roles_of(peer)
        if not roles:
            self._counters.peer_denied()
            log.warning("access.peer_denied", uid=peer.uid, gid=peer.gid, pid=peer.pid)
            connected.close()
            return
        caller = Caller(
            roles=roles,
            peer=peer,
            handles=Handles(self._settings.max_handles),
            uploads=Uploads(self._settings.max_handles, discard=self._discard),
            # The kernel has named these peers, and they log in nobody who could be waited for.
            is_trusted=bool(roles & {"smtp", "admin"}),
        )

        def begin(request: Request, arrived: float) -> Call:
            return calls.begin(request, caller=caller, services=self._services, arrived=arrived)

        connection = Connection(
            connected,
            caller=caller,
            rules=Rules(
                max_inflight=self._settings.max_inflight,
                idle_seconds=self._settings.idle_seconds,
                counters=self._counters,
            ),
            begin=begin,
            answer=methods.answer,
        )
        self._connections[connection] = caller
        self._counters.connection_opened()
        connection.task = group.create_task(self._serve_one(connection, caller))

    async def _serve_one(self, connection: Connection, caller: Caller) -> None:
        try:
            await connection.serve()
        # The connection loop: trouble of one peer ends its connection and nothing else.
        except Exception as error:  # noqa: BLE001
            log.error("access.connection_crashed", error=error)  # noqa: TRY400 - not a logging.Logger
        finally:
            caller.end(self._services.sessions)
            del self._connections[connection]
            self._room.set()
            self._counters.connection_closed()

    def _discard(self, staged: StagedMessage) -> None:
        """Free what an upload took, which may be much, where nobody waits for it."""
        try:
            self._services.offload.submit(staged.discard)
        except (Overloaded, RuntimeError):
            staged.discard()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self._settings.idle_seconds))
            self._services.sessions.end_idle()
