"""Methods about the Sieve scripts of the user of a session."""

from dataclasses import asdict
from hashlib import sha256
from typing import Final

import msgstore.access.scriptshapes as x
import msgstore.access.shapes as s
from accessd import mail
from accessd.calls import Call
from accessd.serving import serves
from msgstore.access import contract, entries
from msgstore.access.codes import AccessError
from msgstore.model.scripts import (
    NAME_LIMIT_CHARACTERS,
    SCRIPT_LIMIT_OCTETS,
    SCRIPTS_LIMIT,
    ScriptNotFound,
    ScriptShelf,
    ScriptTooLarge,
    TooManyScripts,
    check_script_name,
)
from msgstore.scripts import Rule, ScriptInvalid, activate_checked, check, put_checked, rules_in, text_of
from msgstore.sieve import Diagnostic, Engine

__all__ = ["IMPLEMENTATION", "largest_script", "notify_schemes", "refuse_space"]

IMPLEMENTATION: Final = "msgstore"
"""Clients that know servers by this name take others for others; it says no version. RFC 5804 §1.7."""


def largest_script(engine: Engine) -> int:
    """Give how many octets a script may have: what is kept, and what is compiled."""
    return min(SCRIPT_LIMIT_OCTETS, engine.limits.script_octets)


def notify_schemes(engine: Engine) -> tuple[str, ...]:
    """Give the schemes of notification methods. RFC 5436."""
    return ("mailto",) if "enotify" in engine.capabilities else ()


def refuse_space(shelf: ScriptShelf, engine: Engine, name: str, octets: int) -> None:
    """Refuse what would not be kept.

    Raises:
        InvalidScriptName, ScriptTooLarge, TooManyScripts: as the names say.
    """
    check_script_name(name)
    if octets > largest_script(engine):
        raise ScriptTooLarge
    names = {info.name for info in shelf.list()}
    if name not in names and len(names) >= SCRIPTS_LIMIT:
        raise TooManyScripts


@serves(entries.SCRIPT_CAPABILITIES)
async def _capabilities(call: Call, _args: s.SessionArgs) -> x.ScriptCapabilities:
    engine = call.services.engine
    return x.ScriptCapabilities(
        implementation=IMPLEMENTATION,
        extensions=engine.capabilities,
        notify=notify_schemes(engine),
        max_redirects=engine.limits.redirects,
        # A character has up to four octets. RFC 3629.
        name_octets=4 * NAME_LIMIT_CHARACTERS,
        script_octets=largest_script(engine),
    )


@serves(entries.SCRIPT_LIST)
async def _list(call: Call, _args: s.SessionArgs) -> x.ScriptList:
    return x.ScriptList(scripts=await call.read(_rows, _shelf(call)))


@serves(entries.SCRIPT_GET)
async def _get(call: Call, args: x.ScriptNameArgs) -> x.ScriptText:
    content = await call.read(_shelf(call).read, args.name)
    return x.ScriptText(text=content, hash=_hash(content))


@serves(entries.SCRIPT_CHECK)
async def _check(call: Call, args: x.ScriptTextArgs) -> x.Kept:
    if len(args.text) > largest_script(call.services.engine):
        raise _too_large(call)
    findings = await call.read(check, call.services.engine, args.text)
    if not findings.is_valid:
        raise _invalid(ScriptInvalid(findings))
    return x.Kept(warnings=_warnings(findings.warnings))


@serves(entries.SCRIPT_SPACE)
async def _space(call: Call, args: x.ScriptSpaceArgs) -> s.Nothing:
    try:
        await call.read(refuse_space, _shelf(call), call.services.engine, args.name, args.octets)
    except ScriptTooLarge as error:
        limit = largest_script(call.services.engine)
        raise AccessError("OVER_QUOTA", str(error), limit_octets=limit, sieve="QUOTA/MAXSIZE") from None
    return s.Nothing()


