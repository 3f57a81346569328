"""``envelope-dsn`` and ``redirect-dsn``: what MAIL and RCPT said about delivery reports.  RFC 6009."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgstore.sieve.addresses import MailAddress
from msgstore.sieve.context import Context, Envelope
from msgstore.sieve.registry import EnvelopePart, Extension, Kind, Tag
from msgstore.sieve.values import Value

__all__ = ["EXTENSIONS"]

_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})


def _part(take: Callable[[Envelope], str | None]) -> Callable[[Context], Sequence[str | MailAddress]]:
    def values(context: Context) -> Sequence[str | MailAddress]:
        found = take(context.envelope)
        return () if found is None else (found,)

    return values


def _notify_values(context: Context) -> Sequence[str | MailAddress]:
    """Each word is a value of its own. RFC 6009 §2.3."""
    found = context.envelope.notify
    return () if found is None else tuple(word.strip() for word in found.split(","))


def _check_notify(text: str) -> str:
    words = [word.strip().upper() for word in text.split(",")]
    if words == ["NEVER"] or (set(words) <= _NOTIFY and len(set(words)) == len(words)):
        return ""
    return f"{text[:40]!r} is nothing that :notify can say"


def _check_ret(text: str) -> str:
    return "" if text.upper() in ("FULL", "HDRS") else f"{text[:40]!r} is nothing that :ret can say"


def _notify(context: Context, value: Value) -> Mapping[str, object]:
    fault = _check_notify(str(value))
    if fault:
        raise context.fail(fault)
    return {"notify": ",".join(word.strip().upper() for word in str(value).split(","))}


def _ret(context: Context, value: Value) -> Mapping[str, object]:
    fault = _check_ret(str(value))
    if fault:
        raise context.fail(fault)
    return {"ret": str(value).upper()}


EXTENSIONS: Final = (
    Extension(
        capability="envelope-dsn",
        rfc="RFC 6009 §2",
        envelope_parts=(
            EnvelopePart(name="notify", take=_notify_values),
            EnvelopePart(name="orcpt", take=_part(lambda envelope: envelope.orcpt)),
            EnvelopePart(name="ret", take=_part(lambda envelope: envelope.ret)),
            EnvelopePart(name="envid", take=_part(lambda envelope: envelope.envid)),
        ),
    ),
    Extension(
        capability="redirect-dsn",
        rfc="RFC 6009 §4",
        tags={
            "redirect": (
                Tag(name="notify", kind=Kind.TEXT, check=_check_notify, effect=_notify),
                Tag(name="ret", kind=Kind.TEXT, check=_check_ret, effect=_ret),
            )
        },
    ),
)
