"""What every script has: control, four actions, nine tests.  RFC 5228."""

from collections.abc import Sequence
from typing import Final, cast

from msgstore.sieve.actions import Discard, Keep, Redirect, changed
from msgstore.sieve.addresses import MailAddress, outbound_address
from msgstore.sieve.collation import ASCII_CASEMAP, OCTET
from msgstore.sieve.context import Context
from msgstore.sieve.flow import StopScript
from msgstore.sieve.match import build_contains, build_is, build_matches
from msgstore.sieve.questions import Asking
from msgstore.sieve.registry import (
    AddressPart,
    Arguments,
    Block,
    Command,
    Extension,
    Kind,
    MatchType,
    Placement,
    Positional,
    Runner,
    Shared,
    Site,
    Tag,
    Test,
    Tests,
)
from msgstore.sieve.selection import ADDRESS_FIELDS, address_values, compare, field_names, text_values
from msgstore.sieve.values import Bound

__all__ = ["EXTENSIONS"]


def _nothing(context: Context, arguments: Arguments) -> None:
    """Do nothing: what is to be done was done by the compiler."""


def _build_if(site: Site) -> Runner:
    branches: list[tuple[Block | None, Block]] = []
    for branch in (site, *site.followers):
        assert branch.block is not None
        branches.append((branch.tests[0] if branch.tests else None, branch.block))
    if any(block.asks or (test is not None and test.asks) for test, block in branches):
        return _asking_if(branches)
    plain = [(None if test is None else test.run, block.run) for test, block in branches]
    if len(plain) == 1:
        test, block = plain[0]
        assert test is not None

        def run_one(context: Context) -> None:
            if test(context):
                block(context)

        return run_one

    def run(context: Context) -> None:
        for test, block in plain:
            if test is None or test(context):
                block(context)
                return

    return run


def _asking_if(branches: list[tuple[Block | None, Block]]) -> Runner:
    def run(context: Context) -> Asking[None]:
        for test, block in branches:
            holds: object = True
            if test is not None:
                holds = test.run(context)
                if test.asks:
                    holds = yield from cast("Asking[object]", holds)
            if holds:
                found = block.run(context)
                if block.asks:
                    yield from cast("Asking[object]", found)
                return

    return run


def _stop(context: Context, arguments: Arguments) -> None:  # noqa: ARG001
    raise StopScript


def _build_keep(site: Site) -> Runner:
    effects, line, script = site.effects(), site.line, site.script

    def run(context: Context) -> None:
        result = context.result
        keep = Keep(line=line, script=script, flags=result.flags, message=result.message.edited)
        context.add(changed(keep, effects(context)))

    return run


def _discard(context: Context, arguments: Arguments) -> None:
    context.add(Discard(line=arguments.line, script=context.script))


def _check_redirect(bound: Bound) -> str:
    address = bound.values["address"]
    if "list" in bound.values or not isinstance(address, str) or outbound_address(address) is not None:
        return ""
    return f"{address[:80]!r} is no address that mail can be sent to"


def _redirect(context: Context, arguments: Arguments) -> None:
    text = arguments.text("address")
    fields = arguments.effects()
    action = Redirect(line=arguments.line, script=context.script, address="", message=context.message.edited)
    if "list_name" in fields:
        context.add(changed(action, {**fields, "list_name": text}))
        return
    address = outbound_address(text)
    if address is None:
        raise context.fail(f"{text[:80]!r} is no address that mail can be sent to")
    if address.lower() in context.own_addresses:
        # Sent to oneself it would come back here: it is a keep.
        context.note("a redirect to the own address is a keep", arguments.line)
        copy = bool(fields.get("copy", False))
        context.add(
            Keep(
                line=arguments.line,
                script=context.script,
                flags=context.result.flags,
                message=context.message.edited,
                copy=copy,
            )
        )
        return
    context.add(changed(action, {**fields, "address": address}))


# Tests.


def _build_header(site: Site) -> Runner:
    values = text_values(site)
    matcher, asks = site.matcher()
    return compare(values, matcher, asks=asks, counts=site.counts())


def _build_address(site: Site) -> Runner:
    addresses = address_values(site, ADDRESS_FIELDS)
    take = site.part()
    matcher, asks = site.matcher()
    if site.counts():
        # Addresses are counted, whatever part of them is asked for. RFC 5231 §4.2.
        return compare(
            lambda context: [found.text for found in addresses(context) if found.local_part is not None],
            matcher,
            asks=asks,
            counts=True,
        )

    def values(context: Context) -> Sequence[str]:
        found = [take(context, address) for address in addresses(context)]
        return [value for value in found if value is not None]

    return compare(values, matcher, asks=asks, counts=False)


