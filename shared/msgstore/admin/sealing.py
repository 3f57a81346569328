"""Keys where verbs need them to open and seal mail: from a password or a recovery key, for the time of a block."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, read_password, read_secret
from msgstore.admin.resealing import opened_with
from msgstore.admin.userkeys import open_with_password
from msgstore.admin.users import find_account
from msgstore.auth.directory import Account
from msgstore.auth.keys import WrappedKey
from msgstore.crypto import OpenKeys, PublicKey, decode_recovery, open_sealed, recover_key_file, seal
from msgstore.exchange.sealing import Opener, Sealer
from msgstore.model.errors import KeyNotFound
from msgstore.model.interfaces import Body
from msgstore.model.user import User

__all__ = [
    "PASSWORD",
    "RECOVERY",
    "needed_key",
    "open_message",
    "opened_file",
    "opened_keys",
    "opener_of",
    "sealer_for",
]

PASSWORD: Final = click.option(
    "--password-stdin", is_flag=True, help="Read the user's password from standard input, one line."
)
RECOVERY: Final = click.option(
    "--recovery-stdin", is_flag=True, help="Read the recovery key from standard input, one line."
)


@contextmanager
def opened_file(
    console: Console, account: Account, *, password_stdin: bool, recovery_stdin: bool
) -> Generator[tuple[WrappedKey, OpenKeys]]:
    """Open a user's keys with the password, which is asked for, or with the recovery key; wiped at the end.

    Raises:
        click.UsageError: both were said, or there is nobody to be asked.
        WrongPassword, WrongRecoveryKey: it does not open them.
        KeyNotFound, KeyUnreadable, KeyUnusable: as the names say.
    """
    if password_stdin and recovery_stdin:
        raise click.UsageError("say --password-stdin or --recovery-stdin")
    if recovery_stdin:
        given = read_secret("Recovery key", from_stdin=True, option="--recovery-stdin")
        wrapped = console.keys.wrapped(account.user)
        with decode_recovery(given) as secret:
            opened: OpenKeys = recover_key_file(wrapped.content, secret)
    else:
        password = read_password(from_stdin=password_stdin, twice=False)
        wrapped, opened = open_with_password(console, account, password)
    with opened:
        yield wrapped, opened


@contextmanager
def opened_keys(
    console: Console, account: Account, *, password_stdin: bool, recovery_stdin: bool
) -> Generator[OpenKeys]:
    """Give the keys alone; see :func:`opened_file`."""
    with opened_file(console, account, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as (_, opened):
        yield opened


def needed_key(console: Console, user: User) -> PublicKey:
    """Give the key that a user's mail is sealed to.

    Raises:
        KeyNotFound: the user has none.
        KeyUnreadable, KeyMalformed: there is one, or may be, and it cannot be used.
    """
    public = console.keys.public_key(user)
    if public is None:
        raise KeyNotFound(f"{user.mailbox} has no key; `msgstore key generate` makes one")
    return public


def open_message(console: Console, address: str, body: Body, *, password_stdin: bool, recovery_stdin: bool) -> bytes:
    """Open one sealed message of the account of an address; see :func:`opened_file`.

    Raises:
        SealError: it is damaged, or sealed for somebody else.
    """
    account = find_account(console, address)
    with opened_keys(console, account, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as keys:
        return bytes(open_sealed(b"".join(body.chunks()), keys.keys))


def opener_of(keys: OpenKeys) -> Opener:
    """Give what opens blobs with any of the keys, while these are not wiped."""

    def opener(blob: bytes) -> bytearray | None:
        found = opened_with(blob, keys)
        return None if found is None else found[1]

    return opener


def sealer_for(public: PublicKey) -> Sealer:
    """Give what seals to a key."""
    return lambda message: seal(message, public)
