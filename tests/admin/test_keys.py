"""The verbs about keys, and what becomes of keys when an account changes."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from msgstore.crypto import OpenKeys, PublicKey, SecretKey, open_key_file, open_sealed, seal
from msgstore.crypto.password import verify_password
from msgstore.model.keys import WrongPassword
from tests.admin.trial import Trial
from tests.crypto.vectors import BLOB, KEY_ID, KEYRING, LEGACY, MESSAGE, PASSWORD, PUBLIC

ALICE = "alice@example.com"
BOB = "bob@example.com"
GOLDEN = PASSWORD.decode() + "\n"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).setup()


def home(trial: Trial, name: str = "alice") -> Path:
    return trial.place / "mail" / "example.com" / "users" / name


def public(trial: Trial, name: str = "alice") -> PublicKey:
    return PublicKey((home(trial, name) / "keyring.pub").read_bytes())


def opened(trial: Trial, password: bytes, name: str = "alice") -> OpenKeys:
    return open_key_file((home(trial, name) / "keyring.key").read_bytes(), password)


def logs_in(trial: Trial, password: bytes, name: str = "alice") -> bool:
    lines = (trial.place / "mail" / "example.com" / "passwd").read_text().splitlines()
    return any(line.startswith(f"{name}:") and verify_password(line.split(":")[1], password) for line in lines)


def shown(trial: Trial, address: str = ALICE) -> Any:
    (facts,) = trial.json("key", "show", address)
    return facts


def with_key(trial: Trial) -> PublicKey:
    trial.run("key", "generate", ALICE, "--password-stdin", stdin="secret\n")
    return public(trial)


def with_golden_keys(trial: Trial, *, is_old: bool = False) -> None:
    """Bob comes from an older installation: his password and keys are those of the golden vectors."""
    trial.run("user", "add", BOB, "--password-stdin", stdin=GOLDEN)
    if is_old:
        keys = trial.place / "mail" / "example.com" / "keys"
        keys.mkdir()
        (keys / "bob.pub").write_bytes(PUBLIC)
        (keys / "bob.key").write_bytes(LEGACY)
    else:
        (home(trial, "bob") / "keyring.pub").write_bytes(PUBLIC)
        (home(trial, "bob") / "keyring.key").write_bytes(KEYRING)


def test_a_key_is_made_under_the_password_of_the_account(trial: Trial) -> None:
    before = shown(trial)

    made = trial.json("key", "generate", ALICE, "--password-stdin", stdin="secret\n")
    after = shown(trial)

    assert (before["key_id"], before["form"], before["policy"]) == (None, None, "opportunistic")
    assert made["key_id"] == after["key_id"] == public(trial).key_id
    assert (after["form"], after["place"], after["recovery"]) == ("keyring", "mailbox", None)
    blob = seal(MESSAGE, public(trial))
    with opened(trial, b"secret") as keys:
        assert open_sealed(blob, keys.keys) == MESSAGE
    assert stat.S_IMODE((home(trial) / "keyring.key").stat().st_mode) == 0o600


def test_a_key_is_made_once_and_for_the_right_password_alone(trial: Trial) -> None:
    trial.run("key", "generate", ALICE, "--password-stdin", stdin="wrong\n", code=77)
    first = with_key(trial)

    said = trial.run("key", "generate", ALICE, "--password-stdin", stdin="secret\n", code=64).stderr

    assert "key rotate" in said
    assert public(trial) == first


def test_passwords_come_from_standard_input_or_a_terminal_and_from_nowhere_else(trial: Trial) -> None:
    trial.run("key", "generate", ALICE, code=64)

    code, screen = trial.at_terminal("key", "generate", ALICE, answers="secret\n")

    assert code == 0
    assert "secret" not in screen
    assert public(trial).key_id in screen


def test_keys_of_older_installations_are_shown_where_they_lie(trial: Trial) -> None:
    with_golden_keys(trial, is_old=True)

    facts = shown(trial, BOB)
    (row,) = trial.json("key", "list", BOB, "--password-stdin", stdin=GOLDEN)

    assert (facts["key_id"], facts["public_key"]) == (KEY_ID, PUBLIC.hex())
    assert (facts["form"], facts["place"]) == ("legacy", "domain")
    assert (row["key_id"], row["status"]) == (KEY_ID, "active")


def test_rotation_makes_a_key_for_new_mail_and_keeps_what_opens_the_old(trial: Trial) -> None:
    with_golden_keys(trial)

    made = trial.json("key", "rotate", BOB, "--password-stdin", stdin=GOLDEN)
    rows = trial.json("key", "list", BOB, "--password-stdin", stdin=GOLDEN)

    assert made["old"] == 1
    assert made["key_id"] == public(trial, "bob").key_id != KEY_ID
    assert [(row["key_id"], row["status"]) for row in rows] == [(KEY_ID, "rotated"), (made["key_id"], "active")]
    with opened(trial, PASSWORD, "bob") as keys:
        assert open_sealed(BLOB, keys.keys) == MESSAGE


def test_rotation_of_an_older_key_makes_a_keyring_in_its_place(trial: Trial) -> None:
    with_golden_keys(trial, is_old=True)

    trial.run("key", "rotate", BOB, "--password-stdin", stdin=GOLDEN)

    facts = shown(trial, BOB)
    assert (facts["form"], facts["place"]) == ("keyring", "domain")
    assert facts["key_id"] != KEY_ID
    content = (trial.place / "mail" / "example.com" / "keys" / "bob.key").read_bytes()
    with open_key_file(content, PASSWORD) as keys:
        assert open_sealed(BLOB, keys.keys) == MESSAGE


def test_a_new_password_opens_the_mail_and_the_old_one_no_more(trial: Trial) -> None:
    key = with_key(trial)
    blob = seal(MESSAGE, key)

    trial.run("user", "passwd", ALICE, "--old-password-stdin", "--password-stdin", stdin="secret\nnew\n")

    assert (logs_in(trial, b"new"), logs_in(trial, b"secret")) == (True, False)
    with opened(trial, b"new") as keys:
        assert open_sealed(blob, keys.keys) == MESSAGE
    with pytest.raises(WrongPassword):
        opened(trial, b"secret")
    assert public(trial) == key


def test_a_password_is_not_changed_where_that_would_lose_mail(trial: Trial) -> None:
    with_key(trial)
    before = (home(trial) / "keyring.key").read_bytes()

    said = trial.run("user", "passwd", ALICE, "--password-stdin", stdin="new\n", code=64).stderr
    trial.run("user", "passwd", ALICE, "--old-password-stdin", "--password-stdin", stdin="wrong\nnew\n", code=77)

    assert "--old-password-stdin" in said
    assert "msgstore key recover" in said
    assert logs_in(trial, b"secret")
    assert (home(trial) / "keyring.key").read_bytes() == before


def test_a_password_is_not_changed_where_the_keys_cannot_be_read(trial: Trial) -> None:
    (home(trial) / "keyring.key").symlink_to("/nowhere")
    trial.run("user", "passwd", ALICE, "--password-stdin", stdin="new\n", code=75)
    (home(trial) / "keyring.key").unlink()
    (home(trial) / "keyring.key").write_bytes(bytes(31))
    trial.run("user", "passwd", ALICE, "--password-stdin", stdin="new\n", code=65)

    assert logs_in(trial, b"secret")


def test_a_password_is_changed_at_a_terminal(trial: Trial) -> None:
    with_key(trial)

    code, screen = trial.at_terminal("user", "passwd", ALICE, answers="secret\nnew\nnew\n")

    assert code == 0, screen
    assert logs_in(trial, b"new")
    opened(trial, b"new").wipe()


def test_keys_that_a_bare_change_of_the_hash_left_behind_are_brought_back_by_their_own_password(trial: Trial) -> None:
    with_key(trial)
    kept = home(trial) / "keyring.key"
    kept.rename(kept.with_name("away"))
    trial.run("user", "passwd", ALICE, "--password-stdin", stdin="between\n")
    kept.with_name("away").rename(kept)

    trial.run("user", "passwd", ALICE, "--old-password-stdin", "--password-stdin", stdin="secret\nnew\n")

    assert logs_in(trial, b"new")
    opened(trial, b"new").wipe()


def test_a_recovery_key_is_shown_once_and_gives_a_new_password(trial: Trial) -> None:
    blob = seal(MESSAGE, with_key(trial))

    printed = trial.run("key", "escrow", ALICE, "--password-stdin", stdin="secret\n").stdout.strip()
    slots = shown(trial)["recovery"]
    done = trial.json(
        "key", "recover", ALICE, "--recovery-stdin", "--password-stdin", "--yes", stdin=f"{printed.lower()}\nnew\n"
    )

    assert slots == "recovery"
    assert done["keys"] == 1
    assert (logs_in(trial, b"new"), logs_in(trial, b"secret")) == (True, False)
    with opened(trial, b"new") as keys:
        assert open_sealed(blob, keys.keys) == MESSAGE
    assert all(printed.encode() not in path.read_bytes() for path in trial.place.rglob("*") if path.is_file())


def test_a_second_recovery_key_takes_the_place_of_the_first(trial: Trial) -> None:
    with_key(trial)
    first, second = (
        trial.json("key", "escrow", ALICE, "--password-stdin", stdin="secret\n")["recovery_key"] for _ in range(2)
    )
    recover = ("key", "recover", ALICE, "--recovery-stdin", "--password-stdin", "--yes")

    trial.run(*recover, stdin=f"{first}\nnew\n", code=77)
    trial.run(*recover, stdin=f"{second[:-1]}\nnew\n", code=65)
    trial.run(*recover[:-1], stdin=f"{second}\nnew\n", code=64)
    assert logs_in(trial, b"secret")
    trial.run(*recover, stdin=f"{second}\nnew\n")

    assert logs_in(trial, b"new")


def test_the_owner_of_a_key_that_keys_were_escrowed_to_gives_a_new_password(trial: Trial, tmp_path: Path) -> None:
    with_key(trial)
    with SecretKey.generate() as site:
        (tmp_path / "site.pub").write_bytes(site.public.octets)
        (tmp_path / "site.key").write_bytes(bytes(site.octets()))
    trial.run("key", "escrow", ALICE, "--password-stdin", "--to", str(tmp_path / "site.pub"), stdin="secret\n")

    trial.run("key", "escrow", ALICE, "--password-stdin", "--to", str(trial.config), stdin="secret\n", code=65)
    trial.run(
        *("key", "recover", ALICE, "--key-file", str(tmp_path / "site.key"), "--password-stdin", "--yes"),
        stdin="new\n",
    )

    assert logs_in(trial, b"new")
    opened(trial, b"new").wipe()
    assert shown(trial)["recovery"].startswith("escrow-")


def test_an_older_key_has_no_recovery_key_until_one_is_made(trial: Trial) -> None:
    with_golden_keys(trial, is_old=True)
    with SecretKey.generate() as other:
        (trial.place / "other.key").write_bytes(bytes(other.octets()))
    recover = ("key", "recover", BOB, "--key-file", str(trial.place / "other.key"), "--password-stdin", "--yes")

    trial.run(*recover, stdin="new\n", code=77)
    trial.run("key", "escrow", BOB, "--password-stdin", stdin=GOLDEN)

    assert shown(trial, BOB)["recovery"] == "recovery"


def test_keys_are_exported_as_they_are_kept_and_imported_elsewhere(trial: Trial) -> None:
    with_golden_keys(trial)
    saved, bare = trial.place / "bob.saved", trial.place / "bob.pub"

    trial.run("key", "export", BOB, str(saved))
    trial.run("key", "export", BOB, str(bare), "--public")
    trial.run("key", "export", BOB, str(saved), code=73)
    trial.run("user", "add", "carol@example.com", "--password-stdin", stdin=GOLDEN)
    taken = trial.json("key", "import", "carol@example.com", str(saved), "--password-stdin", stdin=GOLDEN)

    assert (saved.read_bytes(), bare.read_bytes()) == (KEYRING, PUBLIC)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert taken["key_id"] == KEY_ID
    assert public(trial, "carol").octets == PUBLIC


def test_an_older_key_that_is_imported_opens_old_mail_beside_the_own_one(trial: Trial) -> None:
    (trial.place / "old.key").write_bytes(LEGACY)
    trial.run("user", "add", BOB, "--password-stdin", "--key", stdin=GOLDEN)
    own = public(trial, "bob")

    first, second = (
        trial.json("key", "import", BOB, str(trial.place / "old.key"), "--password-stdin", stdin=GOLDEN)
        for _ in range(2)
    )

    assert (first["added"], second["added"]) == (1, 0)
    assert public(trial, "bob") == own
    with opened(trial, PASSWORD, "bob") as keys:
        assert open_sealed(BLOB, keys.keys) == MESSAGE


@pytest.mark.parametrize(("content", "code"), [(b"", 65), (LEGACY[:31], 65), (KEYRING[:-1], 65), (LEGACY, 77)])
def test_what_is_no_key_or_another_passwords_is_not_imported(trial: Trial, content: bytes, code: int) -> None:
    (trial.place / "file").write_bytes(content)

    trial.run("key", "import", ALICE, str(trial.place / "file"), "--password-stdin", stdin="secret\n", code=code)

    assert not (home(trial) / "keyring.key").exists()


def test_a_user_without_keys_is_told_so(trial: Trial) -> None:
    for more in ((), ("--public",)):
        trial.run("key", "export", ALICE, "x", *more, code=65)
    for verb in ("rotate", "escrow", "list"):
        trial.run("key", verb, ALICE, "--password-stdin", stdin="secret\n", code=65)


@pytest.mark.parametrize("where", ["all", "domain", "older"])
def test_a_new_user_gets_a_key_where_mail_has_to_be_sealed(trial: Trial, where: str) -> None:
    if where == "older":
        (trial.place / "mail" / "example.com" / "config.toml").write_text('encryption_mode = "on"\n')
    else:
        section = "[encryption]\npolicy" if where == "all" else '[domains."example.com"]\nencryption'
        with trial.config.open("a", encoding="utf-8") as file:
            file.write(f'\n{section} = "required"\n')

    trial.run("user", "add", BOB, "--password-stdin", stdin="bobs\n")

    with opened(trial, b"bobs", "bob") as keys:
        assert keys.active.public == public(trial, "bob")


def test_a_new_user_gets_no_key_where_nobody_asked_for_one(trial: Trial) -> None:
    trial.run("user", "add", BOB, "--password-stdin", stdin="bobs\n")

    assert shown(trial, BOB)["key_id"] is None


def test_an_account_that_comes_back_needs_the_password_of_its_keys(trial: Trial) -> None:
    key = with_key(trial)
    trial.run("user", "rm", ALICE, "--yes")

    said = trial.run("user", "add", ALICE, "--password-stdin", stdin="other\n", code=64).stderr
    trial.run("user", "add", ALICE, "--password-stdin", stdin="secret\n")

    assert "earlier" in said
    assert public(trial) == key
    opened(trial, b"secret").wipe()


@pytest.mark.parametrize("is_old", [False, True])
def test_purged_mail_takes_its_keys_along(trial: Trial, *, is_old: bool) -> None:
    with_golden_keys(trial, is_old=is_old)

    trial.run("user", "rm", BOB, "--yes", "--purge")
    trial.run("user", "add", BOB, "--password-stdin", stdin="other\n")

    assert shown(trial, BOB)["key_id"] is None
    found = [path.name for path in (trial.place / "mail").rglob("*") if path.suffix in (".pub", ".key")]
    assert not found


def test_no_verb_prints_a_secret(trial: Trial) -> None:
    with_golden_keys(trial)

    printed = [
        trial.run(*verb, stdin=GOLDEN).stdout
        for verb in (
            ("key", "show", BOB, "--json"),
            ("key", "list", BOB, "--password-stdin", "--json"),
            ("key", "rotate", BOB, "--password-stdin", "--json"),
            ("key", "export", BOB, str(trial.place / "saved"), "--json"),
        )
    ]

    text = json.dumps(printed)
    assert PASSWORD.decode() not in text
    assert bytes(range(1, 33)).hex() not in text
    assert "AQIDBAUGBwgJ" not in text


def test_the_policy_of_one_user_is_set_and_taken_back(trial: Trial) -> None:
    told = [trial.json("key", "policy", ALICE, policy)["policy"] for policy in ("required", "off")]
    own = shown(trial)["policy"]
    trial.json("key", "policy", ALICE, "default")

    assert (told, own, shown(trial)["policy"]) == (["required", "off"], "off", "opportunistic")
