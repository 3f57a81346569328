"""``msgstore key seal-existing``: keys and the mail that is there already."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, Row, pass_console
from msgstore.admin.keys import key
from msgstore.admin.progress import Bar
from msgstore.admin.resealing import Kind, SealPlain, seal_mailbox
from msgstore.admin.sealing import PASSWORD, RECOVERY, needed_key, opened_keys
from msgstore.admin.stores import ADDRESSES, ALL
from msgstore.admin.users import find_account
from msgstore.auth.directory import Account
from msgstore.crypto import OpenKeys, PublicKey
from msgstore.exchange.values import PassedOver
from msgstore.model.errors import KeyNotFound, KeyUnreadable, KeyUnusable
from msgstore.model.interfaces import MessageStore
from msgstore.model.user import User

__all__ = ["commands"]

EX_LEFT: Final = 1
"""Some messages were left as they are; nothing went wrong with the rest."""

DRY_RUN: Final = click.option("--dry-run", is_flag=True, help="Say what would be done; change no mail.")


class _Outcome:
    """What became of mailboxes, as it is printed."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.left: list[PassedOver] = []

    def take(self, store: MessageStore, user: User, kind: Kind, bar: Bar, *, dry_run: bool) -> None:
        """Work through one mailbox."""
        mailbox = user.mailbox
        if not store.mailbox_exists(mailbox):
            return
        for one in seal_mailbox(store, mailbox, kind, progress=bar, dry_run=dry_run):
            self.left += one.left
            self.rows.append(
                {
                    "mailbox": str(mailbox),
                    "folder": str(one.folder),
                    "sealed": one.sealed,
                    "present": one.present,
                    "changed": one.changed,
                    "left": len(one.left),
                }
            )

    def show(self, console: Console, *, dry_run: bool) -> int:
        """Print everything; gives the exit status."""
        left = [{"place": one.place, "reason": one.reason} for one in self.left]
        if console.as_json:
            console.result({"folders": [dict(row) for row in self.rows], "passed_over": left, "dry_run": dry_run})
            return EX_LEFT if left else 0
        console.table(self.rows, ("mailbox", "folder", "sealed", "present", "changed", "left"))
        for one in left:
            console.note(f"{one['place']}: {one['reason']}")
        if dry_run:
            console.note("nothing was changed")
        return EX_LEFT if left else 0


@key.command("seal-existing")
@ADDRESSES
@ALL
@DRY_RUN
@PASSWORD
@RECOVERY
@pass_console
def seal_existing(
    console: Console,
    addresses: tuple[str, ...],
    *,
    everybody: bool,
    dry_run: bool,
    password_stdin: bool,
    recovery_stdin: bool,
) -> int:
    """Seal plain mail of users who have a key, where it lies; run it again to go on.

    Needs no password, but for messages that may be blobs of an older installation.  What a disk held before may stay
    on it unseen: nothing is shredded.
    """
    if bool(addresses) == everybody:
        raise click.UsageError("name addresses, or say --all")
    accounts = [find_account(console, address) for address in addresses]
    if len(accounts) != 1 and (password_stdin or recovery_stdin):
        raise click.UsageError("a password belongs to one user: name one address")
    users = [account.user for account in accounts]
    if everybody:
        users = [user for domain in console.directory.domains.names() for user in console.directory.users(domain)]
    outcome = _Outcome()
    with _keys_or_none(console, accounts, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as keys:
        kinds = [(user, SealPlain(public, keys)) for user, public in _public_keys(console, users, outcome, everybody)]
        with console.store() as store, Bar(console) as bar:
            for user, kind in kinds:
                outcome.take(store, user, kind, bar, dry_run=dry_run)
    return outcome.show(console, dry_run=dry_run)


def _public_keys(
    console: Console,
    users: Sequence[User],
    outcome: _Outcome,
    everybody: bool,  # noqa: FBT001 (what the operator said)
) -> Iterator[tuple[User, PublicKey]]:
    """Give users who have keys; of everybody those in trouble are noted, of named ones they end the work."""
    for user in users:
        try:
            yield user, needed_key(console, user)
        except KeyNotFound:
            if not everybody:
                raise
        except (KeyUnreadable, KeyUnusable) as error:
            if not everybody:
                raise
            # One user in trouble must not keep the mail of the others plain.
            outcome.left.append(PassedOver(place=str(user.mailbox), reason=str(error)))


@contextmanager
def _keys_or_none(
    console: Console, accounts: Sequence[Account], *, password_stdin: bool, recovery_stdin: bool
) -> Generator[OpenKeys | None]:
    if not (password_stdin or recovery_stdin):
        yield None
        return
    with opened_keys(console, accounts[0], password_stdin=password_stdin, recovery_stdin=recovery_stdin) as keys:
        yield keys


commands: Final = (key,)
