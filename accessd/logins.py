"""Passwords: checked in threads of their own, and every failure answered at one moment whatever its reason."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from accessd.calls import Call, Services
from msgstore.access.codes import AccessError
from msgstore.access.shapes import LoginArgs, LoginResult, QuotaShape, SaslStartArgs, VerifyArgs, VerifyResult
from msgstore.auth.keyaccess import KeyAccess, KeyStanding
from msgstore.crypto import OpenKeys
from msgstore.crypto.sodium import wipe
from msgstore.model.address import fold_local_part, parse_address, split_detail
from msgstore.model.envelope import ClientIdentity
from msgstore.model.errors import AuthFailed, InvalidAddress, KeyNotFound, Overloaded
from msgstore.model.interfaces import MessageStore
from msgstore.model.user import User
from msgstore.telemetry.log import logger

__all__ = [
    "NO_STANDING",
    "authenticate",
    "authenticate_and",
    "begin_exchange",
    "credentials_from_plain",
    "detail_of",
    "log_in",
    "prepare_mailbox",
    "take_exchange",
    "verify",
]

log = logger(__name__)

_Then = TypeVar("_Then")

NO_STANDING: Final = KeyStanding(None, is_sealed_for=False)
"""Of everybody where no keys are kept."""

_EXCHANGE_LIMIT: Final = 16
"""SASL exchanges that may be open on one connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entrant:
    """Somebody whose password was right."""

    user: User
    standing: KeyStanding
    keys: OpenKeys | None = None
    """Opened, where they were asked for and there are any; wiped by whoever has them."""


async def log_in(call: Call, args: LoginArgs) -> LoginResult:
    """Check the password and open a session on this connection.

    Private keys that are asked for are in the response alone; see :meth:`Call.hide`.
    """
    entrant = await _enter(call, args, wants_keys=bool(args.want))
    private = _hidden(call, entrant.keys)
    user = entrant.user
    await call.read(prepare_mailbox, call.services.store, user)
    session = call.services.sessions.start(
        user,
        service=args.service,
        client_address=args.client_address,
        on_end=call.caller.forget,
    )
    call.caller.sessions[session.token] = session
    call.caller.is_trusted = True
    log.info(
        "access.logged_in",
        user=str(user.mailbox),
        service=args.service,
        client=args.client_address,
        session=session.id,
        trace=call.checked.options.trace,
    )
    known = _verified(call, entrant, args.user)
    public = entrant.standing.public
    return LoginResult(
        session=session.token,
        idle_ms=call.services.limits.idle_ms,
        public_key=None if public is None else public.octets,
        private_key=private[0] if private else None,
        old_private_keys=private[1:] or None,
        user=known.user,
        mailbox=known.mailbox,
        sealing=known.sealing,
        detail=known.detail,
        quota=known.quota,
        max_sends_per_hour=known.max_sends_per_hour,
    )


async def verify(call: Call, args: VerifyArgs) -> VerifyResult:
    """Check the password and open nothing."""
    return _verified(call, await _enter(call, args, wants_keys=False), args.user)


def begin_exchange(call: Call, args: SaslStartArgs) -> str:
    """Keep an exchange that waits for the client's data, and name it.

    Raises:
        AccessError: BUSY where too many are open.
    """
    steps = call.caller.sasl_steps
    if len(steps) >= _EXCHANGE_LIMIT:
        raise AccessError("BUSY", "too many exchanges are open", after_ms=0)
    step = secrets.token_hex(8)
    steps[step] = args
    return step


def take_exchange(call: Call, step: str) -> SaslStartArgs:
    """Give an exchange back; it goes on once.

    Raises:
        AccessError: INVALID where the step names nothing.
    """
    found = call.caller.sasl_steps.pop(step, None)
    if found is None:
        raise AccessError("INVALID", "no exchange waits for this step", key="step")
    return found


def credentials_from_plain(message: bytes) -> tuple[str, str]:
    """Read name and password of the mechanism PLAIN; an authorization identity must be the same name.

    Raises:
        AccessError: INVALID where the message has another form.

    RFC 4616 §2.
    """
    try:
        parts = message.decode("utf-8").split("\0")
    except UnicodeDecodeError:
        parts = []
    if len(parts) != 3 or not parts[1] or not parts[2] or max(map(len, parts)) > 1024:
        raise AccessError("INVALID", "not a message of PLAIN", key="data")
    authorization, name, password = parts
    if authorization not in ("", name):
        raise AccessError("DENIED", "nobody may act for somebody else")
    return name, password


