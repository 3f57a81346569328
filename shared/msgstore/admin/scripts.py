"""``msgstore sieve``: scripts of users, and trying one on a message."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import rich_click as click

from msgstore.admin.console import EX_DATAERR, Console, Row, pass_console, read_password
from msgstore.admin.explaining import explain
from msgstore.admin.previews import details_of, preview
from msgstore.admin.rules import rules
from msgstore.admin.users import ADDRESS, find_account
from msgstore.model.errors import MailboxNotFound
from msgstore.model.scripts import SCRIPT_LIMIT_OCTETS, ScriptShelf, ScriptTooLarge, StoredScript
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
FILE: Final = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
STDIN: Final = "-"
PASSWORD: Final = click.option(
    "--password-stdin", is_flag=True, help="Read the password at the other server from standard input, one line."
)
ACT_AS: Final = click.option("--act-as", default="", help="Whose scripts they are there, where the login is a master.")


@click.group()
def sieve() -> None:
    """Keep and try the scripts that sort users' mail."""


@contextmanager
def shelf_of(console: Console, address: str) -> Generator[ScriptShelf]:
    """Open the scripts of a user.

    Raises:
        MailboxNotFound: there is no mailbox yet.
    """
    mailbox = find_account(console, address).user.mailbox
    with console.store() as store:
        if not store.mailbox_exists(mailbox):
            raise MailboxNotFound(f"{mailbox} has no mailbox yet")
        yield store.scripts(mailbox)


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
        text = shelf.read(name).decode("utf-8", "replace")
    console.done(text.removesuffix("\n").removesuffix("\r"), name=name, text=text)


@sieve.command("put")
@ADDRESS
@NAME
@click.argument("file")
@click.option("--activate", is_flag=True, help="Make it the active one.")
@pass_console
def put(console: Console, address: str, name: str, file: str, *, activate: bool) -> None:
    """Keep a script that compiles; FILE is - for standard input."""
    content = _content(file)
    with shelf_of(console, address) as shelf:
        warnings = put_checked(shelf, console.engine, name, content, activate=activate)
    for warning in warnings:
        console.note(str(warning))
    console.done(f"{name} is kept", name=name, octets=len(content), active=activate, warnings=len(warnings))


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


@sieve.command("rm")
@ADDRESS
@NAME
@pass_console
def remove(console: Console, address: str, name: str) -> None:
    """Remove a script that is not the active one."""
    with shelf_of(console, address) as shelf:
        shelf.remove(name)
    console.done(f"{name} is removed", name=name)


@sieve.command("check")
@click.argument("file")
@pass_console
def check_script(console: Console, file: str) -> int:
    """Compile a script and say everything that is wrong; FILE is - for standard input."""
    findings = check(console.engine, _content(file))
    _show_findings(console, findings)
    return 0 if findings.is_valid else EX_DATAERR


@sieve.command("test")
@FILE
@click.argument("message")
@click.option("--envelope-from", help="Reverse-path; empty is the null path.  Without it envelope tests find nothing.")
@click.option("--envelope-to", help="Forward-path.")
@click.option("--trace", is_flag=True, help="Show every step and what came of it.")
@pass_console
def try_script(
    console: Console, file: Path, message: str, *, envelope_from: str | None, envelope_to: str | None, trace: bool
) -> int:
    """Run a script on a message and show what would be done; nothing is done.  MESSAGE is - for standard input."""
    engine = console.engine
    content = _content(str(file))
    findings = check(engine, content)
    if not findings.is_valid:
        raise ScriptInvalid(findings)
    context = Context(
        Message.parse(_octets(message)),
        envelope=Envelope(reverse_path=envelope_from, forward_path=envelope_to),
        now=time.time(),
        trace=trace,
    )
    verdict = evaluate(engine, engine.compile(content, name=file.name), context)
    _show_verdict(console, verdict, trace=trace)
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


def _content(file: str) -> bytes:
    content = _octets(file)
    if len(content) > SCRIPT_LIMIT_OCTETS:
        raise ScriptTooLarge
    return content


def _octets(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()


def _show_findings(console: Console, findings: Findings) -> None:
    rows: list[Row] = [
        {"line": one.line, "column": one.column, "level": one.level.value, "text": one.text, "hint": one.hint or None}
        for one in sorted((*findings.errors, *findings.warnings), key=lambda one: (one.line, one.column))
    ]
    if console.as_json:
        console.result({"valid": findings.is_valid, "findings": rows})
    elif rows:
        console.table(rows, ("line", "column", "level", "text", "hint"))
    else:
        console.done("the script compiles")


def _show_verdict(console: Console, verdict: Verdict, *, trace: bool) -> None:
    actions: list[Row] = [
        {"line": action.line or None, "action": type(action).__name__.lower(), "details": details_of(action)}
        for action in verdict.actions
    ]
    steps: list[Row] = [
        {"line": step.line, "kind": step.kind, "name": step.name, "outcome": step.outcome} for step in verdict.trace
    ]
    error = None if verdict.error is None else f"line {verdict.error.line}: {verdict.error.text}"
    if console.as_json:
        console.result({"actions": actions, "error": error, **({"trace": steps} if trace else {})})
        return
    if trace:
        console.table(steps, ("line", "kind", "name", "outcome"))
        console.done("")
    console.table(actions, ("line", "action", "details"))
    if error is not None:
        console.note(f"the script fails, and the message is kept as it came: {error}")


sieve.add_command(explain)
sieve.add_command(preview)
sieve.add_command(rules)
commands: Final = (sieve,)
