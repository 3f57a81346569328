"""Old mail goes, and comes back while the window is open."""

import os
from pathlib import Path

import pytest

from tests.admin.trial import Trial

OLD = 1_000_000_000


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    made = Trial(tmp_path).from_template()
    with made.config.open("a") as config:
        config.write("\n[retention]\nundelete_days = 7\nfolders = { Trash = 30 }\n")
    put(made, ".Trash", "1.old.host,S=3,W=3:2,S", OLD)
    put(made, ".Trash", "2.new.host,S=3,W=3:2,S", None)
    put(made, ".", "3.kept.host,S=3,W=3:2,S", OLD)
    return made


def put(trial: Trial, directory: str, name: str, date: int | None) -> None:
    path = trial.place / "mail" / "example.com" / "users" / "alice" / directory / "cur" / name
    path.write_bytes(b"x\r\n")
    if date is not None:
        os.utime(path, (date, date))


def uids(trial: Trial, folder: str) -> list[object]:
    return [row["uid"] for row in trial.json("message", "list", "alice@example.com", f"--folder={folder}")]


def test_a_dry_run_tells_and_changes_nothing(trial: Trial) -> None:
    told = trial.json("retention", "run", "--all", "--dry-run")

    assert told == [{"mailbox": "alice@example.com", "folder": "Trash", "messages": 1, "octets": 3}]
    assert uids(trial, "Trash") == [1, 2]


def test_old_mail_of_named_folders_goes_and_can_be_brought_back(trial: Trial) -> None:
    trial.run("retention", "run", "alice@example.com")

    assert uids(trial, "Trash") == [2]
    assert uids(trial, "INBOX") == [1]
    (removed,) = trial.json("message", "removed", "alice@example.com")
    assert (removed["folder"], removed["octets"]) == ("Trash", 3)
    assert trial.json("message", "undelete", "alice@example.com", str(removed["key"])) == {"messages": 1}
    assert uids(trial, "Trash") == [2, 3]
    assert trial.json("message", "removed", "alice@example.com") == []


def test_without_a_window_it_goes_for_good(trial: Trial) -> None:
    trial.config.write_text(trial.config.read_text().replace("undelete_days = 7", "undelete_days = 0"))

    trial.run("retention", "run", "--all")

    assert uids(trial, "Trash") == [2]
    assert trial.json("message", "removed", "alice@example.com") == []


def test_undeleting_wants_keys_or_all(trial: Trial) -> None:
    trial.run("message", "undelete", "alice@example.com", code=64)
    trial.run("retention", "run", code=64)