def detail_of(name: str, user: User, separator: str) -> str | None:
    """Give the detail somebody wrote in a name that was accepted; None without one. RFC 5233 §4."""
    if not separator:
        return None
    try:
        local_part = parse_address(name).local_part
    except InvalidAddress:
        return None
    if fold_local_part(local_part) == user.mailbox.local_part:
        # The separator may belong to the name itself.
        return None
    return split_detail(local_part, separator)[1]


async def _enter(call: Call, args: VerifyArgs, *, wants_keys: bool) -> _Entrant:
    keys = call.services.keys

    def enter(user: User, password: bytearray) -> _Entrant:
        if keys is None:
            return _Entrant(user=user, standing=NO_STANDING)
        standing = keys.standing(user)
        if wants_keys:
            return _Entrant(user=user, standing=standing, keys=_opened(keys, user, password))
        if standing.public is not None:
            keys.settle(user, password)
        return _Entrant(user=user, standing=standing)

    return await authenticate_and(enter, call.services, args, arrived=call.arrived, trace=call.trace)


def _opened(keys: KeyAccess, user: User, password: bytearray) -> OpenKeys | None:
    try:
        return keys.opened(user, password)
    except KeyNotFound:
        return None


def _hidden(call: Call, keys: OpenKeys | None) -> tuple[bytes, ...]:
    """Give what stands for private keys in a result until it is sent, the active one first."""
    if keys is None:
        return ()
    with keys:
        return tuple(call.hide(key) for key in keys.keys)


async def authenticate(services: Services, args: VerifyArgs, *, arrived: float, trace: str | None = None) -> User:
    """Check a password; see :func:`authenticate_and`."""
    return await authenticate_and(lambda user, _: user, services, args, arrived=arrived, trace=trace)


async def authenticate_and(
    then: Callable[[User, bytearray], _Then],
    services: Services,
    args: VerifyArgs,
    *,
    arrived: float,
    trace: str | None = None,
) -> _Then:
    """Check a password and do what needs it, in the same thread; it is wiped after that.

    A failure of either waits for its moment, which tells nobody what failed.  ``arrived`` is the time of the event loop
    when the request came.

    Raises:
        MsgstoreError: the login is refused, or cannot be checked now, or what ``then`` raises.
    """
    password = bytearray(args.password.encode("utf-8"))

    def check() -> _Then:
        try:
            return then(services.auth.authenticate(args.user, password, client), password)
        finally:
            wipe(password)

    client = ClientIdentity(address=args.client_address, protocol=args.service.upper())
    trouble: BaseException | None
    try:
        begun = services.passwords.submit(check)
    except Overloaded as error:
        wipe(password)
        trouble = error
    else:
        # Looking at the exception here also keeps asyncio from complaining when this request is cancelled meanwhile.
        begun.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Not awaited by itself: cancelling this request must not cancel a check that wipes what it was given.
        await asyncio.wait([begun])
        trouble = begun.exception()
        if trouble is None:
            return begun.result()
    log.info(
        "access.login_failed",
        user=args.user,
        service=args.service,
        client=args.client_address,
        error=type(trouble).__name__,
        why=trouble.reason if isinstance(trouble, AuthFailed) else None,
        trace=trace,
    )
    moment = arrived + services.login.failure_seconds
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
    raise trouble


def prepare_mailbox(store: MessageStore, user: User) -> None:
    """A user may log in before the first message has come."""
    if not store.mailbox_exists(user.mailbox):
        store.create_mailbox(user.mailbox)


def _verified(call: Call, entrant: _Entrant, name: str) -> VerifyResult:
    user = entrant.user
    quota = QuotaShape(limit_octets=user.quota.octets, limit_messages=user.quota.messages)
    return VerifyResult(
        user=user.username,
        mailbox=str(user.mailbox),
        sealing=entrant.standing.is_sealed_for,
        detail=detail_of(name, user, call.services.login.detail_separator),
        quota=None if quota == QuotaShape() else quota,
        max_sends_per_hour=user.max_sends_per_hour,
    )