@serves(entries.SCRIPT_PUT)
async def _put(call: Call, args: x.ScriptPutArgs) -> x.Kept:
    if len(args.text) > largest_script(call.services.engine):
        raise _too_large(call)
    return x.Kept(warnings=await _keep(call, args.name, args.text, activate=bool(args.activate)))


@serves(entries.SCRIPT_ACTIVATE)
async def _activate(call: Call, args: x.ScriptNameArgs) -> s.Nothing:
    try:
        await call.commit(activate_checked, _shelf(call), call.services.engine, args.name or None)
    except ScriptInvalid as error:
        raise _invalid(error) from None
    return s.Nothing()


@serves(entries.SCRIPT_DELETE)
async def _delete(call: Call, args: x.ScriptNameArgs) -> s.Nothing:
    await call.commit(_shelf(call).remove, args.name)
    return s.Nothing()


@serves(entries.SCRIPT_RENAME)
async def _rename(call: Call, args: x.ScriptRenameArgs) -> s.Nothing:
    await call.commit(_shelf(call).rename, args.name, args.new_name)
    return s.Nothing()


@serves(entries.SCRIPT_GET_RULES)
async def _get_rules(call: Call, args: x.ScriptNameArgs) -> x.FoundRules:
    content = await call.read(_shelf(call).read, args.name)
    rules = await call.read(rules_in, content, call.services.engine)
    if rules is None:
        return x.FoundRules(raw=content)
    return x.FoundRules(rules=tuple(contract.typed(asdict(rule), x.RuleShape) for rule in rules))


@serves(entries.SCRIPT_PUT_RULES)
async def _put_rules(call: Call, args: x.ScriptPutRulesArgs) -> x.RulesKept:
    try:
        rules = [
            Rule(
                name=rule.name,
                conditions=rule.conditions,
                actions=rule.actions,
                matches=rule.matches,
                enabled=rule.enabled,
            )
            for rule in args.rules
        ]
    except ValueError as error:
        raise AccessError("SCRIPT_INVALID", str(error)) from None
    content = await call.read(text_of, rules, call.services.engine)
    return x.RulesKept(text=content, warnings=await _keep(call, args.name, content, activate=bool(args.activate)))


async def _keep(call: Call, name: str, content: bytes, *, activate: bool) -> tuple[x.ScriptWarning, ...]:
    shelf, engine = _shelf(call), call.services.engine

    def act() -> tuple[Diagnostic, ...]:
        return put_checked(shelf, engine, name, content, activate=activate)

    try:
        return _warnings(await call.commit(act))
    except ScriptInvalid as error:
        raise _invalid(error) from None


def _shelf(call: Call) -> ScriptShelf:
    return call.services.store.scripts(mail.session_of(call).mailbox)


def _rows(shelf: ScriptShelf) -> tuple[x.ScriptRow, ...]:
    rows: list[x.ScriptRow] = []
    for info in shelf.list():
        try:
            content = shelf.read(info.name)
        except ScriptNotFound:
            # Removed since the listing began.
            continue
        rows.append(x.ScriptRow(name=info.name, active=info.is_active, octets=len(content), hash=_hash(content)))
    return tuple(rows)


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()


def _warnings(found: tuple[Diagnostic, ...]) -> tuple[x.ScriptWarning, ...]:
    return tuple(x.ScriptWarning(line=one.line, column=one.column, text=_sentence(one)) for one in found)


def _sentence(found: Diagnostic) -> str:
    return f"{found.text} ({found.hint})" if found.hint else found.text


def _invalid(error: ScriptInvalid) -> AccessError:
    findings = error.findings
    return AccessError(
        "SCRIPT_INVALID",
        str(error),
        errors=[contract.plain(one) for one in _warnings(findings.errors)],
        warnings=[contract.plain(one) for one in _warnings(findings.warnings)],
    )


def _too_large(call: Call) -> AccessError:
    limit = largest_script(call.services.engine)
    return AccessError("TOO_LARGE", f"a script has at most {limit} octets", limit_octets=limit, sieve="QUOTA/MAXSIZE")
