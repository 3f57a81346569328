"""Keys where an account is made, gets another password or goes; shared by the verbs."""

from datetime import UTC, datetime

import rich_click as click

from msgstore.admin.console import Console
from msgstore.auth.directory import Account
from msgstore.auth.keyaccess import rewrap
from msgstore.auth.keychange import open_keys
from msgstore.auth.keys import WrappedKey
from msgstore.crypto import OpenKeys, PublicKey, SecretKey
from msgstore.crypto.keyring import OpenKeyring
from msgstore.crypto.password import verify_password
from msgstore.model.errors import KeyNotFound
from msgstore.model.keys import WrongPassword
from msgstore.model.user import User

__all__ = [
    "add_first",
    "check_old_keys",
    "give_keys",
    "open_with_password",
    "require_password",
    "wrap_for_new_password",
    "wrapped_or_none",
]


def require_password(account: Account, password: bytearray) -> None:
    """Refuse what is not the password of the account.

    Raises:
        WrongPassword: it is not.
    """
    if not verify_password(account.entry.stored_hash, password):
        raise WrongPassword(f"that is not the password of {account.user.mailbox}")


def wrapped_or_none(console: Console, user: User) -> WrappedKey | None:
    """Give the file with a user's private keys; None where there is none.

    Raises:
        KeyUnreadable, KeyUnusable: one is there, or may be, and cannot be used.
    """
    try:
        return console.keys.wrapped(user)
    except KeyNotFound:
        return None


def open_with_password(console: Console, account: Account, password: bytearray) -> tuple[WrappedKey, OpenKeys]:
    """Open a user's keys; a change of password that was cut short is ended first.

    Raises:
        WrongPassword: that is not the user's password, or not that of the keys.
        KeyNotFound, KeyUnreadable, KeyUnusable: as the names say.
    """
    require_password(account, password)
    wrapped = console.key_changes.settle(account, password)
    return wrapped, open_keys(wrapped, password)


def give_keys(console: Console, account: Account, password: bytearray) -> PublicKey:
    """Make the first key of a user whose password is known.

    Raises:
        click.UsageError: the user has one.
        KeyUnreadable: there may be one, or it cannot be written.
    """
    now = datetime.now(UTC)
    with SecretKey.generate() as made, OpenKeyring.create(made, password, console.profile, now) as opened:
        return add_first(console, account, opened)


def add_first(console: Console, account: Account, opened: OpenKeyring) -> PublicKey:
    """Let these be the first keys of a user.

    Raises:
        click.UsageError, KeyUnreadable: as for :func:`give_keys`.
    """
    public = opened.active.public
    if not console.key_changes.add(account, content=opened.wrapped().content(), public=public):
        raise click.UsageError(f"{account.user.mailbox} has a key; `msgstore key rotate` makes a new one")
    return public


def check_old_keys(console: Console, user: User, password: bytearray) -> bool:
    """Say whether keys of an earlier account of this name are there, which a new password has to open.

    Raises:
        click.UsageError: it does not.
        KeyUnreadable, KeyUnusable: nobody can tell.
    """
    wrapped = wrapped_or_none(console, user)
    if wrapped is None:
        if console.keys.public_key(user) is None:
            return False
        raise click.UsageError(f"there is a public key of an earlier {user.mailbox} and no private one; move it away")
    try:
        open_keys(wrapped, password).wipe()
    except WrongPassword as error:
        raise click.UsageError(
            f"there are keys of an earlier {user.mailbox}; take the password of then, or move them away"
        ) from error
    return True


def wrap_for_new_password(
    console: Console, account: Account, wrapped: WrappedKey, *, old: bytearray, new: bytearray
) -> None:
    """Change a password and the keys under it together.

    Raises:
        WrongPassword: the old one does not open the keys.
        click.ClickException: somebody else changed one of them meanwhile.
        KeyUnreadable, KeyUnusable, DirectoryUnavailable: as the names say.
    """
    if verify_password(account.entry.stored_hash, old):
        # Keys that were left behind by a bare change of the hash open with an older password, which is taken too.
        wrapped = console.key_changes.settle(account, old)
    if not rewrap(console.key_changes, account, wrapped, old=old, new=new, profile=console.profile):
        raise click.ClickException("somebody else changed the password or the keys meanwhile; try again")
