"""What every verb shares: settings on demand, output as text or JSON, errors as exit codes."""

import json
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import rich_click as click
from click import confirm as ask
from click import prompt

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import load_settings
from msgstore.config.schema import Settings
from msgstore.config.sieving import SieveSettings
from msgstore.crypto.password import PROFILES, PasswordProfile
from msgstore.model.address import MailboxId
from msgstore.model.errors import (
    AddressError,
    ConfigError,
    DirectoryUnavailable,
    DomainNotHosted,
    FolderNotFound,
    InvalidFolderName,
    KeyNotFound,
    KeyUnusable,
    MailboxNotFound,
    MessageNotFound,
    MsgstoreError,
    Overloaded,
    UserNotFound,
)
from msgstore.model.interfaces import MessageStore
from msgstore.model.keys import SealError, WrongPassword, WrongRecoveryKey
from msgstore.model.scripts import (
    InvalidScriptName,
    ScriptExists,
    ScriptIsActive,
    ScriptNotFound,
    ScriptTooLarge,
    TooManyScripts,
)

if TYPE_CHECKING:
    # These take longer to load than most verbs take; those that need them load them below.
    from msgstore.auth.keychange import KeyChanges
    from msgstore.auth.keys import UserKeys
    from msgstore.sieve import Engine

__all__ = [
    "EX_DATAERR",
    "EX_SOFTWARE",
    "EX_TEMPFAIL",
    "EX_USAGE",
    "Console",
    "Row",
    "Value",
    "acting_for_owner_of",
    "confirm",
    "exit_code",
    "hand_over",
    "opened_as_it_is",
    "pass_console",
    "read_password",
    "read_secret",
]

EX_USAGE: Final = 64
EX_DATAERR: Final = 65
EX_NOUSER: Final = 67
EX_NOHOST: Final = 68
EX_SOFTWARE: Final = 70
EX_CANTCREAT: Final = 73
EX_TEMPFAIL: Final = 75
EX_NOPERM: Final = 77
EX_CONFIG: Final = 78
"""sysexits.h, as the contract with operators' scripts."""

Value = str | int | float | bool | None
Row = Mapping[str, Value]


