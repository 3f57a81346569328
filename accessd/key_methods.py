"""Methods about keys: given out, wrapped anew with a password, opened for a session that wants its mail read here."""

from typing import Final

import msgstore.access.keyshapes as k
import msgstore.access.shapes as s
from accessd import logins, mail
from accessd.calls import Call
from accessd.serving import serves
from msgstore.access import entries
from msgstore.access.codes import AccessError
from msgstore.auth.keyaccess import KeyAccess
from msgstore.crypto import PublicKey, SecretKey
from msgstore.crypto.sodium import wipe
from msgstore.model.address import parse_address
from msgstore.model.errors import KeyNotFound
from msgstore.model.user import User

__all__: list[str] = []
"""Everything here is entered by name."""

_PASSWORD_OCTETS: Final = 1024
_OPEN_KEYS: Final = 64
"""Of one session; nobody has changed a key so often."""


@serves(entries.KEY_PUBLIC)
async def _public(call: Call, args: k.KeyAddressArgs) -> k.PublicKeyResult:
    found = await _find(call, args.address)
    if found is None:
        raise KeyNotFound(f"{args.address} has no key")
    return k.PublicKeyResult(public_key=found.octets)


@serves(entries.KEY_HAS)
async def _has(call: Call, args: k.KeyAddressArgs) -> k.HasKeyResult:
    return k.HasKeyResult(has=await _find(call, args.address) is not None)


@serves(entries.KEY_WRAPPED)
async def _wrapped(call: Call, _args: s.SessionArgs) -> k.WrappedKeyResult:
    found = await call.read(_keys(call).wrapped, mail.session_of(call).user)
    return k.WrappedKeyResult(form=found.form, key_file=found.content, next_key_file=found.following)


@serves(entries.KEY_CHANGE_PASSWORD)
async def _change_password(call: Call, args: k.NewPasswordArgs) -> s.Nothing:
    keys, session = _keys(call), mail.session_of(call)
    new = bytearray(args.new.encode("utf-8"))
    if not 0 < len(new) <= _PASSWORD_OCTETS:
        raise AccessError("INVALID", f"a password has 1 to {_PASSWORD_OCTETS} octets", key="new")

    def change(user: User, old: bytearray) -> None:
        try:
            keys.change_password(user, old=old, new=new)
        finally:
            wipe(new)

    known = s.VerifyArgs(
        user=session.user.username,
        password=args.old,
        service="imap",
        client_address=session.client_address,
    )
    # Half a change would leave nobody knowing which password is valid.
    call.committing = True
    await logins.authenticate_and(change, call.services, known, arrived=call.arrived, trace=call.trace)
    return s.Nothing()


@serves(entries.KEY_OPEN)
async def _open(call: Call, args: k.OpenKeyArgs) -> s.Nothing:
    session = mail.session_of(call)
    try:
        if "open-keys" not in call.caller.features:
            raise AccessError("UNSUPPORTED", "open-keys was not agreed on in rpc.hello")
        key = SecretKey.copy_of(args.private_key)
    finally:
        wipe(args.private_key)
    if any(one.public == key.public for one in session.open_keys):
        key.wipe()
    elif len(session.open_keys) >= _OPEN_KEYS:
        key.wipe()
        raise AccessError("BUSY", f"at most {_OPEN_KEYS} keys are open in a session", after_ms=0)
    else:
        session.open_keys = (*session.open_keys, key)
    return s.Nothing()


@serves(entries.KEY_CLOSE)
async def _close(call: Call, _args: s.SessionArgs) -> s.Nothing:
    mail.session_of(call).wipe_keys()
    return s.Nothing()


async def _find(call: Call, address: str) -> PublicKey | None:
    return await call.read(_keys(call).find, parse_address(address))


def _keys(call: Call) -> KeyAccess:
    if call.services.keys is None:
        raise AccessError("UNSUPPORTED", "no keys are kept here")
    return call.services.keys
