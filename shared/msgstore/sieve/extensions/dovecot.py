"""``vnd.dovecot.debug`` and ``vnd.dovecot.report``: off unless they are named."""

import re
from typing import Final

from msgstore.sieve.actions import Debug, Report
from msgstore.sieve.addresses import outbound_address
from msgstore.sieve.context import Context
from msgstore.sieve.registry import Arguments, Command, Extension, Positional, Tag

__all__ = ["EXTENSIONS"]

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]+")
_TYPE: Final = re.compile(r"[A-Za-z0-9-]{1,40}")


def _debug(context: Context, arguments: Arguments) -> None:
    text = _CONTROLS.sub(" ", arguments.text("text"))[:1000]
    context.add(Debug(line=arguments.line, script=context.script, text=text))


def _check_type(text: str) -> str:
    return "" if _TYPE.fullmatch(text) else f"{text[:40]!r} is no type of a report"


def _check_address(text: str) -> str:
    return "" if outbound_address(text) else f"{text[:60]!r} is no address that mail can be sent to"


def _report(context: Context, arguments: Arguments) -> None:
    kind, text, target = arguments.text("type"), arguments.text("text"), arguments.text("address")
    address = outbound_address(target)
    if address is None or _check_type(kind):
        raise context.fail(_check_type(kind) or _check_address(target), arguments.line)
    context.add(
        Report(
            line=arguments.line,
            script=context.script,
            feedback_type=kind.lower(),
            text=text,
            address=address,
            headers_only=arguments.has("headers_only"),
            message=context.message.edited,
        )
    )


EXTENSIONS: Final = (
    Extension(
        capability="vnd.dovecot.debug",
        commands=(Command(name="debug_log", arguments=(Positional(name="text"),), handler=_debug),),
    ),
    Extension(
        capability="vnd.dovecot.report",
        commands=(
            Command(
                name="report",
                arguments=(
                    Positional(name="type", check=_check_type),
                    Positional(name="text"),
                    Positional(name="address", check=_check_address),
                ),
                tags=(Tag(name="headers_only"),),
                handler=_report,
            ),
        ),
    ),
)