class Console:
    """What the verbs work with; opens nothing before it is needed."""

    def __init__(self, config: Path | None, *, as_json: bool) -> None:
        self.config: Final = config
        self.as_json = as_json
        self._settings: Settings | None = None
        self._directory: Directory | None = None

    @property
    def settings(self) -> Settings:
        """The settings of this machine.

        Raises:
            ConfigError: they cannot be used.
        """
        if self._settings is None:
            self._settings = load_settings(self.config)
        return self._settings

    @property
    def directory(self) -> Directory:
        """Domains and users."""
        if self._directory is None:
            self._directory = Directory(self.settings, Domains(self.settings))
        return self._directory

    @cached_property
    def keys(self) -> "UserKeys":
        """Keys of users."""
        from msgstore.opening import build_keys  # noqa: PLC0415 (as above)

        return build_keys(self.settings, self.directory)

    @cached_property
    def key_changes(self) -> "KeyChanges":
        """Changes keys of users."""
        from msgstore.auth.keychange import KeyChanges  # noqa: PLC0415 (as above)

        return KeyChanges(self.directory, self.keys)

    @cached_property
    def engine(self) -> "Engine":
        """Checks and runs scripts as deliveries do; without a usable configuration as one without any key says."""
        from msgstore.delivery.programs import sieve_engine  # noqa: PLC0415 (as above)

        try:
            settings = self.settings.sieve
        except ConfigError:
            settings = SieveSettings()
        return sieve_engine(settings)

    @property
    def profile(self) -> PasswordProfile:
        """What a new hash or a newly wrapped key costs."""
        return PROFILES[self.settings.auth.hash_profile]

    def make_mailbox(self, mailbox: MailboxId) -> None:
        """Make the mailbox of an account where it is missing: keys lie beside the mail."""
        with self.store() as store:
            if not store.mailbox_exists(mailbox):
                store.create_mailbox(mailbox)

    @contextmanager
    def store(self) -> Generator[MessageStore]:
        """Open the store for the time of the block.

        Root acts as the owner of the data directory meanwhile: files of root's in a Maildir would lock the daemons out.
        """
        # Users and domains are kept in files of their own: what keeps mail is loaded for verbs that look at mail.
        from msgstore.opening import build_store  # noqa: PLC0415

        with acting_for_owner_of(Path(self.settings.data_dir)):
            store = build_store(self.settings, self.directory)
            try:
                yield store
            finally:
                store.close()

    def table(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        """Print rows: aligned columns for people, an array of objects for programs."""
        if self.as_json:
            click.echo(json.dumps([dict(row) for row in rows]))
            return
        shown = [[_text(row.get(column)) for column in columns] for row in rows]
        widths = [max(len(column), *(len(line[at]) for line in shown), 0) for at, column in enumerate(columns)]
        for line in [[column.upper() for column in columns], *shown]:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    def done(self, sentence: str, /, **facts: Value) -> None:
        """Say what was done: a sentence for people, the facts for programs."""
        click.echo(json.dumps(facts) if self.as_json else sentence)

    def result(self, facts: Mapping[str, object], /) -> None:
        """Print a result of several parts for programs: values, rows, and what is made of them."""
        click.echo(json.dumps(facts))

    def note(self, text: str) -> None:
        """Say something beside the result; on standard error, not at all for programs."""
        if not self.as_json:
            click.echo(text, err=True)


pass_console = click.make_pass_decorator(Console)


def _text(value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def read_password(*, from_stdin: bool, twice: bool = True) -> bytearray:
    """Take a password from standard input (one line) or from a prompt.

    Raises:
        click.ClickException: there is neither, or it is empty or over 1024 octets.
    """
    return read_secret("Password", from_stdin=from_stdin, option="--password-stdin", twice=twice)


def read_secret(name: str, *, from_stdin: bool, option: str, twice: bool = False) -> bytearray:
    """Take a secret of this name from standard input (one line) or from a prompt.

    Raises:
        click.ClickException: there is neither, or it is empty or over 1024 octets.
    """
    if from_stdin:
        given = sys.stdin.buffer.readline(1026).rstrip(b"\r\n")
    elif sys.stdin.isatty():
        given = str(prompt(name, hide_input=True, confirmation_prompt=twice, err=True)).encode()
    else:
        raise click.UsageError(f"give the {name.lower()} on standard input with {option}")
    if not 0 < len(given) <= 1024:
        raise click.UsageError(f"a {name.lower()} has 1 to 1024 octets")
    return bytearray(given)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone, unless ``yes`` was given.

    Raises:
        click.UsageError: nobody is there to be asked.
        click.Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody is there to be asked; say --yes")
    ask(question, abort=True, err=True)


_CODES: Final = {"SCRIPT_INVALID": EX_DATAERR, "TRACE_DAMAGED": EX_DATAERR, "TRACE_NOT_FOUND": EX_NOUSER}
"""Exit codes for errors whose classes are loaded only where scripts are."""


def exit_code(error: BaseException) -> int:
    """Choose the exit code of sysexits.h for an error."""
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], int], ...] = (
        (ConfigError, EX_CONFIG),
        ((AddressError, InvalidFolderName), EX_DATAERR),
        ((InvalidScriptName, ScriptTooLarge), EX_DATAERR),
        ((UserNotFound, MailboxNotFound, FolderNotFound, MessageNotFound, ScriptNotFound), EX_NOUSER),
        ((ScriptExists, ScriptIsActive, TooManyScripts), EX_CANTCREAT),
        (DomainNotHosted, EX_NOHOST),
        ((PermissionError, WrongPassword, WrongRecoveryKey), EX_NOPERM),
        ((KeyUnusable, KeyNotFound, SealError), EX_DATAERR),
        (FileExistsError, EX_CANTCREAT),
        ((DirectoryUnavailable, Overloaded, OSError), EX_TEMPFAIL),
    )
    if isinstance(error.__cause__, PermissionError):
        # Trying again as the same user would not help.
        return EX_NOPERM
    for kind, code in kinds:
        if isinstance(error, kind):
            return code
    if isinstance(error, MsgstoreError) and error.rpc_code in _CODES:
        return _CODES[error.rpc_code]
    return EX_TEMPFAIL if isinstance(error, MsgstoreError) and error.is_temporary else EX_SOFTWARE


def hand_over(place: Path) -> None:
    """Give a directory that root has made to whoever owns the one around it, or to the service user."""
    if os.geteuid() != 0:
        return
    around = place.parent.stat()
    owner = (around.st_uid, around.st_gid) if around.st_uid else _service_owner()
    if owner is not None:
        os.chown(place, *owner)


def _service_owner() -> tuple[int, int] | None:
    import pwd  # noqa: PLC0415 (only root needs it)

    try:
        entry = pwd.getpwnam("msgstore")
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


@contextmanager
def opened_as_it_is(console: Console) -> Generator[MessageStore]:
    """Open the store as :meth:`Console.store` does, for mail that keeps its octets whatever line ends others get."""
    from msgstore.opening import build_store  # noqa: PLC0415 (what keeps mail is loaded for verbs that look at mail)

    settings = replace(console.settings, store=replace(console.settings.store, line_endings="crlf"))
    with acting_for_owner_of(Path(settings.data_dir)):
        store = build_store(settings, console.directory)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def acting_for_owner_of(place: Path) -> Generator[None]:
    """Let root be the owner of a directory for the time of the block; others stay who they are."""
    owner = place.stat() if os.geteuid() == 0 and place.is_dir() else None
    if owner is None or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
