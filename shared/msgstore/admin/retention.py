"""``msgstore retention run``: old mail goes, and after the undelete window what was removed."""

import time
from collections.abc import Mapping
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, Row, pass_console
from msgstore.admin.stores import chosen_mailboxes, progress_over
from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MsgstoreError
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import Uid

__all__ = ["commands", "keep_to_limits"]

_DAY_SECONDS: Final = 86_400
_BATCH: Final = 1000
"""Removed at once: many unlinks in one go slow down a file system for everybody."""


@click.group()
def retention() -> None:
    """Remove mail that is older than the settings say."""


@retention.command("run")
@click.argument("addresses", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Every user of every hosted domain.")
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@pass_console
def run_retention(console: Console, addresses: tuple[str, ...], *, everybody: bool, dry_run: bool) -> int:
    """Expunge old messages of the folders named in [retention], and purge what can not be brought back any more."""
    settings = console.settings.retention
    limits = {FolderName.parse(name): days for name, days in settings.folders.items()}
    mailboxes = chosen_mailboxes(console, addresses, everybody=everybody)
    rows: list[Row] = []
    has_failed = False
    with console.store() as store, progress_over(console, mailboxes, "retention") as each:
        for mailbox in each:
            if not store.mailbox_exists(mailbox):
                continue
            try:
                rows += keep_to_limits(store, mailbox, limits, undelete_days=settings.undelete_days, dry_run=dry_run)
            except MsgstoreError as error:
                # One mailbox that cannot be read must not keep all others from their limits.
                has_failed = True
                console.note(f"{mailbox}: {error}")
        if everybody and not dry_run:
            store.sweep()
    console.table(rows, ("mailbox", "folder", "messages", "octets"))
    return 1 if has_failed else 0


def keep_to_limits(
    store: MessageStore, mailbox: MailboxId, limits: Mapping[FolderName, int], *, undelete_days: int, dry_run: bool
) -> list[Row]:
    """Expunge what is older than its folder's days and purge what was removed before the window; say what went.

    Raises:
        StoreError: the mailbox cannot be worked on.
    """
    rows: list[Row] = []
    now = time.time()
    for name, days in limits.items():
        try:
            found = store.folder(mailbox, name).rows(["uid", "internal_date", "octets"])
        except FolderNotFound:
            continue
        old = [
            (uid, octets) for uid, date, octets in found if isinstance(date, int) and date < now - days * _DAY_SECONDS
        ]
        if not old:
            continue
        if not dry_run:
            uids = [Uid(uid) for uid, _ in old if isinstance(uid, int)]
            for first in range(0, len(uids), _BATCH):
                store.folder(mailbox, name).expunge(uids[first : first + _BATCH])
        octets = sum(octets for _, octets in old if isinstance(octets, int))
        rows.append({"mailbox": str(mailbox), "folder": str(name), "messages": len(old), "octets": octets})
    before = now - undelete_days * _DAY_SECONDS
    removed = [one for one in store.removed(mailbox) if one.removed_at < before]
    if removed:
        if not dry_run:
            store.purge_removed(mailbox, before=before)
        octets = sum(one.octets for one in removed)
        rows.append({"mailbox": str(mailbox), "folder": None, "messages": len(removed), "octets": octets})
    return rows


commands = (retention,)
