"""``spamtest``, ``spamtestplus``, ``virustest``: what scanners said.  RFC 5235."""

from collections.abc import Sequence
from typing import Final

from msgstore.sieve.context import Context
from msgstore.sieve.registry import Extension, Positional, Runner, Shared, Site, Tag, Test

__all__ = ["EXTENSIONS"]


def _spam(context: Context, *, in_percent: bool) -> str:
    """0 was not looked at; 1 to 10, or 0 to 100 in percent. RFC 5235 §3.2."""
    percent = context.scan.spam_percent
    if percent is None:
        return "0"
    percent = min(max(percent, 0.0), 100.0)
    if in_percent:
        return str(round(percent))
    return str(1 if percent <= 0 else 10 if percent >= 100 else 2 + int(percent * 8 / 100))


def _build_spamtest(site: Site) -> Runner:
    in_percent, counts = site.has("percent"), site.counts()
    matcher, _ = site.matcher("keys")

    def run(context: Context) -> object:
        if counts:
            # Whether it was looked at at all: the only way to tell that from 0 percent. RFC 5235 §3.1.
            values: Sequence[str] = ("0" if context.scan.spam_percent is None else "1",)
        else:
            values = (_spam(context, in_percent=in_percent),)
        return matcher(context, values)

    return run


def _build_virustest(site: Site) -> Runner:
    counts = site.counts()
    matcher, _ = site.matcher("keys")

    def run(context: Context) -> object:
        virus = context.scan.virus
        if counts:
            return matcher(context, ("0" if virus is None else "1",))
        return matcher(context, (str(min(max(virus or 0, 0), 5)),))

    return run


_VALUE: Final = (Positional(name="keys"),)
_MATCH: Final = frozenset({Shared.MATCH})

EXTENSIONS: Final = (
    Extension(
        capability="spamtest",
        rfc="RFC 5235 §3.2",
        tests=(Test(name="spamtest", arguments=_VALUE, shared=_MATCH, build=_build_spamtest),),
    ),
    Extension(
        capability="spamtestplus",
        rfc="RFC 5235 §3.2.2",
        implies=("spamtest",),
        tags={"spamtest": (Tag(name="percent"),)},
    ),
    Extension(
        capability="virustest",
        rfc="RFC 5235 §3.3",
        tests=(Test(name="virustest", arguments=_VALUE, shared=_MATCH, build=_build_virustest),),
    ),
)
