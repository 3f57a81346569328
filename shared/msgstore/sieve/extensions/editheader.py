"""``editheader``: add and delete header fields; later tests and actions see it at once.  RFC 5293."""

import re
from typing import Final

from msgstore.sieve.context import Context
from msgstore.sieve.message import text_of
from msgstore.sieve.problems import LimitReached
from msgstore.sieve.questions import Asking
from msgstore.sieve.registry import Arguments, Command, Extension, Kind, Positional, Shared, Tag

__all__ = ["EXTENSIONS"]

_NAME: Final = re.compile(r"[!-9;-~]+")
_KEPT: Final = frozenset({"received", "auto-submitted"})
"""Loops are found by them: they are never deleted. RFC 5293 §6."""


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 200:
        return f"{name[:60]!r} is no name of a header field"
    return ""


def _name(context: Context, arguments: Arguments) -> str:
    name = arguments.text("field")
    if _check_name(name):
        raise context.fail(_check_name(name), arguments.line)
    return name


def _add(context: Context, arguments: Arguments) -> None:
    name, value = _name(context, arguments), arguments.text("value")
    limits = context.limits
    if len(value) > limits.field_octets or len(context.message.header) > limits.header_octets:
        raise LimitReached("the header field is too long", arguments.line)
    context.spend(4 + (len(value) >> 4))
    context.message = context.message.with_field(name, value, last=arguments.has("last"))


def _delete(context: Context, arguments: Arguments) -> Asking[None]:
    name = _name(context, arguments).lower()
    if name in _KEPT:
        context.note(f"header field {name} cannot be deleted", arguments.line)
        return
    fields = context.message.fields
    places = [at for at, field in enumerate(fields) if field.name == name]
    index = arguments.number("index")
    if arguments.has("index"):
        within = 1 <= index <= len(places)
        places = [places[-index if arguments.has("last") else index - 1]] if within else []
    if arguments.has("keys"):
        places = yield from _matching(context, arguments, places)
    if places:
        context.spend(len(fields))
        gone = frozenset(places)
        context.message = context.message.with_fields(field for at, field in enumerate(fields) if at not in gone)


def _matching(context: Context, arguments: Arguments, places: list[int]) -> Asking[list[int]]:
    fields = context.message.fields
    match = arguments.bound.match
    if match is not None and match.match_type == "count":
        values = tuple(text_of(fields[at].value) for at in places)
        return places if (yield from arguments.match(values)) else []
    found: list[int] = []
    for at in places:
        is_match = yield from arguments.match((text_of(fields[at].value),))
        found += [at] if is_match else []
    return found


_FIELD: Final = Positional(name="field", check=_check_name)

EXTENSIONS: Final = (
    Extension(
        capability="editheader",
        rfc="RFC 5293",
        commands=(
            Command(
                name="addheader",
                arguments=(_FIELD, Positional(name="value")),
                tags=(Tag(name="last"),),
                handler=_add,
            ),
            Command(
                name="deleteheader",
                arguments=(_FIELD, Positional(name="keys", kind=Kind.TEXTS, optional=True)),
                tags=(Tag(name="index", kind=Kind.NUMBER), Tag(name="last", with_tag="index")),
                shared=frozenset({Shared.MATCH}),
                handler=_delete,
            ),
        ),
    ),
)
