"""``body``: what the message says.  RFC 5173."""

from collections.abc import Sequence
from typing import Final, cast

from msgstore.sieve.context import Context
from msgstore.sieve.parts import BodyPart, parts_of, whole_body
from msgstore.sieve.questions import Asking
from msgstore.sieve.registry import Extension, Kind, Positional, Runner, Shared, Site, Tag, Test

__all__ = ["EXTENSIONS"]


def _build(site: Site) -> Runner:
    types = site.texts("content")
    matcher, asks = site.matcher()
    counts, is_raw, by_type = site.counts(), site.has("raw"), site.has("content")

    def values(context: Context) -> Sequence[str]:
        if is_raw:
            found: Sequence[str] = (whole_body(context).decode("utf-8", "surrogateescape"),)
        elif by_type:
            found = _of_types(context, [kind.lower() for kind in types(context)])
        else:
            found = _text(context)
        return (str(len(found)),) if counts else found

    def asking(context: Context) -> Asking[bool]:
        return bool((yield from cast("Asking[object]", matcher(context, values(context)))))

    def plain(context: Context) -> object:
        # What matches in a body sets no match variables. RFC 5173 §6.
        kept = context.match_values
        found = matcher(context, values(context))
        context.match_values = kept
        return found

    return asking if asks else plain


def _text(context: Context) -> Sequence[str]:
    limit = context.limits.body_text_characters
    parts = [part for part in parts_of(context).family() if part.kind.startswith("text/") or part.is_opaque]
    return _texts(context, parts, limit, strip_markup=True)


def _texts(context: Context, parts: list[BodyPart], limit: int, *, strip_markup: bool) -> Sequence[str]:
    found = [part.text(limit, strip_markup=strip_markup) for part in parts]
    context.spend(len(found) + (sum(map(len, found)) >> 8))
    return found


def _of_types(context: Context, types: list[str]) -> Sequence[str]:
    found: list[str] = []
    limit = context.limits.body_text_characters
    for part in parts_of(context).family():
        if not any(_fits(part.kind, kind) for kind in types):
            continue
        if part.kind.startswith("multipart/"):
            found += [text.decode("utf-8", "surrogateescape")[:limit] for text in part.around]
        elif part.kind.startswith("message/rfc822") and part.children:
            # Of an enclosed message its header, as it stands. RFC 5173 §5.2.
            found.append(part.children[0].part.header.decode("utf-8", "surrogateescape")[:limit])
        else:
            found += _texts(context, [part], limit, strip_markup=False)
    return found


def _fits(kind: str, wanted: str) -> bool:
    """``""`` is every type, a type without a slash all of its subtypes; what is no type fits nothing."""
    if wanted.count("/") > 1 or wanted.startswith("/") or wanted.endswith("/"):
        return False
    return wanted in ("", kind) or ("/" not in wanted and kind.partition("/")[0] == wanted)


EXTENSIONS: Final = (
    Extension(
        capability="body",
        rfc="RFC 5173",
        tests=(
            Test(
                name="body",
                arguments=(Positional(name="keys", kind=Kind.TEXTS),),
                tags=(
                    Tag(name="raw", group="transform"),
                    Tag(name="content", kind=Kind.TEXTS, group="transform"),
                    Tag(name="text", group="transform"),
                ),
                shared=frozenset({Shared.MATCH}),
                build=_build,
            ),
        ),
    ),
)
