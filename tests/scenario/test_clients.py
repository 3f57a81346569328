"""Real LMTP and POP3 clients against our daemons and the reference POP3 server."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.scenario.harness import DOMAIN, PASSWORD, House, curl, house, pop3_server, required

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120), pytest.mark.usefixtures("backend")]


def swaks(ours: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["swaks", "--protocol", "LMTP", "--socket", str(ours.lmtp), "--from", "a@example.net", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_swaks_sees_one_reply_for_each_recipient() -> None:
    required("swaks")
    with house("alice", "bob") as ours:
        done = swaks(ours, "--to", f"alice@{DOMAIN},bob@{DOMAIN},alice@{DOMAIN}", "--body", "from swaks")

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("Saved") == 3
        assert b"from swaks" in ours.texts("alice")[0]
        assert len(ours.texts("bob")) == 1


def test_swaks_sees_refusals_with_their_codes() -> None:
    required("swaks")
    with house("alice") as ours:
        unknown = swaks(ours, "--to", f"nobody@{DOMAIN}")
        elsewhere = swaks(ours, "--to", "alice@elsewhere.example")
        greeting = swaks(ours, "--to", f"alice@{DOMAIN}", "--quit-after", "LHLO")

        assert "550 5.1.1" in unknown.stdout
        assert "550 5.1.2" in elsewhere.stdout
        for keyword in ("PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING", "SIZE 52428800"):
            assert keyword in greeting.stdout


def test_smtp_source_loads_it_over_many_sessions() -> None:
    required("smtp-source")
    with house("alice") as ours:
        command = ["/usr/sbin/smtp-source", "-L", "-s", "4", "-m", "200", "-l", "2000", "-f", "a@example.net"]
        subprocess.run([*command, "-t", f"alice@{DOMAIN}", f"unix:{ours.lmtp}"], check=True, timeout=60)

        assert len(ours.texts("alice")) == 200


def test_curl_lists_fetches_and_deletes_over_pop3() -> None:
    required("swaks", "curl")
    with house("alice") as ours:
        for number in range(3):
            swaks(ours, "--to", f"alice@{DOMAIN}", "--body", f"message {number}")

        with pop3_server(ours) as pop3:
            uidl = curl(pop3.port, "alice", "--request", "UIDL", "/")
            second = curl(pop3.port, "alice", "/2")
            curl(pop3.port, "alice", "--request", "DELE", "--head", "/2")
            after = curl(pop3.port, "alice", "--request", "UIDL", "/")
        ours.stop("accessd")
        ours.start("accessd")
        with pop3_server(ours) as pop3:
            again = curl(pop3.port, "alice", "--request", "UIDL", "/")

        assert uidl is not None
        assert second is not None
        assert after is not None
        assert "message 1" in second
        names = [line.split()[1] for line in uidl.splitlines()]
        assert [line.split()[1] for line in after.splitlines()] == [names[0], names[2]]
        assert again == after


def test_mpop_fetches_everything_once_and_deletes_it() -> None:
    required("swaks", "mpop")
    with house("alice") as ours, tempfile.TemporaryDirectory() as place:
        for number in range(5):
            swaks(ours, "--to", f"alice@{DOMAIN}", "--body", f".dots\n..{number}")
        maildir = Path(place) / "Maildir"
        for name in ("new", "cur", "tmp"):
            (maildir / name).mkdir(parents=True)
        with pop3_server(ours) as pop3:
            settings = Path(place) / "mpoprc"
            settings.write_text(
                f"account a\nhost 127.0.0.1\nport {pop3.port}\nuser alice@{DOMAIN}\npassword {PASSWORD}\n"
                f"auth user\ntls off\nkeep off\nuidls_file {place}/uidls\ndelivery maildir {maildir}\n"
            )
            settings.chmod(0o600)
            subprocess.run(["mpop", "-C", str(settings), "a"], check=True, timeout=60, capture_output=True)

        fetched = sorted(path.read_bytes() for path in (maildir / "new").iterdir())
        assert len(fetched) == 5
        assert fetched[0].rstrip().endswith(b".dots\n..0")
        assert ours.texts("alice") == []
