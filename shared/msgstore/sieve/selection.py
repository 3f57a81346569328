"""Which header fields a test looks at: those of the message or of a part, all of a name or one by its number.

The tags are declared by the extensions ``index`` (RFC 5260 §6) and ``mime`` (RFC 5703 §4); here they are understood, so
that the tests of headers need not know who declared them.
"""

from collections.abc import Callable, Sequence
from typing import Final, cast

from msgstore.mime.parameters import parse_structured
from msgstore.sieve.addresses import MailAddress, parse_addresses
from msgstore.sieve.context import Context
from msgstore.sieve.message import Message, text_of
from msgstore.sieve.parts import current_part, parts_of
from msgstore.sieve.questions import Asking
from msgstore.sieve.registry import Matcher, Runner, Site

__all__ = ["ADDRESS_FIELDS", "address_values", "compare", "field_names", "raw_values", "text_values"]

ADDRESS_FIELDS: Final = frozenset(
    (
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "reply-to",
        "resent-from",
        "resent-to",
        "resent-cc",
        "resent-bcc",
        "resent-sender",
        "resent-reply-to",
        "return-path",
        "delivered-to",
        "envelope-to",
        "x-original-to",
        "x-envelope-to",
        "x-delivered-to",
        "errors-to",
        "return-receipt-to",
        "disposition-notification-to",
        "mail-followup-to",
        "mail-reply-to",
        "apparently-to",
        "x-forwarded-to",
        "x-beenthere",
        "list-post",
        "abuse-reports-to",
        "x-sender",
        "x-envelope-from",
        "original-recipient",
        "final-recipient",
        "approved",
        "author",
    )
)
"""Fields that hold addresses: the test ``address`` looks at no others. RFC 5228 §5.1."""


def compare(values: Callable[[Context], Sequence[str]], matcher: Matcher, *, asks: bool, counts: bool) -> Runner:
    """Give a test that compares values."""
    if asks:

        def asking(context: Context) -> Asking[bool]:
            return bool((yield from cast("Asking[object]", matcher(context, values(context)))))

        return asking
    if counts:
        return lambda context: matcher(context, (str(len(values(context))),))

    def plain(context: Context) -> object:
        found = values(context)
        return matcher(context, found) if found else False

    return plain


def text_values(site: Site) -> Callable[[Context], Sequence[str]]:
    """Give what gives the decoded values of the fields that ``headers`` names."""
    names = site.texts("headers")
    option = _option(site)
    if not site.has("mime") and not site.has("index"):
        if not any(not isinstance(name, str) for name in cast("tuple[object, ...]", site.bound.values["headers"])):
            return _constant_values(cast("tuple[str, ...]", site.bound.values["headers"]))
        return lambda context: [value for name in names(context) for value in context.result.message.values(name)]
    raw = raw_values(site)

    def values(context: Context) -> Sequence[str]:
        found: list[str] = []
        for name, value in raw(context, names(context)):
            found += option(context, name.lower(), value)
        return found

    return values


def _constant_values(names: tuple[str, ...]) -> Callable[[Context], Sequence[str]]:
    if len(names) == 1:
        name = names[0].lower()
        return lambda context: context.result.message.values(name)
    folded = tuple(name.lower() for name in names)
    return lambda context: [value for name in folded for value in context.result.message.values(name)]


def address_values(site: Site, allowed: frozenset[str]) -> Callable[[Context], Sequence[MailAddress]]:
    """Give what gives the addresses of the fields that ``headers`` names, of those that hold any."""
    names = site.texts("headers")
    written = cast("tuple[object, ...]", site.bound.values["headers"])
    folded = [name.lower() for name in written if isinstance(name, str)]
    constant = folded if len(folded) == len(written) else None
    if not site.has("mime") and not site.has("index"):

        def plain(context: Context) -> Sequence[MailAddress]:
            message = context.result.message
            wanted = constant if constant is not None else [name.lower() for name in names(context)]
            if len(wanted) == 1 and wanted[0] in allowed:
                return message.addresses(wanted[0])
            return [found for name in wanted if name in allowed for found in message.addresses(name)]

        return plain
    raw = raw_values(site)

    def values(context: Context) -> Sequence[MailAddress]:
        found: list[MailAddress] = []
        for _, value in raw(context, [name for name in names(context) if name.lower() in allowed]):
            found += parse_addresses(value.decode("utf-8", "surrogateescape"))
        return found

    return values


def field_names(site: Site) -> Runner:
    """Give a test that all fields of ``headers`` are there. RFC 5228 §5.5, RFC 5703 §4.3."""
    names = site.texts("headers")
    raw = raw_values(site)
    return lambda context: all(raw(context, (name,)) for name in names(context))


def raw_values(site: Site) -> Callable[[Context, Sequence[str]], Sequence[tuple[str, bytes]]]:
    """Give what gives the fields of some names, each with its name as it was asked for; values are still encoded.

    With an index the fields of all names are counted together, in the order of the names. RFC 5260 §6.
    """
    headers = _headers(site)
    index, is_last = site.number("index"), site.has("last")
    has_index = site.has("index")

    def values(context: Context, names: Sequence[str]) -> Sequence[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        for header in headers(context):
            here = [(name, value) for name in names for value in header.raw_values(name)]
            if has_index:
                here = [here[-index if is_last else index - 1]] if 1 <= index <= len(here) else []
            found += here
        return found

    return values


def _headers(site: Site) -> Callable[[Context], Sequence[Message]]:
    if not site.has("mime"):
        return lambda context: (context.result.message,)
    with_children = site.has("anychild")

    def headers(context: Context) -> Sequence[Message]:
        part = current_part(context) or parts_of(context)
        return [item.header for item in part.family()] if with_children else (part.header,)

    return headers


def _option(site: Site) -> Callable[[Context, str, bytes], Sequence[str]]:
    """Give what takes from a value what ``:type``, ``:subtype``, ``:contenttype`` and ``:param`` ask for."""
    if site.has("param"):
        names = site.texts("param")

        def parameters(context: Context, name: str, value: bytes) -> Sequence[str]:
            del name
            found = parse_structured(value)
            wanted = [wanted.lower() for wanted in names(context)]
            return () if found is None else [found.parameters[key] for key in wanted if key in found.parameters]

        return parameters
    if not (site.has("type") or site.has("subtype") or site.has("contenttype")):
        return lambda _, __, value: (text_of(value),)
    wants_type, wants_subtype = site.has("type"), site.has("subtype")

    def piece(context: Context, name: str, value: bytes) -> Sequence[str]:
        del context
        if name not in ("content-type", "content-disposition"):
            # Other fields have no type: they count as blank. RFC 5703 §4.1.
            return ("",)
        found = parse_structured(value)
        if found is None:
            return ()
        kind, _, subtype = found.value.partition("/") if name == "content-type" else (found.value, "", "")
        if wants_type:
            return (kind,)
        return (subtype,) if wants_subtype else (found.value,)

    return piece
