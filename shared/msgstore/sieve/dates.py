"""Dates out of header fields, and their parts.  Pure, linear, total.  RFC 5322 §3.3 and §4.3, RFC 5260 §4."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

__all__ = ["DATE_PARTS", "Moment", "date_part", "in_zone", "parse_date", "parse_zone"]

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_ZONES: Final = {
    "ut": 0,
    "gmt": 0,
    "est": -5,
    "edt": -4,
    "cst": -6,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,
}
"""Hours from Greenwich. RFC 5322 §4.3."""

_DATE: Final = re.compile(
    r"\s*(?:[A-Za-z]{3,9}\s*,?\s*)?(\d{1,2})\s+([A-Za-z]{3})[A-Za-z]{0,6}\s+(\d{2,4})\s+"
    r"(\d{1,2})\s*:\s*(\d{2})(?:\s*:\s*(\d{2}))?(?:\s*([+-]\d{4})|\s+([A-Za-z]{1,5}))?\s*",
    re.ASCII,
)
_ZONE: Final = re.compile(r"([+-])(\d{2})([0-5]\d)", re.ASCII)
_COMMENT: Final = re.compile(r"\([^()]*\)")


class Moment(NamedTuple):
    """A moment and how its zone was written."""

    at: datetime
    zone: str
    """As ``+0100``; ``-0000`` where the sender said that it does not know."""


def parse_zone(text: str) -> timezone | None:
    """Read ``+hhmm`` or ``-hhmm``; None for anything else."""
    found = _ZONE.fullmatch(text)
    if found is None or int(found[2]) > 23:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def parse_date(value: str) -> Moment | None:
    """Read a date; of a trace field what stands behind the last semicolon; None for what is no date."""
    text = value.rpartition(";")[2][:200]
    for _ in range(5):
        text, count = _COMMENT.subn(" ", text)
        if not count:
            break
    found = _DATE.fullmatch(text)
    if found is None or found[2].lower() not in _MONTHS:
        return None
    year = int(found[3])
    if len(found[3]) < 4:
        year += 1900 if len(found[3]) == 3 or year >= 50 else 2000
    written = found[7] or "-0000"
    if found[8] is not None:
        hours = _ZONES.get(found[8].lower())
        written = "-0000" if hours is None else f"{'-' if hours < 0 else '+'}{abs(hours):02d}00"
    zone = parse_zone(written)
    if zone is None:
        return None
    second = min(int(found[6] or 0), 59)
    try:
        month = _MONTHS.index(found[2].lower()) + 1
        at = datetime(year, month, int(found[1]), int(found[4]), int(found[5]), second, tzinfo=zone)
        # A moment near the ends of the calendar has no form in other zones.
        at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return Moment(at, written)


def in_zone(at: datetime, zone: tzinfo) -> Moment | None:
    """Give the moment in a zone; None where the calendar ends before."""
    try:
        there = at.astimezone(zone)
    except (OverflowError, ValueError):
        return None
    return Moment(there, there.strftime("%z")[:5])


def date_part(moment: Moment, part: str) -> str | None:
    """Give a part of a moment as text; None for an unknown part. RFC 5260 §4.2."""
    write = _PARTS.get(part)
    return None if write is None else write(moment.at, moment.zone)


def _date(at: datetime) -> str:
    return f"{at.year:04d}-{at.month:02d}-{at.day:02d}"


def _time(at: datetime) -> str:
    return f"{at.hour:02d}:{at.minute:02d}:{at.second:02d}"


def _std11(at: datetime, zone: str) -> str:
    weekday = _DAYS[at.isoweekday() % 7]
    return f"{weekday}, {at.day:02d} {_MONTHS[at.month - 1].title()} {at.year:04d} {_time(at)} {zone}"


_PARTS: Final[dict[str, Callable[[datetime, str], str]]] = {
    "year": lambda at, _: f"{at.year:04d}",
    "month": lambda at, _: f"{at.month:02d}",
    "day": lambda at, _: f"{at.day:02d}",
    "date": lambda at, _: _date(at),
    # The modified Julian Day: days since 17 November 1858, in the zone that is used.
    "julian": lambda at, _: str(at.toordinal() - 678576),
    "hour": lambda at, _: f"{at.hour:02d}",
    "minute": lambda at, _: f"{at.minute:02d}",
    "second": lambda at, _: f"{at.second:02d}",
    "time": lambda at, _: _time(at),
    "iso8601": lambda at, zone: f"{_date(at)}T{_time(at)}{zone[:3]}:{zone[3:]}",
    "std11": _std11,
    "zone": lambda _, zone: zone,
    "weekday": lambda at, _: str(at.isoweekday() % 7),
}

DATE_PARTS: Final = frozenset(_PARTS)
"""RFC 5260 §4.2."""
