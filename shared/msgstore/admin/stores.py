"""``msgstore store``: check, repair, reindex, compact; ``conversion`` has the verb that converts."""

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

import rich_click as click
from click import progressbar

from msgstore.admin.console import Console, Row, pass_console
from msgstore.admin.keycheck import examine_keys, examine_sealed_mail
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.interfaces import MessageStore
from msgstore.model.outcomes import Finding
from msgstore.model.user import User

__all__ = ["ADDRESSES", "ALL", "EX_FOUND", "chosen_mailboxes", "chosen_users", "progress_over", "store"]

EX_FOUND = 1
"""Something is wrong and was not mended; nothing went wrong with the looking."""

ADDRESSES = click.argument("addresses", nargs=-1)
ALL = click.option("--all", "everybody", is_flag=True, help="Every user of every hosted domain.")


@click.group()
def store() -> None:
    """Look after what is kept: check, repair, reindex, compact; convert it to another store."""


def chosen_mailboxes(console: Console, addresses: Sequence[str], *, everybody: bool) -> tuple[MailboxId, ...]:
    """Give the mailboxes an operator named, or all there are.

    Raises:
        UsageError: neither was said, or both.
    """
    return tuple(user.mailbox for user in chosen_users(console, addresses, everybody=everybody))


def chosen_users(console: Console, addresses: Sequence[str], *, everybody: bool) -> tuple[User, ...]:
    """Give the users an operator named, or all there are.

    Raises:
        UsageError: neither was said, or both.
    """
    if bool(addresses) == everybody:
        raise click.UsageError("name addresses, or say --all")
    if not everybody:
        return tuple(console.directory.find(parse_address(address)).user for address in addresses)
    domains = console.directory.domains.names()
    return tuple(user for domain in domains for user in console.directory.users(domain))


@contextmanager
def progress_over(console: Console, mailboxes: Sequence[MailboxId], label: str) -> Generator[Iterator[MailboxId]]:
    """Go through mailboxes with a bar on standard error, where that is a terminal."""
    if console.as_json or not sys.stderr.isatty() or len(mailboxes) < 2:
        yield iter(mailboxes)
        return
    with progressbar(mailboxes, label=label, file=sys.stderr) as bar:
        yield iter(bar)


def _each(
    console: Console, mailboxes: Sequence[MailboxId], label: str, action: Callable[[MessageStore, MailboxId], None]
) -> None:
    done = 0
    with console.store() as opened, progress_over(console, mailboxes, label) as each:
        for mailbox in each:
            if opened.mailbox_exists(mailbox):
                action(opened, mailbox)
                done += 1
    console.done(f"{label}: {done} mailboxes", mailboxes=done)


def _check(console: Console, addresses: Sequence[str], *, everybody: bool, repair: bool) -> int:
    rows: list[Row] = []
    users = {user.mailbox: user for user in chosen_users(console, addresses, everybody=everybody)}
    mailboxes = tuple(users)
    with console.store() as opened, progress_over(console, mailboxes, "checking") as each:
        for mailbox in each:
            rows += [
                {
                    "mailbox": str(mailbox),
                    "kind": found.kind,
                    "place": found.place,
                    "mended": found.is_mended,
                    "text": found.text,
                }
                for found in _findings(console, opened, users[mailbox], repair=repair)
            ]
    if rows or console.as_json:
        console.table(rows, ("mailbox", "kind", "place", "mended", "text"))
    else:
        console.note(f"{len(mailboxes)} mailboxes are well")
    return EX_FOUND if any(not row["mended"] for row in rows) else 0


def _findings(console: Console, opened: MessageStore, user: User, *, repair: bool) -> Iterator[Finding]:
    yield from examine_keys(console.keys, user)
    if opened.mailbox_exists(user.mailbox):
        yield from opened.check(user.mailbox, repair=repair)
        yield from examine_sealed_mail(console.keys, opened, user)


@store.command()
@ADDRESSES
@ALL
@pass_console
def check(console: Console, addresses: tuple[str, ...], *, everybody: bool) -> int:
    """Say what is wrong in mailboxes; change nothing but caches.  Exit status 1 when something is."""
    return _check(console, addresses, everybody=everybody, repair=False)


@store.command()
@ADDRESSES
@ALL
@pass_console
def repair(console: Console, addresses: tuple[str, ...], *, everybody: bool) -> int:
    """Mend what can be mended; no message is ever removed.  Exit status 1 when something is left."""
    return _check(console, addresses, everybody=everybody, repair=True)


@store.command()
@ADDRESSES
@ALL
@pass_console
def reindex(console: Console, addresses: tuple[str, ...], *, everybody: bool) -> None:
    """Make the index of mailboxes anew; costs time and nothing else."""
    mailboxes = chosen_mailboxes(console, addresses, everybody=everybody)
    _each(console, mailboxes, "reindexed", lambda opened, mailbox: opened.reindex(mailbox))


@store.command()
@ADDRESSES
@ALL
@pass_console
def compact(console: Console, addresses: tuple[str, ...], *, everybody: bool) -> None:
    """Give back the space of messages that are gone, in directories and UID lists."""
    mailboxes = chosen_mailboxes(console, addresses, everybody=everybody)
    _each(console, mailboxes, "compacted", lambda opened, mailbox: opened.compact(mailbox))
