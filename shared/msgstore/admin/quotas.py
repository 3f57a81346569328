"""``msgstore quota``: limits of mailboxes, and what they hold."""

from typing import Final

import rich_click as click

from msgstore.admin.console import Console, Value, pass_console
from msgstore.admin.users import ADDRESS, find_account
from msgstore.auth.directory import Account
from msgstore.auth.quotas import QuotaLine
from msgstore.model.outcomes import Usage

__all__ = ["commands"]

NUMBER: Final = click.IntRange(min=0, max=10**18 - 1)
EMPTY: Final = Usage(octets=0, messages=0)


@click.group()
def quota() -> None:
    """Show and set what mailboxes may hold."""


@quota.command("show")
@ADDRESS
@pass_console
def show(console: Console, address: str) -> None:
    """Show limits of a mailbox and what it holds."""
    _show(console, find_account(console, address), recount=False)


@quota.command("set")
@ADDRESS
@click.option("--octets", type=NUMBER, help="Octets; 0 means no limit.  Without it what the domain says counts.")
@click.option("--messages", type=NUMBER, help="Messages; 0 means no limit.  Without it what the domain says counts.")
@click.option("--default", "is_default", is_flag=True, help="Take the limits of this user back.")
@pass_console
def set_limits(console: Console, address: str, octets: int | None, messages: int | None, *, is_default: bool) -> None:
    """Give a user limits of their own; they hold within a second."""
    if is_default == (octets is not None or messages is not None):
        raise click.UsageError("give --octets, --messages or both, or --default alone")
    account = find_account(console, address)
    console.directory.set_quota(account, None if is_default else QuotaLine(octets=octets, messages=messages))
    _show(console, find_account(console, address), recount=False)


@quota.command("recalc")
@ADDRESS
@pass_console
def recalc(console: Console, address: str) -> None:
    """Count everything in a mailbox anew."""
    _show(console, find_account(console, address), recount=True)


def _show(console: Console, account: Account, *, recount: bool) -> None:
    mailbox, limits = account.user.mailbox, account.user.quota
    with console.store() as store:
        usage = EMPTY
        if store.mailbox_exists(mailbox):
            usage = store.recount(mailbox) if recount else store.usage(mailbox)
    row: dict[str, Value] = {
        "mailbox": str(mailbox),
        "used_octets": usage.octets,
        "limit_octets": limits.octets,
        "used_messages": usage.messages,
        "limit_messages": limits.messages,
    }
    console.table([row], tuple(row))


commands: Final = (quota,)
