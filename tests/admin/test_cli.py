import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.admin.trial import Trial


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).from_template()


def test_setup_makes_configuration_domain_and_first_account(tmp_path: Path) -> None:
    trial = Trial(tmp_path).setup()

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
    trial.run("user", "rm", "bob@example.com", "--purge", "--yes")
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
        (["user", "add"], 64, "see `msgstore user add --help`"),
        (["user", "add", '" #x"@example.com', "--password-stdin"], 65, "cannot stand in the password file"),
        (["user", "add", '"x "@example.com', "--password-stdin"], 65, "cannot stand in the password file"),
        (["user", "rm", "alice@example.com"], 64, "say --yes"),
        (["user", "rm", "postmaster@example.com", "--yes"], 67, "its mail goes to alice@example.com"),
        (["user", "passwd", "postmaster@example.com", "--password-stdin"], 67, "its mail goes to alice@example.com"),
        (["user", "list", "elsewhere.example"], 68, "not hosted"),
        (["domain", "add", "lost+found"], 65, "is not a domain name"),
        (["domain", "add", "foo bar"], 65, "is not a domain name"),
        (["message", "list", "alice@example.com", "--folder", "Nope"], 67, "has no folder Nope"),
        (["message", "list", "alice@example.com", "--folder", "../x"], 65, "cannot be a level"),
        (["send-test", "x>\r\nRCPT TO:<y@example.com"], 65, "is not an address"),
        (["send-test", "alice@example.com", "--from", "x>\r\nQUIT"], 65, "is not an address"),
        (["send-test", "j\u00fcrgen@example.com"], 75, "is it running?"),
        (["setup", "\udcff@example.com"], 65, "is not an address"),
    ],
)
def test_what_cannot_be_done_says_why_and_exits_as_sysexits_say(
    trial: Trial, arguments: list[str], code: int, text: str
) -> None:
    done = trial.run(*arguments, stdin="secret\n", code=code)

    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_group_without_a_verb_shows_its_verbs(trial: Trial) -> None:
    done = trial.run("user", code=64)

    assert "passwd" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["user", "show", "nobody@example.com"], 67),
        (["user", "show", "\udcff@example.com"], 65),
        (["user", "show"], 64),
        (["user", "nonsense"], 64),
        (["user", "rm", "alice@example.com"], 64),
        (["user", "add", "alice@example.com", "--generate"], 64),
        (["message", "show", "alice@example.com", "9"], 67),
        (["send-test", "alice@example.com"], 75),
        (["config", "check", "--config"], 64),
    ],
)
def test_a_failure_is_json_too_where_json_was_asked_for(trial: Trial, arguments: list[str], code: int) -> None:
    done = trial.run(*arguments, "--json", code=code)

    told = json.loads(done.stdout)
    assert told["code"] == code
    assert told["error"]
    assert told["text"]
    assert done.stderr == ""


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


@pytest.mark.parametrize(
    "verbs",
    [
        ["version", "config check", "config show", "config schema", "completion fish"],
        ["domain add b\u00fccher.example", "domain list", "domain rm b\u00fccher.example", "setup alice@example.com"],
        ["user add j\u00fcrgen@example.com --generate", "user list", "user disable alice@example.com"],
        ["user enable alice@example.com", "user show alice@example.com", "folder list alice@example.com"],
        ["message list alice@example.com", "user rm alice@example.com --yes"],
    ],
)
def test_every_verb_prints_json_and_nothing_else(trial: Trial, verbs: list[str]) -> None:
    for verb in verbs:
        done = trial.run(*verb.split(), "--json")

        assert isinstance(json.loads(done.stdout), dict | list), verb
        assert done.stderr == ""


def test_setup_twice_changes_nothing(trial: Trial) -> None:
    passwd = trial.place / "mail" / "example.com" / "passwd"
    before = passwd.read_bytes()

    told = trial.json("setup", "alice@example.com", "--password-stdin", stdin="other\n")

    assert told["mailbox"] == "alice@example.com"
    assert told["password"] is None
    assert passwd.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["a+b@example.com", "--data-dir=/nowhere"], 65),
        (["alice", "--data-dir=/nowhere"], 65),
        (["alice@example.com", "--data-dir=/nowhere", f"--run-dir=/nowhere/{'x' * 120}"], 78),
    ],
)
def test_setup_writes_nothing_that_could_not_be_used(tmp_path: Path, arguments: list[str], code: int) -> None:
    trial = Trial(tmp_path)

    trial.run("setup", *arguments, "--password-stdin", stdin="x\n", code=code)

    assert not trial.config.exists()
    assert not Path("/nowhere").exists()


