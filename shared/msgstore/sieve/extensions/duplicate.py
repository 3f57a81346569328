"""``duplicate``: was such a message here before?  RFC 7352."""

from typing import Final, cast

from msgstore.sieve.context import Context
from msgstore.sieve.questions import Asking, SeenBefore, ask
from msgstore.sieve.registry import Arguments, Extension, Kind, Tag, Test
from msgstore.sieve.verdict import SeenMark

__all__ = ["EXTENSIONS"]

_STATE: Final = "duplicate"


def _unique_id(context: Context, arguments: Arguments) -> str | None:
    if arguments.has("uniqueid"):
        return arguments.text("uniqueid")
    values = context.message.values(arguments.text("header", "message-id"))
    return values[0].strip() if values else None


def _duplicate(context: Context, arguments: Arguments) -> Asking[bool]:
    limits = context.limits
    unique_id = _unique_id(context, arguments)
    seconds = min(arguments.number("seconds", limits.duplicate_seconds_default), limits.duplicate_seconds_max)
    if not unique_id or seconds == 0:
        return False
    handle, last = arguments.text("handle"), arguments.has("last")
    key = (handle, unique_id)
    answers = cast("dict[tuple[str, str], bool]", context.result.state.setdefault(_STATE, {}))
    if key not in answers:
        answers[key] = yield from ask(SeenBefore(handle, unique_id, seconds, last))
    if not answers[key] or last:
        context.result.seen[key] = SeenMark(handle=handle, unique_id=unique_id, seconds=seconds, last=last)
    return answers[key]


EXTENSIONS: Final = (
    Extension(
        capability="duplicate",
        rfc="RFC 7352",
        tests=(
            Test(
                name="duplicate",
                tags=(
                    Tag(name="handle", kind=Kind.TEXT),
                    Tag(name="header", kind=Kind.TEXT, group="id"),
                    Tag(name="uniqueid", kind=Kind.TEXT, group="id"),
                    Tag(name="seconds", kind=Kind.NUMBER),
                    Tag(name="last"),
                ),
                handler=_duplicate,
            ),
        ),
    ),
)
