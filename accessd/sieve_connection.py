"""One connection of ManageSieve: greeting, TLS, login, commands one after the other. RFC 5804."""

import asyncio
import base64
import binascii
import ssl
from collections.abc import Sequence
from typing import Final, Protocol

from accessd import logins
from accessd.calls import Services
from accessd.script_methods import largest_script
from accessd.session import Session
from accessd.sieve_commands import COMMANDS, WrongArguments, capabilities, refusal, run_command
from accessd.sieve_lines import Atom, LineDecoder, LineRefused, Word, answer, string
from msgstore.access.shapes import VerifyArgs
from msgstore.config.schema import ManageSieveSettings
from msgstore.model.errors import AuthFailed, MsgstoreError
from msgstore.telemetry.log import logger

__all__ = ["NoSieveCounters", "SieveConnection", "SieveCounters"]

log = logger(__name__)

_READ_OCTETS: Final = 64 * 1024
_STRANGER_LITERAL_OCTETS: Final = 8 * 1024
"""Before the login a literal holds nothing but a name and a password."""

_FAULTS_LIMIT: Final = 20
_LOGINS_LIMIT: Final = 3
_TLS_SECONDS: Final = 30.0
_WRITE_SECONDS: Final = 60.0


class SieveCounters(Protocol):
    """Where ManageSieve counts; every method is called in the event loop."""

    def count(self, event: str) -> None:
        """Count one event of a bounded set."""
        ...

    def set_connections(self, connections: int) -> None:
        """Say how many connections are open now."""
        ...


class NoSieveCounters:
    """Counts nothing."""

    def count(self, event: str) -> None:
        """Forget it."""

    def set_connections(self, connections: int) -> None:
        """Forget it."""


class _Ended(Exception):
    """The connection ends now; what was to be said has been said."""


