"""One request from its check to its result; the only crossing to worker threads in this program."""

import asyncio
import contextlib
import functools
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeVar, TypeVarTuple

from accessd.bodies import Handles
from accessd.peers import Credentials
from accessd.session import Session, Sessions, Turn
from accessd.uploads import Uploads
from accessd.watch import Watches
from accessd.watching import Watching
from msgstore.access import contract, entries
from msgstore.access.codes import AccessError
from msgstore.access.concealed import stand_in
from msgstore.access.contract import Checked
from msgstore.access.frames import Request
from msgstore.access.shapes import Limits, SaslStartArgs
from msgstore.auth.keyaccess import KeyAccess
from msgstore.config.schema import RoleName
from msgstore.crypto.secret import Secret
from msgstore.model.interfaces import AuthProvider, Clock, DeliveryAgent, MessageStore
from msgstore.service.offload import Offload
from msgstore.sieve import Engine
from msgstore.store.requests import RequestLog

__all__ = ["AccessCounters", "Call", "Caller", "LoginRules", "NoCounters", "Services", "begin"]

DELIVERY_SECONDS: Final = 240.0
"""As an LMTP client waits for the reply to a message, and a little less."""

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class AccessCounters(Protocol):
    """Where this program counts; every method is called in the event loop."""

    def connection_opened(self) -> None:
        """A peer with a role has connected."""
        ...

    def connection_closed(self) -> None:
        """Its connection has ended."""
        ...

    def peer_denied(self) -> None:
        """A peer without a role was closed."""
        ...

    def set_watches(self, watches: int) -> None:
        """Say how many watches there are now."""
        ...

    def frame_refused(self) -> None:
        """A peer sent what is no frame, and was closed."""
        ...

    def request_answered(self, method: str, outcome: str) -> None:
        """A request has its response; ``outcome`` is ``ok`` or a code of the protocol, ``method`` is a known one."""
        ...


class NoCounters:
    """Counts nothing."""

    def connection_opened(self) -> None:
        """Forget it."""

    def connection_closed(self) -> None:
        """Forget it."""

    def peer_denied(self) -> None:
        """Forget it."""

    def frame_refused(self) -> None:
        """Forget it."""

    def request_answered(self, method: str, outcome: str) -> None:
        """Forget it."""

    def set_watches(self, watches: int) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRules:
    """What settings of other sections say to logins and lookups."""

    failure_seconds: float = 5.0
    """Every failed login is answered this long after its request came."""

    detail_separator: str = "+"
    max_message_octets: int = 52_428_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every connection works on."""

    store: MessageStore
    auth: AuthProvider
    agent: DeliveryAgent | None
    """Takes messages for delivery; None where no mail is delivered."""

    engine: Engine
    """Compiles scripts."""

    keys: KeyAccess | None
    """Users' keys; None where none are kept."""

    opens_keys: bool
    """Whether a session may give its private keys to this server, which then reads sealed mail for it."""

    requests: RequestLog
    """Which writes were done under an id of the client."""

    offload: Offload
    passwords: Offload
    """Password checks cost 64 MiB each, so they have threads of their own."""

    clock: Clock
    sessions: Sessions
    limits: Limits
    login: LoginRules
    request_seconds: float
    boot: str
    counters: AccessCounters
    watching: Watching
    max_watches: int
    """Of one connection."""

    stats: Callable[[], tuple[int, int, int]]
    """Connections, requests in work and open handles of this process."""


@dataclass(slots=True, kw_only=True, eq=False)
class Caller:
    """One connection as the methods see it."""

    roles: frozenset[RoleName]
    peer: Credentials
    handles: Handles
    uploads: Uploads
    watches: Watches = field(default_factory=Watches)
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])
    """By token; a token means nothing on another connection."""

    features: frozenset[str] = frozenset()
    error_form: Literal["array", "string"] = "array"
    is_trusted: bool = False
    """Whether somebody has logged in here, or the role needs no login; larger requests are read then."""

    sasl_steps: dict[str, SaslStartArgs] = field(default_factory=dict[str, SaslStartArgs])
    """Exchanges that wait for their next step."""

    def forget(self, session: Session) -> None:
        """Drop a session that has ended, whoever ended it."""
        self.sessions.pop(session.token, None)
        self.handles.release_of(session)
        self.watches.end_of(session)

    def end(self, sessions: Sessions) -> None:
        """Drop everything the connection held."""
        for session in list(self.sessions.values()):
            sessions.end(session)
        self.sasl_steps.clear()
        self.handles.release_all()
        self.uploads.discard_all()
        self.watches.end_all()


