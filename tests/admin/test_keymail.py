"""The verbs that seal mail which is there already."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.admin.trial import PATHS, Trial
from tests.exchange.room import tree_of

ALICE = "alice@example.com"
BOB = "bob@example.com"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).from_template()


def home(trial: Trial, name: str = "alice") -> Path:
    return trial.place / "mail" / "example.com" / "users" / name


def with_mail(trial: Trial, *, address: str = ALICE, count: int = 2) -> None:
    files = {f"cur/{number}.host:2,S": b"Subject: secret %d\n\n" % number for number in range(1, count + 1)}
    trial.run("import", "maildir", str(tree_of(trial.place / f"source-{address}", {**files, "new/": b""})), address)


def with_key(trial: Trial, *, address: str = ALICE) -> None:
    trial.run("key", "generate", address, "--password-stdin", stdin="secret\n")


def inbox(told: Any) -> tuple[int, int, int, int]:
    (row,) = (row for row in told["folders"] if row["folder"] == "INBOX")
    return row["sealed"], row["present"], row["changed"], row["left"]


def plain_files(trial: Trial, name: str = "alice") -> int:
    return sum(1 for path in home(trial, name).glob("cur/*") if b"secret" in path.read_bytes())


def test_mail_that_is_there_is_sealed_and_comes_out_with_the_password(trial: Trial) -> None:
    with_mail(trial)
    with_key(trial)
    before = trial.json("message", "list", ALICE)

    foreseen = trial.json("key", "seal-existing", ALICE, "--dry-run")
    untouched = plain_files(trial)
    done = trial.json("key", "seal-existing", ALICE)
    again = trial.json("key", "seal-existing", ALICE)
    out = trial.place / "out"
    trial.run("export", "maildir", ALICE, str(out), "--open", "--password-stdin", stdin="secret\n")

    assert [inbox(one) for one in (foreseen, done, again)] == [(2, 0, 0, 0), (2, 0, 0, 0), (0, 2, 0, 0)]
    assert (foreseen["dry_run"], untouched) == (True, 2)
    assert plain_files(trial) == 0
    assert trial.json("message", "list", ALICE) == before
    assert sum(1 for path in out.glob("cur/*") if b"secret" in path.read_bytes()) == 2
    assert trial.json("store", "check", ALICE) == []


def test_everybody_with_a_key_is_sealed_and_trouble_with_one_hides_no_other(trial: Trial) -> None:
    for address in (BOB, "carol@example.com", "dave@example.com"):
        trial.run("user", "add", address, "--password-stdin", stdin="secret\n")
    for address in (ALICE, BOB, "carol@example.com"):
        with_mail(trial, address=address)
    for address in (ALICE, BOB):
        with_key(trial, address=address)
    key = home(trial, "bob") / "keyring.pub"
    key.rename(key.with_name("elsewhere"))
    key.symlink_to("elsewhere")

    done = trial.json("key", "seal-existing", "--all", code=1)

    assert [(row["mailbox"], row["sealed"]) for row in done["folders"] if row["folder"] == "INBOX"] == [(ALICE, 2)]
    assert [one["place"] for one in done["passed_over"]] == [BOB]
    assert [plain_files(trial, name) for name in ("alice", "bob", "carol")] == [0, 2, 2]
    trial.run("key", "seal-existing", BOB, code=75)
    trial.run("key", "seal-existing", "carol@example.com", code=65)


def test_what_is_left_is_named_and_the_exit_status_says_so(trial: Trial) -> None:
    with_key(trial)
    tree = tree_of(trial.place / "odd", {"cur/1.host:2,": b"\xff" * 100 + b"\n", "new/": b""})
    trial.run("import", "maildir", str(tree), ALICE)

    told = trial.run("key", "seal-existing", ALICE, code=1)
    sealed = trial.json("key", "seal-existing", ALICE, "--password-stdin", stdin="secret\n")

    assert f"{ALICE} INBOX: message 1: does not begin as a message does" in told.stderr
    assert inbox(sealed) == (1, 0, 0, 0)
    assert "nothing was changed" in trial.run("key", "seal-existing", ALICE, "--dry-run").stderr


@pytest.mark.parametrize(
    "arguments", [[], [ALICE, "--all"], ["--all", "--password-stdin"], [ALICE, BOB, "--recovery-stdin"]]
)
def test_who_is_meant_has_to_be_said(trial: Trial, arguments: list[str]) -> None:
    trial.run("user", "add", BOB, "--generate")

    trial.run("key", "seal-existing", *arguments, stdin="secret\n", code=64)


def test_sealing_that_is_killed_goes_on(trial: Trial) -> None:
    count = 1000
    with_mail(trial, count=count)
    with_key(trial)
    before = trial.json("message", "list", ALICE)

    child = subprocess.Popen(
        trial.command("key", "seal-existing", ALICE),
        env={**os.environ, "PYTHONPATH": PATHS},
        stdout=subprocess.DEVNULL,
    )
    while child.poll() is None and not any(",E=1" in name for name in os.listdir(home(trial) / "cur")):  # noqa: PTH208
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = trial.json("key", "seal-existing", ALICE)

    assert child.returncode == -signal.SIGKILL
    sealed, present, changed, left = inbox(done)
    assert sealed + present == count
    assert (changed, left) == (0, 0)
    assert sealed > 0
    assert plain_files(trial) == 0
    assert trial.json("message", "list", ALICE) == before
