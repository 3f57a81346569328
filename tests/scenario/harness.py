"""Real programs for the scenarios, each a private instance, ended by its own process id."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from msgstore.access.sync import AccessClient
from msgstore.crypto.password import PROFILES, hash_password

ROOT: Final = Path(__file__).parents[2]
PASSWORD: Final = "secret"
DOMAIN: Final = "example.com"
PATHS: Final = os.pathsep.join((str(ROOT / "shared"), str(ROOT)))


def required(*programs: str) -> None:
    """Skip where a program is missing; fail where it has to be there."""
    for name in programs:
        if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/lib/postfix/sbin") is None:
            if os.environ.get("MSGSTORE_REQUIRE_SERVICES") == "1":
                pytest.fail(f"{name} is not installed")
            pytest.skip(f"{name} is not installed")


def required_root() -> None:
    """Skip without root; fail where services are required."""
    if os.geteuid() != 0:
        if os.environ.get("MSGSTORE_REQUIRE_SERVICES") == "1":
            pytest.fail("root is needed")
        pytest.skip("root is needed")


def free_port() -> int:
    """Give a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(claim: Callable[[], bool], *, what: str, seconds: float = 30.0) -> None:
    """Wait for a claim about another process to become true."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.05)


def end(child: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> int:
    """End a process that a test started and give its exit code."""
    if child.poll() is None:
        child.send_signal(number)
    try:
        return child.wait(timeout=60)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(timeout=10)
        raise


def store_settings() -> str:
    """Give the settings of the store; see ``backends``."""
    return ""


class House:
    """lmtpd and accessd on sockets in a short directory of their own, with a few users."""

    def __init__(self, place: Path, users: tuple[str, ...], more: str, run_as: str | None = None) -> None:
        self.place = place
        self._run_as = run_as
        self.lmtp = place / "lmtp.sock"
        self.access = place / "access.sock"
        self.mail = place / "mail"
        self.config = place / "msgstore.toml"
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        domain = self.mail / DOMAIN
        domain.mkdir(parents=True, mode=0o700)
        stored = hash_password(PASSWORD.encode(), PROFILES["testing"])
        (domain / "passwd").write_text("".join(f"{user}:{stored}:{user}\n" for user in users))
        self.config.write_text(
            f"""data_dir = "{self.mail}"
postmaster = "{users[0]}@{DOMAIN}"
[lmtp]
listen = ["unix:{self.lmtp}"]
socket_mode = "0666"
hostname = "store.example.com"
workers = 2
[access]
listen = "unix:{self.access}"
hints_dir = "{place}/hints"
[auth]
hash_profile = "testing"
failure_seconds = 0.3
[metrics]
lmtpd = "unix:{place}/lmtpd-metrics.sock"
accessd = "unix:{place}/accessd-metrics.sock"
{store_settings()}{more}"""
        )
        if run_as is not None:
            subprocess.run(["chown", "-R", f"{run_as}:", str(place)], check=True)

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start a daemon and wait for its socket to answer."""
        path = self.lmtp if name == "lmtpd" else self.access
        command = [*self._prefix(), sys.executable, "-m", name, "--config", str(self.config)]
        with (self.place / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ, "PYTHONPATH": PATHS})
        self.children[name] = child
        wait_until(lambda: answers(path) or child.poll() is not None, what=f"{name} listening")
        assert child.poll() is None, self.log(name)
        return child

    def _prefix(self) -> list[str]:
        """Run as another user who may still read the interpreter, wherever it is installed."""
        if self._run_as is None:
            return []
        reading = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        return ["setpriv", "--reuid", self._run_as, "--regid", self._run_as, "--clear-groups", *reading]

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a daemon."""
        return end(self.children.pop(name), number)

    def kill(self, name: str) -> None:
        """Kill a daemon and its workers at once, as a crash of the machine's init would."""
        parent = self.children.pop(name)
        workers = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        for pid in [str(parent.pid), *workers]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        parent.wait(timeout=10)

    def log(self, name: str) -> str:
        """Give what a daemon wrote."""
        return (self.place / f"{name}.log").read_text("utf-8", "replace")

    def texts(self, user: str) -> list[bytes]:
        """Read a user's INBOX through the access socket."""
        with AccessClient.connect(str(self.access)) as client:
            session = client.login(f"{user}@{DOMAIN}", PASSWORD, service="pop3")
            found: list[bytes] = []
            for row in session.list():
                with session.retrieve(row.uid) as body:
                    found.append(body.read())
            return found

    def count(self, user: str) -> int:
        """Count a user's INBOX through the access socket."""
        with AccessClient.connect(str(self.access)) as client:
            return len(list(client.login(f"{user}@{DOMAIN}", PASSWORD, service="pop3").list()))

    def files(self, user: str) -> list[Path]:
        """Give the message files of a user's INBOX."""
        box = self.mail / DOMAIN / "users" / user
        return sorted([*box.glob("new/*"), *box.glob("cur/*")])


