"""``reject`` and ``ereject``: refuse with a reason.  RFC 5429."""

from typing import Final

from msgstore.sieve.actions import Ereject, Reject
from msgstore.sieve.context import Context
from msgstore.sieve.message import clean_text
from msgstore.sieve.registry import Arguments, Command, Extension, Positional

__all__ = ["EXTENSIONS"]


def _reject(context: Context, arguments: Arguments) -> None:
    context.add(Reject(line=arguments.line, script=context.script, reason=clean_text(arguments.text("reason"))))


def _ereject(context: Context, arguments: Arguments) -> None:
    context.add(Ereject(line=arguments.line, script=context.script, reason=clean_text(arguments.text("reason"))))


_REASON: Final = (Positional(name="reason"),)
EXTENSIONS: Final = (
    Extension(
        capability="reject",
        rfc="RFC 5429 §2.2",
        commands=(Command(name="reject", arguments=_REASON, handler=_reject),),
    ),
    Extension(
        capability="ereject",
        rfc="RFC 5429 §2.1",
        commands=(Command(name="ereject", arguments=_REASON, handler=_ereject),),
    ),
)
