"""``include``, ``return``, ``global``: scripts in scripts.  RFC 6609."""

import re
from typing import Final, cast

from msgstore.sieve.context import Context
from msgstore.sieve.flow import ReturnFromScript
from msgstore.sieve.problems import LimitReached
from msgstore.sieve.questions import Asking, Script, ScriptIsBroken, ask
from msgstore.sieve.registry import Arguments, Command, Extension, Kind, Namespace, Positional, Tag
from msgstore.sieve.texts import is_variable_name

__all__ = ["EXTENSIONS"]

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029/\\\ud800-\udfff]")
_STATE: Final = "include"


class _Visits:
    """What was included so far, and where the run is."""

    def __init__(self) -> None:
        self.count = 0
        self.seen: set[tuple[str, bool]] = set()
        self.stack: list[tuple[str, bool]] = []
        self.main: tuple[str, bool] = ("", False)


def _check_name(name: str) -> str:
    if not name or len(name) > 128 or name.startswith(".") or _UNSAFE.search(name):
        return f"no script can be called {name[:60]!r}"
    return ""


def _include(context: Context, arguments: Arguments) -> Asking[None]:
    name, is_global = arguments.text("name"), arguments.has("global")
    visits = cast("_Visits", context.result.state.setdefault(_STATE, _Visits()))
    place = (name, is_global)
    if not visits.stack:
        visits.main = (context.script, False)
    is_open = place in visits.stack or place == visits.main
    # Once goes before recursion: a script that is being included was included. RFC 6609 §3.2.
    if arguments.has("once") and (is_open or place in visits.seen):
        return
    if is_open:
        raise context.fail(f"script {name!r} includes itself", arguments.line)
    if len(visits.stack) >= context.limits.include_depth:
        raise LimitReached(f"scripts are included more than {context.limits.include_depth} deep", arguments.line)
    visits.count += 1
    if visits.count > context.limits.includes:
        raise LimitReached(f"more than {context.limits.includes} scripts are included", arguments.line)
    answer = yield from ask(Script(name, is_global))
    if answer is None:
        if arguments.has("optional"):
            return
        raise context.fail(f"there is no script {name!r} to include", arguments.line)
    if isinstance(answer, ScriptIsBroken):
        raise context.fail(f"script {name!r} cannot be included: {answer.why}", arguments.line)
    visits.seen.add(place)
    visits.stack.append(place)
    inner = context.child()
    inner.script, inner.program, inner.globals, inner.match_values = name, answer, context.globals, context.match_values
    assert context.engine is not None
    block = context.engine.linked(answer, traced=context.result.trace is not None)
    context.note_step("include", name, arguments.line, "global" if is_global else "personal")
    try:
        found = block.run(inner)
        if block.asks:
            yield from cast("Asking[object]", found)
    except ReturnFromScript:
        pass
    finally:
        visits.stack.pop()
    context.match_values = inner.match_values


def _return(context: Context, arguments: Arguments) -> None:  # noqa: ARG001
    raise ReturnFromScript


def _global(context: Context, arguments: Arguments) -> None:
    for name in arguments.texts("names"):
        folded = name.lower()
        if folded in context.variables:
            raise context.fail(f"variable {name!r} was set before it was declared global", arguments.line)
        if len(context.global_names) >= context.limits.variables:
            raise LimitReached(f"more than {context.limits.variables} global variables", arguments.line)
        context.global_names.add(folded)


def _check_variable(name: str) -> str:
    return "" if is_variable_name(name) else f"{name[:60]!r} is no name of a variable"


def _get(context: Context, name: str) -> str:
    return context.globals.get(name, "")


def _set(context: Context, name: str, value: str) -> None:
    if not is_variable_name(name):
        raise context.fail(f"{name[:60]!r} is no name of a variable")
    if name not in context.globals and len(context.globals) >= context.limits.variables:
        raise LimitReached(f"more than {context.limits.variables} global variables")
    context.globals[name] = value


EXTENSIONS: Final = (
    Extension(
        capability="include",
        rfc="RFC 6609",
        commands=(
            Command(
                name="include",
                arguments=(Positional(name="name", constant=True, check=_check_name),),
                tags=(
                    Tag(name="personal", group="location"),
                    Tag(name="global", group="location"),
                    Tag(name="once"),
                    Tag(name="optional"),
                ),
                handler=_include,
            ),
            Command(name="return", handler=_return),
            Command(
                name="global",
                arguments=(Positional(name="names", kind=Kind.TEXTS, constant=True, check=_check_variable),),
                needs=("variables",),
                handler=_global,
            ),
        ),
        namespaces=(Namespace(name="global", get=_get, set=_set, is_name=is_variable_name),),
    ),
)
