"""The ``accessd`` command: bind, fork the workers, serve until told to stop."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from ssl import SSLContext
from typing import Final

from accessd.calls import LoginRules
from accessd.peers import Peers
from accessd.server import AccessServer
from accessd.sieve_server import SieveServer, tls_context
from msgstore.config.loader import load_settings
from msgstore.config.schema import Settings
from msgstore.model.errors import ConfigError
from msgstore.service.activation import passed_sockets
from msgstore.service.channel import WorkerChannel
from msgstore.service.hints import Hints
from msgstore.service.lifecycle import Lifecycle, beat_while_healthy, run
from msgstore.service.listen import Listener, bind
from msgstore.service.notify import Notifier
from msgstore.service.offload import Offload
from msgstore.service.workers import PoolSettings, supervise
from msgstore.telemetry.log import configure_logging, logger
from msgstore.telemetry.metrics import CONTENT_TYPE, MetricsHub
from msgstore.wiring import CLOCK, AccessParts, build_access, require_data_dir

__all__ = ["main"]

log = logger(__name__)

SNAPSHOT_SECONDS: Final = 5.0
"""How old the figures on the page may be."""

KILL_MARGIN_SECONDS: Final = 5.0
"""What a worker has beyond its own grace and the longest request before it is killed."""

SIEVE_SOCKET_NAME: Final = "managesieve"
"""``FileDescriptorName=`` of sockets for ManageSieve that systemd passes; all others are access sockets."""

QUEUE_PER_THREAD: Final = 64
"""Requests that may wait for each worker thread before more are BUSY."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon and give its exit code. sysexits(3)."""
    parser = argparse.ArgumentParser(prog="accessd", description="Give mail and logins to the daemons of this machine.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, instead of $MSGSTORE_CONFIG")
    chosen = parser.parse_args(arguments)
    with contextlib.ExitStack() as owned:
        try:
            settings = load_settings(chosen.config)
            configure_logging(form=settings.log.format, level=settings.log.level)
            require_data_dir(settings)
            peers = Peers.from_settings(settings.access.roles, own_uid=os.geteuid())
            passed = passed_sockets()
            sockets = _listen(settings, owned, [one.socket for one in passed if one.name != SIEVE_SOCKET_NAME])
            for_sieve = [one.socket for one in passed if one.name == SIEVE_SOCKET_NAME]
            sieve = _sieve_front(settings, owned, for_sieve)
            page = _page_listener(settings, owned)
        except ConfigError as error:
            for fault in error.faults:
                sys.stderr.write(f"accessd: {fault}\n")
            return os.EX_CONFIG
        access = settings.access
        pool = PoolSettings(
            workers=access.workers,
            grace_seconds=access.grace_seconds + access.request_seconds + KILL_MARGIN_SECONDS,
            content_type=CONTENT_TYPE,
        )
        return supervise(
            lambda channel: run(lambda life: _Worker(settings, peers, channel, sieve).serve(sockets, life)),
            pool,
            notifier=Notifier.from_environment(),
            hub=MetricsHub(),
            page_socket=None if page is None else page.socket,
        )


