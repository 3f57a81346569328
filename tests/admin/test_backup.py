"""Backups from the command line."""

from pathlib import Path

import pytest

from tests.admin.imported_room import ALICE, imported, in_another_layout
from tests.admin.trial import Trial
from tests.exchange.room import tree_of

# Each starts the command several times, which takes long on a machine that is busy.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return imported(tmp_path)


@pytest.fixture
def place(trial: Trial) -> str:
    return str(trial.place / "backup")


@pytest.fixture
def other(trial: Trial) -> Trial:
    return in_another_layout(trial)


def mail(trial: Trial) -> list[tuple[int, str, int]]:
    return [(row["uid"], row["flags"], row["octets"]) for row in trial.json("message", "list", ALICE)]


def test_mail_is_backed_up_verified_and_put_back(trial: Trial, other: Trial, place: str) -> None:
    first = trial.json("backup", place, ALICE)
    second = trial.json("backup", place, "--all")
    well = trial.json("verify", place)
    back = other.json("restore", place, "--all")

    (inbox,) = (row for row in first["folders"] if row["folder"] == "INBOX")
    assert (inbox["messages"], inbox["read"], inbox["uidvalidity"], first["written"]) == (2, 2, 77, 2)
    assert (second["written"], second["differences"]) == (0, [])
    assert (well["runs"], well["bodies"], well["damages"]) == ([first["run"], second["run"]], 2, [])
    assert (back["run"], back["differences"]) == (second["run"], [])
    assert mail(other) == mail(trial)
    cur = trial.place / "mail" / "example.com" / "boxes" / "alice" / "Maildir" / "cur"
    assert sorted(path.read_bytes() for path in cur.iterdir()) == [b"Subject: one\r\n\r\n", b"Subject: two\n\nbare\n"]


def test_accounts_and_keys_are_in_a_run_as_they_are(trial: Trial, place: str) -> None:
    home = trial.place / "mail" / "example.com"
    (home / "users" / "alice" / "keyring.pub").write_bytes(b"k" * 32)
    (home / "user_forwards").mkdir()
    (home / "user_forwards" / "alice").write_text("keep\n")

    run = trial.json("backup", place, ALICE)["run"]

    files = Path(place) / "runs" / run / "files"
    assert (files / "domains" / "example.com" / "passwd").read_bytes() == (home / "passwd").read_bytes()
    assert (files / "domains" / "example.com" / "user_forwards" / "alice").read_text() == "keep\n"
    assert (files / "keys" / "example.com" / "alice" / "keyring.pub").read_bytes() == b"k" * 32


def test_damage_is_named_with_folder_and_uid_and_the_exit_status_tells(trial: Trial, other: Trial, place: str) -> None:
    trial.run("backup", place, ALICE)
    (victim,) = (path for path in Path(place).glob("bodies/*/*") if b"two" in path.read_bytes())
    victim.write_bytes(b"Subject: tow\n\nbare\n")

    found = trial.run("verify", place, code=1)
    back = other.run("restore", place, ALICE, code=1)

    assert f"{ALICE}: INBOX: 6: its body has other octets: {victim.name}" in found.stderr
    assert f"{ALICE}: INBOX: 6: its body has other octets" in back.stderr
    assert [row[0] for row in mail(other)] == [4]


def test_a_mailbox_with_other_mail_is_refused_without_force(trial: Trial, other: Trial, place: str) -> None:
    trial.run("backup", place, ALICE)
    more = tree_of(trial.place / "more", {"cur/3.host:2,": b"Subject: three\r\n\r\n", "new/": b""})
    trial.run("import", "maildir", str(more), ALICE, "--merge")
    before = mail(trial)

    refused = trial.json("restore", place, ALICE, code=1)
    forced = trial.json("restore", place, ALICE, "--force")

    assert "--force" in refused["differences"][0]["text"]
    assert forced["differences"] == []
    assert len(before) == 3
    assert mail(trial) == before


def test_a_dry_run_changes_nothing(trial: Trial, other: Trial, place: str) -> None:
    trial.run("backup", place, ALICE, "--dry-run")
    was_made = Path(place).exists()
    trial.run("backup", place, ALICE)

    foreseen = other.json("restore", place, ALICE, "--dry-run")

    assert not was_made
    assert [row["put"] for row in foreseen["folders"] if row["folder"] == "INBOX"] == [2]
    assert not (trial.place / "mail" / "example.com" / "boxes").exists()


def test_old_runs_go_with_keep(trial: Trial, place: str) -> None:
    first = trial.json("backup", place, "--all")["run"]

    second = trial.json("backup", place, "--all", "--keep", "1")

    assert second["removed_runs"] == [first]
    assert [path.name for path in (Path(place) / "runs").iterdir()] == [second["run"]]


def test_a_run_that_is_not_there_and_a_place_that_is_no_backup_are_told(trial: Trial, place: str) -> None:
    trial.run("backup", place, ALICE)

    trial.run("restore", place, ALICE, "--run", "../../etc", code=64)
    trial.run("backup", str(trial.place / "etc"), ALICE, code=73)
    trial.run("verify", str(trial.place / "nowhere"), code=75)
    missing = trial.run("restore", place, "bob@example.com", code=1)

    assert "bob@example.com: is not in run" in missing.stderr
