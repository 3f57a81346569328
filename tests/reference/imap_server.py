"""An IMAP server on ``msgstore.access`` alone: pymap speaks IMAP, the modules beside this one ask the access socket.

The living example for whoever ports an imapd; what it finds there is shown in ``imap_backend``.  No TLS and no limits.

RFC 3501, RFC 4315 (UIDPLUS), RFC 6851 (MOVE), RFC 6154 (special-use), RFC 2177 (IDLE).
"""

import asyncio
import sys
from argparse import Namespace
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Final, NoReturn

from proxyprotocol.sock import SocketInfo
from pymap.config import BackendCapability, IMAPConfig
from pymap.context import connection_exit, socket_info
from pymap.exceptions import AuthorizationFailure, InvalidAuth, NotSupportedError
from pymap.imap import IMAPServer
from pymap.interfaces.login import IdentityInterface, LoginInterface
from pymap.interfaces.session import SessionInterface
from pymap.token import AllTokens
from pymap.user import UserMetadata
from pysasl.creds.plain import PlainCredentials
from pysasl.creds.server import ServerCredentials

from msgstore.access.aio import AccessClient, Session
from tests.reference.imap_backend import ImapSession
from tests.reference.imap_messages import told

__all__ = ["imap_server", "main"]


class Settings(IMAPConfig):
    """What pymap wants to know; nothing is read from a command line or the environment."""

    def __init__(self, access_path: str) -> None:
        nothing = Namespace(passlib_cfg=None, proxy_protocol="noop")
        super().__init__(nothing, host=None, port=0, tls_enabled=False, reject_dnsbl=False)
        self.access_path: Final = access_path

    @property
    def backend_capability(self) -> BackendCapability:
        """Extensions that need the backend; no OBJECTID, because the socket has no ids of folders."""
        return BackendCapability(idle=True, object_id=False, multi_append=True, custom=[b"SPECIAL-USE"])

    @property
    def greeting(self) -> bytes:
        """The first line, without the name of this machine."""
        return b"Server ready."


class Login(LoginInterface):
    """Opens a connection to the access socket for each client, so that its end is the end of the session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens = AllTokens(settings)

    @property
    def tokens(self) -> AllTokens:
        """Bearer tokens, of which there are none."""
        return self._tokens

    async def authenticate(self, credentials: ServerCredentials) -> "Identity":
        """Log in at the access socket, which checks the password."""
        if not isinstance(credentials, PlainCredentials):
            raise InvalidAuth
        address = socket_info.get().peername_ip
        async with AsyncExitStack() as opening:
            access = await opening.enter_async_context(AccessClient.connect(self._settings.access_path, client="imapd"))
            with told():
                session = await access.login(
                    credentials.authcid,
                    credentials._secret,
                    service="imap",
                    client_address=None if address is None else str(address),
                )
            connection_exit.get().push_async_exit(opening.pop_all())
        return Identity(credentials.authcid, session)

    async def authorize(self, authenticated: IdentityInterface, authzid: str) -> "Identity":
        """Nobody acts for somebody else."""
        if not isinstance(authenticated, Identity) or authzid != authenticated.name:
            raise AuthorizationFailure
        return authenticated


class Identity(IdentityInterface):
    """A user who has logged in; users are not managed here."""

    def __init__(self, name: str, session: Session) -> None:
        self._name = name
        self._session = session

    @property
    def name(self) -> str:
        """The name as the client gave it."""
        return self._name

    @property
    def roles(self) -> frozenset[str]:
        """No roles."""
        return frozenset()

    @asynccontextmanager
    async def new_session(self) -> AsyncGenerator[SessionInterface, None]:
        """Give the session; it ends with the connection to the access socket."""
        yield ImapSession(self._name, self._session)

    async def new_token(self, *, expiration: datetime | None = None) -> str | None:  # noqa: ARG002 - pymap's signature
        """There are no tokens."""
        return None

    async def get(self) -> UserMetadata:
        """Users are not managed here."""
        raise NotSupportedError

    async def set(self, metadata: UserMetadata) -> NoReturn:  # noqa: ARG002 - pymap's signature
        """Users are not managed here."""
        raise NotSupportedError

    async def delete(self) -> NoReturn:
        """Users are not managed here."""
        raise NotSupportedError


async def imap_server(access_path: str, host: str, port: int) -> asyncio.Server:
    """Listen; every client gets a connection to the access socket of its own."""
    settings = Settings(access_path)
    settings.apply_context()
    serve = IMAPServer(Login(settings), settings)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer, SocketInfo.get(writer.transport, None))

    return await asyncio.start_server(answer, host, port)


async def main(access_path: str, host: str, port: int) -> None:
    """Serve at ``host:port`` until ended."""
    server = await imap_server(access_path, host, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
