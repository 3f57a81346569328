"""What needs a server that sends mail on: forwards, and scripts that redirect, answer and notify."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgstore.admin.console import Console
from msgstore.auth.forwards import ForwardFiles
from msgstore.delivery.programs import SiteScripts, words_of
from msgstore.model.address import fold_domain, parse_address
from msgstore.model.errors import DirectoryUnavailable, InvalidAddress, MsgstoreError
from msgstore.model.interfaces import MessageStore
from msgstore.model.scripts import ScriptShelf, StoredScript
from msgstore.sieve import Engine, InvalidScript

__all__ = ["broken_site_scripts", "needs_of_site", "needs_of_users", "told"]

_SENDING: Final = ("redirect", "vacation", "notify")
_SHOWN: Final = 5


def told(needs: Sequence[str]) -> str:
    """Name some of them, and how many more there are."""
    more = len(needs) - _SHOWN
    return "; ".join(needs[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def needs_of_site(console: Console) -> Iterator[str]:
    """Name what the configuration itself makes send: forwards in tables, and scripts of the site and of domains.

    Raises:
        MsgstoreError: a domain's files or a script cannot be read.
    """
    if console.settings.sieve.enabled:
        for script in _site_scripts(console):
            yield from _script_need(console.engine, script, f"script {script.name}")
    for domain in console.directory.domains.names():
        tables = console.directory.policy(domain).forwards
        for table in (tables.admin, tables.default):
            for name, targets in table.items():
                yield from _forward_need(console, domain, name, targets)


def needs_of_users(console: Console, store: MessageStore) -> Iterator[str]:
    """Name the forwards in files of domains and users, and the active scripts of users, that send.

    Where an active script includes others, all of its user's scripts count.

    Raises:
        MsgstoreError: a domain's files cannot be read.
    """
    for domain in console.directory.domains.names():
        yield from _filed_forwards(console, domain)
        if not console.settings.sieve.enabled:
            continue
        for user in console.directory.users(domain):
            try:
                yield from _user_scripts(console.engine, store.scripts(user.mailbox), str(user.mailbox))
            except MsgstoreError:
                # There is no mailbox yet, or its scripts cannot be read: its mail waits, and its log says so.
                continue


def broken_site_scripts(console: Console) -> Iterator[str]:
    """Say what is wrong with scripts of the site: those that do not compile, and those that are not there.

    Raises:
        MsgstoreError: one cannot be read.
    """
    settings = console.settings.sieve
    missing = [
        path for path in (*settings.before, *settings.after, settings.default) if path and not Path(path).exists()
    ]
    for path in missing:
        yield f"{path} is not there"
    for script in _site_scripts(console):
        try:
            console.engine.compile(script.content, name=script.name)
        except InvalidScript as error:
            yield f"{script.name} does not compile: {error.diagnostics[0]}"


def _site_scripts(console: Console) -> tuple[StoredScript, ...]:
    """Give what the site runs, each content once."""
    site = SiteScripts(console.settings.sieve, console.directory.domains.root)
    defaults = (site.default(domain) for domain in console.directory.domains.names())
    found = (*site.before, *site.after, *(script for script in defaults if script is not None))
    return tuple({script.content: script for script in found}.values())


def _script_need(engine: Engine, script: StoredScript, label: str) -> Iterator[str]:
    words = sorted(_words(engine, script) & set(_SENDING))
    if words:
        yield f"{label} ({', '.join(words)})"


def _words(engine: Engine, script: StoredScript) -> frozenset[str]:
    try:
        return words_of(engine.compile(script.content, name=script.name))
    except InvalidScript:
        # It sends nothing, for it is not run.
        return frozenset()


def _user_scripts(engine: Engine, shelf: ScriptShelf, mailbox: str) -> Iterator[str]:
    active = shelf.active()
    if active is None:
        return
    yield from _script_need(engine, active, f"script {active.name} of {mailbox}")
    if "include" not in _words(engine, active):
        return
    for info in shelf.list():
        if not info.is_active:
            script = StoredScript(name=info.name, content=shelf.read(info.name))
            yield from _script_need(engine, script, f"script {info.name} of {mailbox}")


def _filed_forwards(console: Console, domain: str) -> Iterator[str]:
    files = ForwardFiles()
    try:
        with console.directory.editing(domain) as (_, directory):
            files.refresh(directory)
            users = files.user_table(directory, files.user_names())
    except DirectoryUnavailable as error:
        if isinstance(error.__cause__, FileNotFoundError):
            # A domain that the settings name needs no directory until it has a user.
            return
        raise
    for table in (files.domain_table(), users):
        for name, targets in table.items():
            yield from _forward_need(console, domain, name, targets)


def _forward_need(console: Console, domain: str, name: str, targets: Sequence[str]) -> Iterator[str]:
    elsewhere = [target for target in targets if _is_elsewhere(console, target)]
    if elsewhere:
        yield f"forward of {name}@{domain} to {elsewhere[0]}"


def _is_elsewhere(console: Console, target: str) -> bool:
    try:
        found = parse_address(target.removeprefix("<").removesuffix(">")).domain
        return found is not None and not console.directory.domains.is_hosted(fold_domain(found))
    except InvalidAddress:
        # It cannot be followed anyhow, and says so when somebody writes there.
        return False
