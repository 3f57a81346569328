"""Stock aiosmtpd.lmtp.LMTP with the standard library's Maildir, one reply per recipient: the server to beat."""

import asyncio
import mailbox
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.lmtp import LMTP


class Handler:
    """Stores each message for each recipient in a worker thread."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def store(self, user: str, content: bytes) -> None:
        """Add one message to one Maildir."""
        mailbox.Maildir(self.place / user, create=True).add(content)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        """Take a message."""
        del server, session
        for path in envelope.rcpt_tos:
            await asyncio.to_thread(self.store, path.partition("@")[0], envelope.content)
        return "\r\n".join("250 2.0.0 Saved" for _ in envelope.rcpt_tos)


async def main() -> None:
    """Serve until ended."""
    handler = Handler(Path(sys.argv[2]))
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(
        lambda: LMTP(handler, hostname="bench", data_size_limit=100 << 20), sys.argv[1], backlog=512
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
