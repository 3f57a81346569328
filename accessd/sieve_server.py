"""The listener of ManageSieve."""

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from typing import cast

from accessd.calls import Services
from accessd.sieve_connection import NoSieveCounters, SieveConnection, SieveCounters
from accessd.sieve_lines import answer
from msgstore.config.schema import ManageSieveSettings
from msgstore.model.errors import ConfigError
from msgstore.telemetry.log import logger

__all__ = ["SieveServer", "tls_context"]

log = logger(__name__)


def tls_context(settings: ManageSieveSettings) -> ssl.SSLContext | None:
    """Read certificate and key; None where none are named.

    Raises:
        ConfigError: they cannot be read, or do not belong together.
    """
    if not settings.tls_cert:
        if settings.listen and not settings.plain_login:
            raise ConfigError(("managesieve.tls_cert: is missing, and without TLS nobody can log in",))
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key or None)
    except OSError as error:
        # An SSLError is one too.
        raise ConfigError((f"managesieve.tls_cert: {settings.tls_cert}: {error.strerror or error}",)) from error
    return context


class SieveServer:
    """Serves ManageSieve on given sockets, in the event loop and on the parts of an access server."""

    def __init__(
        self,
        settings: ManageSieveSettings,
        *,
        services: Services,
        tls: ssl.SSLContext | None,
        counters: SieveCounters | None = None,
    ) -> None:
        self._settings = settings
        self._services = services
        self._tls = tls
        self._counters = counters or NoSieveCounters()
        self._clients: Counter[str] = Counter()
        self._connections: dict[SieveConnection, asyncio.Task[None]] = {}
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept; the sockets stay the caller's."""
        for listening in sockets:
            # A server closes its socket at its end, and this one is not its own.
            server = await asyncio.start_server(self._serve_one, sock=listening.dup())
            self._servers.append(server)

    def reload_certificate(self) -> None:
        """Read certificate and key again, for connections that come from now on; those that are there go on.

        Raises:
            ConfigError: they cannot be used; what was read before stays in use.
        """
        self._tls = tls_context(self._settings)

    async def stop(self) -> None:
        """Accept no more and end every connection with BYE."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            await connection.go_away()
        if self._connections:
            await asyncio.wait(list(self._connections.values()))

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, is_near = _peer(writer)
        if self._is_full_for(address):
            self._counters.count("refused")
            writer.write(answer("BYE", "too many connections", code="TRYLATER"))
            writer.close()
            return
        connection = SieveConnection(
            (reader, writer),
            settings=self._settings,
            services=self._services,
            tls=self._tls,
            client_address=address,
            may_login_plainly=self._settings.plain_login and is_near,
            counters=self._counters,
        )
        task = asyncio.current_task()
        assert task is not None, "a connection has a task"
        self._connections[connection] = task
        self._counters.count("connection")
        self._count(address, 1)
        try:
            await connection.serve()
        except asyncio.CancelledError:
            # By the end of this server, or of its session; asyncio would log it.
            log.debug("managesieve.connection_ended", client=address)
        # The connection loop: trouble of one peer ends its connection and nothing else.
        except Exception as error:  # noqa: BLE001
            log.error("managesieve.connection_crashed", error=error)  # noqa: TRY400 - not a logging.Logger
        finally:
            del self._connections[connection]
            self._count(address, -1)

    def _is_full_for(self, address: str | None) -> bool:
        """Whether no place is left, or none for this client; peers at Unix sockets have no address."""
        if len(self._connections) >= self._settings.max_connections:
            return True
        return address is not None and self._clients.get(address, 0) >= self._settings.max_connections_per_client

    def _count(self, address: str | None, more: int) -> None:
        self._counters.set_connections(len(self._connections))
        if address is not None:
            self._clients[address] += more
            if not self._clients[address]:
                # Forgotten, or addresses would pile up.
                del self._clients[address]


def _peer(writer: asyncio.StreamWriter) -> tuple[str | None, bool]:
    """Give the address of the peer, None at a Unix socket, and whether it is this very machine."""
    connected = cast("socket.socket", writer.get_extra_info("socket"))
    if connected.family == socket.AF_UNIX:
        return None, True
    host = str(cast("tuple[object, ...]", writer.get_extra_info("peername"))[0])
    return host, ipaddress.ip_address(host.partition("%")[0]).is_loopback