def _build_exists(site: Site) -> Runner:
    return field_names(site)


def _build_allof(site: Site) -> Runner:
    return _joined(site.tests, until=False)


def _build_anyof(site: Site) -> Runner:
    return _joined(site.tests, until=True)


def _joined(tests: tuple[Block, ...], *, until: bool) -> Runner:
    """From left to right, and no further than needed. RFC 5229 §3.2, RFC 5463 §4."""
    plain = [test.run for test in tests]
    if not any(test.asks for test in tests):

        def run(context: Context) -> bool:
            for test in plain:
                if bool(test(context)) is until:
                    return until
            return not until

        return run

    def asking(context: Context) -> Asking[bool]:
        for test in tests:
            found = test.run(context)
            if test.asks:
                found = yield from cast("Asking[object]", found)
            if bool(found) is until:
                return until
        return not until

    return asking


def _build_not(site: Site) -> Runner:
    test = site.tests[0]
    run = test.run
    if test.asks:

        def asking(context: Context) -> Asking[bool]:
            return not (yield from cast("Asking[object]", run(context)))

        return asking
    return lambda context: not run(context)


def _build_size(site: Site) -> Runner:
    limit = site.number("limit")
    if site.has("over"):
        return lambda context: context.result.message.octets > limit
    return lambda context: context.result.message.octets < limit


def _all_of(context: Context, address: MailAddress) -> str | None:
    del context
    return address.text


def _local_part(context: Context, address: MailAddress) -> str | None:
    del context
    return address.local_part


def _domain(context: Context, address: MailAddress) -> str | None:
    del context
    return address.domain


_BRANCH: Final = frozenset({"if", "elsif"})
_KEYS: Final = Positional(name="keys", kind=Kind.TEXTS)
_HEADERS: Final = Positional(name="headers", kind=Kind.TEXTS)
_MATCH: Final = frozenset({Shared.MATCH})

_COMMANDS: Final = (
    Command(
        name="require",
        arguments=(Positional(name="capabilities", kind=Kind.TEXTS, constant=True),),
        placement=Placement.FIRST,
        declares=True,
        handler=_nothing,
    ),
    Command(name="if", tests=Tests.ONE, block=True, build=_build_if),
    Command(name="elsif", tests=Tests.ONE, block=True, follows=_BRANCH, handler=_nothing),
    Command(name="else", block=True, follows=_BRANCH, ends_chain=True, handler=_nothing),
    Command(name="stop", handler=_stop),
    Command(name="keep", build=_build_keep),
    Command(name="discard", handler=_discard),
    Command(name="redirect", arguments=(Positional(name="address"),), handler=_redirect, check=_check_redirect),
)

_TESTS: Final = (
    Test(name="true", build=lambda _: lambda _: True),
    Test(name="false", build=lambda _: lambda _: False),
    Test(name="not", tests=Tests.ONE, build=_build_not),
    Test(name="allof", tests=Tests.LIST, build=_build_allof),
    Test(name="anyof", tests=Tests.LIST, build=_build_anyof),
    Test(
        name="size",
        arguments=(Positional(name="limit", kind=Kind.NUMBER),),
        tags=(Tag(name="over", group="bound"), Tag(name="under", group="bound")),
        one_of=("bound",),
        build=_build_size,
    ),
    Test(name="exists", arguments=(_HEADERS,), build=_build_exists),
    Test(name="header", arguments=(_HEADERS, _KEYS), shared=_MATCH, build=_build_header),
    Test(
        name="address",
        arguments=(_HEADERS, _KEYS),
        shared=frozenset({Shared.MATCH, Shared.ADDRESS_PART}),
        build=_build_address,
    ),
)

EXTENSIONS: Final = (
    Extension(
        capability="",
        rfc="RFC 5228",
        commands=_COMMANDS,
        tests=_TESTS,
        match_types=(
            MatchType(name="is", build=build_is),
            MatchType(name="contains", build=build_contains, needs_substrings=True),
            MatchType(name="matches", build=build_matches, needs_substrings=True),
        ),
        comparators=(OCTET, ASCII_CASEMAP),
        address_parts=(
            AddressPart(name="all", take=_all_of),
            AddressPart(name="localpart", take=_local_part),
            AddressPart(name="domain", take=_domain),
        ),
    ),
    Extension(capability="comparator-i;octet", rfc="RFC 5228 §2.7.3"),
    Extension(capability="comparator-i;ascii-casemap", rfc="RFC 5228 §2.7.3"),
)
