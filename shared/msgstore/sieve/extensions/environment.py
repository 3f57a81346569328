"""``environment``: where the script runs.  RFC 5183; and ``vnd.dovecot.environment``."""

from collections.abc import Callable
from typing import Final

from msgstore.sieve.context import Context
from msgstore.sieve.questions import Asking, EnvironmentItem, ask
from msgstore.sieve.registry import Arguments, EnvironmentValue, Extension, Kind, Namespace, Positional, Shared, Test

__all__ = ["EXTENSIONS"]


def _known(context: Context, name: str) -> str | None:
    if name in context.environment:
        return context.environment[name]
    assert context.engine is not None
    item = context.engine.registry.everything.environment.get(name)
    return None if item is None else item.take(context)


def _environment(context: Context, arguments: Arguments) -> Asking[bool]:
    name = arguments.text("name").lower()
    value = _known(context, name)
    if value is None:
        value = yield from ask(EnvironmentItem(name))
    if value is None:
        # An item that nobody knows matches nothing. RFC 5183 §4.
        return False
    # An empty item counts as none. RFC 5183 §4.
    values = (value,) if value or not arguments.counts() else ()
    return (yield from arguments.match(values))


def _fixed(value: str) -> Callable[[Context], str | None]:
    return lambda _: value


def _variable(context: Context, name: str) -> str:
    return _known(context, name.replace("_", "-")) or ""


EXTENSIONS: Final = (
    Extension(
        capability="environment",
        rfc="RFC 5183",
        tests=(
            Test(
                name="environment",
                arguments=(Positional(name="name"), Positional(name="keys", kind=Kind.TEXTS)),
                shared=frozenset({Shared.MATCH}),
                handler=_environment,
            ),
        ),
        environment=(
            EnvironmentValue(name="location", take=_fixed("MDA")),
            EnvironmentValue(name="phase", take=_fixed("during")),
            EnvironmentValue(name="name", take=_fixed("msgstore")),
        ),
    ),
    Extension(
        capability="vnd.dovecot.environment",
        implies=("environment",),
        namespaces=(Namespace(name="env", get=_variable, is_name=bool),),
    ),
)
