"""``msgstore sieve check``: a script in a file, or all that users have."""

from collections.abc import Iterable, Iterator

import rich_click as click

from msgstore.admin.console import EX_DATAERR, Console, Row, pass_console
from msgstore.admin.given import read_script
from msgstore.admin.users import find_account
from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound, StoreError
from msgstore.model.scripts import ScriptShelf
from msgstore.scripts import Findings, check
from msgstore.sieve import Engine

__all__ = ["check_script", "finding_rows"]

_COLUMNS = ("line", "column", "level", "text", "hint")


@click.command("check")
@click.argument("file", required=False)
@click.option("--user", "address", help="Check all scripts of this user instead.")
@click.option("--all", "is_all", is_flag=True, help="Check all scripts of all users instead.")
@pass_console
def check_script(console: Console, file: str | None, *, address: str | None, is_all: bool) -> int:
    """Compile a script and say everything that is wrong; FILE is - for standard input.

    Scripts that users have are worth a look after a change of [sieve], and after an upgrade.
    """
    if [file is not None, address is not None, is_all].count(True) != 1:
        raise click.UsageError("give a file, --user or --all")
    if file is None:
        return _check_stored(console, address)
    findings = check(console.engine, read_script(file))
    rows = finding_rows(findings)
    if console.as_json:
        console.result({"valid": findings.is_valid, "findings": rows})
    elif rows:
        console.table(rows, _COLUMNS)
    else:
        console.done("the script compiles")
    return 0 if findings.is_valid else EX_DATAERR


def finding_rows(findings: Findings) -> list[Row]:
    """Give errors and warnings in the order of the script."""
    return [
        {"line": one.line, "column": one.column, "level": one.level.value, "text": one.text, "hint": one.hint or None}
        for one in sorted((*findings.errors, *findings.warnings), key=lambda one: (one.line, one.column))
    ]


def _check_stored(console: Console, address: str | None) -> int:
    checked = 0
    rows: list[Row] = []
    with console.store() as store:
        for mailbox in _mailboxes(console, address):
            if store.mailbox_exists(mailbox):
                for found in _checked(console.engine, store.scripts(mailbox)):
                    checked += 1
                    rows += [{"mailbox": str(mailbox), **row} for row in found]
            elif address is not None:
                raise MailboxNotFound(f"{mailbox} has no mail yet")
    is_valid = all(row["level"] != "error" for row in rows)
    if console.as_json:
        console.result({"valid": is_valid, "checked": checked, "findings": rows})
    elif rows:
        console.table(rows, ("mailbox", "script", "active", *_COLUMNS))
    else:
        console.done(f"{checked} scripts compile")
    return 0 if is_valid else EX_DATAERR


def _mailboxes(console: Console, address: str | None) -> Iterable[MailboxId]:
    if address is not None:
        return (find_account(console, address).user.mailbox,)
    domains = console.directory.domains.names()
    return (user.mailbox for domain in domains for user in console.directory.users(domain))


def _checked(engine: Engine, shelf: ScriptShelf) -> Iterator[list[Row]]:
    """Give for each script what is to be said about it; one that cannot be read is an error and hides no other."""
    try:
        shelf.active()
    except StoreError as error:
        yield [_unread(None, str(error), is_active=True)]
    for info in shelf.list():
        facts: Row = {"script": info.name, "active": info.is_active}
        try:
            findings = check(engine, shelf.read(info.name))
        except StoreError as error:
            yield [_unread(info.name, str(error), is_active=info.is_active)]
        else:
            yield [{**facts, **row} for row in finding_rows(findings)]


def _unread(name: str | None, text: str, *, is_active: bool) -> Row:
    facts: Row = {"script": name, "active": is_active, "line": None, "column": None}
    return {**facts, "level": "error", "text": text, "hint": None}
