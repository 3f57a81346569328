"""Our LMTP and aiosmtpd's, each with a handler that takes every message and keeps none: what the protocol costs."""

import asyncio
import socket
import sys
from typing import Any

from aiosmtpd.lmtp import LMTP

from lmtpd.server import LmtpServer
from msgstore.config.schema import LmtpSettings
from msgstore.service import lifecycle
from msgstore.service.offload import Offload
from tests.lmtpd.house_double import MemoryAgent


class Handler:
    """Takes a message and forgets it, in a worker thread as every handler must that stores it."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        """Answer for each recipient."""
        del server, session
        await asyncio.to_thread(len, envelope.content)
        return "\r\n".join("250 2.0.0 Saved" for _ in envelope.rcpt_tos)


async def serve_stock(path: str, life: lifecycle.Lifecycle) -> None:
    """Serve with aiosmtpd's own class until ended."""
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: LMTP(Handler(), hostname="bench", data_size_limit=100 << 20), path
    )
    await life.stopped()
    server.close()


async def serve_ours(path: str, life: lifecycle.Lifecycle) -> None:
    """Serve with ours until ended."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    settings = LmtpSettings(max_message_octets=100 << 20)
    server = LmtpServer(settings, MemoryAgent(keeps=False), hostname="bench", offload=Offload(4, 1000))
    server.serve([listening])
    await life.stopped()
    await server.close()


def main() -> None:
    """Serve on a socket, in the event loop that lmtpd uses."""
    serve = {"stock": serve_stock, "ours": serve_ours}[sys.argv[1]]
    lifecycle.run(lambda life: serve(sys.argv[2], life))


if __name__ == "__main__":
    main()
