"""The methods: one entry for each, and what follows from it: checking, roles, repetition, the description.

To add a method: two classes in ``shapes``, one entry here, one function in ``accessd.methods``.  Both clients can call
it from then on, ``rpc.describe`` tells of it, and the parity test fails until all three exist.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, Literal, TypeVar, cast

import msgspec

from msgstore.access import mailshapes, shapes
from msgstore.access.codes import CODES, AccessError
from msgstore.access.frames import AT_CLIENT

__all__ = [
    "DEFAULT_FIELDS",
    "METHODS",
    "PROTO",
    "Checked",
    "Method",
    "Options",
    "changed",
    "check",
    "describe",
    "fields_of",
    "plain",
    "typed",
]

PROTO: Final = 1
"""Major version of the protocol."""

DEFAULT_FIELDS: Final = ("uid", "uidl", "octets", "flags", "modseq")
"""Columns of ``message.list`` where none are named."""

_UID_LIMIT: Final = 2**32 - 1
"""RFC 9051 §2.3.1.1."""

_TRACE_LIMIT_OCTETS: Final = 64

Role = Literal["pop3", "imap", "smtp", "admin"]
Args = TypeVar("Args", bound=msgspec.Struct)
Result = TypeVar("Result")
T = TypeVar("T")

_EVERY: Final[frozenset[Role]] = frozenset({"pop3", "imap", "smtp", "admin"})
_MAIL: Final[frozenset[Role]] = frozenset({"pop3", "imap", "admin"})
_IMAP: Final[frozenset[Role]] = frozenset({"imap", "admin"})
_POP3: Final[frozenset[Role]] = frozenset({"pop3", "admin"})
_SMTP: Final[frozenset[Role]] = frozenset({"smtp", "admin"})
_LOGIN: Final[frozenset[Role]] = frozenset({"pop3", "imap", "admin"})
_ADMIN: Final[frozenset[Role]] = frozenset({"admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[Args, Result]):
    """One method of the protocol."""

    name: str
    args: type[Args]
    result: type[Result]
    roles: frozenset[Role]
    changes: bool = False
    """Whether it runs alone in its session, in the order received."""

    idempotent: bool = True
    """Whether it may be repeated without harm."""

    positional: tuple[str, ...] = ()
    """Keys of the positional form; only the five verbs have one."""

    kind: Literal["request", "from_client", "from_server"] = "request"
    """Requests are answered; the others are notifications."""

    since: int = PROTO


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys with a leading underscore, valid for every method."""

    timeout_ms: int | None = None
    trace: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A call whose arguments hold what the method's entry says."""

    method: Method[Any, Any]
    args: msgspec.Struct
    options: Options

    @property
    def session(self) -> str | None:
        """The token it names; None for methods outside sessions."""
        return getattr(self.args, "session", None)


RPC_HELLO: Final = Method(name="rpc.hello", args=shapes.HelloArgs, result=shapes.HelloResult, roles=_EVERY)
RPC_PING: Final = Method(name="rpc.ping", args=shapes.NoArgs, result=shapes.PingResult, roles=_EVERY)
RPC_DESCRIBE: Final = Method(name="rpc.describe", args=shapes.NoArgs, result=shapes.DescribeResult, roles=_EVERY)
RPC_STATS: Final = Method(name="rpc.stats", args=shapes.NoArgs, result=shapes.StatsResult, roles=_ADMIN)
RPC_CANCEL: Final = Method(
    name="rpc.cancel", args=shapes.IdArgs, result=shapes.Nothing, roles=_EVERY, kind="from_client"
)
RPC_GOING_AWAY: Final = Method(
    name="rpc.going_away", args=shapes.GoingAway, result=shapes.Nothing, roles=_EVERY, kind="from_server"
)
RPC_FATAL: Final = Method(name="rpc.fatal", args=shapes.NoArgs, result=shapes.Nothing, roles=_EVERY, kind="from_server")
"""Its arguments are ``[code, message]``; the connection is closed after it."""

