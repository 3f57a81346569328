"""Keys that are not as they should be, and sealed mail without a key, are found before somebody misses mail."""

from pathlib import Path
from typing import Any

import pytest

from msgstore.admin.console import Console
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from tests.admin.trial import Trial
from tests.crypto.vectors import PUBLIC, cheap_keyring

ALICE = "alice@example.com"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).from_template()


def home(trial: Trial) -> Path:
    return trial.place / "mail" / "example.com" / "users" / "alice"


def with_keys(trial: Trial) -> None:
    (home(trial) / "keyring.key").write_bytes(cheap_keyring().content())
    (home(trial) / "keyring.pub").write_bytes(PUBLIC)


def doctor(trial: Trial) -> list[tuple[str, str]]:
    rows = trial.json("doctor", code=75)
    return [(row["state"], row["text"]) for row in rows if row["what"] == "example.com keys"]


def found(trial: Trial, verb: str = "check") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = trial.json("store", verb, "--all", code=1)
    return rows


def test_good_keys_are_no_news(trial: Trial) -> None:
    assert trial.json("store", "check", "--all") == []
    with_keys(trial)

    assert doctor(trial) == []
    assert trial.json("store", "check", "--all") == []


@pytest.mark.parametrize("name", ["keyring.pub", "keyring.key"])
def test_a_key_file_that_is_a_link_is_named_and_never_followed(trial: Trial, name: str) -> None:
    with_keys(trial)
    file = home(trial) / name
    file.rename(file.with_name("real"))
    file.symlink_to("real")

    ((state, text),) = doctor(trial)
    (row,) = found(trial)

    assert state == "failed"
    assert text.startswith(f"{ALICE}: {file}: ")
    assert "symbolic links are not followed" in text
    assert (row["mailbox"], row["kind"], row["place"], row["mended"]) == (ALICE, "symlinked-key", "keys", False)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("keyring.pub", b"x" * 31, "unusable-key"),
        ("keyring.key", b"x" * 103, "unusable-key"),
        ("keyring.key", b'{"version": 9}', "unusable-key"),
        ("keyring.pub", None, "unreadable-key"),
        ("keyring.key", None, "unreadable-key"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_by_both(trial: Trial, name: str, content: bytes | None, kind: str) -> None:
    with_keys(trial)
    file = home(trial) / name
    if content is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(content)

    ((state, _),) = doctor(trial)

    assert state == "failed"
    assert [row["kind"] for row in found(trial)] == [kind]


@pytest.mark.parametrize(("name", "kind"), [("keyring.key", "no-private-key"), ("keyring.pub", "no-public-key")])
def test_half_a_pair_is_a_warning(trial: Trial, name: str, kind: str) -> None:
    with_keys(trial)
    (home(trial) / name).unlink()

    ((state, _),) = doctor(trial)

    assert state == "warning"
    assert [row["kind"] for row in found(trial)] == [kind]


def test_sealed_mail_for_which_there_is_no_key_is_counted_by_folder(trial: Trial) -> None:
    with Console(trial.config, as_json=False).store() as store, store.stage(sealed=True) as staged:
        staged.write(b"\xee" * 100)
        store.folder(MailboxId("alice", "example.com"), INBOX).append(staged)

    for verb in ("check", "repair"):
        (row,) = found(trial, verb)
        assert (row["kind"], row["place"], row["mended"]) == ("sealed-without-key", "INBOX", False)
        assert "1 messages are sealed" in row["text"]
    with_keys(trial)
    assert trial.json("store", "check", "--all") == []


def test_many_users_in_trouble_are_not_all_named_at_once(trial: Trial) -> None:
    keys = trial.place / "mail" / "example.com" / "keys"
    keys.mkdir()
    for number in range(7):
        trial.run("user", "add", f"u{number}@example.com", "--generate")
        (keys / f"u{number}.pub").write_bytes(b"short")

    ((state, text),) = doctor(trial)

    assert state == "failed"
    assert text.count("@example.com: ") == 5
    assert text.endswith("and 2 more")


def test_a_domain_whose_users_cannot_be_read_hides_no_other(trial: Trial) -> None:
    trial.run("domain", "add", "z.example")
    passwd = trial.place / "mail" / "example.com" / "passwd"
    passwd.unlink()
    passwd.mkdir()

    rows = {row["what"]: row["state"] for row in trial.json("doctor", code=75)}

    assert (rows["example.com keys"], rows["z.example"]) == ("failed", "ok")
