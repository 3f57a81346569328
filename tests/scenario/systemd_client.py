"""Runs under the test's own systemd: asks everything the units promise and writes a report."""

import ctypes
import json
import mmap
import os
import smtplib
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

LMTP = "/run/msgstore/lmtp.sock"
ACCESS = "/run/msgstore/access.sock"


def deliver(text: str) -> None:
    client = smtplib.LMTP(LMTP)
    client.sendmail("a@example.net", ["alice@example.com"], f"Subject: {text}\r\n\r\n{text}\r\n")
    client.quit()


def systemctl(*arguments: str) -> str:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main_pid(unit: str) -> int:
    return int(systemctl("show", "--property=MainPID", "--value", unit))


def wait_until(claim: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 25
    while not claim():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def socket_is_there_and_the_service_is_not() -> None:
    status = Path(LMTP).stat()
    assert status.st_mode & 0o777 == 0o660, oct(status.st_mode)
    assert Path(LMTP).group() == "msgstore-lmtp", Path(LMTP).group()
    assert Path(ACCESS).group() == "msgstore-access", Path(ACCESS).group()
    assert systemctl("is-active", "lmtpd.service") == "inactive"


def a_connection_starts_it_and_mail_goes_through() -> None:
    from msgstore.access.sync import AccessClient  # noqa: PLC0415 (the probe runs without it)

    deliver("one")
    # A message may be through before systemd has heard that the service is ready.
    wait_until(lambda: systemctl("is-active", "lmtpd.service") == "active", "lmtpd is not active")
    with AccessClient.connect(ACCESS) as client:
        session = client.login("alice@example.com", "secret", service="pop3")
        (row,) = session.list()
        with session.retrieve(row.uid) as body:
            assert body.read().endswith(b"one\r\n")


def metrics_are_served_on_their_socket() -> None:
    with socket.socket(socket.AF_UNIX) as page:
        page.connect("/run/lmtpd/metrics.sock")
        page.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b""
        while chunk := page.recv(65536):
            text += chunk
    assert b'msgstore_deliveries_total{domain="example.com",status="success"}' in text, text[:300]


def as_user(name: str, code: str) -> "subprocess.CompletedProcess[str]":
    command = ["/sbin/runuser", "-u", name, "--", "/usr/bin/python3", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


def strangers_cannot_connect_and_peers_are_known() -> None:
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect({ACCESS!r})"
    assert "PermissionError" in as_user("nobody", connect).stderr
    hello = (
        "from msgstore.access.sync import AccessClient\n"
        f"with AccessClient.connect({ACCESS!r}) as client: print(list(client.hello('t').roles))"
    )
    found = as_user("pop3peer", hello)
    assert found.stdout.strip() == "['pop3']", found.stdout + found.stderr


def a_killed_daemon_comes_back() -> None:
    before = main_pid("lmtpd.service")
    os.kill(before, 9)
    wait_until(lambda: main_pid("lmtpd.service") not in (0, before), "a new lmtpd")
    wait_until(lambda: systemctl("is-active", "lmtpd.service") == "active", "lmtpd active")
    deliver("after the kill")


def a_hung_worker_is_noticed_by_the_watchdog() -> None:
    before = main_pid("lmtpd.service")
    workers = Path(f"/proc/{before}/task/{before}/children").read_text().split()
    for pid in workers:
        os.kill(int(pid), 19)
    wait_until(lambda: main_pid("lmtpd.service") not in (0, before), "a restart by the watchdog")
    wait_until(lambda: systemctl("is-active", "lmtpd.service") == "active", "lmtpd active")
    deliver("after the hang")


def a_stop_is_clean() -> None:
    systemctl("stop", "lmtpd.service", "accessd.service")
    for unit in ("lmtpd.service", "accessd.service"):
        assert systemctl("show", "--property=Result", "--value", unit) == "success", unit
    deliver("after the stop")


def the_sandbox_holds_and_the_control_shows_that_it_matters() -> None:
    systemctl("start", "probe.service")
    systemctl("start", "control.service")
    inside = json.loads(Path("/var/lib/msgstore/probe.json").read_text())
    control = json.loads(Path("/run/control.json").read_text())
    for what, refused in inside.items():
        assert refused, f"{what} was possible inside of the sandbox"
        assert not control[what], f"{what} is refused without the sandbox too: the question is blind"


def probe() -> None:
    """Try what the sandbox has to refuse; print which of it was refused."""

    def refused(act: Callable[[], object]) -> bool:
        try:
            act()
        except (OSError, PermissionError):
            return True
        return False

    libc = ctypes.CDLL(None, use_errno=True)

    def unshare() -> None:
        if libc.unshare(0x10000000) != 0:
            raise OSError(ctypes.get_errno(), "unshare")

    def setuid_bit() -> None:
        file = Path(os.environ.get("STATE_DIRECTORY", "/run")) / f"probe-{os.getpid()}"
        file.write_text("x")
        try:
            file.chmod(0o4755)
        finally:
            file.unlink()

    answers = {
        "write /etc": refused(lambda: Path("/etc/probe").write_text("x")),
        "list /root": refused(lambda: list(Path("/root").iterdir())),
        "open an internet socket": refused(lambda: socket.socket(socket.AF_INET).close()),
        "map writable and executable": refused(
            lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        ),
        "set the clock": refused(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
        "make a user namespace": refused(unshare),
        "set the setuid bit": refused(setuid_bit),
    }
    print(json.dumps(answers))


def main(report: Path) -> None:
    checks = (
        socket_is_there_and_the_service_is_not,
        a_connection_starts_it_and_mail_goes_through,
        metrics_are_served_on_their_socket,
        strangers_cannot_connect_and_peers_are_known,
        a_killed_daemon_comes_back,
        a_hung_worker_is_noticed_by_the_watchdog,
        a_stop_is_clean,
        the_sandbox_holds_and_the_control_shows_that_it_matters,
    )
    answers: dict[str, str] = {}
    for check in checks:
        try:
            check()
            answers[check.__name__] = "ok"
        except (AssertionError, OSError, ValueError, smtplib.SMTPException, LookupError, RuntimeError):
            answers[check.__name__] = traceback.format_exc()
    report.write_text(json.dumps(answers))


if __name__ == "__main__":
    if sys.argv[1] == "probe":
        probe()
    else:
        main(Path(sys.argv[1]))