class SieveConnection:
    """Speaks with one client until it says goodbye, falls silent, or makes too many mistakes."""

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        *,
        settings: ManageSieveSettings,
        services: Services,
        tls: ssl.SSLContext | None,
        client_address: str | None,
        may_login_plainly: bool,
        counters: SieveCounters,
    ) -> None:
        self._reader, self._writer = streams
        self._settings = settings
        self._services = services
        self._tls = tls
        self._is_encrypted = False
        self._client_address = client_address
        self._may_login_plainly = may_login_plainly
        self._decoder = LineDecoder(_STRANGER_LITERAL_OCTETS)
        self._counters = counters
        self._login_by = 0.0
        self._session: Session | None = None
        self._faults = self._failed_logins = 0
        self._task: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Answer commands; the connection is closed at the end."""
        self._task = asyncio.current_task()
        self._wait_for_login()
        try:
            await self._say(self._capabilities() + answer("OK", "ready"))
            while True:
                await self._answer(await self._line())
        except _Ended:
            pass
        except TimeoutError:
            why = "nothing came for too long" if self._session is not None else "no login came in time"
            await self._say_last(answer("BYE", why))
        except (ConnectionError, ssl.SSLError, EOFError) as error:
            log.debug("managesieve.connection_lost", reason=str(error))
        finally:
            self._end_session()
            self._writer.close()

    async def go_away(self) -> None:
        """Say goodbye and end, in the middle of whatever it is."""
        await self._say_last(answer("BYE", "the server stops", code="TRYLATER"))
        if self._task is not None:
            self._task.cancel()

    # Lines.

    async def _line(self) -> tuple[Word, ...]:
        while True:
            try:
                line = self._decoder.next_line()
            except LineRefused as error:
                if error.is_fatal:
                    self._counters.count("fault")
                    await self._say(answer("BYE", str(error), code=error.code))
                    raise _Ended from None
                await self._fault(answer("NO", str(error), code=error.code))
                continue
            if line is not None:
                return line
            async with self._patience():
                octets = await self._reader.read(_READ_OCTETS)
            if not octets:
                raise _Ended
            self._decoder.feed(octets)

    def _patience(self) -> asyncio.Timeout:
        """Bound the wait for octets: a session by its silence, a stranger by the clock, or drops would keep it here."""
        if self._session is None:
            return asyncio.timeout_at(self._login_by)
        return asyncio.timeout(self._settings.idle_seconds)

    def _wait_for_login(self) -> None:
        self._login_by = asyncio.get_running_loop().time() + self._settings.login_seconds

    async def _say(self, octets: bytes) -> None:
        self._writer.write(octets)
        async with asyncio.timeout(_WRITE_SECONDS):
            await self._writer.drain()

    async def _say_last(self, octets: bytes) -> None:
        try:
            await self._say(octets)
        except (OSError, TimeoutError):
            # Nobody listens any more.
            return

    async def _fault(self, octets: bytes) -> None:
        self._faults += 1
        self._counters.count("fault")
        if self._faults > _FAULTS_LIMIT:
            await self._say(answer("BYE", "too many mistakes"))
            raise _Ended
        await self._say(octets)

    # Commands.

    async def _answer(self, line: Sequence[Word]) -> None:
        match line:
            case [Atom(name), *arguments]:
                pass
            case _:
                await self._fault(answer("NO", "a command comes first"))
                return
        try:
            await self._run(name, arguments)
        except WrongArguments:
            await self._fault(answer("NO", f"{name} takes other arguments"))
        except MsgstoreError as error:
            await self._say(refusal(error))

    async def _run(self, name: str, arguments: Sequence[Word]) -> None:
        match name, arguments:
            case "CAPABILITY", []:
                await self._say(self._capabilities() + answer("OK"))
            case "LOGOUT", []:
                await self._say(answer("OK", "goodbye"))
                raise _Ended
            case "NOOP", []:
                await self._say(answer("OK", "nothing done"))
            case "NOOP", [bytes(tag)]:
                await self._say(
                    answer("OK", "nothing done", code=f"TAG {string(tag.decode('utf-8', 'replace')).decode()}")
                )
            case "STARTTLS", []:
                await self._start_tls()
            case "AUTHENTICATE", [bytes(mechanism)]:
                await self._authenticate(mechanism, None)
            case "AUTHENTICATE", [bytes(mechanism), bytes(initial)]:
                await self._authenticate(mechanism, initial)
            case "UNAUTHENTICATE", [] if self._session is not None:
                self._end_session()
                self._wait_for_login()
                await self._say(answer("OK"))
            case _ if name in COMMANDS or name == "UNAUTHENTICATE":
                await self._with_login(name, arguments)
            case _ if name in ("CAPABILITY", "LOGOUT", "NOOP", "STARTTLS", "AUTHENTICATE"):
                raise WrongArguments
            case _:
                await self._fault(answer("NO", "there is no such command"))

    async def _with_login(self, name: str, arguments: Sequence[Word]) -> None:
        if self._session is None:
            await self._fault(answer("NO", "log in first"))
            return
        if name not in COMMANDS:
            raise WrongArguments
        session = self._session
        self._services.sessions.touch(session)
        session.busy += 1
        try:
            shelf = self._services.store.scripts(session.mailbox)
            done = await run_command(name, arguments, services=self._services, shelf=shelf)
        except MsgstoreError:
            if name == "PUTSCRIPT":
                self._counters.count("script_refused")
            raise
        finally:
            session.busy -= 1
        if name == "PUTSCRIPT":
            self._counters.count("script_put")
        await self._say(done)

    def _capabilities(self) -> bytes:
        return capabilities(
            self._services.engine,
            mechanisms="PLAIN" if self._may_login else "",
            starts_tls=self._tls is not None and not self._is_encrypted,
            owner=None if self._session is None else str(self._session.mailbox),
        )

    # TLS.

    async def _start_tls(self) -> None:
        if self._tls is None or self._is_encrypted or self._session is not None:
            await self._fault(answer("NO", "TLS cannot begin here"))
            return
        # What the client says to the TLS layer belongs to that, and what came before it to nobody: somebody on the way
        # could have put commands there that would count as the client's own.
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # every transport that can start TLS has it
        if not self._decoder.is_empty or await self._has_more():
            await self._say(answer("BYE", "nothing may follow STARTTLS"))
            raise _Ended
        self._writer.write(answer("OK", "begin"))
        await self._writer.start_tls(self._tls, ssl_handshake_timeout=_TLS_SECONDS)
        self._is_encrypted = True
        self._counters.count("tls")
        await self._say(self._capabilities() + answer("OK", "TLS is on"))

    async def _has_more(self) -> bool:
        try:
            async with asyncio.timeout(0):
                return bool(await self._reader.read(1))
        except TimeoutError:
            return False

    # Login.

    @property
    def _may_login(self) -> bool:
        return self._is_encrypted or self._may_login_plainly

    async def _authenticate(self, mechanism: bytes, initial: bytes | None) -> None:
        arrived = asyncio.get_running_loop().time()
        if self._session is not None:
            await self._fault(answer("NO", "somebody is logged in already"))
            return
        if not self._may_login:
            await self._fault(answer("NO", "TLS comes first", code="ENCRYPT-NEEDED"))
            return
        if mechanism.upper() != b"PLAIN":
            await self._fault(answer("NO", "the only mechanism is PLAIN"))
            return
        if initial is None:
            await self._say(b'""\r\n')
            match await self._line():
                case [bytes(given)]:
                    initial = given
                case _:
                    raise WrongArguments
        if initial == b"*":
            await self._say(answer("NO", "the login was given up"))
            return
        try:
            message = base64.b64decode(initial, validate=True)
        except binascii.Error:
            await self._fault(answer("NO", "not base64"))
            return
        await self._log_in(message, arrived)

    async def _log_in(self, message: bytes, arrived: float) -> None:
        name, password = logins.credentials_from_plain(message)
        args = VerifyArgs(user=name, password=password, service="sieve", client_address=self._client_address)
        try:
            user = await logins.authenticate(self._services, args, arrived=arrived)
        except MsgstoreError as error:
            self._failed_logins += isinstance(error, AuthFailed)
            self._counters.count("login_failed")
            if self._failed_logins >= _LOGINS_LIMIT:
                await self._say(answer("BYE", "too many failed logins"))
                raise _Ended from None
            raise
        await self._services.offload.run(logins.prepare_mailbox, self._services.store, user)
        self._session = self._services.sessions.start(
            user, service="sieve", client_address=self._client_address, on_end=self._forget
        )
        self._decoder.literal_limit = largest_script(self._services.engine) + _STRANGER_LITERAL_OCTETS
        log.info(
            "access.logged_in",
            user=str(user.mailbox),
            service="sieve",
            client=self._client_address,
            session=self._session.id,
            trace=None,
        )
        self._counters.count("login")
        await self._say(answer("OK", "logged in"))

    def _end_session(self) -> None:
        session, self._session = self._session, None
        self._decoder.literal_limit = _STRANGER_LITERAL_OCTETS
        if session is not None:
            self._services.sessions.end(session)

    def _forget(self, session: Session) -> None:
        """Let go of a session that somebody ended; if that was not this connection, it ends as well."""
        if session is self._session:
            self._session = None
            if self._task is not None:
                self._task.cancel()
