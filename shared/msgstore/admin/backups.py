"""``msgstore backup``, ``restore`` and ``verify``: mailboxes in a directory of their own, and back."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from stat import S_ISREG
from typing import Final

import rich_click as click

from msgstore.admin.callers_disk import CallersDisk
from msgstore.admin.console import Console, Row, opened_as_it_is, pass_console
from msgstore.admin.progress import Bar
from msgstore.admin.stores import ADDRESSES, ALL, EX_FOUND, chosen_users
from msgstore.exchange.backing_up import BackingUp, FolderSaved, keep_runs
from msgstore.exchange.backup_bodies import BackupBodies
from msgstore.exchange.backup_place import BackupPlace, Summary
from msgstore.exchange.copying import Difference
from msgstore.exchange.manifests import BackupDamaged
from msgstore.exchange.restoring import FolderPutBack, PuttingBack
from msgstore.exchange.verifying_backup import Damage, VerifyingBackup, read_manifest
from msgstore.model.address import MailboxId
from msgstore.model.errors import DiskFull, StoreError
from msgstore.model.interfaces import MessageStore
from msgstore.model.user import User
from msgstore.store.disk import Disk

__all__ = ["commands"]

PLACE: Final = click.argument("directory", type=click.Path(file_okay=False))
RUN: Final = click.option("--run", "wanted", help="Name of a run; without it the last one.")
DRY_RUN: Final = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")

_DOMAIN_DIRECTORIES: Final = ("keys", "user_forwards")
"""What lies below a domain's directory beside its files, and is no mail."""

_KEY_ENDS: Final = (".pub", ".key", ".key.next")


@click.command()
@PLACE
@ADDRESSES
@ALL
@click.option("--full", is_flag=True, help="Read and write every message, whatever earlier runs have.")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Afterwards remove runs that have this many newer ones of the same mailboxes, and what only they hold.",
)
@DRY_RUN
@pass_console
def backup(
    console: Console,
    directory: str,
    addresses: tuple[str, ...],
    *,
    everybody: bool,
    full: bool,
    keep: int | None,
    dry_run: bool,
) -> int:
    """Write mailboxes into a directory, while mail flows; what it holds already is neither read nor written.

    Exit status 1 when a message could not be read and is not in the run.
    """
    users = chosen_users(console, addresses, everybody=everybody)
    if dry_run:
        return _foresee(console, users)
    rows: list[Row] = []
    found: list[Row] = []
    removed: list[str] = []
    with BackupPlace(CallersDisk(), os.path.abspath(directory), writes=True, create=True) as place:  # noqa: PTH100
        place.clean()
        with (
            console.store() as store,
            Bar(console) as bar,
            closing(BackingUp(store, place, now=time.time(), progress=bar, full=full)) as run,
        ):
            done = [_back_up(run, user.mailbox, rows, found) for user in _with_mail(store, users)]
            for path, content in _account_files(console, users):
                run.add_file(path, content)
            # A run that lacks somebody must not take the place of older ones.
            run.finish(everybody=everybody and all(done))
        swept = 0 if keep is None else keep_runs(place, keep, told=removed.append)
    written, octets = run.written
    facts: dict[str, object] = {"run": run.run, "written": written, "written_octets": octets}
    facts |= {"removed_runs": removed, "removed_bodies": swept}
    if console.as_json:
        console.result({"dry_run": False, **facts, "folders": rows, "differences": found})
        return EX_FOUND if found else 0
    console.table(rows, ("mailbox", "folder", "messages", "read", "octets"))
    console.done(f"run {run.run}: {written} new bodies with {octets} octets")
    if keep is not None:
        console.done(f"removed: {len(removed)} runs, {swept} bodies")
    return _show_found(console, found)


def _with_mail(store: MessageStore, users: Sequence[User]) -> Iterator[User]:
    """Give users that have a mailbox; one that was never made holds nothing."""
    return (user for user in users if store.mailbox_exists(user.mailbox))


def _back_up(run: BackingUp, mailbox: MailboxId, rows: list[Row], found: list[Row]) -> bool:
    """Take a mailbox into a run; trouble with it alone is told and does not keep others from being taken."""
    is_whole = True
    run.differences.clear()
    try:
        rows += [_saved_row(mailbox, one) for one in run.add_mailbox(mailbox)]
    except StoreError as error:
        found.append(_told(mailbox, Difference(folder=None, uid=None, text=f"is not in the run: {error}")))
        is_whole = False
    found += [_told(mailbox, one) for one in run.differences]
    return is_whole


