"""``msgstore key seal-existing``, ``re-seal`` and ``retire``: keys and the mail that is there already."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import rich_click as click

from msgstore.admin.console import EX_TEMPFAIL, Console, Row, Value, confirm, pass_console
from msgstore.admin.keys import key, replace_keys
from msgstore.admin.progress import Bar
from msgstore.admin.resealing import Kind, SealAgain, SealPlain, mail_of_keys, seal_mailbox
from msgstore.admin.sealing import PASSWORD, RECOVERY, needed_key, opened_file, opened_keys
from msgstore.admin.stores import ADDRESSES, ALL
from msgstore.admin.users import ADDRESS, find_account
from msgstore.auth.directory import Account
from msgstore.crypto import OpenKeys, PublicKey
from msgstore.crypto.keyring import OpenKeyring
from msgstore.exchange.values import PassedOver
from msgstore.model.errors import KeyNotFound, KeyUnreadable, KeyUnusable
from msgstore.model.interfaces import MessageStore
from msgstore.model.user import User

__all__ = ["commands"]

EX_LEFT: Final = 1
"""Some messages were left as they are; nothing went wrong with the rest."""

_SETTLED: Final = timedelta(minutes=10)
"""After this no delivery that knew an older key is under way: what is known of keys stands for seconds."""

_NAMED_BY: Final = 8
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

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


@key.command("re-seal")
@ADDRESS
@DRY_RUN
@PASSWORD
@RECOVERY
@pass_console
def re_seal(console: Console, address: str, *, dry_run: bool, password_stdin: bool, recovery_stdin: bool) -> int:
    """Seal to the active key of a user what is sealed to older ones; run it again to go on.

    Messages that no key opens stay as they are, and are named.
    """
    account = find_account(console, address)
    outcome = _Outcome()
    with (
        opened_keys(console, account, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as keys,
        console.store() as store,
        Bar(console) as bar,
    ):
        outcome.take(store, account.user, SealAgain(keys), bar, dry_run=dry_run)
    return outcome.show(console, dry_run=dry_run)


@key.command("retire")
@ADDRESS
@click.argument("key_id")
@PASSWORD
@RECOVERY
@click.option("--removed-too", is_flag=True, help="Though removed mail that could be brought back may need the key.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_console
def retire(
    console: Console,
    address: str,
    key_id: str,
    *,
    password_stdin: bool,
    recovery_stdin: bool,
    removed_too: bool,
    yes: bool,
) -> int:
    """Take an old key away for good, if no mail is sealed to it; KEY_ID as `msgstore key list` shows it.

    Mail that a relay still holds and copies elsewhere, sealed to this key, can never be read again.
    """
    account = find_account(console, address)
    confirm(f"Take the key {key_id} of {account.user.mailbox} away for good?", yes=yes)
    with opened_file(console, account, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as (old, keys):
        if old.following is not None:
            raise click.ClickException(
                "a change of the password was cut short; give the password, not the recovery key"
            )
        if not isinstance(keys, OpenKeyring):
            raise KeyUnusable("there is one key, and new mail is sealed to it")
        name, until = _old_key(keys, key_id)
        if datetime.now(UTC) - until < _SETTLED:
            return _kept(console, name, "was in use a moment ago, and mail may be on its way", code=EX_TEMPFAIL)
        with console.store() as store, Bar(console) as bar:
            mailbox = account.user.mailbox
            if store.mailbox_exists(mailbox):
                removed = len(store.removed(mailbox))
                if removed and not removed_too:
                    text = f"may be needed for {removed} removed messages that could be brought back; see --removed-too"
                    return _kept(console, name, text, code=EX_LEFT, removed=removed)
                sealed = mail_of_keys(store, mailbox, keys, progress=bar)[name]
                if sealed:
                    text = f"is needed for {sealed} messages; `msgstore key re-seal` seals them to the active key"
                    return _kept(console, name, text, code=EX_LEFT, messages=sealed)
        keys.remove(name)
        replace_keys(console, account, old, keys)
    console.done(f"the key {name} is gone", key_id=name, retired=True)
    return 0


def _kept(console: Console, name: str, why: str, *, code: int, **facts: Value) -> int:
    text = f"the key {name} stays: it {why}"
    console.done(text, key_id=name, retired=False, text=text, **facts)
    return code


def _old_key(keys: OpenKeyring, named: str) -> tuple[str, datetime]:
    """Give the id of a key named by it or by the beginning of it, and the time when mail was sealed to it last.

    Raises:
        KeyNotFound: there is none, or there are several.
        KeyUnusable: new mail is sealed to it.
    """
    found = [one for one in keys.entries() if str(one.get("key_id", "")).startswith(named)]
    if len(found) != 1 or len(named) < _NAMED_BY:
        raise KeyNotFound(f"{named!r} names {len(found)} keys; at least {_NAMED_BY} characters, and one key")
    if found[0].get("status") == "active":
        raise KeyUnusable("new mail is sealed to this key; `msgstore key rotate` makes another one")
    try:
        until = datetime.fromisoformat(str(found[0].get("valid_until")))
    except ValueError:
        until = _LONG_AGO
    return str(found[0]["key_id"]), until if until.tzinfo is not None else _LONG_AGO


commands: Final = (key,)
