"""Writes that carry ``_request_id`` are done once: a repeat is answered as the first was."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, cast

from accessd.calls import Call
from msgstore.access import contract
from msgstore.access.codes import AccessError
from msgstore.access.frames import Notification, encode
from msgstore.model.errors import Overloaded, StoreUnavailable
from msgstore.store.requests import RequestKey, State
from msgstore.telemetry.log import logger

__all__ = ["once"]

log = logger(__name__)

_POLL_SECONDS: Final = 0.05
"""The first may be at work in another process, which cannot tell when it is done."""

_NOT_COMPARED: Final = ("session", "staged", "as")
"""These differ where a client has to connect anew."""


async def once(call: Call, run: Callable[[], Awaitable[object]]) -> object:
    """Do what a call asks for, unless it was done before, and give its plain result.

    Raises:
        AccessError: INVALID where the id was used with other arguments.
        MsgstoreError: the call cannot be served.
    """
    request_id = call.checked.options.request_id
    if request_id is None or not call.checked.method.is_remembered:
        return contract.plain(await run())
    requests = call.services.requests
    key = RequestKey(owner=_owner_of(call), method=call.checked.method.name, id=request_id)
    fingerprint = _fingerprint_of(call)

    def give_up(claimed: tuple[State, object]) -> None:
        if claimed[0] is State.BEGUN:
            requests.forget(key)

    while True:
        state, result = await call.acquire(give_up, requests.claim, key, fingerprint)
        if state is State.DONE:
            return cast("dict[str, object]", result) | {"repeated": True}
        if state is State.DIFFERENT:
            raise AccessError("INVALID", "the id was used for another request", key="_request_id")
        if state is State.BEGUN:
            break
        await asyncio.sleep(_POLL_SECONDS)
    try:
        done = contract.plain(await run())
    except BaseException:
        _forget(call, key)
        raise
    try:
        await call.read(requests.keep, key, done)
    except (StoreUnavailable, Overloaded) as error:
        # It is done, and that is the answer.
        log.error("access.request_not_remembered", error=error, method=key.method, id=call.log_id)  # noqa: TRY400 - not a logging.Logger
    return done


def _forget(call: Call, key: RequestKey) -> None:
    def forget() -> None:
        try:
            call.services.requests.forget(key)
        except StoreUnavailable as error:
            log.error("access.request_not_forgotten", error=error, method=key.method)  # noqa: TRY400 - not a logging.Logger

    try:
        call.services.offload.submit(forget)
    except (Overloaded, RuntimeError):
        forget()


def _owner_of(call: Call) -> str:
    if call.session is not None:
        return f"user {call.session.mailbox}"
    return "role smtp" if "smtp" in call.caller.roles else f"role {min(call.caller.roles)}"


def _fingerprint_of(call: Call) -> bytes:
    """Give what two requests with the same arguments share, however their messages come."""
    args = {key: value for key, value in contract.fields_of(call.checked.args).items() if key not in _NOT_COMPARED}
    body = args.get("body")
    said = args.get("encryption")
    if isinstance(said, dict) and cast("dict[str, object]", said).get("encrypted"):
        # A message that is sealed anew has other octets each time.
        args["body"] = b""
    elif isinstance(body, bytes):
        args["body"] = hashlib.sha256(body).digest()
    return hashlib.sha256(encode(Notification(method=call.checked.method.name, args=(args,)))).digest()
