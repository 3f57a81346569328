"""``fileinto``: into a folder.  RFC 5228 §4.1."""

from typing import Final

from msgstore.sieve.actions import FileInto, changed
from msgstore.sieve.context import Context
from msgstore.sieve.registry import Command, Extension, Positional, Runner, Site

__all__ = ["EXTENSIONS"]


def _build(site: Site) -> Runner:
    folder, effects, line, script = site.text("folder"), site.effects(), site.line, site.script

    def run(context: Context) -> None:
        result = context.result
        action = FileInto(
            line=line,
            script=script,
            folder=context.folder(folder(context)),
            flags=result.flags,
            message=result.message.edited,
        )
        context.add(changed(action, effects(context)))

    return run


EXTENSIONS: Final = (
    Extension(
        capability="fileinto",
        rfc="RFC 5228 §4.1",
        commands=(Command(name="fileinto", arguments=(Positional(name="folder"),), build=_build),),
    ),
)
