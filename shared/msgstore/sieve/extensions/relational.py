"""``relational``: more and less, and how many.  RFC 5231; and the comparators that are no part of the base."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgstore.sieve.collation import ASCII_NUMERIC, UNICODE_CASEMAP, Comparator
from msgstore.sieve.context import Context
from msgstore.sieve.registry import Extension, Matcher, MatchType

__all__ = ["EXTENSIONS"]

_RELATIONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}
_NAMES: Final = frozenset(_RELATIONS)


def _build(comparator: Comparator, keys: tuple[str, ...], operand: str) -> Matcher:
    holds: Callable[[Any, Any], bool] = _RELATIONS.get(operand, operator.eq)
    order = comparator.order
    limits = [order(key) for key in keys]

    def matches(context: Context, values: Sequence[str]) -> bool:
        context.spend(len(values) * len(limits))
        return any(holds(order(value), limit) for value in values for limit in limits)

    return matches


EXTENSIONS: Final = (
    Extension(
        capability="relational",
        rfc="RFC 5231",
        match_types=(
            MatchType(name="value", build=_build, operands=_NAMES),
            MatchType(name="count", build=_build, operands=_NAMES, counts=True),
        ),
    ),
    Extension(capability="comparator-i;ascii-numeric", rfc="RFC 4790 §9.1", comparators=(ASCII_NUMERIC,)),
    Extension(capability="comparator-i;unicode-casemap", rfc="RFC 5051", comparators=(UNICODE_CASEMAP,)),
)
