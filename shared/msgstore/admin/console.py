"""What every verb shares: settings on demand, output as text or JSON, errors as exit codes."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import rich_click as click

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import load_settings
from msgstore.config.schema import Settings
from msgstore.model.errors import (
    AddressError,
    ConfigError,
    DirectoryUnavailable,
    DomainNotHosted,
    MailboxNotFound,
    MessageNotFound,
    MsgstoreError,
    Overloaded,
    UserNotFound,
)
from msgstore.model.interfaces import MessageStore
from msgstore.wiring import build_store

__all__ = [
    "EX_SOFTWARE",
    "EX_TEMPFAIL",
    "EX_USAGE",
    "Console",
    "Row",
    "exit_code",
    "pass_console",
    "read_password",
    "service_owner",
]

EX_USAGE: Final = 64
EX_DATAERR: Final = 65
EX_NOUSER: Final = 67
EX_NOHOST: Final = 68
EX_SOFTWARE: Final = 70
EX_TEMPFAIL: Final = 75
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

    def store(self) -> MessageStore:
        """Open the store; the caller closes it."""
        return build_store(self.settings, self.directory)

    def table(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        """Print rows: aligned columns for people, an array of objects for programs."""
        if self.as_json:
            click.echo(json.dumps([dict(row) for row in rows], ensure_ascii=False))
            return
        shown = [[_text(row.get(column)) for column in columns] for row in rows]
        widths = [max(len(column), *(len(line[at]) for line in shown), 0) for at, column in enumerate(columns)]
        for line in [[column.upper() for column in columns], *shown]:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    def done(self, sentence: str, /, **facts: Value) -> None:
        """Say what was done: a sentence for people, the facts for programs."""
        click.echo(json.dumps(facts, ensure_ascii=False) if self.as_json else sentence)

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
    if from_stdin:
        given = sys.stdin.buffer.readline(1026).rstrip(b"\r\n")
    elif sys.stdin.isatty():
        given = str(click.prompt("Password", hide_input=True, confirmation_prompt=twice)).encode()
    else:
        raise click.UsageError("give the password on standard input with --password-stdin")
    if not 0 < len(given) <= 1024:
        raise click.UsageError("a password has 1 to 1024 octets")
    return bytearray(given)


def exit_code(error: BaseException) -> int:
    """Choose the exit code of sysexits.h for an error."""
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], int], ...] = (
        (ConfigError, EX_CONFIG),
        (AddressError, EX_DATAERR),
        ((UserNotFound, MailboxNotFound, MessageNotFound), EX_NOUSER),
        (DomainNotHosted, EX_NOHOST),
        ((DirectoryUnavailable, Overloaded, OSError), EX_TEMPFAIL),
    )
    for kind, code in kinds:
        if isinstance(error, kind):
            return code
    return EX_TEMPFAIL if isinstance(error, MsgstoreError) and error.is_temporary else EX_SOFTWARE


def service_owner() -> tuple[int, int] | None:
    """Give uid and gid of the service user when root has to hand files over; None otherwise."""
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 (only root needs it)

    try:
        entry = pwd.getpwnam("msgstore")
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid
