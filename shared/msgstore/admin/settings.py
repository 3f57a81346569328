"""``msgstore config`` and ``msgstore setup``."""

import json
import os
import socket
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, hand_over, pass_console, read_password
from msgstore.admin.users import add_user, generated_password, has_user, new_mailbox
from msgstore.config.loader import find_config, json_schema, plain, settings_from, to_toml
from msgstore.model.address import MailboxId
from msgstore.model.errors import MsgstoreError

__all__ = ["commands"]


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command("check")
@pass_console
def check(console: Console) -> None:
    """Read the configuration; say every fault at once, or that there is none, and what may be forgotten in it."""
    settings = console.settings
    file = str(find_config(console.config))
    warnings = list(_warnings(console))
    for warning in warnings:
        console.note(f"warning: {warning}")
    sentence = f"{file} is fine: {len(settings.domains)} domains named in it"
    if console.as_json:
        console.result({"file": file, "ok": True, "warnings": warnings})
    else:
        console.done(sentence)


def _warnings(console: Console) -> Iterator[str]:
    """Say what is no fault and would still surprise; users' own scripts and forwards are the doctor's."""
    # The engine of scripts and TLS are loaded for this verb alone.
    from msgstore.admin.certificates import LEAST_DAYS, CertificateUnusable, read_certificate  # noqa: PLC0415
    from msgstore.admin.sending import broken_site_scripts, needs_of_site, told  # noqa: PLC0415

    settings = console.settings
    try:
        yield from broken_site_scripts(console)
        if not settings.outbound.target:
            needs = list(needs_of_site(console))
            if needs:
                yield f"outbound.target is not set, and is needed by {told(needs)}"
    except MsgstoreError as error:
        yield str(error)
    front = settings.managesieve
    if front.tls_cert:
        try:
            left = read_certificate(front.tls_cert, front.tls_key).days_left
        except CertificateUnusable as error:
            yield f"managesieve.tls_cert: {error}"
        else:
            if left < LEAST_DAYS:
                yield f"managesieve.tls_cert: {front.tls_cert} ends in {left} days"


@config.command("show")
@pass_console
def show(console: Console) -> None:
    """Show all settings, defaults included."""
    if console.as_json:
        click.echo(json.dumps(plain(console.settings)))
    else:
        click.echo(to_toml(console.settings), nl=False)


@config.command("schema")
def schema() -> None:
    """Print the JSON schema of the configuration file."""
    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@click.argument("address")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where mail is kept.")
@click.option("--run-dir", type=click.Path(file_okay=False, path_type=Path), help="Where sockets stand.")
@click.option("--hostname", help="Name of this host in greeting and trace.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")
@pass_console
def setup(
    console: Console,
    address: str,
    data_dir: Path | None,
    run_dir: Path | None,
    *,
    hostname: str | None,
    password_stdin: bool,
) -> None:
    """Make the configuration, the domain and the first account; never overwrites a configuration.

    Without --password-stdin and without a terminal a password is made and printed once.
    """
    file = find_config(console.config)
    MailboxId.parse(address)
    fresh = not file.exists()
    if fresh:
        text = _first_lines(address, data_dir, run_dir, hostname or socket.gethostname())
        # Nothing is written that could not be read afterwards.
        new_mailbox(address, settings_from(tomllib.loads(text)).auth.detail_separator)
        if run_dir is not None:
            run_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        _write_config(file, text)
    elif data_dir or run_dir or hostname:
        raise click.UsageError(f"{file} exists; change the settings there")
    console = Console(file, as_json=console.as_json)
    _make_data_dir(Path(console.settings.data_dir))
    mailbox = new_mailbox(address, console.settings.auth.detail_separator)
    if has_user(console, mailbox):
        text = f"{mailbox} is there already; its password was not changed"
        console.done(text, config=str(file), mailbox=str(mailbox), password=None)
        return
    made = not password_stdin and not sys.stdin.isatty()
    password = generated_password() if made else read_password(from_stdin=password_stdin)
    mailbox = add_user(console, address, password)
    shown = password.decode() if made else None
    console.note(f"{'wrote' if fresh else 'kept'} {file}, mail is kept in {console.settings.data_dir}")
    text = f"{mailbox} is ready" + (f", password {shown}" if shown else "")
    console.done(text, config=str(file), mailbox=str(mailbox), password=shown)


def _first_lines(address: str, data_dir: Path | None, run_dir: Path | None, hostname: str) -> str:
    lines = ["# Every key is optional; `msgstore config show` prints all of them with their values.", ""]
    lines.append(f"data_dir = {_quoted(str(_absolute(data_dir) if data_dir else Path('/var/lib/msgstore')))}")
    lines += [
        f"postmaster = {_quoted(address)}",
        "",
        "[lmtp]",
        f"hostname = {_quoted(hostname)}",
    ]
    if run_dir is not None:
        lmtp, access = (f"unix:{_absolute(run_dir)}/{name}.sock" for name in ("lmtp", "access"))
        lines += [f"listen = [{_quoted(lmtp)}]", "", "[access]", f"listen = {_quoted(access)}"]
        lines.append(f"hints_dir = {_quoted(f'{_absolute(run_dir)}/hints')}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # JSON spells a string as TOML does, as long as nothing is written as a pair of surrogates.
    return json.dumps(text, ensure_ascii=False)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links that the operator made on purpose)


def _write_config(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _make_data_dir(place: Path) -> None:
    if place.is_dir():
        return
    place.mkdir(mode=0o700, parents=True)
    hand_over(place)


commands: Final = (config, setup)
