import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


class Trial:
    """The command on a configuration of its own, as an operator runs it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.config = place / "etc" / "msgstore.toml"

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "msgstore.admin.cli", "--config", str(self.config), *arguments]
        paths = os.pathsep.join(str(Path(__file__).parents[2] / part) for part in ("shared", "."))
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, stdin: str = "", code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", stdin=stdin, code=code).stdout)

    def setup(self) -> "Trial":
        self.run(
            "setup",
            "alice@example.com",
            "--password-stdin",
            f"--data-dir={self.place}/mail",
            f"--run-dir={self.place}/run",
            stdin="secret\n",
        )
        with self.config.open("a", encoding="utf-8") as file:
            file.write('\n[auth]\nhash_profile = "testing"\n')
        return self


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).setup()


def test_setup_makes_configuration_domain_and_first_account(trial: Trial) -> None:
    assert trial.run("config", "check").stdout.startswith(str(trial.config))
    assert trial.json("domain", "list") == [{"domain": "example.com", "users": 1}]
    assert trial.json("user", "list") == [
        {"user": "alice@example.com", "mailbox": "alice@example.com", "enabled": True}
    ]
    assert (trial.place / "mail" / "example.com" / "users" / "alice" / "new").is_dir()
    assert (trial.place / "mail").stat().st_mode & 0o777 == 0o700


def test_setup_never_overwrites_a_configuration(trial: Trial) -> None:
    before = trial.config.read_text()

    trial.run("setup", "bob@example.com", "--data-dir=/elsewhere", "--password-stdin", stdin="x\n", code=64)
    trial.run("setup", "bob@example.com", "--password-stdin", stdin="x\n")

    assert trial.config.read_text() == before


def test_users_come_change_and_go(trial: Trial) -> None:
    made = trial.json("user", "add", "Bob@Example.COM", "--generate")
    trial.run("user", "disable", "bob@example.com")
    trial.run("user", "passwd", "bob@example.com", "--password-stdin", stdin="other\n")

    assert made["mailbox"] == "bob@example.com"
    assert len(str(made["password"])) >= 25
    assert trial.json("user", "show", "bob@example.com") == [
        {
            "user": "bob@example.com",
            "mailbox": "bob@example.com",
            "enabled": False,
            "inbox_messages": 0,
            "inbox_octets": 0,
        }
    ]
    trial.run("user", "enable", "bob@example.com")
    trial.run("user", "rm", "bob@example.com", "--purge")
    assert not (trial.place / "mail" / "example.com" / "users" / "bob").exists()
    trial.run("user", "show", "bob@example.com", code=67)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["user", "add", "alice@example.com", "--password-stdin"], 64, "exists"),
        (["user", "add", "no address", "--password-stdin"], 65, "not an address"),
        (["user", "add", "a+b@example.com", "--password-stdin"], 65, "separates user and detail"),
        (["user", "add", "a/b@example.com", "--password-stdin"], 65, "cannot name a mailbox"),
        (["user", "show", "alice@elsewhere.example"], 68, "not in a hosted domain"),
        (["user", "add", "carol@example.com"], 64, "--password-stdin"),
        (["domain", "rm", "example.com"], 64, "still has users"),
        (["domain", "rm", "elsewhere.example"], 68, "not hosted"),
        (["message", "show", "alice@example.com", "7"], 67, ""),
        (["message", "show", "alice@example.com", "0"], 64, "not a UID"),
        (["send-test", "alice@example.com"], 75, ""),
        (["nonsense"], 64, "nonsense"),
    ],
)
def test_what_cannot_be_done_says_why_and_exits_as_sysexits_say(
    trial: Trial, arguments: list[str], code: int, text: str
) -> None:
    done = trial.run(*arguments, stdin="secret\n", code=code)

    assert text in done.stderr.replace("\n", " ")


def test_a_broken_configuration_names_every_fault_and_exits_78(trial: Trial) -> None:
    trial.config.write_text('data_dri = "/x"\n[lmtp]\nworkers = "many"\n')

    done = trial.run("user", "list", code=78)

    assert "data_dri: unknown key; did you mean data_dir?" in done.stderr
    assert "lmtp.workers: Expected `int`, got `str`, found 'many'" in done.stderr


def test_passwords_are_never_taken_from_the_command_line(trial: Trial) -> None:
    trial.run("user", "add", "bob@example.com", "--password", "x", code=64)


def test_folders_and_messages_are_shown(trial: Trial) -> None:
    new = trial.place / "mail" / "example.com" / "users" / "alice" / "new"
    (new / "1000000000.M1P1.host").write_bytes(b"Subject: hi\r\n\r\nbody\r\n")

    folders = trial.json("folder", "list", "alice@example.com")
    messages = trial.json("message", "list", "alice@example.com")
    shown = trial.run("message", "show", "alice@example.com", "1")

    assert folders[0] == {"folder": "INBOX", "messages": 1, "unseen": 1, "octets": 21, "special_use": None}
    assert messages[0]["uid"] == 1
    assert shown.stdout == "Subject: hi\n\nbody\n"


def test_the_doctor_finds_that_the_daemons_are_down(trial: Trial) -> None:
    done = trial.run("doctor", code=75)

    assert "is lmtpd running?" in done.stdout
    assert "is accessd running" in done.stdout
    assert "could be written, synced and removed" in done.stdout


def test_schema_version_and_completion_are_printed(trial: Trial) -> None:
    assert "LmtpSettings" in trial.run("config", "schema").stdout
    assert "Python" in trial.run("version").stdout
    assert isinstance(trial.json("config", "show"), dict)
    for shell in ("bash", "zsh", "fish"):
        assert "_MSGSTORE_COMPLETE" in trial.run("completion", shell).stdout
