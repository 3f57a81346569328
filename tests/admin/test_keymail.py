"""The verbs that seal mail which is there already."""

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from msgstore.admin.console import Console
from msgstore.crypto import SecretKey, encode_recovery
from msgstore.crypto.document import Document, Entry
from msgstore.crypto.keyring import OpenKeyring
from msgstore.crypto.keywrap import wrap_legacy
from msgstore.crypto.secret import Secret
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.model.message import Uid
from tests.admin.trial import PATHS, Trial
from tests.crypto.vectors import CHEAP, NOON
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


@pytest.mark.timeout(60)
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
    assert trial.json("message", "list", ALICE) == [row | {"sealed": True} for row in before]
    assert sum(1 for path in out.glob("cur/*") if b"secret" in path.read_bytes()) == 2
    assert trial.json("store", "check", ALICE) == []


@pytest.mark.timeout(60)
def test_a_sealed_message_is_shown_as_it_lies_and_opened_with_the_password(trial: Trial) -> None:
    with_mail(trial, count=1)
    with_key(trial)
    trial.run("key", "seal-existing", ALICE)

    as_it_lies = trial.json("message", "show", ALICE, "1")["text"]
    opened = trial.json("message", "show", ALICE, "1", "--password-stdin", stdin="secret\n")["text"]
    trial.run("message", "show", ALICE, "1", "--password-stdin", stdin="wrong\n", code=77)
    asked, shown = trial.at_terminal("message", "show", ALICE, "1", answers="secret\n")

    assert "Subject: secret 1" not in as_it_lies
    assert opened.startswith("Subject: secret 1")
    assert (asked, "Subject: secret 1" in shown) == (0, True)


@pytest.mark.timeout(90)
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
    trial.run("import", "maildir", str(tree), ALICE, "--no-seal")

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


@pytest.mark.timeout(90)
def test_sealing_that_is_killed_goes_on(trial: Trial) -> None:
    count = 600
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
    assert trial.json("message", "list", ALICE) == [row | {"sealed": True} for row in before]


def rotated(trial: Trial, *, at: datetime) -> tuple[str, str]:
    """Give Alice mail that is sealed to a key, and another key since then; gives the ids of both."""
    with_mail(trial)
    with (
        SecretKey.generate() as old,
        SecretKey.generate() as new,
        OpenKeyring.create(old, b"secret", CHEAP, NOON) as ring,
    ):
        (home(trial) / "keyring.key").write_bytes(ring.wrapped().content())
        (home(trial) / "keyring.pub").write_bytes(old.public.octets)
        trial.run("key", "seal-existing", ALICE)
        ring.rotate(new, at)
        with SecretKey.copy_of(b"r" * 32) as recovery:
            ring.set_recovery("recovery", recovery.public)
        (home(trial) / "keyring.key").write_bytes(ring.wrapped().content())
        (home(trial) / "keyring.pub").write_bytes(new.public.octets)
        return old.public.key_id, new.public.key_id


def subjects(trial: Trial, out: str) -> int:
    """Say how many messages the password opens; one more is damaged."""
    target = trial.place / out
    trial.run("export", "maildir", ALICE, str(target), "--open", "--password-stdin", stdin="secret\n", code=1)
    return sum(1 for path in target.glob("cur/*") if b"secret" in path.read_bytes())


def recovery_key() -> str:
    with SecretKey.copy_of(b"r" * 32) as key:
        return encode_recovery(key) + "\n"


