"""``ihave``: ask for a capability instead of requiring it; ``error`` ends the script.  RFC 5463."""

import re
from typing import Final

from msgstore.sieve.context import Context
from msgstore.sieve.registry import Arguments, Command, Extension, Kind, Positional, Runner, Site, Test

__all__ = ["EXTENSIONS"]

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]+")


def _build(site: Site) -> Runner:
    names, requires = site.texts("capabilities"), site.requires

    def run(context: Context) -> bool:
        assert context.engine is not None
        by_capability = context.engine.registry.by_capability
        return all(
            name in by_capability and (name in requires or all(item.can_be_late for item in by_capability[name]))
            for name in names(context)
        )

    return run


def _error(context: Context, arguments: Arguments) -> None:
    text = _CONTROLS.sub(" ", arguments.text("message")).strip()[:500]
    raise context.fail(text or "the script ends itself", arguments.line)


EXTENSIONS: Final = (
    Extension(
        capability="ihave",
        rfc="RFC 5463",
        tests=(
            Test(
                name="ihave",
                arguments=(Positional(name="capabilities", kind=Kind.TEXTS, constant=True),),
                grants=True,
                build=_build,
            ),
        ),
        commands=(Command(name="error", arguments=(Positional(name="message"),), handler=_error),),
    ),
)
