"""The servers that are compared, each a private instance with its mail on the measured disk."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
USERS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server."""

    name: str
    pid: int
    path: str


@contextmanager
def journaled_disk(gigabytes: int) -> Generator[Path]:
    """Mount a written-out ext4 image with a journal; a root disk may have none, and then syncs mean little."""
    place = Path(tempfile.mkdtemp(prefix="msgstore-disk-"))
    place.chmod(0o755)
    image, mount = place / "image", place / "mnt"
    mount.mkdir()
    loop = ""
    try:
        run("dd", "if=/dev/zero", f"of={image}", "bs=1M", f"count={gigabytes * 1024}", "status=none", "conv=fsync")
        run("/sbin/mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
        loop = run("/sbin/losetup", "--find", "--show", "--direct-io=on", str(image)).strip()
        run("mount", loop, str(mount))
        mount.chmod(0o755)
        yield mount
    finally:
        if loop:
            subprocess.run(["umount", str(mount)], check=False)
            run("/sbin/losetup", "-d", loop)
        shutil.rmtree(place)


def run(*command: str) -> str:
    """Run a program and give what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def ours(
    disk: Path,
    *,
    workers: int = 2,
    max_connections: int = 200,
    script: str = "",
    key: bytes = b"",
    name: str = "msgstore",
    store: str = "",
) -> Generator[Server]:
    """Run lmtpd; ``script`` is that of all its users, and so is the public ``key``, where there is one.

    ``store`` is the table of settings that says where mail is kept; without it that is a Maildir.
    """
    place = Path(tempfile.mkdtemp(prefix="msgstore-bench-"))
    mail = disk / name
    (mail / "example.com").mkdir(parents=True)
    (mail / "example.com" / "passwd").write_text("".join(f"u{number}:x:u{number}\n" for number in range(USERS)))
    if script:
        (mail / "example.com" / "system.sieve").write_text(script)
    if key:
        (mail / "example.com" / "keys").mkdir()
        for number in range(USERS):
            (mail / "example.com" / "keys" / f"u{number}.pub").write_bytes(key)
    config = place / "msgstore.toml"
    config.write_text(
        f'data_dir = "{mail}"\n[lmtp]\nlisten = ["unix:{place}/sock"]\nworkers = {workers}\n'
        f"max_connections = {max_connections}\n"
        f'hostname = "bench.example.com"\n{store}[log]\nformat = "text"\n'
    )
    with (place / "log").open("wb") as log:
        paths = os.pathsep.join((str(ROOT / "shared"), str(ROOT)))
        child = subprocess.Popen(
            [sys.executable, "-m", "lmtpd", "--config", str(config)],
            stderr=log,
            env={**os.environ, "PYTHONPATH": paths},
        )
    yield from _serving(name, child, place, place / "sock")


@contextmanager
def dovecot(disk: Path, *, script: str = "") -> Generator[Server]:
    """Run Dovecot's LMTP with the same promise (mail_fsync = optimized); with a script it needs Pigeonhole."""
    place = Path(tempfile.mkdtemp(prefix="msgstore-bench-"))
    place.chmod(0o755)
    mail = disk / "dovecot"
    mail.mkdir()
    shutil.chown(mail, "mail", "mail")
    config = place / "dovecot.conf"
    config.write_text(
        f"""protocols = lmtp
base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/log
ssl = no
default_internal_user = root
default_login_user = root
default_internal_group = root
mail_location = maildir:{mail}/%n
mail_fsync = optimized
first_valid_uid = 0
first_valid_gid = 0
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={mail}/home/%n allow_all_users=yes
}}
service lmtp {{
  process_min_avail = 2
  unix_listener {place}/sock {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
"""
    )
    if script:
        (place / "all.sieve").write_text(script)
        run("sievec", str(place / "all.sieve"))
        with config.open("a") as more:
            more.write(
                f"protocol lmtp {{\n  mail_plugins = sieve\n}}\nplugin {{\n  sieve = {place}/none.sieve\n"
                f"  sieve_default = {place}/all.sieve\n  sieve_default_name = all\n}}\n"
            )
    child = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(config)])
    yield from _serving("dovecot", child, place, place / "sock")


@contextmanager
def stock(disk: Path) -> Generator[Server]:
    """Run stock aiosmtpd with mailbox.Maildir in threads: what a Python user would write today."""
    place = Path(tempfile.mkdtemp(prefix="msgstore-bench-"))
    mail = disk / "stock"
    mail.mkdir()
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("stock_server.py")), str(place / "sock"), str(mail)]
    )
    yield from _serving("aiosmtpd", child, place, place / "sock")


def _serving(name: str, child: "subprocess.Popen[bytes]", place: Path, path: Path) -> Generator[Server]:
    with running(name, child, place, is_up=lambda: connects(socket.AF_UNIX, str(path))):
        yield Server(name=name, pid=child.pid, path=str(path))


@contextmanager
def running(name: str, child: "subprocess.Popen[bytes]", place: Path, *, is_up: Callable[[], bool]) -> Generator[None]:
    """Wait until a server listens; at the end stop it and remove its directory."""
    try:
        deadline = time.monotonic() + 30
        while not is_up():
            assert child.poll() is None, f"{name} ended"
            assert time.monotonic() < deadline, f"{name} does not listen"
            time.sleep(0.05)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=60)
        shutil.rmtree(place)


def connects(family: int, address: str | tuple[str, int]) -> bool:
    """Whether somebody listens."""
    with socket.socket(family) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
