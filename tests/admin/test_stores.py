"""Looking after the store from the command line."""

from pathlib import Path

import pytest

from tests.admin.trial import Trial


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).from_template()


def box(trial: Trial) -> Path:
    return trial.place / "mail" / "example.com" / "users" / "alice"


def test_a_healthy_store_is_said_to_be_well(trial: Trial) -> None:
    assert trial.json("store", "check", "--all") == []
    assert "1 mailboxes are well" in trial.run("store", "check", "alice@example.com").stderr


def test_what_is_wrong_is_told_mended_and_gone(trial: Trial) -> None:
    (box(trial) / "tmp").rmdir()

    told = trial.run("store", "check", "alice@example.com", code=1).stdout
    mended = trial.json("store", "repair", "alice@example.com")

    assert "missing-directory" in told
    assert [(row["kind"], row["mended"]) for row in mended] == [("missing-directory", True)]
    assert trial.json("store", "check", "--all") == []


def test_reindexing_and_compacting_say_how_many(trial: Trial) -> None:
    assert trial.json("store", "reindex", "--all") == {"mailboxes": 1}
    assert trial.json("store", "compact", "alice@example.com") == {"mailboxes": 1}


def test_either_addresses_or_all_must_be_said(trial: Trial) -> None:
    trial.run("store", "check", code=64)
    trial.run("store", "check", "--all", "alice@example.com", code=64)
    trial.run("store", "check", "nobody@example.com", code=67)