def answers(path: Path) -> bool:
    """Whether somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def house(
    *users: str, more: str = "", only: tuple[str, ...] = ("lmtpd", "accessd"), run_as: str | None = None
) -> Generator[House]:
    """Run our daemons for the time of the block; the directory is readable for Postfix' user."""
    place = Path(tempfile.mkdtemp(prefix="msgstore-"))
    place.chmod(0o755)
    made = House(place, users or ("alice", "bob"), more, run_as)
    try:
        for name in only:
            made.start(name)
        yield made
    finally:
        for name in list(made.children):
            made.stop(name)
        shutil.rmtree(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3:
    """The reference POP3 server in a process of its own."""

    port: int
    pid: int


@contextlib.contextmanager
def pop3_server(ours: House) -> Generator[Pop3]:
    """Run one on the access socket of a house."""
    port = free_port()
    server = str(ROOT / "tests" / "reference" / "pop3_server.py")
    command = [sys.executable, server, str(ours.access), "127.0.0.1", str(port)]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PATHS})
    try:
        wait_until(lambda: curl(port, "alice", "--list-only", "/") is not None, what="the POP3 server")
        yield Pop3(port=port, pid=child.pid)
    finally:
        end(child)


def curl(port: int, user: str, *arguments: str) -> str | None:
    """Ask a POP3 server; the last argument is the path.  None where it fails."""
    *options, path = arguments
    command = ["curl", "--silent", "--user", f"{user}@{DOMAIN}:{PASSWORD}", *options, f"pop3://127.0.0.1:{port}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout if done.returncode == 0 else None


class Postfix:
    """A private Postfix: its own configuration, queue and port."""

    def __init__(self, place: Path, lmtp: Path, more: str = "") -> None:
        self.port = free_port()
        self.config = place / "postfix"
        self.log = place / "postfix.log"
        queue, data = place / "queue", place / "data"
        self.config.mkdir()
        queue.mkdir()
        data.mkdir()
        shutil.chown(data, "postfix")
        settings = f"""compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
maillog_file = {self.log}
maillog_file_prefixes = {place}
myhostname = mx.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = {DOMAIN}
virtual_transport = lmtp:unix:{lmtp}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtputf8_enable = no
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
message_size_limit = 52428800
mailbox_size_limit = 0
relay_transport = discard
default_transport = discard
{more}
"""
        (self.config / "main.cf").write_text(settings)
        services = [f"127.0.0.1:{self.port} inet n - n - - smtpd"]
        services += [
            f"{name} unix {private} - n {wake} {most} {program}"
            for name, private, wake, most, program in (
                ("pickup", "n", "60", "1", "pickup"),
                ("cleanup", "n", "-", "0", "cleanup"),
                ("qmgr", "n", "300", "1", "qmgr"),
                ("rewrite", "-", "-", "-", "trivial-rewrite"),
                ("bounce", "-", "-", "0", "bounce"),
                ("defer", "-", "-", "0", "bounce"),
                ("trace", "-", "-", "0", "bounce"),
                ("verify", "-", "-", "1", "verify"),
                ("proxymap", "-", "-", "-", "proxymap"),
                ("discard", "-", "-", "-", "discard"),
                ("error", "-", "-", "-", "error"),
                ("retry", "-", "-", "-", "error"),
                ("lmtp", "-", "-", "-", "lmtp"),
                ("anvil", "-", "-", "1", "anvil"),
                ("scache", "-", "-", "1", "scache"),
            )
        ]
        services.append("postlog unix-dgram n - n - 1 postlogd")
        (self.config / "master.cf").write_text("\n".join(services) + "\n")
        self._pid_file = queue / "pid" / "master.pid"

    def start(self) -> None:
        """Start it and wait for its SMTP port."""
        subprocess.run(["/usr/sbin/postfix", "-c", str(self.config), "start"], check=True, capture_output=True)

        def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listening, what="Postfix listening")

    def stop(self) -> None:
        """End the master and with it its children."""
        pid = int(self._pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of Postfix")

    def queued(self) -> int:
        """Count the messages that wait."""
        done = subprocess.run(["/usr/sbin/postqueue", "-c", str(self.config), "-j"], check=True, capture_output=True)
        return len(done.stdout.splitlines())

    def flush(self) -> None:
        """Try everything in the queue now."""
        subprocess.run(["/usr/sbin/postqueue", "-c", str(self.config), "-f"], check=True, capture_output=True)


@pytest.fixture
def postfix() -> Iterator[Callable[..., Postfix]]:
    """Make private Postfix instances; all are ended with the test."""
    required("postfix", "postqueue")
    required_root()
    running: list[tuple[Postfix, Path]] = []

    def make(lmtp: Path, more: str = "") -> Postfix:
        place = Path(tempfile.mkdtemp(prefix="msgstore-postfix-"))
        place.chmod(0o755)
        instance = Postfix(place, lmtp, more)
        instance.start()
        running.append((instance, place))
        return instance

    yield make
    for instance, place in running:
        instance.stop()
        shutil.rmtree(place)