def _foresee(console: Console, users: Sequence[User]) -> int:
    rows: list[Row] = []
    with console.store() as store:
        for user in _with_mail(store, users):
            for info in store.folders(user.mailbox).list():
                status = store.folder(user.mailbox, info.name).stat()
                one = FolderSaved(folder=info.name, uidvalidity=status.uidvalidity, messages=status.messages)
                rows.append(_saved_row(user.mailbox, one))
    if console.as_json:
        console.result({"dry_run": True, "folders": rows, "differences": []})
        return 0
    console.table(rows, ("mailbox", "folder", "messages"))
    console.note("this was a dry run: nothing was changed")
    return 0


def _account_files(console: Console, users: Sequence[User]) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Give the files of domains and the keys that lie beside mail, each with the path it gets in a run."""
    # Some of it may be root's alone.
    disk = CallersDisk()
    for domain in sorted({user.mailbox.domain for user in users}):
        root = os.path.join(console.settings.data_dir, domain)  # noqa: PTH118 (as text for the disk)
        for below in ((), *((name,) for name in _DOMAIN_DIRECTORIES)):
            yield from _files_of(disk, root, below, ("domains", domain, *below))
    for user in users:
        for spot in console.keys.spots(user):
            if spot.where != "mailbox":
                continue
            names = [spot.stem + end for end in _KEY_ENDS]
            target = ("keys", user.mailbox.domain, user.mailbox.local_part)
            yield from _files_of(disk, spot.root, spot.names, target, only=names)


def _files_of(
    disk: Disk, root: str, below: Sequence[str], target: tuple[str, ...], *, only: Sequence[str] | None = None
) -> Iterator[tuple[tuple[str, ...], bytes]]:
    try:
        above = disk.open_root(root)
    except FileNotFoundError:
        return
    try:
        fd = disk.open_directory(above, below)
    except FileNotFoundError:
        return
    finally:
        os.close(above)
    try:
        for name in sorted(disk.names(fd)):
            is_wanted = not name.startswith(".") if only is None else name in only
            # A file that another takes the place of may be gone by its old name.
            with suppress(FileNotFoundError):
                if is_wanted and S_ISREG(disk.stat(fd, name).st_mode):
                    yield (*target, name), disk.read_file(fd, name)[0]
    finally:
        os.close(fd)


@click.command()
@PLACE
@ADDRESSES
@ALL
@RUN
@click.option("--force", is_flag=True, help="Add what is missing to mailboxes that hold other mail too.")
@DRY_RUN
@pass_console
def restore(
    console: Console,
    directory: str,
    addresses: tuple[str, ...],
    *,
    everybody: bool,
    wanted: str | None,
    force: bool,
    dry_run: bool,
) -> int:
    """Put mailboxes of a backup into the store; nothing that is there is removed.  Run it again to go on.

    Exit status 1 when something of the backup is damaged or could not be put; all else is put.
    """
    rows: list[Row] = []
    found: list[Row] = []
    with BackupPlace(CallersDisk(), os.path.abspath(directory), writes=False) as place:  # noqa: PTH100
        summary = place.summary(_chosen_run(place, wanted))
        mailboxes = _chosen(console, summary, addresses, found, everybody=everybody)
        with opened_as_it_is(console) as store, Bar(console) as bar:
            for mailbox in mailboxes:
                try:
                    entry = read_manifest(place, summary.run, summary.manifests[mailbox])
                    putting = PuttingBack(store, entry, BackupBodies(place), progress=bar, dry_run=dry_run, adds=force)
                    texts = _put_back(putting, mailbox, rows)
                    found += [_told(mailbox, one) for one in putting.differences]
                except BackupDamaged as error:
                    texts = [str(error)]
                found += [_told(mailbox, Difference(folder=None, uid=None, text=text)) for text in texts]
    if console.as_json:
        console.result({"dry_run": dry_run, "run": summary.run, "folders": rows, "differences": found})
        return EX_FOUND if found else 0
    console.table(rows, ("mailbox", "folder", "put", "present", "renumbered"))
    if dry_run:
        console.note("this was a dry run: nothing was changed")
    return _show_found(console, found)


def _put_back(putting: PuttingBack, mailbox: MailboxId, rows: list[Row]) -> list[str]:
    """Put a mailbox back; trouble with it alone is told and does not keep others from being put.

    Raises:
        DiskFull: others cannot be put either.
    """
    try:
        rows.extend(_put_row(mailbox, one) for one in putting.run())
    except FileExistsError as error:
        return [str(error.strerror)]
    except DiskFull:
        raise
    except StoreError as error:
        return [f"stopped before its end: {error}"]
    return []


def _chosen(
    console: Console, summary: Summary, addresses: Sequence[str], found: list[Row], *, everybody: bool
) -> tuple[MailboxId, ...]:
    """Give the mailboxes that are to be put back; one that the run or this machine does not have is told."""
    if bool(addresses) == everybody:
        raise click.UsageError("name addresses, or say --all")
    wanted = tuple(summary.manifests) if everybody else tuple(MailboxId.parse(address) for address in addresses)
    fit: list[MailboxId] = []
    for mailbox in wanted:
        if mailbox not in summary.manifests:
            text = f"is not in run {summary.run}"
        elif not console.directory.domains.is_hosted(mailbox.domain):
            text = f"domain {mailbox.domain} is not hosted here"
        else:
            fit.append(mailbox)
            continue
        found.append(_told(mailbox, Difference(folder=None, uid=None, text=text)))
    return tuple(fit)


@click.command()
@PLACE
@click.option("--run", "wanted", help="Name of a run; without it all of them.")
@pass_console
def verify(console: Console, directory: str, *, wanted: str | None) -> int:
    """Read everything in a backup and say what is missing or damaged.  Exit status 1 when something is."""
    with BackupPlace(CallersDisk(), os.path.abspath(directory), writes=False) as place, Bar(console) as bar:  # noqa: PTH100
        runs = place.runs() if wanted is None else (_chosen_run(place, wanted),)
        verifying = VerifyingBackup(place, progress=bar)
        found = [_damage_row(one) for one in verifying.run(runs)]
    facts: dict[str, object] = {"runs": list(runs), "files": verifying.manifests, "bodies": verifying.bodies}
    if console.as_json:
        console.result({**facts, "damages": found})
        return EX_FOUND if found else 0
    console.done(f"{len(runs)} runs, {verifying.manifests} manifests and files, {verifying.bodies} bodies are well")
    return _show_found(console, found)


def _chosen_run(place: BackupPlace, wanted: str | None) -> str:
    """Name the run that was asked for, or the last.

    Raises:
        UsageError: there is none.
    """
    runs = place.runs()
    if wanted is None and runs:
        return runs[-1]
    if wanted is None or wanted not in runs:
        raise click.UsageError("there is no such run that is complete" if wanted else "there is no complete run")
    return wanted


def _saved_row(mailbox: MailboxId, one: FolderSaved) -> Row:
    return {
        "mailbox": str(mailbox),
        "folder": str(one.folder),
        "messages": one.messages,
        "read": one.read,
        "octets": one.octets,
        "uidvalidity": one.uidvalidity,
    }


def _put_row(mailbox: MailboxId, one: FolderPutBack) -> Row:
    return {
        "mailbox": str(mailbox),
        "folder": str(one.folder),
        "put": one.put,
        "present": one.present,
        "renumbered": one.renumbered,
        "octets": one.octets,
        "uidvalidity": one.uidvalidity,
    }


def _told(mailbox: MailboxId, one: Difference) -> Row:
    folder = None if one.folder is None else str(one.folder)
    return {"mailbox": str(mailbox), "folder": folder, "uid": one.uid, "text": one.text}


def _damage_row(one: Damage) -> Row:
    mailbox = None if one.mailbox is None else str(one.mailbox)
    folder = None if one.folder is None else str(one.folder)
    return {"run": one.run, "mailbox": mailbox, "folder": folder, "uid": one.uid, "text": one.text}


def _show_found(console: Console, found: Sequence[Row]) -> int:
    for one in found:
        names = ("run", "mailbox", "folder", "uid")
        place = ": ".join(str(one[name]) for name in names if one.get(name) is not None)
        console.note(f"damaged or left out: {place}: {one['text']}")
    return EX_FOUND if found else 0


commands: Final = (backup, restore, verify)
