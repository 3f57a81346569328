"""``msgstore store convert``: the mail of this configuration into the store of another one."""

import os
from pathlib import Path
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, Row, opened_as_it_is, pass_console
from msgstore.admin.keycarry import carry_keys
from msgstore.admin.progress import Bar
from msgstore.admin.stores import ADDRESSES, ALL, EX_FOUND, chosen_users, store
from msgstore.config.schema import Settings
from msgstore.exchange.converting import Converting
from msgstore.exchange.copying import Difference, FolderConverted
from msgstore.model.address import MailboxId
from msgstore.model.errors import DiskFull, MailboxNotFound, StoreError
from msgstore.model.interfaces import MessageStore

__all__ = ["commands"]


@store.command()
@ADDRESSES
@ALL
@click.option(
    "--into",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Configuration file that names the other store; all of it counts as it will when it is this machine's.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option(
    "--verify/--no-verify",
    "verifies",
    default=True,
    help="Read every message on both sides and compare it, those of earlier runs too. It is the default.",
)
@click.option("--prune", "prunes", is_flag=True, help="Take away folders and scripts that are there and not here.")
@click.option("--skip-unreadable", "skips", is_flag=True, help="Leave out for good what cannot be read here.")
@pass_console
def convert(
    console: Console,
    addresses: tuple[str, ...],
    *,
    everybody: bool,
    into: Path,
    dry_run: bool,
    verifies: bool,
    prunes: bool,
    skips: bool,
) -> int:
    """Make the mail of the store that --into names what it is here; run it again to go on, or to follow.

    Nothing is changed here, and daemons may run on it meanwhile; on the other store nothing may run before the last
    run.  Exit status 1 when something is not there as it is here.
    """
    other = Console(into, as_json=console.as_json)
    _refuse_same(console, other)
    rows: list[Row] = []
    found: list[Row] = []
    removed_left = 0
    users = chosen_users(console, addresses, everybody=everybody)
    with console.store() as source, opened_as_it_is(other) as target, Bar(console) as bar:
        for user in users:
            mailbox = user.mailbox
            if everybody and not source.mailbox_exists(mailbox):
                continue
            _refuse_same_place(source, target, mailbox)
            converting = Converting(
                source,
                target,
                mailbox,
                progress=bar,
                dry_run=dry_run,
                verifies=verifies,
                prunes=prunes,
                skips_unreadable=skips,
            )
            texts = _run(converting, mailbox, rows, goes_on=len(users) > 1)
            texts += carry_keys(console, other, user, dry_run=dry_run)
            found += [_told(mailbox, one) for one in converting.differences]
            found += [_told(mailbox, Difference(folder=None, uid=None, text=text)) for text in texts]
            removed_left += converting.removed_left
    return _show(console, rows, found, removed_left=removed_left, dry_run=dry_run)


def _run(converting: Converting, mailbox: MailboxId, rows: list[Row], *, goes_on: bool) -> list[str]:
    """Convert a mailbox; with ``goes_on`` trouble with it alone is told and does not keep others from being converted.

    Raises:
        StoreError: it cannot be converted now, and neither can others.
    """
    try:
        rows.extend(_row_of(mailbox, one) for one in converting.run())
    except StoreError as error:
        if not goes_on or isinstance(error, DiskFull):
            raise
        return [f"stopped before its end: {error}"]
    return []


def _row_of(mailbox: MailboxId, one: FolderConverted) -> Row:
    return {
        "mailbox": str(mailbox),
        "folder": str(one.folder),
        "put": one.put,
        "present": one.present,
        "changed": one.changed,
        "expunged": one.expunged,
        "verified": one.verified,
        "octets": one.octets,
        "uidvalidity": one.status.uidvalidity,
    }


def _told(mailbox: MailboxId, one: Difference) -> Row:
    folder = None if one.folder is None else str(one.folder)
    return {"mailbox": str(mailbox), "folder": folder, "uid": one.uid, "text": one.text}


def _show(console: Console, rows: list[Row], found: list[Row], *, removed_left: int, dry_run: bool) -> int:
    if console.as_json:
        facts = {"dry_run": dry_run, "folders": rows, "differences": found, "removed_left": removed_left}
        console.result(facts)
        return EX_FOUND if found else 0
    console.table(rows, ("mailbox", "folder", "put", "present", "changed", "expunged", "verified"))
    for one in found:
        place = ": ".join(str(one[name]) for name in ("mailbox", "folder", "uid") if one[name] is not None)
        console.note(f"differs: {place}: {one['text']}")
    if removed_left:
        console.note(f"{removed_left} expunged messages can be brought back here only")
    if dry_run:
        console.note("this was a dry run: nothing was changed")
    return EX_FOUND if found else 0


def _refuse_same(console: Console, other: Console) -> None:
    """Refuse a target that is the source, as far as settings tell, and one that would forget everything.

    Raises:
        UsageError: it is one of them.
    """
    if other.settings.store.backend == "memory":
        raise click.UsageError("the store that --into names would forget everything at the end of this run")
    if _where(console.settings) == _where(other.settings):
        raise click.UsageError("the store that --into names is this one")


def _where(settings: Settings) -> object:
    """Give what says where mail is kept, as far as settings do."""
    kept, place = settings.store, os.path.realpath(settings.data_dir)
    if kept.backend != "maildir":
        return kept.backend, kept.dsn or place
    domains = {name: (one.path_template, one.maildir_subdir) for name, one in settings.domains.items()}
    return kept.backend, place, kept.base_path, kept.path_template, kept.maildir_subdir, domains


def _refuse_same_place(source: MessageStore, target: MessageStore, mailbox: MailboxId) -> None:
    """Refuse a mailbox that both stores keep in one directory, by whatever path.

    Raises:
        UsageError: they do.
    """
    if not target.mailbox_exists(mailbox):
        return
    here, there = _place_of(source, mailbox), _place_of(target, mailbox)
    if here is not None and here == there:
        raise click.UsageError(f"the mail of {mailbox} that --into names is what is here")


def _place_of(opened: MessageStore, mailbox: MailboxId) -> tuple[int, int] | None:
    try:
        fd = opened.control_directory(mailbox)
    except MailboxNotFound:
        return None
    if fd is None:
        return None
    try:
        status = os.fstat(fd)
        return status.st_dev, status.st_ino
    finally:
        os.close(fd)


commands: Final = (store,)
