"""Our daemons as an operator meets them: broken configuration, full disk, signals, metrics, the demo."""

import os
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenario.harness import DOMAIN, PATHS, House, house, required_root, wait_until

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]


def handed_over(ours: House, *users: str, octets: int = 100) -> dict[str, int]:
    """Send one message and give the last reply code of each recipient."""
    with smtplib.LMTP(str(ours.lmtp)) as client:
        client.ehlo_or_helo_if_needed()
        client.docmd("MAIL FROM:<a@example.net>")
        codes = {user: client.docmd(f"RCPT TO:<{user}@{DOMAIN}>")[0] for user in users}
        client.docmd("DATA")
        text = b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" + (b"z" * 70 + b"\r\n") * (octets // 72)
        client.send(text + b".\r\n")
        codes |= {user: client.getreply()[0] for user, code in codes.items() if code == 250}
    return codes


def program(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", name, *arguments]
    environment = {**os.environ, "PYTHONPATH": PATHS}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


@pytest.mark.parametrize("name", ["lmtpd", "accessd"])
def test_a_broken_configuration_is_told_and_exits_78(tmp_path: Path, name: str) -> None:
    config = tmp_path / "msgstore.toml"
    config.write_text('data_dri = "/x"\n[lmtp]\nlisten = ["nowhere"]\n')

    done = program(name, "--config", str(config))
    missing = program(name, "--config", str(tmp_path / "none.toml"))

    assert done.returncode == 78
    assert "data_dri: unknown key; did you mean data_dir?" in done.stderr
    assert missing.returncode == 78
    assert "cannot be read" in missing.stderr
    assert "Traceback" not in done.stderr + missing.stderr


def test_a_full_disk_defers_and_the_same_process_goes_on_when_there_is_room() -> None:
    required_root()
    with house("alice", only=()) as ours:
        users = ours.mail / DOMAIN / "users"
        users.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(ours.mail)], check=True)
        try:
            (ours.mail / DOMAIN).mkdir()
            (ours.mail / DOMAIN / "passwd").write_text("alice:x:alice\n")
            ours.start("lmtpd")
            codes = [handed_over(ours, "alice", octets=200_000)["alice"] for _ in range(8)]
            for path in ours.files("alice"):
                path.unlink()
            after = handed_over(ours, "alice", octets=200_000)["alice"]
            ours.stop("lmtpd")

            assert codes[0] == 250
            assert codes[-1] == 452
            assert set(codes) == {250, 452}
            assert after == 250
        finally:
            subprocess.run(["umount", "-l", str(ours.mail)], check=True)


@pytest.mark.parametrize(
    ("policy", "event"), [("opportunistic", "lmtp.lookup_failed"), ("off", "delivery.store_failed")]
)
def test_trouble_with_one_mailbox_is_temporary_and_the_others_are_served(policy: str, event: str) -> None:
    with house("alice", "bob", only=("lmtpd",), more=f'[encryption]\npolicy = "{policy}"\n') as ours:
        users = ours.mail / DOMAIN / "users"
        users.mkdir()
        (users / "alice").write_text("a file where a directory should be")

        codes = handed_over(ours, "alice", "bob")

        assert codes == {"alice": 451, "bob": 250}
        assert f"ERROR {event}" in ours.log("lmtpd")
        assert "Not a directory" in ours.log("lmtpd")


def test_a_password_file_that_cannot_be_read_never_bounces() -> None:
    with house("alice", only=("lmtpd",)) as ours:
        passwd = ours.mail / DOMAIN / "passwd"
        passwd.unlink()
        passwd.mkdir()
        client = smtplib.LMTP(str(ours.lmtp))
        client.ehlo_or_helo_if_needed()
        client.docmd("MAIL FROM:<>")

        code, text = client.docmd(f"RCPT TO:<alice@{DOMAIN}>")

        assert (code, text[:5]) == (451, b"4.3.0")
        assert "ERROR lmtp.lookup_failed" in ours.log("lmtpd")
        client.close()


def test_metrics_of_all_workers_are_one_page() -> None:
    with house("alice", only=("lmtpd",)) as ours:
        for _ in range(10):
            handed_over(ours, "alice")

        def counted() -> bool:
            return b'deliveries_total{domain="example.com",status="success"} 10.0' in page(ours, "lmtpd")

        wait_until(counted, what="ten deliveries in the page")
        text = page(ours, "lmtpd")
        assert b"msgstore_workers 2.0" in text
        assert b'msgstore_delivery_size_bytes_count{domain="example.com"} 10.0' in text


def page(ours: House, name: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{ours.place}/{name}-metrics.sock")
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        found = b""
        while chunk := client.recv(65536):
            found += chunk
        return found


def test_a_clean_stop_removes_the_sockets_and_exits_0() -> None:
    with house("alice") as ours:
        codes = [ours.stop("lmtpd"), ours.stop("accessd")]

        assert codes == [0, 0]
        assert not ours.lmtp.exists()
        assert not ours.access.exists()


def test_a_second_instance_does_not_steal_a_live_socket() -> None:
    with house("alice", only=("lmtpd",)) as ours:
        second = program("lmtpd", "--config", str(ours.config))

        assert second.returncode != 0
        assert handed_over(ours, "alice") == {"alice": 250}


def test_the_demo_takes_a_message_through_the_whole_house(tmp_path: Path) -> None:
    done = program("msgstore.admin.cli", "demo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "the demo worked" in done.stdout
    assert "550 5.1.1" in done.stderr
