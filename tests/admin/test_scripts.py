"""The verbs about scripts."""

from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Filing
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.admin.trial import Trial

ALICE = "alice@example.com"
GOOD = 'require "fileinto";\nif header :is "Subject" "x" {\n  fileinto "Work";\n  stop;\n}\n'


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).from_template()


def test_a_script_is_put_listed_printed_activated_and_removed(trial: Trial) -> None:
    trial.run("sieve", "put", ALICE, "a", "-", "--activate", stdin=GOOD)
    trial.json("sieve", "put", ALICE, "b", "-", stdin="keep;")

    assert trial.json("sieve", "list", ALICE) == [
        {"name": "a", "octets": len(GOOD), "active": True},
        {"name": "b", "octets": 5, "active": False},
    ]
    assert trial.run("sieve", "get", ALICE, "a").stdout == GOOD
    trial.run("sieve", "rm", ALICE, "a", code=73)
    trial.run("sieve", "activate", ALICE, "--none")
    trial.run("sieve", "rm", ALICE, "a")
    assert [row["name"] for row in trial.json("sieve", "list", ALICE)] == ["b"]
    trial.run("sieve", "get", ALICE, "a", code=67)
    trial.run("sieve", "activate", ALICE, code=64)


def test_a_script_that_does_not_compile_is_refused_with_its_places(trial: Trial, tmp_path: Path) -> None:
    trial.run("sieve", "put", ALICE, "a", "-", "--activate", stdin=GOOD)
    bad = tmp_path / "bad.sieve"
    bad.write_text('keep;\nfileinto "x";\n')

    refused = trial.run("sieve", "put", ALICE, "a", str(bad), code=65)
    found = trial.json("sieve", "check", str(bad), code=65)

    assert "2:1: error" in refused.stderr
    assert (found["valid"], found["findings"][0]["line"]) == (False, 2)
    assert trial.run("sieve", "get", ALICE, "a").stdout == GOOD
    assert trial.run("sieve", "check", "-", stdin=GOOD).stdout == "the script compiles\n"


def test_a_script_is_tried_on_a_message_and_says_why(trial: Trial, tmp_path: Path) -> None:
    script = tmp_path / "a.sieve"
    script.write_text(GOOD)

    hit = trial.json("sieve", "test", str(script), "-", stdin="Subject: x\n\nhi\n")
    miss = trial.run("sieve", "test", str(script), "-", "--trace", stdin="Subject: y\n\nhi\n").stdout

    assert hit["actions"] == [{"line": 3, "action": "fileinto", "details": "folder=Work"}]
    assert hit["error"] is None
    assert "header" in miss
    assert "false" in miss
    assert "keep" in miss


def test_a_script_that_fails_says_where(trial: Trial, tmp_path: Path) -> None:
    script = tmp_path / "a.sieve"
    script.write_text("".join(f'redirect "a{number}@example.org";\n' for number in range(9)))

    found = trial.json("sieve", "test", str(script), "-", stdin="Subject: x\n\n", code=65)

    assert found["error"].startswith("line ")
    assert [action["action"] for action in found["actions"]] == ["keep"]


def test_envelope_tests_see_what_the_line_says(trial: Trial, tmp_path: Path) -> None:
    script = tmp_path / "a.sieve"
    script.write_text('require "envelope"; if envelope :is "from" "b@example.org" { discard; }')
    options = ("--envelope-from", "b@example.org", "--envelope-to", ALICE)

    found = trial.json("sieve", "test", str(script), "-", *options, stdin="Subject: x\n\n")

    assert [action["action"] for action in found["actions"]] == ["discard"]


def test_rules_are_added_listed_and_removed(trial: Trial) -> None:
    add = ("sieve", "rules", "add", ALICE, "rules")
    trial.run(*add, "work", "--if", "header Subject :contains 'two words'", "--then", "fileinto Work", "--activate")
    trial.run(
        *add, "away", "--if", '["header", ["To", "Cc"], ":is", "x"]', "--then", "vacation :days 7 away", "--first"
    )

    found = trial.json("sieve", "rules", "list", ALICE, "rules")
    assert [rule["name"] for rule in found] == ["away", "work"]
    assert found[0]["conditions"] == [["header", ["To", "Cc"], ":is", "x"]]
    assert found[0]["actions"] == [["vacation", ":days", 7, "away"]]
    assert "'two words'" in trial.run("sieve", "rules", "list", ALICE, "rules").stdout

    trial.run("sieve", "rules", "rm", ALICE, "rules", "away")
    trial.run("sieve", "rules", "rm", ALICE, "rules", "away", code=64)
    trial.run("sieve", "rules", "rm", ALICE, "rules", "work", code=64)
    assert trial.json("sieve", "list", ALICE)[0]["active"] is True


def test_rules_that_stand_for_no_script_are_refused_and_a_script_that_is_no_rules_stays(trial: Trial) -> None:
    add = ("sieve", "rules", "add", ALICE, "a")
    trial.run(*add, "r", "--if", "bogus", "--then", "keep", code=65)
    trial.run(*add, "r", "--then", "keep", code=64)
    trial.run("sieve", "put", ALICE, "a", "-", stdin="keep;")
    trial.run(*add, "r", "--if", "true", "--then", "keep", code=65)

    assert trial.run("sieve", "get", ALICE, "a").stdout == "keep;\n"
    trial.run("sieve", "rules", "list", ALICE, "absent", code=67)


def test_a_script_is_previewed_on_mail_that_is_there(trial: Trial) -> None:
    script = 'require ["fileinto", "envelope"]; if envelope :is "from" "b@example.org" { fileinto "Work"; }'
    mailbox = MailboxId("alice", "example.com")
    store = MaildirStore(str(trial.place / "mail"), layout_for=lambda _: Layout())
    for text in (b"Return-Path: <b@example.org>\r\nSubject: 1\r\n\r\n", b"Subject: 2\r\n\r\n"):
        with store.stage() as staged:
            staged.write(text)
            list(store.deliver(staged, [Filing(mailbox=mailbox, folder=INBOX)]))
    store.close()
    trial.run("sieve", "preview", ALICE, code=67)
    trial.run("sieve", "put", ALICE, "a", "-", "--activate", stdin=script)

    found = trial.json("sieve", "preview", ALICE)

    assert [(row["uid"], row["action"], row["details"]) for row in found] == [
        (1, "fileinto", "folder=Work"),
        (2, "keep", "implicit=yes"),
    ]
    assert trial.json("sieve", "preview", ALICE, "a", "--limit", "1")[0]["uid"] == 2
    assert len(trial.json("message", "list", ALICE)) == 2


def test_an_address_of_a_server_says_user_and_host(trial: Trial) -> None:
    for url in ("managesieve://host", "imap://a@host", "managesieve://a:b@host", "managesieve://a@host/x"):
        trial.run("sieve", "import", ALICE, url, "--password-stdin", stdin="secret\n", code=64)
    nobody = "managesieve://a@127.0.0.1:1"
    trial.run("sieve", "import", ALICE, nobody, "--password-stdin", stdin="secret\n", code=75)
