"""Methods about the connection and about logins."""

from typing import Final

import msgstore.access.shapes as s
from accessd import logins
from accessd.calls import Call
from accessd.serving import serves
from msgstore.access import contract, entries
from msgstore.access.codes import AccessError
from msgstore.model.address import Address, parse_address
from msgstore.model.errors import DomainNotHosted, MailboxDisabled, OutboundUnavailable, UserNotFound
from msgstore.model.interfaces import DeliveryAgent

__all__: list[str] = []
"""Everything here is entered by name."""

_SERVER: Final = "accessd/0.1.0"
_FEATURES: Final = frozenset({"fd", "fd-upload", "events"})
_OPEN_KEYS: Final = "open-keys"
"""Only where the site allows it."""


@serves(entries.RPC_HELLO)
async def _hello(call: Call, args: s.HelloArgs) -> s.HelloResult:
    if args.proto != entries.PROTO:
        raise AccessError("UNSUPPORTED", "this server speaks another version", protos=[entries.PROTO])
    caller = call.caller
    known = _FEATURES | {_OPEN_KEYS} if call.services.opens_keys else _FEATURES
    caller.features = known & frozenset(args.features or ())
    caller.error_form = args.errors or "array"
    return s.HelloResult(
        proto=entries.PROTO,
        server=_SERVER,
        features=tuple(sorted(caller.features)),
        roles=tuple(sorted(caller.roles)),
        peer=s.Peer(pid=caller.peer.pid, uid=caller.peer.uid),
        limits=call.services.limits,
        boot=call.services.boot,
    )


@serves(entries.RPC_PING)
async def _ping(call: Call, _args: s.NoArgs) -> s.PingResult:
    return s.PingResult(t=int(call.services.clock.time() * 1000))


@serves(entries.RPC_DESCRIBE)
async def _describe(_call: Call, _args: s.NoArgs) -> s.DescribeResult:
    return s.DescribeResult(**contract.describe())


@serves(entries.RPC_STATS)
async def _stats(call: Call, _args: s.NoArgs) -> s.StatsResult:
    connections, inflight, handles = call.services.stats()
    sessions = call.services.sessions
    return s.StatsResult(
        connections=connections,
        sessions=len(sessions),
        inflight=inflight,
        handles=handles,
        exclusive=sessions.held,
        watches=len(call.services.watching),
    )


@serves(entries.AUTH_LOGIN)
async def _login(call: Call, args: s.LoginArgs) -> s.LoginResult:
    return await logins.log_in(call, args)


@serves(entries.AUTH_VERIFY)
async def _verify(call: Call, args: s.VerifyArgs) -> s.VerifyResult:
    return await logins.verify(call, args)


@serves(entries.AUTH_SASL_START)
async def _sasl_start(call: Call, args: s.SaslStartArgs) -> s.SaslResult:
    if args.mech.upper() != "PLAIN":
        raise AccessError("UNSUPPORTED", "the only mechanism is PLAIN")
    if args.initial is None:
        return s.SaslResult(step=logins.begin_exchange(call, args), data=b"")
    return await _finish_plain(call, args, args.initial)


@serves(entries.AUTH_SASL_STEP)
async def _sasl_step(call: Call, args: s.SaslStepArgs) -> s.SaslResult:
    return await _finish_plain(call, logins.take_exchange(call, args.step), args.data)


@serves(entries.AUTH_LOGOUT)
async def _logout(call: Call, _args: s.SessionArgs) -> s.Nothing:
    if call.session is not None:
        call.services.sessions.end(call.session)
    return s.Nothing()


@serves(entries.AUTH_PING)
async def _auth_ping(call: Call, _args: s.SessionArgs) -> s.SessionIdle:
    return s.SessionIdle(idle_ms=call.services.limits.idle_ms)


@serves(entries.AUTH_LOOKUP)
async def _lookup(call: Call, args: s.LookupArgs) -> s.LookupResult:
    address = parse_address(args.address)
    rules = call.services.login
    known = s.LookupResult(
        address=args.address,
        domain_is_local=True,
        user_exists=True,
        defer_rejection=False,
        max_message_octets=rules.max_message_octets,
        sealing=False,
    )
    exists, forwards = await call.read(_forwards_of, call.services.agent, address)
    try:
        user = await call.read(call.services.auth.lookup, address)
    except DomainNotHosted:
        return contract.changed(known, domain_is_local=exists, user_exists=exists, forwards=forwards)
    except UserNotFound:
        return contract.changed(known, user_exists=exists, forwards=forwards)
    keys = call.services.keys
    standing = logins.NO_STANDING if keys is None else await call.read(keys.standing, user)
    return contract.changed(
        known,
        forwards=None if forwards == (str(user.mailbox),) else forwards,
        mailbox=str(user.mailbox),
        detail=logins.detail_of(args.address, user, rules.detail_separator),
        sealing=standing.is_sealed_for,
    )


def _forwards_of(agent: DeliveryAgent | None, address: Address) -> tuple[bool, tuple[str, ...] | None]:
    """Say whether mail for an address is taken, and where it goes where that is not a mailbox of its own name."""
    if agent is None:
        return False, None
    try:
        recipient = agent.accept(address, ignores_quota=True)
    except (DomainNotHosted, UserNotFound):
        return False, None
    except (OutboundUnavailable, MailboxDisabled):
        # It exists; its mail has to wait.
        return True, None
    forward = recipient.forward
    if forward is not None:
        return True, tuple(str(one.mailbox) for one in forward.local) + tuple(map(str, forward.remote))
    return True, (str(recipient.mailbox),)


@serves(entries.AUTH_SESSIONS)
async def _sessions(call: Call, args: s.SessionsArgs) -> s.SessionsResult:
    rows = tuple(
        s.SessionRow(
            id=found.id,
            user=str(found.mailbox),
            service=found.service,
            client_address=found.client_address,
            since=int(found.since),
            folders=() if found.view is None else (str(found.view.folder),),
            exclusive=found.view is not None,
        )
        for found in call.services.sessions.every()
        if args.user is None or args.user in (found.user.username, str(found.mailbox))
    )
    return s.SessionsResult(sessions=rows)


@serves(entries.AUTH_END)
async def _end(call: Call, args: s.EndArgs) -> s.Nothing:
    for found in call.services.sessions.every():
        if found.id == args.id:
            call.services.sessions.end(found)
    return s.Nothing()


async def _finish_plain(call: Call, start: s.SaslStartArgs, message: bytes) -> s.SaslResult:
    name, password = logins.credentials_from_plain(message)
    login = s.LoginArgs(
        user=name,
        password=password,
        service=start.service,
        client_address=start.client_address,
        want=start.want,
    )
    # A relay opens no sessions, whatever service it names.
    opens = start.service != "smtp" and bool(call.caller.roles & entries.AUTH_LOGIN.roles)
    found = await (logins.log_in(call, login) if opens else logins.verify(call, login))
    return contract.typed({"done": True, **contract.fields_of(found)}, s.SaslResult)
