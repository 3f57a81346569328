"""``foreverypart``, ``mime``, ``extracttext``: the parts of a message.  RFC 5703 §3, §4, §7."""

from collections.abc import Sequence
from typing import Final

from msgstore.sieve.context import Context
from msgstore.sieve.flow import BreakLoop
from msgstore.sieve.parts import BodyPart, current_part, enter_part, leave_part, parts_of
from msgstore.sieve.questions import Asking
from msgstore.sieve.registry import Arguments, Command, Extension, Kind, Positional, Runner, Shared, Site, Tag
from msgstore.sieve.texts import is_variable_name

__all__ = ["EXTENSIONS"]


def _parts(context: Context) -> Sequence[BodyPart]:
    """All parts of the message; in a loop within a loop those below the current one."""
    part = current_part(context)
    return parts_of(context).family() if part is None else part.family()[1:]


def _foreverypart(context: Context, arguments: Arguments) -> Asking[None]:
    name = arguments.text("name")
    for part in _parts(context):
        context.spend(1)
        enter_part(context, part)
        try:
            yield from arguments.block()
        except BreakLoop as leaving:
            if leaving.name not in ("", name):
                raise
            return
        finally:
            leave_part(context)


def _break(context: Context, arguments: Arguments) -> None:  # noqa: ARG001
    raise BreakLoop(arguments.text("name"))


def _build_extract(site: Site) -> Runner:
    name, modify = str(site.bound.values["variable"]), site.modify()
    first = site.number("first") if site.has("first") else None

    def run(context: Context) -> None:
        part = current_part(context)
        assert part is not None
        limit = context.limits.variable_value_characters
        text = part.text(context.limits.body_text_characters) if part.kind.startswith("text/") else ""
        context.spend(1 + (len(text) >> 8))
        text = text[:limit] if first is None else text[: min(first, limit)]
        context.assign(name, modify(text))

    return run


def _check_variable(name: str) -> str:
    return "" if is_variable_name(name.removeprefix("global.")) else f"{name[:60]!r} is no name of a variable"


_OPTIONS: Final = (
    Tag(name="mime"),
    Tag(name="anychild", with_tag="mime"),
    Tag(name="type", group="mime option", with_tag="mime"),
    Tag(name="subtype", group="mime option", with_tag="mime"),
    Tag(name="contenttype", group="mime option", with_tag="mime"),
    Tag(name="param", kind=Kind.TEXTS, group="mime option", with_tag="mime"),
)

EXTENSIONS: Final = (
    Extension(
        capability="foreverypart",
        rfc="RFC 5703 §3",
        commands=(
            Command(
                name="foreverypart",
                tags=(Tag(name="name", kind=Kind.TEXT, constant=True),),
                block=True,
                handler=_foreverypart,
            ),
            Command(
                name="break",
                tags=(Tag(name="name", kind=Kind.TEXT, constant=True),),
                inside="foreverypart",
                handler=_break,
            ),
        ),
    ),
    Extension(
        capability="mime",
        rfc="RFC 5703 §4",
        tags={"header": _OPTIONS, "address": _OPTIONS[:2], "exists": _OPTIONS[:2]},
    ),
    Extension(
        capability="extracttext",
        rfc="RFC 5703 §7",
        commands=(
            Command(
                name="extracttext",
                arguments=(Positional(name="variable", constant=True, check=_check_variable),),
                tags=(Tag(name="first", kind=Kind.NUMBER),),
                shared=frozenset({Shared.MODIFIERS}),
                inside="foreverypart",
                needs=("foreverypart", "variables"),
                build=_build_extract,
            ),
        ),
    ),
)
