"""A ManageSieve server over a store in memory, and a client that sees every octet."""

import asyncio
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from accessd.calls import LoginRules
from accessd.sieve_server import SieveServer, tls_context
from msgstore.config.schema import ManageSieveSettings
from msgstore.telemetry.counters import SieveEvents
from msgstore.telemetry.metrics import Metrics, MetricsHub
from tests.accessd_room import Room, room

__all__ = ["LOGIN", "Desk", "Front", "certificate", "front", "openssl"]

LOGIN = b'AUTHENTICATE "PLAIN" "AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA=="\r\n'
"""Alice and her password."""


def openssl() -> str:
    """Give the program; without it the test is skipped."""
    program = shutil.which("openssl")
    if program is None:
        assert "MSGSTORE_REQUIRE_SERVICES" not in os.environ, "openssl is missing"
        pytest.skip("openssl is missing")
    return program


def certificate(place: Path, *, days: int = 1) -> tuple[str, str]:
    """Make a certificate for localhost that lives for a day or more; give its file and that of its key."""
    program = openssl()
    cert, key = str(place / "cert.pem"), str(place / "key.pem")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    made = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days))
    told = ("-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", cert)
    subprocess.run([program, *made, *told], check=True, capture_output=True)
    return cert, key


class Desk:
    """One client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def line(self) -> bytes:
        """Read a line with the literal in it, if there is one."""
        async with asyncio.timeout(10):
            line = await self.reader.readline()
            if found := re.search(rb"\{(\d+)\}\r\n$", line):
                line += await self.reader.readexactly(int(found[1])) + await self.reader.readline()
            return line

    async def answer(self) -> list[bytes]:
        """Read up to the line that ends an answer."""
        lines: list[bytes] = []
        while True:
            lines.append(await self.line())
            if not lines[-1] or lines[-1].startswith((b"OK", b"NO", b"BYE")):
                return lines

    async def ask(self, octets: bytes) -> list[bytes]:
        self.writer.write(octets)
        return await self.answer()

    async def start_tls(self, cert: str) -> list[bytes]:
        assert await self.ask(b"STARTTLS\r\n") == [b'OK "begin"\r\n']
        context = ssl.create_default_context(cafile=cert)
        await self.writer.start_tls(context, server_hostname="localhost")
        return await self.answer()


@dataclass(slots=True, kw_only=True)
class Front:
    """What a test can touch."""

    port: int
    room: Room
    server: SieveServer
    metrics: Metrics

    def counted(self, event: str) -> int:
        """Give how often something of ManageSieve was counted; every event exists from the start."""
        return self._on_page(f'msgstore_accessd_events_total{{event="managesieve_{event}"}} ')

    @property
    def connections(self) -> int:
        """How many there are, as the page of metrics says."""
        return self._on_page('msgstore_accessd_current{what="managesieve_connections"} ')

    def _on_page(self, series: str) -> int:
        hub = MetricsHub()
        hub.update("0.1", self.metrics.snapshot())
        (line,) = (line for line in hub.page().decode().splitlines() if line.startswith(series))
        return int(float(line.removeprefix(series)))

    @asynccontextmanager
    async def desk(self, *, greeted: bool = True, in_advance: bytes = b"") -> AsyncGenerator[Desk, None]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(in_advance)
        desk = Desk(reader, writer)
        try:
            if greeted:
                await desk.answer()
            yield desk
        finally:
            writer.close()


@asynccontextmanager
async def front(
    place: Path, settings: ManageSieveSettings | None = None, *, login: LoginRules | None = None
) -> AsyncGenerator[Front, None]:
    """Serve on loopback; without settings passwords are taken as they are."""
    chosen = settings or ManageSieveSettings(listen=("tcp:127.0.0.1:0",), plain_login=True)
    async with room(place, login=login) as found:
        metrics = Metrics(service="accessd")
        events = SieveEvents(metrics)
        server = SieveServer(chosen, services=found.server.services, tls=tls_context(chosen), counters=events)
        listening = socket.create_server(("127.0.0.1", 0))
        await server.start([listening])
        try:
            yield Front(port=listening.getsockname()[1], room=found, server=server, metrics=metrics)
        finally:
            await server.stop()
            listening.close()
