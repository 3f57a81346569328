"""Clients of other projects change scripts at a running accessd."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from msgstore.admin.certificates import shown_certificate
from tests.scenario.harness import DOMAIN, PASSWORD, PATHS, House, answers, free_port, house, required, wait_until
from tests.sieve_room import certificate

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]

USER = f"alice@{DOMAIN}"
SCRIPT = 'require "fileinto";\r\n# a line with "OK" in it\r\nfileinto "Work";\r\n'

PHP = """<?php
error_reporting(E_ALL & ~E_DEPRECATED);
require 'Net/Sieve.php';
[$_, $port, $user, $password, $cert] = $argv;
$options = ['ssl' => ['cafile' => $cert, 'peer_name' => 'localhost']];
$sieve = new Net_Sieve($user, $password, 'localhost', (int)$port, 'PLAIN', '', false, false, true, $options);
function must($done) { if (PEAR::isError($done)) { fwrite(STDERR, $done->getMessage()); exit(1); } return $done; }
must($sieve->getError());
must($sieve->haveSpace('web mail', 100));
must($sieve->installScript('web mail', "keep;\\r\\n", true));
must($sieve->installScript('other "one"', "stop;\\r\\n"));
$refused = $sieve->installScript('web mail', 'bogus;');
$active = null;
$scripts = must($sieve->listScripts($active));
$text = must($sieve->getScript('web mail'));
must($sieve->setActive('other "one"'));
must($sieve->removeScript('web mail'));
$knows = $sieve->hasExtension('vacation');
must($sieve->disconnect());
// This client takes the line end behind a literal for a part of it.
echo json_encode([$scripts, $active, rtrim($text), PEAR::isError($refused), $knows]);
"""


@dataclass(frozen=True, slots=True)
class Served:
    """What a client is told."""

    ours: House
    port: int
    cert: str

    def scripts(self) -> list[tuple[str, bool]]:
        """Look at the disk, as an operator does."""
        box = self.ours.mail / DOMAIN / "users" / "alice"
        link = box / ".sieve"
        active = link.resolve().name if link.is_symlink() else ""
        return sorted((file.stem, file.name == active) for file in (box / "sieve").glob("*.sieve"))


@contextmanager
def served(place: Path) -> Generator[Served]:
    cert, key = certificate(place)
    port = free_port()
    more = f'[managesieve]\nlisten = ["tcp:127.0.0.1:{port}"]\ntls_cert = "{cert}"\ntls_key = "{key}"\n'
    with house("alice", more=more, only=("accessd",)) as ours:
        yield Served(ours, port, cert)


def sieve_connect(found: Served, *commands: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run commands as from its prompt; the password comes on a descriptor, as its manual asks."""
    steps = place / "steps"
    steps.write_text("".join(f"{command}\n" for command in commands))
    reading, writing = os.pipe()
    os.write(writing, f"{PASSWORD}\n".encode())
    os.close(writing)
    where = ("--server", "localhost", "--port", str(found.port), "--4", "--user", USER, "--authmech", "PLAIN")
    told = ("--passwordfd", str(reading), "--tlscafile", found.cert, "--exec", str(steps))
    try:
        return subprocess.run(
            ["sieve-connect", *where, *told],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            pass_fds=(reading,),
            cwd=place,
        )
    finally:
        os.close(reading)


def test_sieve_connect_puts_lists_fetches_and_deletes(tmp_path: Path) -> None:
    required("sieve-connect")
    (tmp_path / "mine").write_bytes(SCRIPT.encode())
    with served(tmp_path) as found:
        done = sieve_connect(
            found, "upload mine first", "upload mine second", "activate first", "list", "rm second", place=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert found.scripts() == [("first", True)]
        assert '"first" ACTIVE' in done.stdout

        done = sieve_connect(found, "download first copy", "deactivate", place=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "copy").read_bytes() == SCRIPT.encode()
        assert found.scripts() == [("first", False)]


def test_at_sighup_a_renewed_certificate_is_shown_and_nobody_is_lost(tmp_path: Path) -> None:
    with served(tmp_path) as found:
        where = f"tcp:127.0.0.1:{found.port}"
        _, before = shown_certificate(where, seconds=10.0)
        with socket.create_connection(("127.0.0.1", found.port), timeout=10) as staying:
            assert b"ready" in staying.recv(4096)
            certificate(tmp_path)
            found.ours.children["accessd"].send_signal(signal.SIGHUP)
            wait_until(lambda: shown_certificate(where, seconds=10.0)[1] != before, what="the new certificate")
            staying.sendall(b"NOOP\r\n")
            said = staying.recv(4096)

    assert before is not None
    assert said == b'OK "nothing done"\r\n'


def test_what_webmail_uses_puts_lists_fetches_and_deletes(tmp_path: Path) -> None:
    required("php")
    if not Path("/usr/share/php/Net/Sieve.php").is_file():
        assert os.environ.get("MSGSTORE_REQUIRE_SERVICES") != "1", "php-net-sieve is not installed"
        pytest.skip("php-net-sieve is not installed")
    (tmp_path / "client.php").write_text(PHP)
    with served(tmp_path) as found:
        arguments = ("php", str(tmp_path / "client.php"), str(found.port), USER, PASSWORD, found.cert)
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout == '[["other \\"one\\"","web mail"],"web mail","keep;",true,true]'
        assert found.scripts() == [('other "one"', True)]


def test_without_its_certificate_the_daemon_does_not_start(tmp_path: Path) -> None:
    more = f'[managesieve]\nlisten = ["tcp:127.0.0.1:{free_port()}"]\ntls_cert = "{tmp_path}/absent"\n'
    with house("alice", more=more, only=()) as ours:
        with pytest.raises(AssertionError, match=r"managesieve\.tls_cert"):
            ours.start("accessd")

        assert ours.children.pop("accessd").wait(timeout=10) == os.EX_CONFIG


def test_a_socket_that_systemd_passes_by_name_is_served(tmp_path: Path) -> None:
    required("systemd-socket-activate")
    cert, key = certificate(tmp_path)
    port = free_port()
    with house("alice", more=f'[managesieve]\ntls_cert = "{cert}"\ntls_key = "{key}"\n', only=()) as ours:
        activate = ("systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=managesieve")
        daemon = (sys.executable, "-m", "accessd", "--config", str(ours.config))
        environment = ("-E", f"PYTHONPATH={PATHS}", "-E", f"PATH={os.environ['PATH']}")
        child = subprocess.Popen([*activate, *environment, *daemon], stderr=subprocess.DEVNULL)
        ours.children["accessd"] = child
        wait_until(lambda: greeted(port), what="a greeting")

        assert answers(ours.access)


def greeted(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            return client.recv(100).startswith(b'"IMPLEMENTATION"')
    except OSError:
        return False
