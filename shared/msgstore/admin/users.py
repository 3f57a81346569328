"""``msgstore user``: accounts."""

import secrets
import sys
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, Row, confirm, pass_console, read_password, read_secret
from msgstore.admin.domains import add_domain
from msgstore.admin.userkeys import check_old_keys, give_keys, wrap_for_new_password, wrapped_or_none
from msgstore.auth.directory import Account
from msgstore.auth.domains import is_domain_name
from msgstore.auth.passwd import PasswdEntry
from msgstore.crypto.password import hash_password
from msgstore.model.address import MailboxId, fold_domain, fold_local_part, parse_address
from msgstore.model.errors import InvalidAddress, UserNotFound
from msgstore.model.folder import INBOX
from msgstore.model.user import User

__all__ = ["add_user", "commands", "find_account", "generated_password", "has_user", "new_mailbox"]

ADDRESS: Final = click.argument("address")
PASSWORD: Final = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, one line."
)


@click.group()
def user() -> None:
    """Add, change, list and remove accounts."""


def generated_password() -> bytearray:
    """Make a password that is easy to copy: 100 bits."""
    return bytearray("-".join(secrets.token_hex(3)[:5] for _ in range(5)).encode())


def new_mailbox(address: str, separator: str) -> MailboxId:
    """Give the mailbox that an account of this address would have.

    Raises:
        InvalidAddress: the address has no domain or cannot name a mailbox.
    """
    mailbox = MailboxId.parse(address)
    name = mailbox.local_part
    if separator and separator in name:
        raise InvalidAddress(address, f"holds {separator!r}, which separates user and detail")
    if ":" in name or name.lstrip().startswith("#") or name != name.strip() or not is_domain_name(mailbox.domain):
        raise InvalidAddress(address, "cannot stand in the password file")
    return mailbox


def has_user(console: Console, mailbox: MailboxId) -> bool:
    """Whether there is such an account, disabled or not."""
    if not console.directory.domains.is_hosted(mailbox.domain):
        return False
    names = (found.username.rpartition("@")[0] for found in console.directory.users(mailbox.domain))
    return any(fold_local_part(name) == mailbox.local_part for name in names)


def add_user(console: Console, address: str, password: bytearray, *, with_key: bool = False) -> MailboxId:
    """Make an account, its mailbox and, where wanted or where the domain says so, its key; the domain is hosted then.

    Raises:
        InvalidAddress: the address has no domain or cannot name a mailbox.
        click.UsageError: the user exists, or keys of an earlier one do and the password does not open them.
        KeyUnreadable, KeyUnusable: there may be such keys.
    """
    mailbox = new_mailbox(address, console.settings.auth.detail_separator)
    has_keys = check_old_keys(console, User(username=str(mailbox), mailbox=mailbox), password)
    domain = add_domain(console, mailbox.domain)
    stored = hash_password(password, console.profile)
    entry = PasswdEntry(user=mailbox.local_part, stored_hash=stored, mailbox=mailbox.local_part)
    with console.directory.editing(domain) as (file, directory):
        if not file.add(directory, entry):
            raise click.UsageError(f"{mailbox} exists; use `msgstore user passwd` to change the password")
    with console.store() as store:
        store.create_mailbox(mailbox)
    if not has_keys and (with_key or console.directory.policy(domain).gives_keys):
        give_keys(console, find_account(console, str(mailbox)), password)
    return mailbox


@user.command("add")
@ADDRESS
@PASSWORD
@click.option("--generate", is_flag=True, help="Make a password and print it once.")
@click.option("--key", "with_key", is_flag=True, help="Make a key too, whatever the policy of the domain is.")
@pass_console
def add(console: Console, address: str, *, password_stdin: bool, generate: bool, with_key: bool) -> None:
    """Make an account, its mailbox and, where needed, its domain; a key where mail has to be sealed."""
    mailbox = new_mailbox(address, console.settings.auth.detail_separator)
    if has_user(console, mailbox):
        raise click.UsageError(f"{mailbox} exists; use `msgstore user passwd` to change the password")
    password = generated_password() if generate else read_password(from_stdin=password_stdin)
    mailbox = add_user(console, address, password, with_key=with_key)
    shown = password.decode() if generate else None
    console.done(
        f"{mailbox} was added" + (f", password {shown}" if shown else ""), mailbox=str(mailbox), password=shown
    )


@user.command("passwd")
@ADDRESS
@PASSWORD
@click.option("--old-password-stdin", is_flag=True, help="Read the old password from standard input, the line before.")
@pass_console
def passwd(console: Console, address: str, *, password_stdin: bool, old_password_stdin: bool) -> None:
    """Change a password.

    Keys of the user are wrapped anew, for which the old password is needed; `msgstore key recover` does without it.
    """
    account = find_account(console, address)
    wrapped = wrapped_or_none(console, account.user)
    if wrapped is None and console.keys.public_key(account.user) is not None:
        console.note("the user has a public key and no private one: sealed mail cannot be read")
    old = _old_password(account, from_stdin=old_password_stdin) if wrapped is not None or old_password_stdin else None
    new = read_password(from_stdin=password_stdin)
    if wrapped is not None and old is not None:
        wrap_for_new_password(console, account, wrapped, old=old, new=new)
    else:
        stored = hash_password(new, console.profile)
        _put(console, account, stored_hash=stored, enabled=account.entry.enabled)
    console.done(f"the password of {account.user.mailbox} was changed", mailbox=str(account.user.mailbox))


