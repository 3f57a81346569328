"""Mailboxes moved in and out from the command line."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.admin.trial import PATHS, Trial
from tests.exchange.room import snapshot, tree_of

ALICE = "alice@example.com"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).from_template()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tree_of(
        tmp_path / "source",
        {
            "cur/1.host:2,S": b"Subject: one\n\n",
            "cur/2.host:2,": b"Subject: two\n\n",
            "new/": b"",
            "dovecot-uidlist": b"3 V77 N9\n4 :1.host\n6 :2.host\n",
            ".Old/cur/1.host:2,": b"Subject: old\n\n",
            ".Old/new/": b"",
        },
    )


def rows(trial: Trial, folder: str = "INBOX") -> list[tuple[int, str]]:
    return [(row["uid"], row["flags"]) for row in trial.json("message", "list", ALICE, "--folder", folder)]


def test_a_maildir_comes_in_goes_out_and_comes_in_elsewhere(trial: Trial, source: Path) -> None:
    trial.run("user", "add", "bob@example.com", "--generate")
    out = trial.place / "out"

    came = trial.json("import", "maildir", str(source), ALICE)
    went = trial.json("export", "maildir", ALICE, str(out))
    back = trial.json("import", "dovecot", str(out), "bob@example.com")

    assert came["passed_over"] == []
    assert [(row["folder"], row["put"], row["uids"]) for row in came["folders"]] == [
        ("INBOX", 2, "kept"),
        ("Old", 1, "new"),
    ]
    assert rows(trial) == [(4, "\\Seen"), (6, "")]
    assert {row["folder"]: row["written"] for row in went["folders"] if row["written"]} == {"INBOX": 2, "Old": 1}
    assert sum(row["put"] for row in back["folders"]) == 3
    assert [row["uid"] for row in trial.json("message", "list", "bob@example.com")] == [4, 6]


def test_an_mbox_directory_goes_out_and_a_file_of_it_comes_in(trial: Trial, source: Path) -> None:
    trial.run("import", "maildir", str(source), ALICE)
    trial.run("user", "add", "bob@example.com", "--generate")

    trial.run("export", "mbox", ALICE, str(trial.place / "out"), "--folder", "INBOX")
    came = trial.json("import", "mbox", str(trial.place / "out" / "INBOX.mbox"), "bob@example.com")

    assert [(row["folder"], row["put"], row["uidvalidity"]) for row in came["folders"]] == [("INBOX", 2, 77)]


def test_a_dry_run_says_so_and_puts_nothing(trial: Trial, source: Path) -> None:
    before = snapshot(source)

    said = trial.run("import", "maildir", str(source), ALICE, "--dry-run")
    out = trial.run("export", "maildir", ALICE, str(trial.place / "out"), "--dry-run")

    assert "INBOX" in said.stdout
    assert "nothing was changed" in said.stderr
    assert "nothing was changed" in out.stderr
    assert rows(trial) == []
    assert snapshot(source) == before
    assert not (trial.place / "out").exists()


def test_what_is_passed_over_is_named_and_shows_in_the_exit_status(trial: Trial, source: Path) -> None:
    (source / "cur" / "link:2,").symlink_to("/etc/passwd")

    told = trial.run("import", "maildir", str(source), ALICE, code=1)

    assert "passed over: INBOX/cur/link:2," in told.stderr
    assert len(rows(trial)) == 2


def test_faults_have_exit_codes(trial: Trial, source: Path) -> None:
    trial.run("import", "maildir", str(source), "nobody@example.com", code=67)
    trial.run("import", "maildir", "/nowhere", ALICE, code=64)
    trial.run("import", "courier", str(trial.place), ALICE, code=75)
    trial.run("export", "maildir", ALICE, str(source), code=73)


def test_progress_shows_at_a_terminal_and_nowhere_else(trial: Trial, source: Path) -> None:
    code, shown = trial.at_terminal("import", "maildir", str(source), ALICE, answers="")

    assert code == 0
    assert "2/2" in shown
    assert trial.run("import", "maildir", str(source), ALICE).stderr == ""


def test_progress_shows_where_nobody_knows_how_much_there_is(trial: Trial) -> None:
    path = trial.place / "box"
    path.write_bytes(b"From a Thu Nov  9 10:11:12 2023\nSubject: one\n\nbody\n\n" * 2)

    code, shown = trial.at_terminal("import", "mbox", str(path), ALICE, answers="")

    assert code == 0
    assert "INBOX" in shown
    assert len(rows(trial)) == 2


def test_an_import_that_is_killed_goes_on(trial: Trial, tmp_path: Path) -> None:
    count = 1500
    files = {f"cur/{number}.host:2,S": b"Subject: %d\n\n" % number for number in range(1, count + 1)}
    uids = b"".join(b"%d :%d.host\n" % (number * 2, number) for number in range(1, count + 1))
    source = tree_of(tmp_path / "many", {**files, "new/": b"", "dovecot-uidlist": b"3 V77 N9000\n" + uids})
    cur = trial.place / "mail" / "example.com" / "users" / "alice" / "cur"

    child = subprocess.Popen(
        trial.command("import", "dovecot", str(source), ALICE),
        env={**os.environ, "PYTHONPATH": PATHS},
        stdout=subprocess.DEVNULL,
    )
    while child.poll() is None and sum(1 for _ in cur.iterdir()) < 300:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    killed = child.returncode == -signal.SIGKILL
    done = json.loads(trial.run("import", "dovecot", str(source), ALICE, "--json").stdout)["folders"][0]

    assert killed
    assert done["put"] + done["present"] == count
    assert done["present"] > 0
    assert [uid for uid, _ in rows(trial)] == [number * 2 for number in range(1, count + 1)]


def test_sealed_mail_goes_out_open_for_whoever_knows_the_password_or_the_recovery_key(
    trial: Trial, source: Path
) -> None:
    trial.run("key", "generate", ALICE, "--password-stdin", stdin="secret\n")
    recovery = trial.json("key", "escrow", ALICE, "--password-stdin", stdin="secret\n")["recovery_key"]
    out = [str(trial.place / f"out{number}") for number in range(5)]

    came = trial.json("import", "maildir", str(source), ALICE, "--seal")
    sealed = trial.json("export", "maildir", ALICE, out[0])
    opened = trial.json("export", "maildir", ALICE, out[1], "--open", "--password-stdin", stdin="secret\n")
    recovered = trial.json("export", "mbox", ALICE, out[2], "--open", "--recovery-stdin", stdin=f"{recovery}\n")
    refused = trial.run("export", "mbox", ALICE, out[3], code=65)
    wrong = trial.run("export", "maildir", ALICE, out[4], "--open", "--password-stdin", stdin="guess\n", code=77)

    assert [(row["put"], row["sealed"], row["sealed_here"]) for row in came["folders"]] == [(2, 2, 2), (1, 1, 1)]
    for done, counts in ((sealed, (2, 0)), (opened, (0, 2)), (recovered, (0, 2))):
        assert (done["folders"][0]["sealed"], done["folders"][0]["opened"]) == counts
        assert done["passed_over"] == []
    assert b"Subject: one" in b"".join(content or b"" for content in snapshot(Path(out[1])).values())
    assert b"Subject: one" not in b"".join(content or b"" for content in snapshot(Path(out[0])).values())
    assert b"Subject: one" in (Path(out[2]) / "INBOX.mbox").read_bytes()
    assert "an mbox file cannot hold" in refused.stderr
    assert not Path(out[3]).exists()
    assert not Path(out[4]).exists()
    assert "not the password" in wrong.stderr


def with_policy(trial: Trial, policy: str) -> None:
    text = trial.config.read_text(encoding="utf-8").partition("\n[encryption]")[0]
    trial.config.write_text(f'{text}\n[encryption]\npolicy = "{policy}"\n', encoding="utf-8")


@pytest.mark.timeout(60)
def test_an_import_seals_as_deliveries_do_and_refuses_where_a_key_is_required(trial: Trial, source: Path) -> None:
    trial.run("user", "add", "bob@example.com", "--password-stdin", stdin="secret\n")
    trial.run("key", "generate", ALICE, "--password-stdin", stdin="secret\n")

    with_key = trial.json("import", "maildir", str(source), ALICE, "--dry-run")
    otherwise = trial.json("import", "maildir", str(source), ALICE, "--dry-run", "--no-seal")
    without_key = trial.json("import", "maildir", str(source), "bob@example.com", "--dry-run")
    with_policy(trial, "required")
    refused = trial.run("import", "maildir", str(source), "bob@example.com", code=65)
    required = trial.json("import", "maildir", str(source), ALICE, "--dry-run")
    with_policy(trial, "off")
    off = trial.json("import", "maildir", str(source), ALICE, "--dry-run")

    shown = [one["folders"][0]["sealed"] for one in (with_key, otherwise, without_key, required, off)]
    assert shown == [2, 0, 0, 2, 0]
    assert "has no key" in refused.stderr
