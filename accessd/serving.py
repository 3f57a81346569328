"""Where the functions of the methods are entered, by name."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from accessd.calls import Call
from msgstore.access.entries import Method

__all__ = ["SERVED", "serves"]

_Args = TypeVar("_Args")
_Result = TypeVar("_Result")

SERVED: Final[dict[str, Callable[[Call, Any], Awaitable[object]]]] = {}
"""By name; equal to the requests of the contract."""


def serves(
    method: Method[Any, _Result],
) -> Callable[[Callable[[Call, _Args], Awaitable[_Result]]], Callable[[Call, _Args], Awaitable[_Result]]]:
    """Enter a function for a method."""

    def enter(function: Callable[[Call, _Args], Awaitable[_Result]]) -> Callable[[Call, _Args], Awaitable[_Result]]:
        SERVED[method.name] = function
        return function

    return enter
