"""What follows from the entries of the methods: checking of arguments, plain values, the description.

The entries themselves stand in ``entries``.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar, cast

import msgspec

from msgstore.access import mailshapes, shapes
from msgstore.access.codes import CODES, AccessError
from msgstore.access.entries import Method, entries
from msgstore.access.frames import AT_CLIENT

__all__ = [
    "DEFAULT_FIELDS",
    "METHODS",
    "Checked",
    "Options",
    "changed",
    "check",
    "describe",
    "fields_of",
    "plain",
    "typed",
]

DEFAULT_FIELDS: Final = ("uid", "uidl", "octets", "flags", "modseq")
"""Columns of ``message.list`` where none are named."""

_UID_LIMIT: Final = 2**32 - 1
"""RFC 9051 §2.3.1.1."""

_TRACE_LIMIT_OCTETS: Final = 64


Args = TypeVar("Args", bound=msgspec.Struct)
Result = TypeVar("Result")
T = TypeVar("T")


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


METHODS: Final = entries()
"""By name."""


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
    known = _required_by_key(name)
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


@functools.cache
def _required_by_key(name: str) -> Mapping[str, bool]:
    """Give the keys a method knows and whether each must be there; msgspec reads annotations anew each time."""
    return {field.encode_name: field.required for field in msgspec.structs.fields(METHODS[name].args)}


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
