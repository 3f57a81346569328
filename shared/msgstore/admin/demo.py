"""``msgstore demo``: both daemons on real sockets, without root, one message through the whole house."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import rich_click as click

from msgstore.access.sync import AccessClient
from msgstore.admin.console import Console, pass_console
from msgstore.admin.mail import send_over_lmtp
from msgstore.admin.users import add_user

__all__ = ["commands", "running_daemons"]

_START_SECONDS: Final = 20.0
_PASSWORD: Final = "correct horse battery"  # noqa: S105 (of accounts that live as long as the demo)
_USERS: Final = ("alice@example.com", "bob@example.com")


@click.command()
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep everything in this directory.")
@pass_console
def demo(console: Console, keep: Path | None) -> None:
    """Run both daemons on sockets of their own, deliver a message and read it back."""
    place = Path(tempfile.mkdtemp(prefix="msgstore-demo-")) if keep is None else keep
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = place.resolve()
    try:
        _show(console, place)
    finally:
        if keep is None:
            shutil.rmtree(place)


def _show(console: Console, place: Path) -> None:
    say = console.note
    config = place / "msgstore.toml"
    if not config.exists():
        config.write_text(_settings(place), encoding="utf-8")
    inner = Console(config, as_json=console.as_json)
    say(f"1. settings, two users and their Maildirs in {place}")
    for user in _USERS:
        with contextlib.suppress(click.UsageError):
            add_user(inner, user, bytearray(_PASSWORD.encode()))
    with running_daemons(config):
        listen = inner.settings.lmtp.listen[0]
        say(f"2. lmtpd listens at {listen}, accessd at {inner.settings.access.listen}")
        replies = send_over_lmtp(listen, [*_USERS, "nobody@example.com"], reverse_path="sender@example.net")
        say("3. one message, three recipients, one reply each:")
        for address, reply in replies.items():
            say(f"     {address}: {reply}")
        with AccessClient.connect(str(place / "access.sock")) as client:
            session = client.login(_USERS[0], _PASSWORD, service="pop3")
            rows = session.list()
            with session.retrieve(rows[-1].uid) as body:
                text = body.read()
            session.logout()
        say(f"4. {_USERS[0]} logs in at the access socket and reads uid {rows[-1].uid}, {len(text)} octets:")
        for line in text.decode("utf-8", "replace").splitlines():
            say(f"     {line}")
    files = sorted(str(path.relative_to(place)) for path in (place / "mail").rglob("new/*"))
    say("5. where it lies (one file, a link for each recipient):")
    for name in files:
        say(f"     {name}")
    success = all(replies[user].startswith("250") for user in _USERS) and replies["nobody@example.com"][:3] == "550"
    console.done("the demo worked" if success else "the demo failed", worked=success, directory=str(place))
    if not success:
        sys.exit(70)


def _settings(place: Path) -> str:
    # JSON spells a string as TOML does.
    mail, hints, lmtp, access, lmtpd_page, accessd_page = (
        json.dumps(text, ensure_ascii=False)
        for text in (
            f"{place}/mail",
            f"{place}/hints",
            *(f"unix:{place}/{name}.sock" for name in ("lmtp", "access", "lmtpd-metrics", "accessd-metrics")),
        )
    )
    return f"""# Made by `msgstore demo`.
data_dir = {mail}
postmaster = "{_USERS[0]}"

[lmtp]
listen = [{lmtp}]
hostname = "demo.example.com"
workers = 1

[access]
listen = {access}
hints_dir = {hints}

[metrics]
lmtpd = {lmtpd_page}
accessd = {accessd_page}
"""


@contextlib.contextmanager
def running_daemons(config: Path) -> Generator[None]:
    """Run lmtpd and accessd as child processes for the time of the block; their log goes beside the configuration.

    Raises:
        TimeoutError: a daemon did not open its socket in 20 seconds; its log says why.
    """
    children: list[subprocess.Popen[bytes]] = []
    try:
        for name in ("lmtpd", "accessd"):
            with (config.parent / f"{name}.log").open("ab") as log:
                command = [sys.executable, "-m", name, "--config", str(config)]
                children.append(subprocess.Popen(command, stderr=log, stdout=log, stdin=subprocess.DEVNULL))
        for child, path in zip(children, (config.parent / "lmtp.sock", config.parent / "access.sock"), strict=True):
            _wait_for(path, child)
        yield
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(timeout=60)


def _wait_for(path: Path, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not path.exists():
        if child.poll() is not None or time.monotonic() > deadline:
            log = "; ".join(
                file.read_text("utf-8", "replace").strip()[-500:] for file in sorted(path.parent.glob("*.log"))
            )
            raise TimeoutError(f"{os.fspath(path)} did not appear: {log}")
        time.sleep(0.02)


commands: Final = (demo,)
