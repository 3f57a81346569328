"""``imap4flags``: flags and keywords of the message that is filed.  RFC 5232."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgstore.model.message import SYSTEM_FLAGS
from msgstore.sieve.context import Context
from msgstore.sieve.questions import Asking
from msgstore.sieve.registry import Arguments, Command, Extension, Kind, Positional, Runner, Shared, Site, Tag, Test
from msgstore.sieve.texts import is_variable_name
from msgstore.sieve.values import Bound, Value

__all__ = ["EXTENSIONS"]

_KEYWORD: Final = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z^_`a-z|}~\[]+")
"""An atom. RFC 3501 §9."""

_SYSTEM: Final = {flag.lower(): flag for flag in SYSTEM_FLAGS}
_FLAGS_LIMIT: Final = 100


def _split(texts: Iterable[str]) -> tuple[str, ...]:
    """Give the flags of a list, each once, as first written; what is no flag is passed over. RFC 5232 §2."""
    found: dict[str, str] = {}
    for text in texts:
        for word in text.split():
            if word.startswith("\\"):
                flag = _SYSTEM.get(word.lower())
            else:
                flag = word if _KEYWORD.fullmatch(word) and word.isascii() else None
            if flag is not None and len(found) < _FLAGS_LIMIT:
                found.setdefault(flag.lower(), flag)
    return tuple(found.values())


def _flags(context: Context, value: Value) -> Mapping[str, object]:
    del context
    assert isinstance(value, tuple)
    return {"flags": _split(map(str, value))}


def _read(context: Context, name: str) -> tuple[str, ...]:
    return _split((context.value(name),)) if name else context.result.flags


def _builder(change: Callable[[tuple[str, ...], tuple[str, ...]], tuple[str, ...]]) -> Callable[[Site], Runner]:
    def build(site: Site) -> Runner:
        name, flags = str(site.bound.values.get("variable", "")), site.texts("flags")

        def run(context: Context) -> None:
            changed = change(_read(context, name), _split(flags(context)))
            if name:
                context.assign(name, " ".join(changed))
            else:
                context.result.flags = changed

        return run

    return build


def _set(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    del old
    return new


def _add(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    return _split((*old, *new))


def _remove(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    gone = {flag.lower() for flag in new}
    return tuple(flag for flag in old if flag.lower() not in gone)


def _hasflag(context: Context, arguments: Arguments) -> Asking[bool]:
    names = arguments.texts("variables") or ("",)
    match = arguments.bound.match
    assert match is not None
    tags = {match.match_type: context.expand(match.operand), "comparator": match.comparator}
    flags = tuple(flag for name in names for flag in _read(context, name))
    # A key may hold several flags, as every list of flags may. RFC 5232 §2.
    keys = tuple(word for key in arguments.texts("keys") for word in key.split())
    return (yield from context.match(flags, keys, tags))


def _check_variable(bound: Bound) -> str:
    names = bound.values.get("variable", bound.values.get("variables", ()))
    for name in names if isinstance(names, tuple) else (names,):
        if isinstance(name, str) and not is_variable_name(name.removeprefix("global.")):
            return f"{name[:60]!r} is no name of a variable"
    return ""


def _flag_command(name: str, change: Callable[[tuple[str, ...], tuple[str, ...]], tuple[str, ...]]) -> Command:
    return Command(
        name=name,
        arguments=(
            Positional(name="variable", optional=True, constant=True),
            Positional(name="flags", kind=Kind.TEXTS),
        ),
        build=_builder(change),
        check=_check_variable,
    )


_TAG: Final = (Tag(name="flags", kind=Kind.TEXTS, effect=_flags),)

EXTENSIONS: Final = (
    Extension(
        capability="imap4flags",
        rfc="RFC 5232",
        commands=(_flag_command("setflag", _set), _flag_command("addflag", _add), _flag_command("removeflag", _remove)),
        tests=(
            Test(
                name="hasflag",
                arguments=(
                    Positional(name="variables", kind=Kind.TEXTS, optional=True),
                    Positional(name="keys", kind=Kind.TEXTS),
                ),
                shared=frozenset({Shared.MATCH}),
                handler=_hasflag,
                check=_check_variable,
            ),
        ),
        tags={"keep": _TAG, "fileinto": _TAG},
    ),
)
