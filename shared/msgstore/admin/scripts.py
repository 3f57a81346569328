"""``msgstore sieve``: scripts of users, and trying one on a message."""

import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Final

import rich_click as click

from msgstore.admin.console import EX_DATAERR, Console, Row, pass_console, read_password
from msgstore.admin.explaining import explain
from msgstore.admin.given import STDIN, read_octets, read_script
from msgstore.admin.rules import rules
from msgstore.admin.running import details_of, run
from msgstore.admin.script_checks import check_script, finding_rows
from msgstore.admin.users import ADDRESS, find_account
from msgstore.model.address import parse_address
from msgstore.model.errors import MailboxNotFound
from msgstore.model.scripts import ScriptIsActive, ScriptNotFound, ScriptShelf, StoredScript
from msgstore.scripts import (
    Findings,
    Remote,
    ScriptInvalid,
    activate_checked,
    check,
    fetch_scripts,
    push_scripts,
    put_checked,
    take_scripts,
)
from msgstore.sieve import Context, Envelope, Message, Verdict, evaluate

__all__ = ["commands", "shelf_of"]

NAME: Final = click.argument("name")
PASSWORD: Final = click.option(
    "--password-stdin", is_flag=True, help="Read the password at the other server from standard input, one line."
)
ACT_AS: Final = click.option("--act-as", default="", help="Whose scripts they are there, where the login is a master.")


_SHOWN_CHARACTERS: Final = 60
"""Of a line of a script beside a step."""


@click.group()
def sieve() -> None:
    """Keep and try the scripts that sort users' mail."""


@contextmanager
def shelf_of(console: Console, address: str) -> Generator[ScriptShelf]:
    """Open the scripts of a user.

    Raises:
        MailboxNotFound: there is no mailbox yet.
        ScriptNotFound: the block asked for a script that is not there; it is said which there are.
    """
    mailbox = find_account(console, address).user.mailbox
    with console.store() as store:
        if not store.mailbox_exists(mailbox):
            raise MailboxNotFound(f"{mailbox} has no mailbox yet")
        shelf = store.scripts(mailbox)
        try:
            yield shelf
        except ScriptNotFound as error:
            names = ", ".join(info.name for info in shelf.list())
            raise ScriptNotFound(f"{error}; {mailbox} has {names or 'none'}") from error


@sieve.command("list")
@ADDRESS
@pass_console
def list_scripts(console: Console, address: str) -> None:
    """List a user's scripts."""
    with shelf_of(console, address) as shelf:
        rows: list[Row] = [
            {"name": info.name, "octets": info.octets, "active": info.is_active} for info in shelf.list()
        ]
    console.table(rows, ("name", "octets", "active"))


@sieve.command("get")
@ADDRESS
@NAME
@pass_console
def get(console: Console, address: str, name: str) -> None:
    """Print a script."""
    with shelf_of(console, address) as shelf:
        content = shelf.read(name)
    if console.as_json:
        console.done("", name=name, text=content.decode("utf-8", "replace"))
    else:
        # Octet by octet: what is kept in a file and put again is the same script.
        click.echo(content, nl=sys.stdout.isatty() and not content.endswith(b"\n"))


@sieve.command("put")
@ADDRESS
@NAME
@click.argument("file")
@click.option("--activate", is_flag=True, help="Make it the active one.")
@pass_console
def put(console: Console, address: str, name: str, file: str, *, activate: bool) -> None:
    """Keep a script that compiles; FILE is - for standard input."""
    content = read_script(file)
    with shelf_of(console, address) as shelf:
        warnings = put_checked(shelf, console.engine, name, content, activate=activate)
    for warning in warnings:
        console.note(str(warning))
    if console.as_json:
        facts = {"name": name, "octets": len(content), "active": activate, "warnings": len(warnings)}
        console.result({**facts, "findings": finding_rows(Findings(errors=(), warnings=warnings))})
    else:
        console.done(f"{name} is kept" + (" and active" if activate else ""))


@sieve.command("activate")
@ADDRESS
@click.argument("name", required=False)
@click.option("--none", "is_none", is_flag=True, help="No script is the active one.")
@pass_console
def activate(console: Console, address: str, name: str | None, *, is_none: bool) -> None:
    """Make a script the active one."""
    if is_none == (name is not None):
        raise click.UsageError("give a name, or --none")
    with shelf_of(console, address) as shelf:
        activate_checked(shelf, console.engine, name)
    console.done(f"{name} is active" if name else "no script is active", name=name)


@sieve.command("deactivate")
@ADDRESS
@pass_console
def deactivate(console: Console, address: str) -> None:
    """Make no script the active one; all of them stay."""
    with shelf_of(console, address) as shelf:
        shelf.activate(None)
    console.done("no script is active", name=None)


@sieve.command("rename")
@ADDRESS
@NAME
@click.argument("to")
@pass_console
def rename(console: Console, address: str, name: str, to: str) -> None:
    """Give a script another name; an active one stays active."""
    with shelf_of(console, address) as shelf:
        shelf.rename(name, to)
    console.done(f"{name} is {to} now", name=to, before=name)