def _listen(settings: Settings, owned: contextlib.ExitStack, passed: Sequence[socket]) -> tuple[socket, ...]:
    """Take systemd's sockets, or bind that of the settings."""
    if passed:
        return tuple(passed)
    access = settings.access
    listener = bind(access.listen, mode=int(access.socket_mode, 8), group=access.socket_group)
    owned.callback(listener.close)
    return (listener.socket,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SieveFront:
    """Where ManageSieve is served, and with which certificate."""

    sockets: tuple[socket, ...]
    tls: SSLContext | None


def _sieve_front(settings: Settings, owned: contextlib.ExitStack, passed: Sequence[socket]) -> _SieveFront:
    """Take systemd's sockets, or bind those of the settings."""
    front = settings.managesieve
    tls = tls_context(front)
    if passed:
        return _SieveFront(sockets=tuple(passed), tls=tls)
    listeners: list[Listener] = []
    for address in front.listen:
        listeners.append(bind(address, mode=int(front.socket_mode, 8), group=front.socket_group))
        owned.callback(listeners[-1].close)
    return _SieveFront(sockets=tuple(one.socket for one in listeners), tls=tls)


def _page_listener(settings: Settings, owned: contextlib.ExitStack) -> Listener | None:
    if not settings.metrics.accessd:
        return None
    listener = bind(settings.metrics.accessd)
    owned.callback(listener.close)
    return listener


def _hints(directory: str) -> Hints | None:
    """Listen for hints; without them what others changed is found a little later."""
    try:
        return Hints(directory)
    except OSError as error:
        log.warning("access.hints_unavailable", directory=directory, reason=str(error))
        return None


class _Worker:
    """One process that serves until the end is asked for or its parent is gone."""

    def __init__(self, settings: Settings, peers: Peers, channel: WorkerChannel, sieve: _SieveFront) -> None:
        self._settings = settings
        self._peers = peers
        self._channel = channel
        self._sieve = sieve
        access, auth = settings.access, settings.auth
        self._offload = Offload(access.worker_threads, access.worker_threads * QUEUE_PER_THREAD, name="access")
        cores = len(os.sched_getaffinity(0))
        self._passwords = Offload(auth.password_threads or cores, auth.password_queue, name="password")

    async def serve(self, sockets: Sequence[socket], lifecycle: Lifecycle) -> None:
        """Serve on the sockets, which stay the parent's."""
        loop = asyncio.get_running_loop()
        parts = build_access(self._settings)
        hints = _hints(self._settings.access.hints_dir)
        self._channel.socket.setblocking(True)
        # The parent never writes: what can be read is its end.
        loop.add_reader(self._channel.socket, lifecycle.stop)
        try:
            server = self._server(parts, hints)
            sieve = SieveServer(
                self._settings.managesieve,
                services=server.services,
                tls=self._sieve.tls,
                counters=parts.sieve_events,
            )
            lifecycle.on_reload(sieve.reload_certificate)
            # A worker that takes the place of a dead one was handed what was read when the parent began.
            lifecycle.reload()
            await sieve.start(self._sieve.sockets)
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve(sockets))
                self._channel.ready()
                chores = [
                    group.create_task(
                        beat_while_healthy(
                            self._channel.beat,
                            parts.store.check_health,
                            self._offload,
                            every_seconds=self._channel.beat_seconds,
                        )
                    ),
                    group.create_task(self._report(parts)),
                ]
                await lifecycle.stopped()
                await sieve.stop()
                await server.stop()
                await serving
                for chore in chores:
                    chore.cancel()
            self._channel.send_snapshot(parts.snapshot())
        finally:
            loop.remove_reader(self._channel.socket)
            self._offload.close()
            self._passwords.close()
            if hints is not None:
                hints.close()
            parts.close()

    def _server(self, parts: AccessParts, hints: Hints | None) -> AccessServer:
        return AccessServer(
            self._settings.access,
            store=parts.store,
            auth=parts.auth,
            agent=parts.agent,
            engine=parts.engine,
            requests=parts.requests,
            keys=parts.keys,
            offload=self._offload,
            passwords=self._passwords,
            clock=CLOCK,
            peers=self._peers,
            login=LoginRules(
                failure_seconds=self._settings.auth.failure_seconds,
                detail_separator=self._settings.auth.detail_separator,
                max_message_octets=self._settings.lmtp.max_message_octets,
            ),
            counters=parts.events,
            hints=hints,
        )

    async def _report(self, parts: AccessParts) -> None:
        while True:
            await self._offload.run(lambda: self._channel.send_snapshot(parts.snapshot()))
            await asyncio.sleep(SNAPSHOT_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
