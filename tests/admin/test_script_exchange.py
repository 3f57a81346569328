"""Scripts of a user that move with the mail, from the command line."""

from pathlib import Path

import pytest

from tests.admin.trial import Trial
from tests.exchange.room import snapshot, tree_of

ALICE = "alice@example.com"
BOB = "bob@example.com"
FILED = b'require "fileinto";\nfileinto "Work";\n'
PIPED = b'require "vnd.dovecot.pipe";\npipe "x";\n'


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    made = Trial(tmp_path).from_template()
    made.run("user", "add", BOB, "--generate")
    return made


def home(place: Path, files: dict[str, bytes], *, active: str | None = None) -> Path:
    """A home directory as Dovecot's users have it."""
    tree_of(place, {"Maildir/cur/": b"", "Maildir/new/": b"", **files})
    if active is not None:
        (place / ".dovecot.sieve").symlink_to(active)
    return place


def shelf(trial: Trial, address: str = ALICE) -> dict[str, bool]:
    return {row["name"]: row["active"] for row in trial.json("sieve", "list", address)}


def test_scripts_come_with_a_mailbox_go_out_with_it_and_come_in_elsewhere(trial: Trial) -> None:
    source = home(
        trial.place / "home",
        {"sieve/work.sieve": FILED, "sieve/holiday.sieve": b"keep;\n"},
        active="sieve/work.sieve",
    )
    before = snapshot(source)

    came = trial.json("import", "dovecot", f"{source}/Maildir", ALICE)
    again = trial.json("import", "dovecot", f"{source}/Maildir", ALICE)
    went = trial.json("export", "maildir", ALICE, str(trial.place / "out"))
    back = trial.json("import", "maildir", str(trial.place / "out"), BOB)

    assert came["scripts"] == [
        {"script": "holiday", "outcome": "put", "active": False},
        {"script": "work", "outcome": "put", "active": True},
    ]
    assert {row["outcome"] for row in again["scripts"]} == {"present"}
    assert came["passed_over"] == again["passed_over"] == went["passed_over"] == back["passed_over"] == []
    assert {row["script"]: row["active"] for row in went["scripts"]} == shelf(trial)
    assert shelf(trial) == shelf(trial, BOB) == {"holiday": False, "work": True}
    assert (trial.place / "out" / ".dovecot.sieve").read_bytes() == FILED
    assert trial.json("sieve", "get", BOB, "work")["text"] == FILED.decode()
    assert snapshot(source) == before


def test_a_broken_script_comes_along_is_named_and_is_not_made_active(trial: Trial) -> None:
    source = home(trial.place / "home", {"sieve/p.sieve": PIPED}, active="sieve/p.sieve")

    told = trial.run("import", "dovecot", f"{source}/Maildir", ALICE, code=1)

    assert "passed over: sieve/p.sieve: does not compile and cannot be active: 1:" in told.stderr
    assert shelf(trial) == {"p": False}
    assert trial.json("sieve", "get", ALICE, "p")["text"] == PIPED.decode()


def test_scripts_that_are_here_already_stay_and_the_active_one_too(trial: Trial) -> None:
    trial.run("sieve", "put", ALICE, "work", "-", "--activate", stdin="discard;\n")
    files = {"sieve/work.sieve": FILED, "sieve/new.sieve": b"keep;\n"}
    source = home(trial.place / "home", files, active="sieve/new.sieve")

    told = trial.json("import", "dovecot", f"{source}/Maildir", ALICE, code=1)

    assert {row["place"]: row["reason"] for row in told["passed_over"]} == {
        "sieve/work.sieve": "another script of that name is here",
        "sieve/new.sieve": "is not made the active script: another one is active here",
    }
    assert shelf(trial) == {"work": True, "new": False}
    assert trial.json("sieve", "get", ALICE, "work")["text"] == "discard;\n"


def test_a_name_that_no_script_can_have_is_named_and_the_rest_comes(trial: Trial) -> None:
    long = "x" * 129
    source = home(trial.place / "home", {f"sieve/{long}.sieve": FILED, "sieve/ok.sieve": FILED})

    told = trial.json("import", "dovecot", f"{source}/Maildir", ALICE, code=1)

    assert [row["place"] for row in told["passed_over"]] == [f"sieve/{long}.sieve"]
    assert shelf(trial) == {"ok": False}


def test_more_scripts_than_a_user_may_have_are_named(trial: Trial) -> None:
    source = home(trial.place / "home", {f"sieve/{number:02}.sieve": b"keep;\n" for number in range(66)})

    told = trial.json("import", "dovecot", f"{source}/Maildir", ALICE, code=1)

    assert [row["place"] for row in told["passed_over"]] == ["sieve/64.sieve", "sieve/65.sieve"]
    assert len(shelf(trial)) == 64


def test_a_dry_run_says_what_would_become_of_scripts_and_puts_none(trial: Trial) -> None:
    source = home(trial.place / "home", {"sieve/work.sieve": FILED}, active="sieve/work.sieve")

    told = trial.run("import", "dovecot", f"{source}/Maildir", ALICE, "--dry-run")

    assert "work    put      yes" in told.stdout
    assert shelf(trial) == {}


def test_a_dry_run_of_an_export_names_the_scripts(trial: Trial) -> None:
    trial.run("sieve", "put", ALICE, "work", "-", stdin="keep;\n")

    told = trial.json("export", "maildir", ALICE, str(trial.place / "out"), "--dry-run")

    assert told["scripts"] == [{"script": "work", "outcome": "written", "active": False}]


def test_scripts_are_left_out_where_that_is_wanted_or_folders_are_chosen(trial: Trial) -> None:
    source = home(trial.place / "home", {".dovecot.sieve": FILED})
    tree = f"{source}/Maildir"

    trial.run("import", "dovecot", tree, ALICE, "--no-scripts")
    trial.run("import", "dovecot", tree, ALICE, "--folder", "INBOX")
    none = shelf(trial)
    trial.run("import", "dovecot", tree, ALICE, "--folder", "INBOX", "--scripts", str(source))
    out, other = trial.place / "out", trial.place / "other"
    trial.run("export", "maildir", ALICE, str(out), "--no-scripts")
    trial.run("export", "maildir", ALICE, str(other), "--folder", "INBOX")
    trial.run("import", "dovecot", tree, ALICE, "--no-scripts", "--scripts", str(source), code=64)

    assert none == {}
    assert shelf(trial) == {"personal": True}
    assert not (out / "sieve").exists()
    assert not (other / "sieve").exists()


def test_scripts_come_with_an_mbox_from_where_they_are_said_to_lie(trial: Trial) -> None:
    source = home(trial.place / "home", {".dovecot.sieve": FILED})
    box = trial.place / "box"
    box.write_bytes(b"From a Thu Nov  9 10:11:12 2023\nSubject: one\n\nbody\n\n")

    trial.run("import", "mbox", str(box), ALICE, "--scripts", str(source))

    assert shelf(trial) == {"personal": True}
