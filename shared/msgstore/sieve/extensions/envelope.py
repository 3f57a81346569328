"""``envelope``: what MAIL and RCPT said.  RFC 5228 §5.4."""

from collections.abc import Sequence
from typing import Final

from msgstore.sieve.addresses import MailAddress, parse_path
from msgstore.sieve.context import Context
from msgstore.sieve.registry import EnvelopePart, Extension, Kind, Positional, Runner, Shared, Site, Test
from msgstore.sieve.selection import compare

__all__ = ["EXTENSIONS"]


def _path(path: str | None) -> Sequence[MailAddress]:
    """A path that is not valid matches nothing."""
    found = None if path is None else parse_path(path)
    return () if found is None else (found,)


def _from(context: Context) -> Sequence[str | MailAddress]:
    return _path(context.envelope.reverse_path)


def _to(context: Context) -> Sequence[str | MailAddress]:
    return _path(context.envelope.forward_path)


def _auth(context: Context) -> Sequence[str | MailAddress]:
    return () if context.envelope.auth is None else (context.envelope.auth,)


def _build(site: Site) -> Runner:
    names, take = site.texts("parts"), site.part()
    takes_all = site.bound.values.get(":part", "all") == "all"
    matcher, asks = site.matcher()
    counts = site.counts()

    def values(context: Context) -> Sequence[str]:
        assert context.engine is not None
        known = context.engine.registry.vocabulary(site.requires).envelope_parts
        found: list[str] = []
        for name in names(context):
            part = known.get(name.lower())
            if part is None:
                raise context.fail(f"there is no envelope part {name[:40]!r}")
            for value in part.take(context):
                if isinstance(value, str):
                    if takes_all:
                        found.append(value)
                    continue
                if counts:
                    # Paths are counted, whatever part of them is asked for; the null path is none. RFC 5231 §4.2.
                    found += [value.text] if value.text and value.local_part is not None else []
                    continue
                # The null path is the empty string, whatever part is asked for.
                text = "" if not value.text else take(context, value)
                if text is not None:
                    found.append(text)
        return found

    return compare(values, matcher, asks=asks, counts=counts)


EXTENSIONS: Final = (
    Extension(
        capability="envelope",
        rfc="RFC 5228 §5.4",
        tests=(
            Test(
                name="envelope",
                arguments=(Positional(name="parts", kind=Kind.TEXTS), Positional(name="keys", kind=Kind.TEXTS)),
                shared=frozenset({Shared.MATCH, Shared.ADDRESS_PART}),
                build=_build,
            ),
        ),
        envelope_parts=(
            EnvelopePart(name="from", take=_from),
            EnvelopePart(name="to", take=_to),
            EnvelopePart(name="auth", take=_auth),
        ),
    ),
)
