"""Passwords: checked in threads of their own, and every failure answered at one moment whatever its reason."""

import asyncio
import secrets
from typing import Final

from accessd.calls import Call, Services
from msgstore.access.codes import AccessError
from msgstore.access.shapes import LoginArgs, LoginResult, QuotaShape, SaslStartArgs, VerifyArgs, VerifyResult
from msgstore.model.address import fold_local_part, parse_address, split_detail
from msgstore.model.envelope import ClientIdentity
from msgstore.model.errors import AuthFailed, InvalidAddress, Overloaded
from msgstore.model.interfaces import AuthProvider, MessageStore
from msgstore.model.user import User
from msgstore.telemetry.log import logger

__all__ = [
    "authenticate",
    "begin_exchange",
    "credentials_from_plain",
    "detail_of",
    "log_in",
    "prepare_mailbox",
    "take_exchange",
    "verify",
]

log = logger(__name__)

_EXCHANGE_LIMIT: Final = 16
"""SASL exchanges that may be open on one connection."""


async def log_in(call: Call, args: LoginArgs) -> LoginResult:
    """Check the password and open a session on this connection."""
    user = await _authenticate(call, args, wants_key=bool(args.want))
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
    known = _verified(call, user, args.user)
    return LoginResult(
        session=session.token,
        idle_ms=call.services.limits.idle_ms,
        public_key=user.public_key,
        user=known.user,
        mailbox=known.mailbox,
        sealing=known.sealing,
        detail=known.detail,
        quota=known.quota,
        max_sends_per_hour=known.max_sends_per_hour,
    )


async def verify(call: Call, args: VerifyArgs) -> VerifyResult:
    """Check the password and open nothing."""
    return _verified(call, await _authenticate(call, args, wants_key=False), args.user)


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


async def _authenticate(call: Call, args: VerifyArgs, *, wants_key: bool) -> User:
    trace = call.checked.options.trace
    return await authenticate(call.services, args, arrived=call.arrived, wants_key=wants_key, trace=trace)


async def authenticate(
    services: Services, args: VerifyArgs, *, arrived: float, wants_key: bool = False, trace: str | None = None
) -> User:
    """Check a password; a failure waits for its moment, which tells nobody what failed.

    ``arrived`` is the time of the event loop when the request came.

    Raises:
        MsgstoreError: the login is refused, or cannot be checked now.
    """
    password = bytearray(args.password.encode("utf-8"))
    client = ClientIdentity(address=args.client_address, protocol=args.service.upper())
    trouble: BaseException | None
    try:
        begun = services.passwords.submit(_check, services.auth, args.user, password, client)
    except Overloaded as error:
        _wipe(password)
        trouble = error
    else:
        # Looking at the exception here also keeps asyncio from complaining when this request is cancelled meanwhile.
        begun.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Not awaited by itself: cancelling this request must not cancel a check that wipes what it was given.
        await asyncio.wait([begun])
        trouble = begun.exception()
        if trouble is None:
            user = begun.result()
            if not (wants_key and user.public_key is not None):
                return user
            trouble = AccessError("UNSUPPORTED", "keys are not handed out by this server")
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


def _check(auth: AuthProvider, name: str, password: bytearray, client: ClientIdentity) -> User:
    try:
        return auth.authenticate(name, password, client)
    finally:
        _wipe(password)


def _wipe(password: bytearray) -> None:
    password[:] = bytes(len(password))


def prepare_mailbox(store: MessageStore, user: User) -> None:
    """A user may log in before the first message has come."""
    if not store.mailbox_exists(user.mailbox):
        store.create_mailbox(user.mailbox)


def _verified(call: Call, user: User, name: str) -> VerifyResult:
    quota = QuotaShape(limit_octets=user.quota.octets, limit_messages=user.quota.messages)
    return VerifyResult(
        user=user.username,
        mailbox=str(user.mailbox),
        sealing=user.public_key is not None,
        detail=detail_of(name, user, call.services.login.detail_separator),
        quota=None if quota == QuotaShape() else quota,
        max_sends_per_hour=user.max_sends_per_hour,
    )
