"""``extlists``: lists that are kept elsewhere.  RFC 6134."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgstore.sieve.collation import Comparator
from msgstore.sieve.context import Context
from msgstore.sieve.questions import Asking, ListContains, ListKnown, ask
from msgstore.sieve.registry import Arguments, Extension, Kind, Matcher, MatchType, Positional, Tag, Test
from msgstore.sieve.values import Value

__all__ = ["EXTENSIONS"]


def _build(comparator: Comparator, keys: tuple[str, ...], operand: str) -> Matcher:
    del comparator, operand

    def matches(context: Context, values: Sequence[str]) -> Asking[bool]:
        context.spend(len(keys) + len(values))
        for key in keys:
            if values and (yield from ask(ListContains(key, tuple(values)))):
                return True
        return False

    return matches


def _list(context: Context, value: Value) -> Mapping[str, object]:
    del context, value
    return {"list_name": ""}


def _valid_list(context: Context, arguments: Arguments) -> Asking[bool]:
    for name in arguments.texts("lists"):
        context.spend(1)
        if not (yield from ask(ListKnown(name))):
            return False
    return True


EXTENSIONS: Final = (
    Extension(
        capability="extlists",
        rfc="RFC 6134",
        match_types=(MatchType(name="list", build=_build),),
        tests=(
            Test(
                name="valid_ext_list",
                arguments=(Positional(name="lists", kind=Kind.TEXTS),),
                handler=_valid_list,
            ),
        ),
        tags={"redirect": (Tag(name="list", effect=_list),)},
    ),
)
