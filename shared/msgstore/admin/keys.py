"""``msgstore key``: the keys that users' mail is sealed to."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import rich_click as click

from msgstore.admin.console import Console, Row, Value, confirm, pass_console, read_password, read_secret
from msgstore.admin.sealing import PASSWORD, RECOVERY
from msgstore.admin.userkeys import add_first, give_keys, open_with_password, require_password
from msgstore.admin.users import ADDRESS, find_account
from msgstore.auth.directory import Account
from msgstore.auth.keychange import open_keys
from msgstore.auth.keys import WrappedKey
from msgstore.crypto import PublicKey, SecretKey, decode_recovery, encode_recovery, recover_key_file
from msgstore.crypto.keyfile import as_keyring, open_key_file, wrap_again
from msgstore.crypto.keyring import KEY_FILE_LIMIT_OCTETS, Keyring, OpenKeyring
from msgstore.crypto.password import hash_password
from msgstore.model.errors import KeyNotFound
from msgstore.model.keys import KeyMalformed

__all__ = ["key", "replace_keys"]

RECOVERY_SLOT: Final = "recovery"
FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.group()
def key() -> None:
    """Make, change and save the keys that mail is sealed to."""


@key.command("generate")
@ADDRESS
@PASSWORD
@pass_console
def generate(console: Console, address: str, *, password_stdin: bool) -> None:
    """Make the first key of a user, under the password of the account."""
    account = find_account(console, address)
    password = read_password(from_stdin=password_stdin, twice=False)
    require_password(account, password)
    console.make_mailbox(account.user.mailbox)
    public = give_keys(console, account, password)
    _done(console, account, f"{account.user.mailbox} has the key {public.key_id}", public)
    console.note(
        "without the password nobody can read what is sealed: `msgstore key escrow` makes a recovery key; "
        "`msgstore key seal-existing` seals the mail that is there"
    )


@key.command("show")
@ADDRESS
@pass_console
def show(console: Console, address: str) -> None:
    """Show what key a user has, and where it lies; needs no password."""
    account = find_account(console, address)
    public = console.keys.public_key(account.user)
    try:
        wrapped = console.keys.wrapped(account.user)
    except KeyNotFound:
        wrapped = None
    recovery = Keyring.parse(wrapped.content).recovery_slots if wrapped and wrapped.form == "keyring" else ()
    facts: dict[str, Value] = {
        "mailbox": str(account.user.mailbox),
        "policy": account.user.encryption or console.directory.policy(account.user.mailbox.domain).encryption,
        "key_id": None if public is None else public.key_id,
        "public_key": None if public is None else public.octets.hex(),
        "form": None if wrapped is None else wrapped.form,
        "place": None if wrapped is None else wrapped.spot.where,
        "recovery": " ".join(recovery) or None,
    }
    console.table([facts], tuple(facts))


@key.command("policy")
@ADDRESS
@click.argument("policy", type=click.Choice(["off", "opportunistic", "required", "default"]))
@pass_console
def set_policy(console: Console, address: str, policy: Literal["off", "opportunistic", "required", "default"]) -> None:
    """Say whether mail for one user is sealed; default is what the domain says."""
    account = find_account(console, address)
    console.directory.set_encryption(account, None if policy == "default" else policy)
    console.done(f"mail for {account.user.mailbox}: {policy}", mailbox=str(account.user.mailbox), policy=policy)


@key.command("list")
@ADDRESS
@PASSWORD
@pass_console
def list_keys(console: Console, address: str, *, password_stdin: bool) -> None:
    """List all keys of a user, old ones too; needs the password."""
    account = find_account(console, address)
    _, opened = open_with_password(console, account, read_password(from_stdin=password_stdin, twice=False))
    columns = ("key_id", "algorithm", "status", "created")
    with opened:
        if isinstance(opened, OpenKeyring):
            rows: list[Row] = [{name: str(entry.get(name)) for name in columns} for entry in opened.entries()]
        else:
            row: Row = {"key_id": opened.active.public.key_id, "algorithm": "X25519", "status": "active"}
            rows = [row]
    console.table(rows, columns)


@key.command("export")
@ADDRESS
@click.argument("file", type=FILE)
@click.option("--public", "is_public", is_flag=True, help="Write the public key alone, 32 octets.")
@pass_console
def export(console: Console, address: str, file: Path, *, is_public: bool) -> None:
    """Write a user's keys into a new FILE, as they are kept: under the user's password."""
    account = find_account(console, address)
    if is_public:
        public = console.keys.public_key(account.user)
        if public is None:
            raise KeyNotFound(f"{account.user.mailbox} has no key")
        content = public.octets
    else:
        content = console.keys.wrapped(account.user).content
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(descriptor)
    console.done(f"{file} was written", mailbox=str(account.user.mailbox), file=str(file), octets=len(content))


@key.command("import")
@ADDRESS
@click.argument("file", type=FILE)
@PASSWORD
@pass_console
def take(console: Console, address: str, file: Path, *, password_stdin: bool) -> None:
    """Take keys from a FILE that the user's password opens.

    A user without a key gets them; one with keys gets those that are missing, for reading old mail.
    """
    account = find_account(console, address)
    password = read_password(from_stdin=password_stdin, twice=False)
    require_password(account, password)
    now = datetime.now(UTC)
    with open_key_file(_small(file), password) as found:
        try:
            wrapped = console.key_changes.settle(account, password)
        except KeyNotFound:
            console.make_mailbox(account.user.mailbox)
            public = add_first(console, account, as_keyring(found, password, console.profile, now))
            _done(console, account, f"{account.user.mailbox} has the key {public.key_id}", public)
            return
        with as_keyring(open_keys(wrapped, password), password, console.profile, now) as opened:
            there = {one.public for one in opened.keys}
            missing = [one for one in found.keys if one.public not in there]
            for one in missing:
                opened.add_old(one, now)
            replace_keys(console, account, wrapped, opened)
            _done(console, account, f"{len(missing)} keys were added", opened.active.public, added=len(missing))


@key.command("rotate")
@ADDRESS
@PASSWORD
@pass_console
def rotate(console: Console, address: str, *, password_stdin: bool) -> None:
    """Make a new key for new mail; the old ones go on opening the mail that is there."""
    account = find_account(console, address)
    password = read_password(from_stdin=password_stdin, twice=False)
    wrapped, found = open_with_password(console, account, password)
    now = datetime.now(UTC)
    with as_keyring(found, password, console.profile, now) as opened, SecretKey.generate() as made:
        opened.rotate(made, now)
        replace_keys(console, account, wrapped, opened)
        text = f"{account.user.mailbox} has the key {made.public.key_id}; {len(opened.keys) - 1} old ones stay"
        _done(console, account, text, made.public, old=len(opened.keys) - 1)


@key.command("escrow")
@ADDRESS
@PASSWORD
@click.option("--to", "recipient", type=FILE, help="Public key of 32 octets whose owner is to open the keys too.")
@pass_console
def escrow(console: Console, address: str, recipient: Path | None, *, password_stdin: bool) -> None:
    """Make a recovery key and print it once: with it the keys open when the password is lost.

    A recovery key made before opens nothing any more.  With --to, no key is made: the owner of that one can recover.
    """
    account = find_account(console, address)
    password = read_password(from_stdin=password_stdin, twice=False)
    wrapped, found = open_with_password(console, account, password)
    with as_keyring(found, password, console.profile, datetime.now(UTC)) as opened:
        if recipient is not None:
            public = PublicKey(_small(recipient))
            opened.set_recovery(f"escrow-{public.key_id[:16]}", public)
            replace_keys(console, account, wrapped, opened)
            text = f"the owner of {public.key_id} can open the keys of {account.user.mailbox}"
            console.done(text, mailbox=str(account.user.mailbox), escrow=public.key_id, recovery_key=None)
            return
        with SecretKey.generate() as made:
            opened.set_recovery(RECOVERY_SLOT, made.public)
            replace_keys(console, account, wrapped, opened)
            shown = encode_recovery(made)
    console.note("Keep this recovery key where the password is not; it is not shown again.")
    console.done(shown, mailbox=str(account.user.mailbox), escrow=None, recovery_key=shown)


@key.command("recover")
@ADDRESS
@RECOVERY
@click.option("--key-file", type=FILE, help="Private key of 32 octets that the keys were escrowed to.")
@click.option("--password-stdin", is_flag=True, help="Read the new password from standard input, the next line.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_console
def recover(
    console: Console, address: str, key_file: Path | None, *, recovery_stdin: bool, password_stdin: bool, yes: bool
) -> None:
    """Give a user a new password with the recovery key; all mail stays readable."""
    account = find_account(console, address)
    confirm(f"Give {account.user.mailbox} a new password?", yes=yes)
    wrapped = console.keys.wrapped(account.user)
    with (
        _recovery_key(key_file, from_stdin=recovery_stdin) as secret,
        recover_key_file(wrapped.content, secret) as opened,
    ):
        password = read_password(from_stdin=password_stdin)
        stored = hash_password(password, console.profile)
        content = wrap_again(opened, password, console.profile)
        if not console.key_changes.change_password(account, stored, old=wrapped, content=content):
            raise click.ClickException("somebody else changed the password or the keys meanwhile; try again")
        text = f"the password of {account.user.mailbox} was changed, and opens {len(opened.keys)} keys"
        console.done(text, mailbox=str(account.user.mailbox), keys=len(opened.keys))


@contextmanager
def _recovery_key(key_file: Path | None, *, from_stdin: bool) -> Generator[SecretKey]:
    if key_file is None:
        secret = decode_recovery(read_secret("Recovery key", from_stdin=from_stdin, option="--recovery-stdin"))
    else:
        secret = SecretKey(bytearray(_small(key_file)))
    with secret:
        yield secret


def replace_keys(console: Console, account: Account, old: WrappedKey, opened: OpenKeyring) -> None:
    """Put changed keys in the place of those that were opened.

    Raises:
        click.ClickException: somebody else changed them meanwhile.
        KeyUnreadable, DirectoryUnavailable: they cannot be written.
    """
    content = opened.wrapped().content()
    if not console.key_changes.replace(account, old, content=content, public=opened.active.public):
        raise click.ClickException("somebody else changed the keys meanwhile; try again")


def _done(console: Console, account: Account, text: str, public: PublicKey, **more: Value) -> None:
    console.done(text, mailbox=str(account.user.mailbox), key_id=public.key_id, public_key=public.octets.hex(), **more)


def _small(file: Path) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as found:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise KeyMalformed(f"{file} is no regular file")
        return found.read(KEY_FILE_LIMIT_OCTETS + 1)