@sieve.command("rm")
@ADDRESS
@NAME
@pass_console
def remove(console: Console, address: str, name: str) -> None:
    """Remove a script that is not the active one."""
    with shelf_of(console, address) as shelf:
        try:
            shelf.remove(name)
        except ScriptIsActive as error:
            raise ScriptIsActive(f"{error}; activate another one, or none with --none") from error
    console.done(f"{name} is removed", name=name)


@sieve.command("test")
@click.argument("file")
@click.argument("message")
@click.option("--envelope-from", help="Reverse-path; empty is the null path.  Without it envelope tests find nothing.")
@click.option("--envelope-to", help="Forward-path.")
@click.option("--trace", is_flag=True, help="Show every step and what came of it.")
@pass_console
def try_script(
    console: Console, file: str, message: str, *, envelope_from: str | None, envelope_to: str | None, trace: bool
) -> int:
    """Run a script on a message and show what would be done; nothing is done.

    One of FILE and MESSAGE may be - for standard input.
    """
    if file == message == STDIN:
        raise click.UsageError("only one of the script and the message can come on standard input")
    for path in (envelope_from, envelope_to):
        if path:
            # An envelope test finds nothing in what is no address, and nobody would know why.
            parse_address(path)
    engine = console.engine
    content = read_script(file)
    findings = check(engine, content)
    if not findings.is_valid:
        raise ScriptInvalid(findings)
    octets = read_octets(message)
    if not octets.strip():
        console.note("the message is empty")
    context = Context(
        Message.parse(octets),
        envelope=Envelope(reverse_path=envelope_from, forward_path=envelope_to),
        now=time.time(),
        trace=trace,
    )
    verdict = evaluate(engine, engine.compile(content, name=Path(file).name), context)
    _show_verdict(console, verdict, lines=content.decode().splitlines() if trace else None)
    return EX_DATAERR if verdict.error else 0


@sieve.command("import")
@ADDRESS
@click.argument("url")
@PASSWORD
@ACT_AS
@click.option("--overwrite", is_flag=True, help="Replace scripts of the same name, and the active one.")
@pass_console
def import_scripts(
    console: Console, address: str, url: str, *, password_stdin: bool, act_as: str, overwrite: bool
) -> int:
    """Take a user's scripts from another server, managesieve://USER@HOST."""
    remote = _remote(url, act_as)
    password = read_password(from_stdin=password_stdin, twice=False).decode()
    found = fetch_scripts(remote, password)
    with shelf_of(console, address) as shelf:
        done = take_scripts(shelf, console.engine, found, overwrite=overwrite)
    rows: list[Row] = [
        {"name": one.name, "outcome": one.outcome, "active": one.is_active, "why": one.why or None} for one in done
    ]
    console.table(rows, ("name", "outcome", "active", "why"))
    return EX_DATAERR if any(one.outcome == "refused" for one in done) else 0


@sieve.command("push")
@ADDRESS
@click.argument("url")
@PASSWORD
@ACT_AS
@pass_console
def push(console: Console, address: str, url: str, *, password_stdin: bool, act_as: str) -> None:
    """Put a user's scripts on another server, managesieve://USER@HOST."""
    remote = _remote(url, act_as)
    password = read_password(from_stdin=password_stdin, twice=False).decode()
    with shelf_of(console, address) as shelf:
        infos = shelf.list()
        scripts = [StoredScript(name=info.name, content=shelf.read(info.name)) for info in infos]
    active = next((info.name for info in infos if info.is_active), None)
    push_scripts(remote, password, scripts, active=active)
    console.done(f"{len(scripts)} scripts are at {remote.host}", scripts=len(scripts), active=active)


def _remote(url: str, act_as: str) -> Remote:
    try:
        return Remote.parse(url, act_as=act_as)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _show_verdict(console: Console, verdict: Verdict, *, lines: Sequence[str] | None) -> None:
    """Show what was decided; with the lines of the script also why."""
    actions: list[Row] = [
        {"line": action.line or None, "action": type(action).__name__.lower(), "details": details_of(action)}
        for action in verdict.actions
    ]
    steps: list[Row] = [
        {"line": step.line, "kind": step.kind, "name": step.name, "outcome": step.outcome} for step in verdict.trace
    ]
    error = None if verdict.error is None else f"line {verdict.error.line}: {verdict.error.text}"
    if console.as_json:
        console.result({"actions": actions, "error": error, **({"trace": steps} if lines is not None else {})})
        return
    if lines is not None:
        told = [{**row, "script": _line(lines, step.line)} for row, step in zip(steps, verdict.trace, strict=True)]
        console.table(told, ("line", "kind", "name", "outcome", "script"))
        console.done("")
    console.table(actions, ("line", "action", "details"))
    if error is not None:
        console.note(f"the script fails, and the message is kept as it came: {error}")


def _line(lines: Sequence[str], number: int) -> str | None:
    return shorten(lines[number - 1], _SHOWN_CHARACTERS) if 0 < number <= len(lines) else None


sieve.add_command(check_script)
sieve.add_command(explain)
sieve.add_command(run)
sieve.add_command(rules)
commands: Final = (sieve,)
