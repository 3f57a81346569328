"""A client of the access socket that sends what it likes, for tests of accessd."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from msgstore.access.frames import AT_CLIENT, Frame, FrameDecoder, Request, Response, encode
from tests.accessd_room import Room

__all__ = ["SMALL", "Wire", "code_of", "reached", "wire"]

SMALL = b"Subject: one\r\n\r\nfirst\r\n"


class Wire:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._decoder = FrameDecoder(AT_CLIENT)
        self._last_id = 1000

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def next(self) -> Frame | None:
        """Give the next frame; None at the end."""
        while (frame := self._decoder.next_frame()) is None:
            octets = await self._reader.read(16384)
            if not octets:
                return None
            self._decoder.feed(octets)
        return frame

    async def answers(self, count: int) -> dict[int, Response]:
        found: dict[int, Response] = {}
        while len(found) < count:
            frame = await self.next()
            assert isinstance(frame, Response)
            assert frame.id not in found
            found[frame.id] = frame
        return found

    async def ask(self, method: str, *params: object) -> Response:
        self._last_id += 1
        await self.send(encode(Request(id=self._last_id, method=method, args=params)))
        frame = await self.next()
        assert isinstance(frame, Response)
        return frame

    async def log_in(self, user: str = "alice", password: str = "secret") -> dict[str, object]:
        """Log in and give the arguments that name the inbox."""
        found = await self.ask("auth.login", {"user": f"{user}@example.org", "password": password, "service": "pop3"})
        result = cast("dict[str, object]", found.result)
        return {"session": result["session"], "mailbox": result["mailbox"], "folder": "INBOX"}


@asynccontextmanager
async def wire(place: Room) -> AsyncGenerator[Wire, None]:
    reader, writer = await asyncio.open_unix_connection(place.path)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def code_of(response: Response) -> str:
    return str(cast("list[object]", response.error)[0])


async def reached(place: Room, verb: str) -> None:
    await asyncio.to_thread(place.shelf.reached[verb].wait, 10)