AUTH_LOGIN: Final = Method(
    name="auth.login", args=shapes.LoginArgs, result=shapes.LoginResult, roles=_LOGIN, idempotent=False
)
AUTH_VERIFY: Final = Method(
    name="auth.verify", args=shapes.VerifyArgs, result=shapes.VerifyResult, roles=_SMTP, idempotent=False
)
AUTH_SASL_START: Final = Method(
    name="auth.sasl_start", args=shapes.SaslStartArgs, result=shapes.SaslResult, roles=_EVERY, idempotent=False
)
AUTH_SASL_STEP: Final = Method(
    name="auth.sasl_step", args=shapes.SaslStepArgs, result=shapes.SaslResult, roles=_EVERY, idempotent=False
)
AUTH_LOGOUT: Final = Method(
    name="auth.logout", args=shapes.SessionArgs, result=shapes.Nothing, roles=_EVERY, changes=True
)
AUTH_PING: Final = Method(name="auth.ping", args=shapes.SessionArgs, result=shapes.SessionIdle, roles=_EVERY)
AUTH_LOOKUP: Final = Method(name="auth.lookup", args=shapes.LookupArgs, result=shapes.LookupResult, roles=_SMTP)
AUTH_SESSIONS: Final = Method(
    name="auth.sessions", args=shapes.SessionsArgs, result=shapes.SessionsResult, roles=_ADMIN
)
AUTH_END: Final = Method(name="auth.end", args=shapes.EndArgs, result=shapes.Nothing, roles=_ADMIN)

MAILBOX_OPEN: Final = Method(
    name="mailbox.open", args=mailshapes.OpenArgs, result=mailshapes.OpenResult, roles=_POP3, changes=True
)
MAILBOX_CLOSE: Final = Method(
    name="mailbox.close", args=shapes.SessionArgs, result=shapes.Nothing, roles=_MAIL, changes=True
)
FOLDER_STAT: Final = Method(
    name="folder.stat", args=mailshapes.FolderArgs, result=mailshapes.StatResult, roles=_MAIL, positional=("mailbox",)
)
FOLDER_STATUS: Final = Method(
    name="folder.status", args=mailshapes.FolderStatusArgs, result=mailshapes.FolderStatusResult, roles=_IMAP
)
FOLDER_LIST: Final = Method(
    name="folder.list", args=mailshapes.FolderListArgs, result=mailshapes.FolderListResult, roles=_IMAP
)

MESSAGE_LIST: Final = Method(
    name="message.list", args=mailshapes.ListArgs, result=mailshapes.ListResult, roles=_MAIL, positional=("mailbox",)
)
MESSAGE_RETRIEVE: Final = Method(
    name="message.retrieve",
    args=mailshapes.RetrieveArgs,
    result=mailshapes.RetrieveResult,
    roles=_MAIL,
    positional=("mailbox", "uid"),
)
MESSAGE_HEADERS: Final = Method(
    name="message.headers", args=mailshapes.HeadersArgs, result=mailshapes.HeadersResult, roles=_MAIL
)
MESSAGE_READ: Final = Method(name="message.read", args=mailshapes.ReadArgs, result=bytes, roles=_MAIL)
MESSAGE_RELEASE: Final = Method(name="message.release", args=mailshapes.ReleaseArgs, result=shapes.Nothing, roles=_MAIL)
MESSAGE_DELETE: Final = Method(
    name="message.delete",
    args=mailshapes.DeleteArgs,
    result=mailshapes.DeleteResult,
    roles=_MAIL,
    changes=True,
    positional=("mailbox", "uid"),
)
MESSAGE_UNDELETE: Final = Method(
    name="message.undelete", args=mailshapes.UndeleteArgs, result=mailshapes.UndeleteResult, roles=_MAIL, changes=True
)
MESSAGE_EXPUNGE: Final = Method(
    name="message.expunge",
    args=mailshapes.ExpungeArgs,
    result=mailshapes.ExpungeResult,
    roles=_MAIL,
    changes=True,
    positional=("mailbox",),
)


def _entries() -> Mapping[str, Method[Any, Any]]:
    values = cast("Mapping[str, object]", globals()).values()
    found: list[Method[Any, Any]] = [value for value in values if isinstance(value, Method)]
    return {method.name: method for method in found}


METHODS: Final = _entries()
"""By name, in the order of this module."""


def check(name: str, params: Sequence[object], *, sole_session: str | None = None) -> Checked:
    """Read the arguments of a call: one map, none, or the positional form of the five verbs.

    ``sole_session`` is the token of the only session of the connection; the positional form has no other way to say
    whose it is.

    Raises:
        AccessError: NO_METHOD, INVALID with ``data.key`` where a key is at fault, or NO_SESSION.
    """
    method = METHODS.get(name)
    if method is None or method.kind == "from_server":
        raise AccessError("NO_METHOD", "there is no such method")
    named = _named(method, params, sole_session)
    options = _options(named)
    given = {key: value for key, value in named.items() if not key.startswith("_") and value is not None}
    known = {field.encode_name: field.required for field in msgspec.structs.fields(method.args)}
    for key in named:
        if not key.startswith("_") and key not in known:
            raise _invalid(key, "is not an argument of this method")
    for key, required in known.items():
        if required and key not in given:
            raise _invalid(key, "is missing")
    args = typed(given, method.args)
    uids: mailshapes.Uids | None = getattr(args, "uids", None)
    if any(isinstance(item, int) and not 1 <= item <= _UID_LIMIT for item in uids or ()):
        raise _invalid("uids", "holds a number that is no uid")
    return Checked(method=method, args=args, options=options)


