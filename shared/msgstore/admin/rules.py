"""``msgstore sieve rules``: the rules of a script, where it is made of rules."""

import json
import shlex
from dataclasses import asdict
from typing import Final, cast

import rich_click as click

from msgstore.admin.console import Console, Row, pass_console
from msgstore.admin.users import ADDRESS, find_account
from msgstore.model.scripts import ScriptNotFound, ScriptShelf
from msgstore.scripts import Rule, RulesRefused, put_checked, rules_in, text_of
from msgstore.scripts.rules import Value, Word
from msgstore.sieve import Engine

__all__ = ["rules"]

NAME: Final = click.argument("name")
RULE: Final = click.argument("rule")
_NUMBERED: Final = (":days", ":seconds")


@click.group()
def rules() -> None:
    """Look at and change the rules of a script."""


@rules.command("list")
@ADDRESS
@NAME
@pass_console
def list_rules(console: Console, address: str, name: str) -> None:
    """List the rules of a script."""
    mailbox = find_account(console, address).user.mailbox
    with console.store() as store:
        found = _rules(store.scripts(mailbox), console.engine, name, may_be_new=False)
    if console.as_json:
        click.echo(json.dumps([asdict(rule) for rule in found]))
        return
    rows: list[Row] = [
        {
            "rule": rule.name,
            "enabled": rule.enabled,
            "if": (" and " if rule.matches == "allof" else " or ").join(map(_words, rule.conditions)),
            "then": ", ".join(map(_words, rule.actions)),
        }
        for rule in found
    ]
    console.table(rows, ("rule", "enabled", "if", "then"))


@rules.command("add")
@ADDRESS
@NAME
@RULE
@click.option("--if", "conditions", multiple=True, help="`header Subject :contains offer`, or the same as a JSON list.")
@click.option("--then", "actions", multiple=True, help="`fileinto Work`, or the same as a JSON list.")
@click.option("--any", "is_any", is_flag=True, help="One condition is enough.")
@click.option("--first", is_flag=True, help="Before the other rules, not behind them.")
@click.option("--disabled", is_flag=True, help="It is kept and does nothing.")
@click.option("--activate", is_flag=True, help="Make the script the active one.")
@pass_console
def add(
    console: Console,
    address: str,
    name: str,
    rule: str,
    *,
    conditions: tuple[str, ...],
    actions: tuple[str, ...],
    is_any: bool,
    first: bool,
    disabled: bool,
    activate: bool,
) -> None:
    """Add a rule to a script, which is made where it is not there."""
    try:
        made = Rule(
            name=rule,
            conditions=tuple(_word(one) for one in conditions),
            actions=tuple(_word(one) for one in actions),
            matches="anyof" if is_any else "allof",
            enabled=not disabled,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    mailbox = find_account(console, address).user.mailbox
    with console.store() as store:
        shelf = store.scripts(mailbox)
        before = _rules(shelf, console.engine, name, may_be_new=True)
        after = (made, *before) if first else (*before, made)
        put_checked(shelf, console.engine, name, text_of(after, console.engine), activate=activate)
    console.done(f"{name} has {len(after)} rules", name=name, rules=len(after))


@rules.command("rm")
@ADDRESS
@NAME
@RULE
@pass_console
def remove(console: Console, address: str, name: str, rule: str) -> None:
    """Remove a rule that is not the last one."""
    mailbox = find_account(console, address).user.mailbox
    with console.store() as store:
        shelf = store.scripts(mailbox)
        before = _rules(shelf, console.engine, name, may_be_new=False)
        after = tuple(one for one in before if one.name != rule)
        if len(after) == len(before):
            raise click.UsageError(f"{name} has no rule {rule!r}")
        if not after:
            raise click.UsageError(f"{rule!r} is the last rule; remove the script with `msgstore sieve rm`")
        put_checked(shelf, console.engine, name, text_of(after, console.engine))
    console.done(f"{name} has {len(after)} rules", name=name, rules=len(after))


def _rules(shelf: ScriptShelf, engine: Engine, name: str, *, may_be_new: bool) -> tuple[Rule, ...]:
    try:
        content = shelf.read(name)
    except ScriptNotFound:
        if may_be_new:
            return ()
        raise
    found = rules_in(content, engine)
    if found is None:
        raise RulesRefused(f"{name} says more than rules can; change its text")
    return found


def _word(text: str) -> Word:
    """Read the words of a condition or an action.

    Raises:
        ValueError: the quotes do not match, or the JSON is no list of texts, numbers and lists.
    """
    if not text.lstrip().startswith("["):
        words = shlex.split(text)
        return tuple(
            int(word) if at and words[at - 1] in _NUMBERED and word.isdigit() else word for at, word in enumerate(words)
        )
    return tuple(_value(one) for one in cast("list[object]", json.loads(text)))


def _value(found: object) -> Value:
    if isinstance(found, list):
        return tuple(str(one) for one in cast("list[object]", found))
    if isinstance(found, str | int) and not isinstance(found, bool):
        return found
    raise ValueError("a word is a text, a number or a list of texts")


def _words(word: Word) -> str:
    return " ".join(f"[{', '.join(value)}]" if isinstance(value, tuple) else shlex.quote(str(value)) for value in word)
