"""``variables``: ``set``, ``string``, modifiers.  RFC 5229; the text itself is expanded by the context."""

import re
import string
from typing import Final

from msgstore.sieve.context import Context
from msgstore.sieve.registry import Command, Extension, Kind, Modifier, Positional, Runner, Shared, Site, Test
from msgstore.sieve.selection import compare
from msgstore.sieve.texts import is_variable_name
from msgstore.sieve.values import Bound, Template

__all__ = ["EXTENSIONS"]

_UPPER: Final = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SPECIAL: Final = re.compile(r"([*?\\])")


def _check_name(text: str) -> str:
    space, dot, rest = text.partition(".")
    is_right = is_variable_name(space) and (not dot or all(map(_is_level, rest.split("."))))
    if not is_right or len(text) > 64:
        return f"{text[:80]!r} is no name of a variable that can be set"
    return ""


def _is_level(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").isalnum()


def _build_set(site: Site) -> Runner:
    name = str(site.bound.values["name"]).lower()
    value, modify = site.text("value"), site.modify()
    if not site.has(":modifiers"):
        return lambda context: context.assign(name, value(context))
    return lambda context: context.assign(name, modify(value(context)))


def _check_set(bound: Bound) -> str:
    value = bound.values["value"]
    if isinstance(value, Template) or ":modifiers" in bound.values or not isinstance(value, str):
        return ""
    return "" if len(value) <= 64 * 1024 else "the value is longer than a variable can be"


def _build_string(site: Site) -> Runner:
    source = site.texts("source")
    matcher, asks = site.matcher()
    if not site.counts():
        return compare(source, matcher, asks=asks, counts=False)

    def count(context: Context) -> object:
        # An empty string counts as none. RFC 5229 §5.
        return matcher(context, (str(sum(1 for text in source(context) if text)),))

    return count


def _upper(text: str) -> str:
    return text.translate(_UPPER)


def _lower(text: str) -> str:
    return text.translate(_LOWER)


def _upper_first(text: str) -> str:
    return text[:1].translate(_UPPER) + text[1:]


def _lower_first(text: str) -> str:
    return text[:1].translate(_LOWER) + text[1:]


def _quote_wildcard(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _length(text: str) -> str:
    return str(len(text))


EXTENSIONS: Final = (
    Extension(
        capability="variables",
        rfc="RFC 5229",
        interpolates=True,
        can_be_late=False,
        commands=(
            Command(
                name="set",
                arguments=(Positional(name="name", constant=True, check=_check_name), Positional(name="value")),
                shared=frozenset({Shared.MODIFIERS}),
                build=_build_set,
                check=_check_set,
            ),
        ),
        tests=(
            Test(
                name="string",
                arguments=(Positional(name="source", kind=Kind.TEXTS), Positional(name="keys", kind=Kind.TEXTS)),
                shared=frozenset({Shared.MATCH}),
                build=_build_string,
            ),
        ),
        modifiers=(
            Modifier(name="lower", precedence=40, apply=_lower),
            Modifier(name="upper", precedence=40, apply=_upper),
            Modifier(name="lowerfirst", precedence=30, apply=_lower_first),
            Modifier(name="upperfirst", precedence=30, apply=_upper_first),
            Modifier(name="quotewildcard", precedence=20, apply=_quote_wildcard),
            Modifier(name="length", precedence=10, apply=_length),
        ),
    ),
)