@pytest.mark.timeout(90)
def test_an_old_key_goes_when_its_mail_was_sealed_to_the_new_one_and_not_before(trial: Trial) -> None:
    old, new = rotated(trial, at=NOON - timedelta(days=1))
    password = ("--password-stdin",)
    (home(trial) / "cur" / "9.host,S=28,W=28,E=1:2,").write_bytes(b"\xee" * 100)

    assert subjects(trial, "before") == 2
    refused = trial.json("key", "retire", ALICE, old[:12], "--yes", *password, stdin="secret\n", code=1)
    trial.run("key", "retire", ALICE, new, "--yes", *password, stdin="secret\n", code=65)
    trial.run("key", "retire", ALICE, "abc", "--yes", *password, stdin="secret\n", code=65)
    trial.run("key", "re-seal", ALICE, *password, stdin="guess\n", code=77)
    foreseen = trial.json("key", "re-seal", ALICE, "--dry-run", *password, stdin="secret\n", code=1)
    done = trial.json("key", "re-seal", ALICE, "--recovery-stdin", stdin=recovery_key(), code=1)
    again = trial.json("key", "re-seal", ALICE, *password, stdin="secret\n", code=1)
    gone = trial.json("key", "retire", ALICE, old, "--yes", *password, stdin="secret\n")

    assert (refused["retired"], refused["messages"]) == (False, 2)
    assert [inbox(one) for one in (foreseen, done, again)] == [(2, 0, 0, 1), (2, 0, 0, 1), (0, 2, 0, 1)]
    assert "is damaged" in done["passed_over"][0]["reason"]
    assert (gone["retired"], gone["key_id"]) == (True, old)
    keys = trial.json("key", "list", ALICE, *password, stdin="secret\n")
    assert [row["key_id"] for row in keys] == [new]
    assert subjects(trial, "after") == 2


def test_a_key_is_not_taken_away_while_mail_sealed_to_it_may_be_on_its_way(trial: Trial) -> None:
    old, _ = rotated(trial, at=datetime.now(UTC))
    trial.run("key", "re-seal", ALICE, "--password-stdin", stdin="secret\n")

    told = trial.json("key", "retire", ALICE, old, "--yes", "--password-stdin", stdin="secret\n", code=75)

    assert told["retired"] is False
    assert "a moment ago" in told["text"]


@pytest.mark.timeout(60)
def test_removed_mail_that_may_come_back_keeps_a_key_unless_the_operator_says_so(trial: Trial) -> None:
    with trial.config.open("a", encoding="utf-8") as file:
        file.write("\n[retention]\nundelete_days = 7\n")
    old, _ = rotated(trial, at=NOON - timedelta(days=1))
    with Console(trial.config, as_json=False).store() as store:
        store.folder(MailboxId("alice", "example.com"), INBOX).expunge([Uid(1), Uid(2)])
    retire = ("key", "retire", ALICE, old, "--yes", "--recovery-stdin")

    told = trial.json(*retire, stdin=recovery_key(), code=1)
    gone = trial.json(*retire, "--removed-too", stdin=recovery_key())

    assert (told["retired"], told["removed"], gone["retired"]) == (False, 2, True)


def test_a_key_in_the_older_form_is_the_only_one_and_stays(trial: Trial) -> None:
    with SecretKey.generate() as key:
        (home(trial) / "keyring.key").write_bytes(wrap_legacy(key, b"secret"))
        (home(trial) / "keyring.pub").write_bytes(key.public.octets)
        name = key.public.key_id

    trial.run("key", "retire", ALICE, name, "--yes", "--password-stdin", stdin="secret\n", code=65)
    trial.run("key", "re-seal", ALICE, "--password-stdin", stdin="secret\n")


def test_a_recovery_key_takes_no_key_away_while_a_change_of_password_is_cut_short(trial: Trial) -> None:
    old, _ = rotated(trial, at=NOON - timedelta(days=1))
    key = home(trial) / "keyring.key"
    key.with_name("keyring.key.next").write_bytes(key.read_bytes())

    told = trial.run("key", "retire", ALICE, old, "--yes", "--recovery-stdin", stdin=recovery_key(), code=70)

    assert "cut short" in told.stderr


@pytest.mark.parametrize("until", ["", "soon", "0001-01-01T00:00:00Z", "2020-01-01T00:00:00"])
def test_a_key_of_another_suite_without_a_time_is_an_old_one(trial: Trial, until: str) -> None:
    with_mail(trial)
    with SecretKey.generate() as old, SecretKey.generate() as new:
        entry = Entry.of(old, NOON, status="rotated")
        entry.fields["valid_until"] = until
        active = Entry.of(new, NOON, status="active")
        with OpenKeyring(Document([entry, active]), Secret(bytearray(32)), (), doc_version=0) as ring:
            ring.set_password(b"secret", CHEAP)
            (home(trial) / "keyring.key").write_bytes(ring.wrapped().content())
        (home(trial) / "keyring.pub").write_bytes(new.public.octets)
        name = old.public.key_id

    trial.run("key", "retire", ALICE, name, "--yes", "--password-stdin", stdin="secret\n")
