"""Mail converted into the store of another configuration, from the command line."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.admin.imported_room import ALICE, OTHER, imported, in_another_layout
from tests.admin.trial import PATHS, Trial
from tests.exchange.room import snapshot, tree_of


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return imported(tmp_path)


@pytest.fixture
def other(trial: Trial) -> Trial:
    return in_another_layout(trial)


def into(other: Trial, *arguments: str) -> list[str]:
    return ["store", "convert", "--into", str(other.config), *(arguments or (ALICE,))]


def mail(trial: Trial) -> list[tuple[int, str]]:
    return [(row["uid"], row["flags"]) for row in trial.json("message", "list", ALICE)]


def home(trial: Trial) -> Path:
    return trial.place / "mail" / "example.com" / "users" / "alice"


def there(other: Trial) -> Path:
    return other.place / "mail" / "example.com" / "boxes" / "alice" / "Maildir"


def test_mail_is_converted_compared_and_followed(trial: Trial, other: Trial) -> None:
    first = trial.json(*into(other))
    (read,) = (home(trial) / "cur").glob("*:2,S")
    read.rename(read.with_name(read.name.removesuffix("S") + "FS"))
    second = trial.run(*into(other, "--all"))

    (inbox,) = (row for row in first["folders"] if row["folder"] == "INBOX")
    assert first["differences"] == []
    assert (inbox["mailbox"], inbox["put"], inbox["verified"], inbox["uidvalidity"]) == (ALICE, 2, 2, 77)
    assert (second.stdout.split("\n")[0].split()[0], second.stderr) == ("MAILBOX", "")
    assert mail(other) == mail(trial) == [(4, "\\Flagged \\Seen"), (6, "")]
    assert sorted(path.read_bytes() for path in (there(other) / "cur").iterdir()) == [
        b"Subject: one\r\n\r\n",
        b"Subject: two\n\nbare\n",
    ]


@pytest.mark.timeout(60)
def test_a_conversion_that_was_killed_is_gone_on_with(trial: Trial, other: Trial) -> None:
    count = 2000
    files = {f"cur/{number}.host:2,S": b"Subject: %d\n\n" % number for number in range(1, count + 1)}
    uids = b"".join(b"%d :%d.host\n" % (number * 2, number) for number in range(1, count + 1))
    lists = {"dovecot-uidlist": b"3 V78 N9000\n" + uids, "new/": b"", "cur/": b""}
    source = tree_of(trial.place / "many" / ".Many", {**files, **lists}).parent
    tree_of(source, {"cur/": b"", "new/": b""})
    trial.run("import", "maildir", str(source), ALICE)
    cur = there(other) / ".Many" / "cur"

    child = subprocess.Popen(
        trial.command(*into(other, ALICE, "--no-verify")),
        env={**os.environ, "PYTHONPATH": PATHS},
        stdout=subprocess.DEVNULL,
    )
    while child.poll() is None and (not cur.exists() or sum(1 for _ in cur.iterdir()) < 300):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    killed = child.returncode == -signal.SIGKILL
    done = trial.json(*into(other))

    (many,) = (row for row in done["folders"] if row["folder"] == "Many")
    assert killed
    assert done["differences"] == []
    assert many["put"] + many["present"] == many["verified"] == count
    assert many["present"] > 0
    assert trial.json("message", "list", ALICE, "--folder", "Many") == other.json(
        "message", "list", ALICE, "--folder", "Many"
    )


def test_a_dry_run_says_what_would_be_done_and_makes_nothing(trial: Trial, other: Trial) -> None:
    # The first look at a folder begins its list of UIDs.
    trial.run(*into(other, ALICE, "--dry-run"))
    before = snapshot(home(trial))

    told = trial.run(*into(other, ALICE, "--dry-run"))

    assert "nothing was changed" in told.stderr
    assert not there(other).exists()
    assert {name for name in snapshot(home(trial)) if "msgstore-index" not in name} == {
        name for name in before if "msgstore-index" not in name
    }


def test_what_differs_is_named_and_shows_in_the_exit_status(trial: Trial, other: Trial) -> None:
    trial.run(*into(other))
    one = next(path for path in (there(other) / "cur").iterdir() if path.read_bytes().startswith(b"Subject: one"))
    with one.open("r+b") as file:
        file.write(b"s")

    quick = trial.json(*into(other, ALICE, "--no-verify"))
    told = trial.run(*into(other), code=1)
    facts = trial.json(*into(other), code=1)

    assert quick["differences"] == []
    assert f"differs: {ALICE}: INBOX: 4: has other octets there" in told.stderr
    assert facts["differences"] == [
        {"mailbox": ALICE, "folder": "INBOX", "uid": 4, "text": "has other octets there"},
    ]


def test_a_store_is_not_converted_into_itself_by_whatever_name(trial: Trial, other: Trial) -> None:
    before = snapshot(home(trial))
    other.config.write_text(trial.config.read_text() + "\n[store]\ndefault_folders = false\n")
    by_settings = trial.run(*into(other), code=64)
    users = f'base_path = "{trial.place}/mail/example.com/users"'
    other.config.write_text(trial.config.read_text() + f"\n[store]\n{users}\n")
    by_place = trial.run(*into(other), code=64)
    other.config.write_text(trial.config.read_text() + '\n[store]\nbackend = "memory"\n')
    in_memory = trial.run(*into(other), code=64)

    assert "is this one" in by_settings.stderr
    assert "is what is here" in by_place.stderr
    assert "forget" in in_memory.stderr
    assert {name for name in snapshot(home(trial)) if "msgstore-index" not in name} == {
        name for name in before if "msgstore-index" not in name
    }


def test_faults_have_exit_codes(trial: Trial, other: Trial) -> None:
    trial.run("store", "convert", ALICE, code=64)
    trial.run("store", "convert", ALICE, "--into", "/nowhere.toml", code=64)
    trial.run(*into(other, ALICE, "--all"), code=64)
    trial.run(*into(other, "nobody@example.com"), code=67)
    trial.run("user", "add", "bob@example.com", "--generate")
    shutil.rmtree(home(trial).parent / "bob")
    trial.run(*into(other, "bob@example.com"), code=67)
    other.config.write_text("[store]\nbackend = 7\n")
    trial.run(*into(other), code=78)


def test_one_mailbox_that_cannot_be_converted_keeps_no_other_from_it(trial: Trial, other: Trial) -> None:
    trial.run("user", "add", "aaron@example.com", "--generate")
    there(other).parent.parent.mkdir(parents=True)
    (there(other).parent.parent / "aaron").write_bytes(b"in the way")

    told = trial.json(*into(other, "--all"), code=1)

    assert [(row["mailbox"], row["folder"]) for row in told["differences"]] == [("aaron@example.com", None)] * len(
        told["differences"]
    )
    assert "stopped before its end" in told["differences"][0]["text"]
    assert mail(other) == mail(trial)


def test_progress_shows_at_a_terminal_and_nowhere_else(trial: Trial, other: Trial) -> None:
    code, shown = trial.at_terminal(*into(other), answers="")

    assert code == 0
    assert "2/2" in shown
    assert "INBOX, compared" in shown


@pytest.mark.timeout(60)
def test_keys_beside_the_mail_come_along_and_other_ones_that_are_there_stay(trial: Trial, other: Trial) -> None:
    trial.run("key", "generate", ALICE, "--password-stdin", stdin="secret\n")
    trial.run("key", "seal-existing", ALICE)
    foreseen = trial.json(*into(other, ALICE, "--dry-run"))
    trial.run(*into(other))
    shown = trial.run("message", "show", ALICE, "4", "--password-stdin", stdin="secret\n").stdout
    opened = other.run("message", "show", ALICE, "4", "--password-stdin", stdin="secret\n").stdout

    trial.run("user", "passwd", ALICE, "--password-stdin", "--old-password-stdin", stdin="secret\nnewer\n")
    trial.run(*into(other))
    keyring = (home(trial) / "keyring.key").read_bytes()
    renewed = (there(other).parent / "keyring.key").read_bytes() == keyring
    (there(other).parent / "keyring.pub").write_bytes(b"\x09" * 32)
    told = trial.run(*into(other), code=1)

    assert foreseen["differences"] == []
    assert shown == opened
    assert "Subject: one" in opened
    assert renewed
    assert "has other keys there" in told.stderr
    assert (there(other).parent / "keyring.pub").read_bytes() == b"\x09" * 32


@pytest.mark.timeout(60)
def test_a_maildir_becomes_a_database_and_a_maildir_again(trial: Trial, other: Trial) -> None:
    trial.run("key", "generate", ALICE, "--password-stdin", stdin="secret\n")
    trial.run("key", "seal-existing", ALICE)
    shown = trial.run("message", "show", ALICE, "6", "--password-stdin", stdin="secret\n").stdout
    other.config.write_text(trial.config.read_text() + '\n[store]\nbackend = "sqlite"\n')
    back = Trial(trial.place)
    back.config = trial.place / "etc" / "back.toml"
    back.config.write_text(trial.config.read_text() + OTHER)

    there = trial.json(*into(other))
    in_database = other.run("message", "show", ALICE, "6", "--password-stdin", stdin="secret\n").stdout
    again = other.json(*into(back))
    at_last = back.run("message", "show", ALICE, "6", "--password-stdin", stdin="secret\n").stdout

    assert there["differences"] == again["differences"] == []
    assert mail(trial) == mail(other) == mail(back)
    assert shown == in_database == at_last
    assert other.run(*into(other), code=64).stderr == "msgstore: the store that --into names is this one\n"


def test_a_user_that_the_other_configuration_does_not_know_is_named(trial: Trial, other: Trial) -> None:
    text = other.config.read_text().replace('/mail"', '/mail2"')
    other.config.write_text(text)
    (trial.place / "mail2" / "example.com").mkdir(parents=True)
    (trial.place / "mail2" / "example.com" / "passwd").write_text("")

    told = trial.run(*into(other), code=1)

    assert "there is no such user under the other configuration" in told.stderr
    assert list((trial.place / "mail2" / "example.com").glob("boxes/alice/Maildir/cur/*"))