class Call:
    """One request in work.  Methods reach the store and the passwords through it and through nothing else."""

    def __init__(self, *, checked: Checked, caller: Caller, services: Services, arrived: float) -> None:
        self.checked = checked
        self.caller = caller
        self.services = services
        self.arrived = arrived
        """Time of the event loop."""

        self.session: Session | None = None
        self.turn: Turn | None = None
        self.descriptor: int | None = None
        """Goes out with the response; owned by whoever sends it."""

        self.upload: int | None = None
        """A descriptor that came with the request."""

        self.committing = False
        """From here on the true result is the answer, however late."""

        self.hidden: dict[bytes, Secret] = {}
        """Secrets of the result, by what stands for them until it is sent."""

    @functools.cached_property
    def log_id(self) -> str:
        """Stands in the log and in ``data.id`` of an error."""
        return secrets.token_hex(6)

    @property
    def timeout_seconds(self) -> float:
        """How long the caller wants to wait, from arrival."""
        asked = self.checked.options.timeout_ms
        if asked is not None:
            return asked / 1000
        return DELIVERY_SECONDS if self.checked.method.takes_body else self.services.request_seconds

    async def read(self, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Run something in a worker thread that leaves nothing behind when nobody wants its result any more."""
        return await self.services.offload.run(function, *args)

    async def acquire(self, release: Callable[[_T], None], function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Run something in a worker thread whose result has to be released when nobody wants it any more."""
        return await _kept(self.services.offload.submit(function, *args), release)

    async def borrow(self, give_back: Callable[[], None], function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Run something in a worker thread that uses what ``give_back`` returns once the thread is done with it."""
        try:
            begun = self.services.offload.submit(function, *args)
        except BaseException:
            give_back()
            raise
        begun.add_done_callback(lambda _: give_back())
        return await asyncio.shield(begun)

    async def commit(self, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Run something in a worker thread that changes the store; deadline and cancel come too late now."""
        begun = self.services.offload.submit(function, *args)
        self.committing = True
        return await begun

    async def commit_with(self, give_back: Callable[[], None], function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Like :meth:`commit`, with something that ``give_back`` returns once the thread is done with it."""
        self.committing = True
        return await self.borrow(give_back, function, *args)

    @property
    def trace(self) -> str | None:
        """What the caller wants to see in every log line of this request."""
        return self.checked.options.trace

    def hide(self, secret: Secret) -> bytes:
        """Copy a secret for the response; gives what stands for it in the result, as long and found once.

        What is put into a result is copied on its way, and no copy of it can be wiped.
        """
        return stand_in(Secret(secret.copy_octets()), self.hidden)

    def take_descriptor(self) -> int | None:
        """Give the descriptor that goes with the result; it is the caller's now."""
        found, self.descriptor = self.descriptor, None
        return found

    def finish(self) -> None:
        """Let the next request of the session go on, and close what was not taken."""
        for left in (self.take_descriptor(), self.upload):
            if left is not None:
                os.close(left)
        self.upload = None
        for secret in self.hidden.values():
            secret.wipe()
        if self.turn is not None:
            self.turn.leave()
        if self.session is not None:
            self.session.busy -= 1


def begin(request: Request, *, caller: Caller, services: Services, arrived: float) -> Call:
    """Check a request and take its place in its session, in the order received; does not wait.

    Raises:
        AccessError: NO_METHOD, INVALID, DENIED or NO_SESSION.
    """
    sole = next(iter(caller.sessions)) if len(caller.sessions) == 1 else None
    checked = contract.check(request.method, request.args, sole_session=sole)
    if checked.method.kind != "request":
        raise AccessError("NO_METHOD", "this is a notification")
    if not caller.roles & checked.method.roles:
        raise AccessError("DENIED", "the role of this peer may not call this")
    call = Call(checked=checked, caller=caller, services=services, arrived=arrived)
    if checked.session is not None and checked.method is not entries.AUTH_LOGOUT:
        session = caller.sessions.get(checked.session)
        if session is None:
            raise AccessError("NO_SESSION", "no such session on this connection")
        _join(call, session)
    elif checked.session is not None and checked.session in caller.sessions:
        # Logging out twice is harmless, so only a living session has a turn to wait for.
        with contextlib.suppress(AccessError):
            _join(call, caller.sessions[checked.session])
    return call


def _join(call: Call, session: Session) -> None:
    call.services.sessions.touch(session)
    call.session = session
    call.turn = session.turns.take(changes=call.checked.method.changes)
    session.busy += 1


async def _kept(begun: "asyncio.Future[_T]", release: Callable[[_T], None]) -> _T:
    try:
        return await asyncio.shield(begun)
    except asyncio.CancelledError:

        def dispose(done: "asyncio.Future[_T]") -> None:
            if not done.cancelled() and done.exception() is None:
                release(done.result())

        begun.add_done_callback(dispose)
        raise
