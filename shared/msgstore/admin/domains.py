"""``msgstore domain``: hosted domains."""

import os
from pathlib import Path
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, Row, hand_over, pass_console
from msgstore.auth.domains import is_domain_name
from msgstore.model.address import fold_domain
from msgstore.model.errors import DomainNotHosted, InvalidAddress

__all__ = ["add_domain", "commands"]


@click.group()
def domain() -> None:
    """Add, list and remove hosted domains."""


def add_domain(console: Console, name: str) -> str:
    """Make the directory of a domain, durably; harmless when it is there.  Gives the folded name.

    Raises:
        InvalidAddress: it is not a domain name.
    """
    folded = fold_domain(name)
    if not is_domain_name(folded):
        raise InvalidAddress(name, "is not a domain name")
    root = Path(console.directory.domains.root)
    for place in (root, root / folded):
        if not place.is_dir():
            place.mkdir(mode=0o700, parents=True)
            hand_over(place)
            _sync(place.parent)
    console.directory.domains.forget()
    return folded


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@domain.command("add")
@click.argument("name")
@pass_console
def add(console: Console, name: str) -> None:
    """Host a domain: make its directory."""
    folded = add_domain(console, name)
    console.done(f"{folded} is hosted in {console.directory.domains.root}/{folded}", domain=folded)


@domain.command("list")
@pass_console
def list_domains(console: Console) -> None:
    """List hosted domains with their number of users."""
    names = console.directory.domains.names()
    rows: list[Row] = [{"domain": name, "users": _count_users(console, name)} for name in names]
    console.table(rows, ("domain", "users"))


def _count_users(console: Console, name: str) -> int:
    if not (Path(console.directory.domains.root) / name).is_dir():
        return 0
    return len(console.directory.users(name))


@domain.command("rm")
@click.argument("name")
@pass_console
def remove(console: Console, name: str) -> None:
    """Stop hosting a domain.  Refused while its directory holds users, mail or anything else of value."""
    folded = fold_domain(name)
    if not console.directory.domains.is_hosted(folded):
        raise DomainNotHosted(f"{folded} is not hosted")
    if folded in console.settings.domains:
        raise click.UsageError(f'take [domains."{folded}"] out of the configuration first')
    if _count_users(console, folded):
        raise click.UsageError(f"{folded} still has users; remove them first")
    place = Path(console.directory.domains.root) / folded
    others = sorted(entry.name for entry in place.iterdir() if entry.name not in _OWN_FILES)
    if others:
        raise click.UsageError(f"{place} still holds {', '.join(others[:5])}; move that away first")
    for name_left in _OWN_FILES:
        (place / name_left).unlink(missing_ok=True)
    place.rmdir()
    _sync(place.parent)
    console.done(f"{folded} is not hosted any more", domain=folded)


_OWN_FILES: Final = ("passwd", ".lock", "config.toml")

commands: Final = (domain,)
