"""The ``lmtpd`` command: bind, fork the workers, serve until told to stop."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from socket import socket
from typing import Final

from lmtpd.server import LmtpServer
from msgstore.config.loader import load_settings
from msgstore.config.schema import Settings
from msgstore.model.errors import ConfigError
from msgstore.service.activation import passed_sockets
from msgstore.service.channel import WorkerChannel
from msgstore.service.hints import HintSender
from msgstore.service.lifecycle import Lifecycle, beat_while_healthy, run
from msgstore.service.listen import Listener, bind
from msgstore.service.notify import Notifier
from msgstore.service.offload import Offload
from msgstore.service.workers import PoolSettings, supervise
from msgstore.telemetry.log import configure_logging
from msgstore.telemetry.metrics import CONTENT_TYPE, MetricsHub
from msgstore.wiring import DeliveryParts, build_delivery, host_name, require_data_dir

__all__ = ["main"]

SNAPSHOT_SECONDS: Final = 5.0
"""How old the figures on the page may be."""

KILL_MARGIN_SECONDS: Final = 5.0
"""What a worker has beyond its own grace and the delivery deadline before it is killed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon and give its exit code. sysexits(3)."""
    parser = argparse.ArgumentParser(prog="lmtpd", description="Take mail over LMTP and keep it.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, instead of $MSGSTORE_CONFIG")
    chosen = parser.parse_args(arguments)
    with contextlib.ExitStack() as owned:
        try:
            settings = load_settings(chosen.config)
            configure_logging(form=settings.log.format, level=settings.log.level)
            require_data_dir(settings)
            sockets = _listen(settings, owned)
            page = _page_listener(settings, owned)
        except ConfigError as error:
            for fault in error.faults:
                sys.stderr.write(f"lmtpd: {fault}\n")
            return os.EX_CONFIG
        lmtp = settings.lmtp
        pool = PoolSettings(
            workers=lmtp.workers or min(4, len(os.sched_getaffinity(0))),
            grace_seconds=lmtp.grace_seconds + lmtp.delivery_seconds + KILL_MARGIN_SECONDS,
            content_type=CONTENT_TYPE,
        )
        return supervise(
            lambda channel: run(lambda life: _serve(settings, sockets, channel, life)),
            pool,
            notifier=Notifier.from_environment(),
            hub=MetricsHub(),
            page_socket=None if page is None else page.socket,
        )


def _listen(settings: Settings, owned: contextlib.ExitStack) -> tuple[socket, ...]:
    """Take systemd's sockets, or bind those of the settings."""
    passed = passed_sockets()
    if passed:
        return tuple(one.socket for one in passed)
    mode = int(settings.lmtp.socket_mode, 8)
    found: list[socket] = []
    for address in settings.lmtp.listen:
        listener = bind(address, mode=mode, group=settings.lmtp.socket_group)
        owned.callback(listener.close)
        found.append(listener.socket)
    return tuple(found)


def _page_listener(settings: Settings, owned: contextlib.ExitStack) -> Listener | None:
    if not settings.metrics.lmtpd:
        return None
    listener = bind(settings.metrics.lmtpd)
    owned.callback(listener.close)
    return listener


async def _serve(settings: Settings, sockets: Sequence[socket], channel: WorkerChannel, lifecycle: Lifecycle) -> None:
    """Serve in one worker until the end is asked for or the parent is gone."""
    lmtp = settings.lmtp
    parts = build_delivery(settings)
    offload = Offload(lmtp.delivery_threads, 2 * lmtp.max_connections, name="delivery")
    hints = HintSender(settings.access.hints_dir)
    loop = asyncio.get_running_loop()
    channel.socket.setblocking(True)
    loop.add_reader(channel.socket, lifecycle.stop)
    try:
        server = LmtpServer(
            lmtp,
            parts.agent,
            hostname=host_name(settings),
            offload=offload,
            counters=parts.events,
            probe=parts.store.check_health,
            tell=hints.send,
        )
        lifecycle.on_reload(server.clear_health)
        server.serve(sockets)
        channel.ready()
        chores = [
            loop.create_task(
                beat_while_healthy(channel.beat, parts.store.check_health, offload, every_seconds=channel.beat_seconds)
            ),
            loop.create_task(_report(channel, parts, offload)),
        ]
        await lifecycle.stopped()
        await server.close()
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        channel.send_snapshot(parts.snapshot())
    finally:
        loop.remove_reader(channel.socket)
        hints.close()
        offload.close()
        parts.close()


async def _report(channel: WorkerChannel, parts: DeliveryParts, offload: Offload) -> None:
    while True:
        await offload.run(lambda: channel.send_snapshot(parts.snapshot()))
        await asyncio.sleep(SNAPSHOT_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