def test_odd_paths_are_written_so_that_they_are_read_back(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    place = f'{tmp_path}/a "b"\\ \U0001f4ee'

    trial.run(
        "setup", "alice@example.com", "--password-stdin", f"--data-dir={place}", f"--run-dir={place}", stdin="x\n"
    )

    assert trial.json("config", "show")["data_dir"] == place


def test_a_domain_with_anything_of_value_keeps_all_its_files(trial: Trial) -> None:
    trial.run("domain", "add", "other.example")
    place = trial.place / "mail" / "other.example"
    (place / "config.toml").write_text("max_message_size = 7\n")
    (place / "keys").mkdir()

    done = trial.run("domain", "rm", "other.example", code=64)

    assert "still holds keys" in done.stderr
    assert sorted(entry.name for entry in place.iterdir()) == ["config.toml", "keys"]


def test_a_domain_of_the_settings_without_a_directory_hides_no_user(trial: Trial) -> None:
    with trial.config.open("a") as file:
        file.write('[domains."new.example"]\n')

    assert [row["user"] for row in trial.json("user", "list")] == ["alice@example.com"]
    assert trial.json("user", "list", "new.example") == []


def test_one_domain_in_trouble_hides_no_other_from_the_doctor(trial: Trial) -> None:
    for name in ("a.example", "z.example"):
        trial.run("domain", "add", name)
    (trial.place / "mail" / "a.example" / "config.toml").write_text("a = ")

    rows = {row["what"]: row for row in trial.json("doctor", code=75)}

    assert rows["a.example"]["state"] == "failed"
    assert "/a.example/config.toml: Invalid value" in rows["a.example"]["text"]
    assert rows["z.example"]["state"] == "ok"


def test_names_with_odd_characters_are_accounts_of_their_own(trial: Trial) -> None:
    for name in ("a", '"a@b"', '"a b"', "j\u00fcrgen", '"x%y{z}"', "!x"):
        trial.run("user", "add", f"{name}@example.com", "--generate")

    mailboxes = [row["mailbox"] for row in trial.json("user", "list")]

    assert len(set(mailboxes)) == 7
    assert "a@b@example.com" in mailboxes


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(trial: Trial) -> None:
    code, shown = trial.at_terminal("user", "add", "bob@example.com", answers="pass-w0rd\npass-w0rd\n")

    assert code == 0, shown
    assert "bob@example.com was added" in shown
    assert "pass-w0rd" not in shown


@pytest.mark.parametrize(("answer", "code", "users"), [("y\n", 0, 0), ("n\n", 130, 1)])
def test_at_a_terminal_removing_asks_first(trial: Trial, answer: str, code: int, users: int) -> None:
    ended, shown = trial.at_terminal("user", "rm", "alice@example.com", answers=answer)

    assert "Remove the account alice@example.com and keep its mail?" in shown
    assert ended == code
    assert len(trial.json("user", "list")) == users


def test_the_secret_of_a_login_is_in_no_output(trial: Trial) -> None:
    done = trial.run("user", "passwd", "alice@example.com", "--password-stdin", stdin="hunter2\n")

    assert "hunter2" not in done.stdout + done.stderr
    assert "argon2" not in trial.run("user", "show", "alice@example.com").stdout


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("bash", 'source "$1"; complete -p msgstore'),
        ("zsh", 'autoload -Uz compinit; compinit -u -D; source "$1"; echo $_comps[msgstore]'),
        ("fish", "source $argv[1]; complete -c msgstore"),
    ],
)
def test_completion_loads_in_its_shell(trial: Trial, shell: str, script: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    code = trial.place / f"code.{shell}"
    code.write_text(trial.run("completion", shell).stdout)
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    name = [] if shell == "fish" else [shell]

    done = subprocess.run(
        [shell, *options, "-c", script, *name, str(code)], capture_output=True, text=True, check=False, timeout=15
    )

    assert "msgstore" in done.stdout, done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed")
def test_what_root_does_leaves_everything_to_the_owner_of_the_data_directory() -> None:
    place = Path(tempfile.mkdtemp(prefix="msgstore-"))
    place.chmod(0o755)
    mail = place / "mail"
    mail.mkdir()
    os.chown(mail, 4001, 4002)
    try:
        trial = Trial(place).setup()
        trial.run("user", "add", "bob@other.example", "--generate")
        new = mail / "example.com" / "users" / "alice" / "new"
        (new / "1000000000.M1P1.host").write_bytes(b"Subject: hi\r\n\r\nbody\r\n")
        os.chown(new / "1000000000.M1P1.host", 4001, 4002)
        trial.run("message", "list", "alice@example.com")
        trial.run("folder", "list", "alice@example.com")

        others = [str(path) for path in mail.rglob("*") if (path.stat().st_uid, path.stat().st_gid) != (4001, 4002)]
        assert others == []
    finally:
        shutil.rmtree(place)
