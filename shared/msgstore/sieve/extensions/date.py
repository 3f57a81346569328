"""``date`` and ``index``: dates of header fields and of now; one field out of several.  RFC 5260."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final, cast

from msgstore.sieve.context import Context
from msgstore.sieve.dates import DATE_PARTS, Moment, date_part, in_zone, parse_date, parse_zone
from msgstore.sieve.questions import Asking
from msgstore.sieve.registry import Extension, Kind, Positional, Runner, Shared, Site, Tag, Test
from msgstore.sieve.selection import compare, raw_values

__all__ = ["EXTENSIONS"]


def _check_zone(text: str) -> str:
    return "" if parse_zone(text) else f"{text[:40]!r} is no time zone: write it as +0100"


def _check_part(text: str) -> str:
    return "" if text.lower() in DATE_PARTS else f"{text[:40]!r} is no part of a date"


def _zone_of(site: Site) -> Callable[[Context], tzinfo]:
    zone = site.text("zone")
    if not site.has("zone"):
        return lambda context: context.zone

    def named(context: Context) -> tzinfo:
        found = parse_zone(zone(context))
        if found is None:
            raise context.fail(f"{zone(context)[:40]!r} is no time zone")
        return found

    return named


def _part_values(context: Context, moment: Moment | None, part: str) -> Sequence[str]:
    if part.lower() not in DATE_PARTS:
        raise context.fail(f"{part[:40]!r} is no part of a date")
    found = None if moment is None else date_part(moment, part.lower())
    return () if found is None else (found,)


def _build_date(site: Site) -> Runner:
    raw, header, part, zone_of = raw_values(site), site.text("header"), site.text("part"), _zone_of(site)
    keeps_zone = site.has("originalzone")
    matcher, asks = site.matcher()

    def values(context: Context) -> Sequence[str]:
        fields = raw(context, (header(context),))
        if not fields:
            return ()
        moment = parse_date(fields[0][1].decode("utf-8", "replace"))
        if moment is not None and not keeps_zone:
            moment = in_zone(moment.at, zone_of(context))
        return _part_values(context, moment, part(context))

    return compare(values, matcher, asks=asks, counts=site.counts())


def _build_current(site: Site) -> Runner:
    part, zone_of = site.text("part"), _zone_of(site)
    matcher, asks = site.matcher()
    counts = site.counts()

    def run(context: Context) -> Asking[bool]:
        seconds = yield from context.time()
        moment = in_zone(datetime.fromtimestamp(seconds, UTC), zone_of(context))
        values = _part_values(context, moment, part(context))
        found = matcher(context, (str(len(values)),) if counts else values)
        if asks:
            found = yield from cast("Asking[object]", found)
        return bool(found)

    return run


_PART: Final = Positional(name="part", check=_check_part)
_KEYS: Final = Positional(name="keys", kind=Kind.TEXTS)
_MATCH: Final = frozenset({Shared.MATCH})
_ZONE: Final = Tag(name="zone", kind=Kind.TEXT, group="zone", check=_check_zone)
_INDEX: Final = (Tag(name="index", kind=Kind.NUMBER), Tag(name="last", with_tag="index"))

EXTENSIONS: Final = (
    Extension(
        capability="date",
        rfc="RFC 5260 §4, §5",
        tests=(
            Test(
                name="date",
                arguments=(Positional(name="header"), _PART, _KEYS),
                tags=(_ZONE, Tag(name="originalzone", group="zone")),
                shared=_MATCH,
                build=_build_date,
            ),
            Test(name="currentdate", arguments=(_PART, _KEYS), tags=(_ZONE,), shared=_MATCH, build=_build_current),
        ),
    ),
    Extension(capability="index", rfc="RFC 5260 §6", tags={"header": _INDEX, "address": _INDEX, "date": _INDEX}),
)