@user.command("disable")
@ADDRESS
@pass_console
def disable(console: Console, address: str) -> None:
    """Refuse logins; mail for the user waits at the sender (4.2.1)."""
    account = find_account(console, address)
    _put(console, account, stored_hash=account.entry.stored_hash, enabled=False)
    console.done(f"{account.user.mailbox} is disabled", mailbox=str(account.user.mailbox), enabled=False)


@user.command("enable")
@ADDRESS
@pass_console
def enable(console: Console, address: str) -> None:
    """Undo disable; the password is the old one."""
    account = find_account(console, address)
    _put(console, account, stored_hash=account.entry.stored_hash, enabled=True)
    console.done(f"{account.user.mailbox} is enabled", mailbox=str(account.user.mailbox), enabled=True)


@user.command("list")
@click.argument("domain", required=False)
@pass_console
def list_users(console: Console, domain: str | None) -> None:
    """List accounts, of one domain or of all."""
    names = console.directory.domains.names() if domain is None else (fold_domain(domain),)
    rows: list[Row] = [
        {"user": found.username, "mailbox": str(found.mailbox), "enabled": found.enabled}
        for name in names
        for found in console.directory.users(name)
    ]
    console.table(rows, ("user", "mailbox", "enabled"))


@user.command("show")
@ADDRESS
@pass_console
def show(console: Console, address: str) -> None:
    """Show one account and what its INBOX holds."""
    account = find_account(console, address)
    with console.store() as store:
        status = (
            store.folder(account.user.mailbox, INBOX).stat() if store.mailbox_exists(account.user.mailbox) else None
        )
    facts: dict[str, str | int | bool | None] = {
        "user": account.user.username,
        "mailbox": str(account.user.mailbox),
        "enabled": account.user.enabled,
        "inbox_messages": None if status is None else status.messages,
        "inbox_octets": None if status is None else status.octets,
    }
    console.table([facts], tuple(facts))


@user.command("rm")
@ADDRESS
@click.option("--purge", is_flag=True, help="Remove the user's mail too; it cannot be brought back.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_console
def remove(console: Console, address: str, *, purge: bool, yes: bool) -> None:
    """Remove an account.  Its mail stays unless --purge is given."""
    account = find_account(console, address)
    what = "and all its mail" if purge else "and keep its mail"
    confirm(f"Remove the account {account.user.mailbox} {what}?", yes=yes)
    with console.directory.editing(account.user.mailbox.domain) as (file, directory):
        file.remove(directory, account.entry.user)
    if purge:
        # Or mail for somebody who gets this address later would be sealed to keys of somebody else.
        console.key_changes.remove(account)
        with console.store() as store:
            store.remove_mailbox(account.user.mailbox)
    kept = "its mail is gone" if purge else "its mail stays"
    console.done(f"{account.user.mailbox} was removed, {kept}", mailbox=str(account.user.mailbox), purged=purge)


def find_account(console: Console, address: str) -> Account:
    """Find the account that has this very address.

    Raises:
        UserNotFound: there is none.
        DomainNotHosted, InvalidAddress, DirectoryUnavailable: as the names say.
    """
    wanted = parse_address(address)
    account = console.directory.find(wanted)
    name, _, domain = account.user.username.rpartition("@")
    if wanted.domain is not None and fold_domain(wanted.domain) != domain:
        raise UserNotFound(f"{address} is no account; its mail goes to {account.user.mailbox}")
    if account.detail is None and fold_local_part(name) != fold_local_part(wanted.local_part):
        # A postmaster without an account is somebody else: changes are not meant for them.
        raise UserNotFound(f"{address} is no account; its mail goes to {account.user.mailbox}")
    if account.detail is not None:
        raise UserNotFound(f"{address} has a detail; name the user alone")
    return account


def _old_password(account: Account, *, from_stdin: bool) -> bytearray:
    if from_stdin or sys.stdin.isatty():
        return read_secret("Old password", from_stdin=from_stdin, option="--old-password-stdin")
    raise click.UsageError(
        f"{account.user.mailbox} has keys that open with the old password: give it with --old-password-stdin, or use "
        "`msgstore key recover`; without them sealed mail could not be read any more"
    )


def _put(console: Console, account: Account, *, stored_hash: str, enabled: bool) -> None:
    old = account.entry
    entry = PasswdEntry(user=old.user, stored_hash=stored_hash, mailbox=old.mailbox, enabled=enabled, rest=old.rest)
    with console.directory.editing(account.user.mailbox.domain) as (file, directory):
        file.put(directory, entry)


commands: Final = (user,)
