"""``msgstore import`` and ``msgstore export``: mailboxes of other programs in and out."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Final, Protocol

import rich_click as click

from msgstore.admin.callers_disk import CallersDisk
from msgstore.admin.console import Console, Row, pass_console
from msgstore.admin.progress import Bar
from msgstore.admin.script_exchange import NO_SCRIPTS, SCRIPTS_FROM, import_scripts, rows_of, scripts_target
from msgstore.admin.sealing import PASSWORD, RECOVERY, needed_key, opened_keys, opener_of, sealer_for
from msgstore.auth.directory import Account
from msgstore.exchange.maildir_source import Flavour, MaildirSource
from msgstore.exchange.maildir_target import write_maildir
from msgstore.exchange.mbox_source import MboxSource
from msgstore.exchange.mbox_target import write_mbox
from msgstore.exchange.script_target import ScriptsTarget
from msgstore.exchange.sealing import Opener, Sealer, Sealing
from msgstore.exchange.taking import Taking
from msgstore.exchange.target import FolderWritten
from msgstore.exchange.values import PassedOver, Progress, Source
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.errors import MailboxNotFound
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.store.disk import Disk

__all__ = ["EX_LEFT", "commands"]

EX_LEFT: Final = 1
"""Something was passed over; the rest is done."""

FOLDERS: Final = click.option("--folder", "folders", multiple=True, help="Only this one; may be said again.")
DRY_RUN: Final = click.option("--dry-run", is_flag=True, help="Say what would be done; change no mail.")
MERGE: Final = click.option("--merge", is_flag=True, help="Put messages into folders in use too, under new UIDs.")
SEAL: Final = click.option(
    "--seal/--no-seal",
    "seals",
    default=None,
    help="Seal to the user's key what comes in plain, or do not; else as mail is sealed that is delivered.",
)
OPEN: Final = click.option("--open", "opens", is_flag=True, help="Open sealed messages; asks for the user's password.")
SOURCE: Final = click.argument("source", type=click.Path(exists=True))
TARGET: Final = click.argument("target", type=click.Path())
ADDRESS: Final = click.argument("address")


@click.group("import")
def import_() -> None:
    """Take over a mailbox of another program: UIDs, flags, dates and subscriptions stay.  Run it again to go on."""


@click.group()
def export() -> None:
    """Write a mailbox out for another program.  Run it again to go on."""


@contextmanager
def _sealing(
    console: Console, account: Account, *, seals: bool | None, password_stdin: bool, recovery_stdin: bool
) -> Generator[Sealing]:
    """Give what is done about sealed mail; keys are open meanwhile where a password or a recovery key was given."""
    sealer = _sealer(console, account, seals=seals)
    if not (password_stdin or recovery_stdin):
        yield Sealing(seal=sealer)
        return
    with opened_keys(console, account, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as keys:
        yield Sealing(seal=sealer, open=opener_of(keys))


def _sealer(console: Console, account: Account, *, seals: bool | None) -> Sealer | None:
    """Give what seals mail that comes in plain, by the word of the operator, else as deliveries are sealed."""
    policy = account.user.encryption or console.directory.policy(account.user.mailbox.domain).encryption
    if seals or (seals is None and policy == "required"):
        return sealer_for(needed_key(console, account.user))
    if seals is None and policy == "opportunistic":
        public = console.keys.public_key(account.user)
        return None if public is None else sealer_for(public)
    return None


def _names(folders: tuple[str, ...]) -> frozenset[FolderName]:
    return frozenset(FolderName.parse(folder) for folder in folders)


def _take(
    console: Console,
    open_source: Callable[[], Source],
    address: str,
    *,
    tree: str | None = None,
    folders: tuple[str, ...],
    dry_run: bool,
    merge: bool,
    seals: bool | None,
    password_stdin: bool,
    recovery_stdin: bool,
) -> int:
    wanted = _names(folders)
    rows: list[Row] = []
    account = console.directory.find(parse_address(address))
    keys = _sealing(console, account, seals=seals, password_stdin=password_stdin, recovery_stdin=recovery_stdin)
    with keys as sealing, console.store() as store, closing(open_source()) as source, Bar(console) as bar:
        taking = Taking(
            store,
            account.user.mailbox,
            source,
            progress=bar,
            wanted=wanted,
            dry_run=dry_run,
            merges=merge,
            sealing=sealing,
        )
        rows += [
            {
                "folder": str(one.folder),
                "put": one.put,
                "present": one.present,
                "failed": one.failed,
                "sealed": one.sealed,
                "sealed_here": one.sealed_here,
                "uids": "kept" if one.keeps_uids else "new",
                "uidvalidity": one.uidvalidity,
            }
            for one in taking.run()
        ]
        left = taking.failures
        scripts = import_scripts(
            console, store, account.user.mailbox, tree=tree, is_whole=not wanted, dry_run=dry_run, failures=left
        )
    columns = ("folder", "put", "present", "failed", "sealed", "uids")
    return _show(console, rows, columns, left.found, scripts=scripts, dry_run=dry_run)


def _show(
    console: Console,
    rows: list[Row],
    columns: tuple[str, ...],
    failures: list[PassedOver],
    *,
    scripts: list[Row],
    dry_run: bool,
) -> int:
    passed: list[Row] = [{"place": one.place, "reason": one.reason} for one in failures]
    if console.as_json:
        console.result({"dry_run": dry_run, "folders": rows, "scripts": scripts, "passed_over": passed})
    else:
        console.table(rows, columns)
        if scripts:
            console.done("")
            console.table(scripts, ("script", "outcome", "active"))
        for one in failures:
            console.note(f"passed over: {one.place}: {one.reason}")
        if dry_run:
            console.note("this was a dry run: nothing was changed")
    return EX_LEFT if failures else 0


def _register(flavour: Flavour, sentence: str) -> None:
    @import_.command(flavour, help=sentence)
    @SOURCE
    @ADDRESS
    @FOLDERS
    @DRY_RUN
    @MERGE
    @SCRIPTS_FROM
    @NO_SCRIPTS
    @SEAL
    @PASSWORD
    @RECOVERY
    @pass_console
    def take(
        console: Console,
        source: str,
        address: str,
        *,
        folders: tuple[str, ...],
        dry_run: bool,
        merge: bool,
        seals: bool | None,
        password_stdin: bool,
        recovery_stdin: bool,
    ) -> int:
        place = os.path.abspath(source)  # noqa: PTH100 (as text for the disk)
        return _take(
            console,
            lambda: MaildirSource(CallersDisk(), place, flavour=flavour),
            address,
            tree=place,
            folders=folders,
            dry_run=dry_run,
            merge=merge,
            seals=seals,
            password_stdin=password_stdin,
            recovery_stdin=recovery_stdin,
        )


_register("maildir", "Take over a Maildir++ tree; lists of Dovecot, msgstore or Courier count where they are found.")
_register("dovecot", "Take over a Maildir++ tree of Dovecot.")
_register("courier", "Take over a Maildir++ tree of Courier.")


@import_.command("mbox")
@SOURCE
@ADDRESS
@FOLDERS
@DRY_RUN
@MERGE
@SCRIPTS_FROM
@NO_SCRIPTS
@SEAL
@PASSWORD
@RECOVERY
@pass_console
def take_mbox(
    console: Console,
    source: str,
    address: str,
    *,
    folders: tuple[str, ...],
    dry_run: bool,
    merge: bool,
    seals: bool | None,
    password_stdin: bool,
    recovery_stdin: bool,
) -> int:
    """Take over an mbox file as INBOX, or a directory of them."""
    place = os.path.abspath(source)  # noqa: PTH100 (as text for the disk)
    return _take(
        console,
        lambda: MboxSource(CallersDisk(), place),
        address,
        folders=folders,
        dry_run=dry_run,
        merge=merge,
        seals=seals,
        password_stdin=password_stdin,
        recovery_stdin=recovery_stdin,
    )


@export.command("maildir")
@ADDRESS
@TARGET
@FOLDERS
@DRY_RUN
@NO_SCRIPTS
@OPEN
@PASSWORD
@RECOVERY
@pass_console
def write_out_maildir(
    console: Console,
    address: str,
    target: str,
    *,
    folders: tuple[str, ...],
    dry_run: bool,
    opens: bool,
    password_stdin: bool,
    recovery_stdin: bool,
) -> int:
    """Write a Maildir++ tree that Dovecot opens with the same UIDs, and the user's scripts beside it."""
    account = console.directory.find(parse_address(address))
    scripts = scripts_target(is_whole=not folders)
    writer = partial(write_maildir, scripts=scripts)
    with _opener(console, account, opens=opens, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as opener:
        return _write(
            console, writer, account, target, folders=folders, dry_run=dry_run, opener=opener, scripts=scripts
        )


@export.command("mbox")
@ADDRESS
@TARGET
@FOLDERS
@DRY_RUN
@OPEN
@PASSWORD
@RECOVERY
@pass_console
def write_out_mbox(
    console: Console,
    address: str,
    target: str,
    *,
    folders: tuple[str, ...],
    dry_run: bool,
    opens: bool,
    password_stdin: bool,
    recovery_stdin: bool,
) -> int:
    """Write a directory with an mbox file for each folder; only `export maildir` writes scripts."""
    account = console.directory.find(parse_address(address))
    with _opener(console, account, opens=opens, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as opener:
        return _write(console, write_mbox, account, target, folders=folders, dry_run=dry_run, opener=opener)


class _Writer(Protocol):
    def __call__(
        self,
        store: MessageStore,
        mailbox: MailboxId,
        target: tuple[Disk, str],
        *,
        progress: Progress,
        wanted: frozenset[FolderName],
        dry_run: bool,
        opener: Opener | None,
    ) -> Iterator[FolderWritten]: ...


@contextmanager
def _opener(
    console: Console, account: Account, *, opens: bool, password_stdin: bool, recovery_stdin: bool
) -> Generator[Opener | None]:
    if not opens:
        yield None
        return
    with opened_keys(console, account, password_stdin=password_stdin, recovery_stdin=recovery_stdin) as keys:
        yield opener_of(keys)


def _write(
    console: Console,
    writer: _Writer,
    account: Account,
    target: str,
    *,
    folders: tuple[str, ...],
    dry_run: bool,
    opener: Opener | None,
    scripts: ScriptsTarget | None = None,
) -> int:
    place, mailbox = os.path.abspath(target), account.user.mailbox  # noqa: PTH100 (as text for the disk)
    left: list[PassedOver] = []
    rows: list[Row] = []
    with console.store() as store, Bar(console) as bar:
        if not store.mailbox_exists(mailbox):
            raise MailboxNotFound(f"{mailbox} has no mail yet")
        wanted = _names(folders)
        written = writer(
            store, mailbox, (CallersDisk(), place), progress=bar, wanted=wanted, dry_run=dry_run, opener=opener
        )
        for one in written:
            left += [PassedOver(place=where, reason="no key opens it") for where in one.left]
            rows.append(
                {
                    "folder": str(one.folder),
                    "written": one.written,
                    "present": one.present,
                    "sealed": one.sealed,
                    "opened": one.opened,
                    "uidvalidity": one.uidvalidity,
                }
            )
    left += [] if scripts is None else scripts.failures.found
    told = [] if scripts is None else rows_of(scripts)
    columns = ("folder", "written", "present", "sealed", "opened")
    return _show(console, rows, columns, left, scripts=told, dry_run=dry_run)


commands: Final = (import_, export)