def typed(value: object, kind: type[T]) -> T:
    """Read plain values into a class of ``shapes``; a client uses it for results, where unknown keys pass.

    Raises:
        AccessError: INVALID with the key whose value is at fault.
    """
    try:
        return msgspec.convert(value, kind, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at ")
        key = re.match(r"`\$\.(\w+)", path)
        raise _invalid(key[1] if key else "", text) from None


def plain(value: object) -> object:
    """Give the plain values that frames carry for an object of ``shapes``; what is absent is left out."""
    return cast("object", msgspec.to_builtins(value, builtin_types=(bytes,)))


def changed(value: Args, **changes: object) -> Args:
    """Give a copy of an object of ``shapes`` with other values in some fields."""
    return msgspec.structs.replace(value, **changes)


def fields_of(value: msgspec.Struct) -> dict[str, object]:
    """Give the fields of an object of ``shapes`` as they go over the wire, without those that are absent."""
    return cast("dict[str, object]", plain(value))


def describe() -> dict[str, dict[str, Any]]:
    """Give ``methods``, ``errors`` and ``limits`` as ``rpc.describe`` answers them, made from the entries."""
    methods: dict[str, Any] = {
        method.name: {
            "args": _schema(method.args),
            "result": _schema(method.result),
            "roles": sorted(method.roles),
            "since": method.since,
            "idempotent": method.idempotent,
            "kind": method.kind,
        }
        for method in METHODS.values()
    }
    limits = cast("dict[str, int]", plain(shapes.Limits())) | {"client_frame_octets": AT_CLIENT.object_octets}
    return {"methods": methods, "errors": {code: asdict(hints) for code, hints in CODES.items()}, "limits": limits}


def _named(method: Method[Any, Any], params: Sequence[object], sole_session: str | None) -> dict[str, object]:
    if not params:
        return {}
    if len(params) == 1 and isinstance(params[0], dict):
        return cast("dict[str, object]", params[0])
    if not method.positional:
        raise _invalid("", "the arguments are one map")
    if len(params) != len(method.positional):
        raise _invalid("", f"the positional form is {', '.join(method.positional)}")
    if sole_session is None:
        raise AccessError("NO_SESSION", "the positional form needs exactly one session on this connection")
    named: dict[str, object] = dict(zip(method.positional, params, strict=True))
    named |= {"session": sole_session, "folder": "INBOX"}
    if "uids" in {field.encode_name for field in msgspec.structs.fields(method.args)} and "uid" in named:
        named["uids"] = [named.pop("uid")]
    return named


def _options(named: Mapping[str, object]) -> Options:
    for key in named:
        if key.startswith("_") and key not in ("_timeout_ms", "_trace", "_request_id"):
            raise _invalid(key, "is not a call option")
    timeout = named.get("_timeout_ms")
    if timeout is not None and (not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0):
        raise _invalid("_timeout_ms", "is milliseconds")
    return Options(timeout_ms=timeout, trace=_label(named, "_trace"), request_id=_label(named, "_request_id"))


def _label(named: Mapping[str, object], key: str) -> str | None:
    value = named.get(key)
    if value is not None and (not isinstance(value, str) or len(value.encode()) > _TRACE_LIMIT_OCTETS):
        raise _invalid(key, f"is text of at most {_TRACE_LIMIT_OCTETS} octets")
    return value


def _invalid(key: str, why: str) -> AccessError:
    return AccessError("INVALID", f"{key} {why}" if key else why, key=key or None)


def _schema(kind: type) -> object:
    """JSON schema, with ``bin`` where JSON would need base64."""
    return _with_octets(msgspec.json.schema(kind, schema_hook=_any_value))


def _any_value(_kind: type) -> dict[str, object]:
    return {"description": "any value"}


def _with_octets(schema: object) -> object:
    match schema:
        case {"contentEncoding": "base64"}:
            return {"type": "bin"}
        case dict():
            return {key: _with_octets(value) for key, value in cast("dict[str, object]", schema).items()}
        case list():
            return [_with_octets(value) for value in cast("list[object]", schema)]
        case _:
            return schema
