"""Scripts on their way with a mailbox: what ``msgstore import`` and ``msgstore export`` do beside the mail.

A script that does not compile comes along too, or it would be lost when the other server goes; it replaces nothing, is
never made the active one, and is reported.
"""

import os
from collections.abc import Sequence
from typing import Final, cast

import click

from msgstore.admin.callers_disk import CallersDisk
from msgstore.admin.console import Console, Row
from msgstore.exchange.script_source import ForeignScript, find_scripts, read_scripts
from msgstore.exchange.script_target import ScriptsTarget
from msgstore.exchange.values import Failures
from msgstore.model.address import MailboxId
from msgstore.model.interfaces import MessageStore
from msgstore.model.scripts import ScriptInfo, ScriptShelf, TooManyScripts
from msgstore.scripts import check
from msgstore.sieve import Engine

__all__ = ["NO_SCRIPTS", "SCRIPTS_FROM", "ScriptsIn", "import_scripts", "rows_of", "scripts_target"]


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    context.meta[f"{__name__}.{parameter.name}"] = value


def _remembered(name: str) -> object:
    return click.get_current_context().meta.get(f"{__name__}.{name}")


SCRIPTS_FROM: Final = click.option(
    "--scripts",
    type=click.Path(exists=True, file_okay=False),
    expose_value=False,
    callback=_remember,
    help="Where .dovecot.sieve and sieve/ lie; else the tree, or the directory above one called Maildir.",
)
NO_SCRIPTS: Final = click.option(
    "--no-scripts", is_flag=True, expose_value=False, callback=_remember, help="Leave the user's scripts out."
)


def scripts_target(*, is_whole: bool) -> ScriptsTarget | None:
    """Give what writes scripts out; None where they are left out, or folders were chosen."""
    return ScriptsTarget() if is_whole and not _remembered("no_scripts") else None


def rows_of(target: ScriptsTarget) -> list[Row]:
    """Give what became of scripts that were written out."""
    return [{"script": info.name, "outcome": "written", "active": info.is_active} for info in target.written]


def import_scripts(
    console: Console,
    store: MessageStore,
    mailbox: MailboxId,
    *,
    tree: str | None,
    is_whole: bool,
    dry_run: bool,
    failures: Failures,
) -> list[Row]:
    """Put the scripts of a source on a user's shelf and say what became of them; what was passed over is added.

    They lie where ``--scripts`` says, else in or above ``tree``; where folders were chosen only the option brings them.

    Raises:
        StoreError: the shelf cannot be worked on; running again goes on.
    """
    said = cast("str | None", _remembered("scripts"))
    if _remembered("no_scripts"):
        if said is not None:
            raise click.UsageError("give a directory with --scripts, or --no-scripts")
        return []
    disk = CallersDisk()
    path = None if said is None else os.path.abspath(said)  # noqa: PTH100 (as text for the disk)
    try:
        if path is None and tree is not None and is_whole:
            path = find_scripts(disk, tree)
        found = () if path is None else read_scripts(disk, path, failures=failures)
    except OSError as error:
        failures.add("scripts", error.strerror or str(error))
        return []
    if not found:
        return []
    shelf = store.scripts(mailbox)
    here = shelf.list() if store.mailbox_exists(mailbox) else ()
    return ScriptsIn(shelf, here, console.engine, failures=failures, dry_run=dry_run).take(found)


class ScriptsIn:
    """Takes scripts of a source over; may be run again, with the same outcome as if it had run once."""

    def __init__(
        self,
        shelf: ScriptShelf,
        here: Sequence[ScriptInfo],
        engine: Engine,
        *,
        failures: Failures,
        dry_run: bool = False,
    ) -> None:
        """``here`` is what the shelf holds; a dry run changes nothing."""
        self._shelf = shelf
        self._here = {info.name for info in here}
        self._active = next((info.name for info in here if info.is_active), None)
        self._engine = engine
        self._failures = failures
        self._dry_run = dry_run

    def take(self, found: Sequence[ForeignScript]) -> list[Row]:
        """Put scripts, and make the active one active, last, where none is active here; give a row for each.

        Raises:
            StoreError: the shelf cannot be worked on; what was put stays.
        """
        return [self._take(script) for script in sorted(found, key=lambda one: one.is_active)]

    def _take(self, script: ForeignScript) -> Row:
        findings = check(self._engine, script.content)
        outcome = self._put(script)
        if outcome != "left" and not findings.is_valid:
            self._failures.add(script.place, f"does not compile and cannot be active: {findings.errors[0]}")
        is_active = outcome != "left" and findings.is_valid and script.is_active and self._activate(script)
        return {"script": script.name, "outcome": outcome, "active": is_active}

    def _put(self, script: ForeignScript) -> str:
        if script.name in self._here:
            if self._shelf.read(script.name) == script.content:
                return "present"
            self._failures.add(script.place, "another script of that name is here")
            return "left"
        if not self._dry_run:
            try:
                self._shelf.put(script.name, script.content)
            except TooManyScripts as error:
                self._failures.add(script.place, str(error))
                return "left"
        return "put"

    def _activate(self, script: ForeignScript) -> bool:
        if self._active not in (None, script.name):
            self._failures.add(script.place, "is not made the active script: another one is active here")
            return False
        if self._active is None and not self._dry_run:
            self._shelf.activate(script.name)
        return True
