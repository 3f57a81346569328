"""A whole POP3 server on ``msgstore.access`` alone: the living example for whoever ports a daemon to the access socket.

It shows what the socket already does: the exclusive maildrop and its frozen view (``mailbox.open``), marks that die
with the session, error hints to print (``AccessError.pop3``), bodies that stream.  No TLS and no limits: an example.

RFC 1939, RFC 2449 §8 (response codes), RFC 3206 (SYS and AUTH).
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Final

from msgstore.access.aio import AccessClient, Session
from msgstore.access.codes import AccessError
from msgstore.access.rows import MessageRow

__all__ = ["Pop3Server"]

LINE_LIMIT_OCTETS: Final = 255
"""RFC 2449 §4."""

IDLE_SECONDS: Final = 600.0
"""RFC 1939 §3 asks for at least ten minutes."""


class Pop3Server:
    """Serves POP3 clients, each with an access connection of its own, so that its end drops marks and lock."""

    def __init__(self, access_path: str) -> None:
        self._access_path = access_path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client to its end; fits ``asyncio.start_server``."""
        try:
            async with AccessClient.connect(self._access_path, client="pop3d") as access:
                await _Conversation(access, reader, writer).run()
        except (OSError, AccessError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # The client or the access socket is gone: nothing was committed, so nothing is to be undone.
            pass
        finally:
            writer.close()


class _Conversation:
    """One POP3 client. RFC 1939 §3: AUTHORIZATION, TRANSACTION, UPDATE."""

    def __init__(self, access: AccessClient, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._access = access
        self._reader = reader
        self._writer = writer
        self._name: str | None = None
        self._session: Session | None = None
        self._rows: Sequence[MessageRow] = ()
        self._marked: set[int] = set()
        self._done = False
        self._before_login: dict[str, _Command] = {"USER": self._user, "PASS": self._pass}
        self._after_login: dict[str, _Command] = {
            "STAT": self._stat,
            "LIST": self._list,
            "UIDL": self._uidl,
            "RETR": self._retr,
            "TOP": self._top,
            "DELE": self._dele,
            "RSET": self._rset,
            "NOOP": self._noop,
        }

    async def run(self) -> None:
        await self._say("+OK ready")
        while not self._done:
            async with asyncio.timeout(IDLE_SECONDS):
                line = await self._reader.readuntil(b"\r\n")
            verb, _, argument = line[:-2].decode("utf-8", "replace").partition(" ")
            if len(line) > LINE_LIMIT_OCTETS:
                verb = "a line that is too long"
            try:
                await self._obey(verb.upper(), argument)
            except _Refused as refused:
                await self._say(f"-ERR {refused}")
            except AccessError as error:
                # The text of an error is for the site; its code is for the client.
                await self._say(f"-ERR [{error.pop3}] refused" if error.pop3 else "-ERR refused")

    async def _obey(self, verb: str, argument: str) -> None:
        known = self._before_login if self._session is None else self._after_login
        if verb == "QUIT":
            await self._quit()
        elif verb == "CAPA":
            await self._say_lines("+OK", ("USER", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"))
        elif verb in known:
            await known[verb](argument)
        else:
            raise _Refused("unknown command or wrong state")

    async def _user(self, argument: str) -> None:
        if not argument:
            raise _Refused("USER wants a name")
        # Every name is taken here, so that nobody learns which ones exist (RFC 1939 §13).
        self._name = argument
        await self._say("+OK")

    async def _pass(self, argument: str) -> None:
        name, self._name = self._name, None
        if name is None:
            raise _Refused("USER first")
        address = str((self._writer.get_extra_info("peername") or ("",))[0])
        session = await self._access.login(name, argument, service="pop3", client_address=address or None)
        try:
            await session.open()
        except AccessError:
            await session.logout()
            raise
        self._rows = await session.list(fields=("uid", "uidl", "octets"))
        self._session = session
        await self._say(f"+OK {len(self._rows)} messages")

    async def _stat(self, _argument: str) -> None:
        left = [row.octets or 0 for _, row in self._left()]
        await self._say(f"+OK {len(left)} {sum(left)}")

    async def _list(self, argument: str) -> None:
        await self._tell(argument, lambda row: str(row.octets))

    async def _uidl(self, argument: str) -> None:
        await self._tell(argument, lambda row: str(row.uidl))

    async def _retr(self, argument: str) -> None:
        row = self._row(argument)
        async with await self._opened().retrieve(row.uid) as body:
            await self._send_text(f"+OK {row.octets} octets", body.chunks())

    async def _top(self, argument: str) -> None:
        number, _, count = argument.partition(" ")
        if not count.isdecimal():
            raise _Refused("TOP wants a message and a number of lines")
        uid = self._row(number).uid
        try:
            # Above a million lines no number says more, and some do not fit a frame.
            found = await self._opened().headers(uid, lines=min(int(count), 1_000_000))
        except AccessError as error:
            if error.code != "TOO_LARGE":
                raise
            async with await self._opened().retrieve(uid) as body:
                await self._send_text("+OK", _top(body.chunks(), int(count)))
        else:
            await self._send_text("+OK", _once(found.headers + (found.lines or b"")))

    async def _dele(self, argument: str) -> None:
        row = self._row(argument)
        await self._opened().delete(row.uid)
        self._marked.add(row.uid)
        await self._say("+OK marked")

    async def _rset(self, _argument: str) -> None:
        await self._opened().undelete()
        self._marked.clear()
        await self._say("+OK")

    async def _noop(self, _argument: str) -> None:
        await self._opened().stat()
        await self._say("+OK")

    async def _quit(self) -> None:
        self._done = True
        if self._session is not None:
            gone = await self._session.expunge()
            await self._session.close()
            await self._session.logout()
            if gone.failed:
                raise _Refused("[SYS/TEMP] some messages were not removed")
        await self._say("+OK bye")

    def _opened(self) -> Session:
        assert self._session is not None
        return self._session

    def _left(self) -> Iterator[tuple[int, MessageRow]]:
        """Give what is not marked, under the numbers of the moment of login. RFC 1939 §5."""
        return ((number, row) for number, row in enumerate(self._rows, 1) if row.uid not in self._marked)

    def _row(self, argument: str) -> MessageRow:
        number = int(argument) if argument.isascii() and argument.isdecimal() else 0
        if not 0 < number <= len(self._rows) or self._rows[number - 1].uid in self._marked:
            raise _Refused("no such message")
        return self._rows[number - 1]

    async def _tell(self, argument: str, what: Callable[[MessageRow], str]) -> None:
        if argument:
            await self._say(f"+OK {argument} {what(self._row(argument))}")
        else:
            await self._say_lines("+OK", [f"{number} {what(row)}" for number, row in self._left()])

    async def _say(self, line: str) -> None:
        self._writer.write(line.encode() + b"\r\n")
        await self._writer.drain()

    async def _say_lines(self, first: str, lines: "list[str] | tuple[str, ...]") -> None:
        await self._say("\r\n".join((first, *lines, ".")))

    async def _send_text(self, first: str, chunks: AsyncIterator[bytes]) -> None:
        """Send octets, cut anywhere, as lines that end with CRLF, dots doubled. RFC 1939 §3."""
        await self._say(first)
        rest = b""
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            self._writer.writelines(_stuffed(line) for line in lines)
            await self._writer.drain()
        self._writer.write((_stuffed(rest) if rest else b"") + b".\r\n")
        await self._writer.drain()


_Command = Callable[[str], Awaitable[None]]


class _Refused(Exception):
    """A command that is answered -ERR; the text goes to the client."""


def _stuffed(line: bytes) -> bytes:
    return (b"." if line.startswith(b".") else b"") + line.removesuffix(b"\r") + b"\r\n"


async def _once(octets: bytes) -> AsyncIterator[bytes]:
    yield octets


async def _top(chunks: AsyncIterator[bytes], lines: int) -> AsyncIterator[bytes]:
    """Give the header, the empty line and as many lines more. RFC 1939 §7."""
    rest, left = b"", -1
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if left == 0:
                return
            yield line + b"\n"
            ends_header = left < 0 and line in (b"", b"\r")
            left = lines if ends_header else left - (left > 0)
    if left:
        yield rest


async def main(access_path: str, host: str, port: int) -> None:
    """Serve at ``host:port`` until ended."""
    server = await asyncio.start_server(Pop3Server(access_path).serve, host, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
