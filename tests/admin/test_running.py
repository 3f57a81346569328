"""A script over mail that is there."""

from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Filing
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.admin.trial import Trial

ALICE = "alice@example.com"
MAILBOX = MailboxId("alice", "example.com")
SORTING = """require ["fileinto", "mailbox", "copy", "imap4flags", "envelope", "include", "duplicate"];
if header :is "subject" "work" { addflag ["\\\\Flagged", "$Todo"]; fileinto :create "Work"; }
elsif header :is "subject" "both" { fileinto :create :copy "Work"; }
elsif header :is "subject" "two" { fileinto :create "Work"; fileinto :create "Other"; }
elsif header :is "subject" "marked" { keep :flags "\\\\Seen"; }
elsif header :is "subject" "spam" { discard; }
elsif header :is "subject" "on" { redirect "x@example.net"; }
elsif header :is "subject" "lost" { fileinto "Nowhere"; }
elsif header :is "subject" "inbox" { fileinto "INBOX"; }
elsif envelope :is "from" "b@example.org" { fileinto :create "From B"; }
elsif duplicate { discard; }
else { include "other"; }
"""
SUBJECTS = ("work", "both", "two", "marked", "spam", "on", "lost", "inbox", "by b", "plain")


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    made = Trial(tmp_path).from_template()
    store = MaildirStore(str(made.place / "mail"), layout_for=lambda _: Layout())
    for subject in SUBJECTS:
        with store.stage() as staged:
            path = b"<b@example.org>" if subject == "by b" else b"<c@example.org>"
            staged.write(b"Return-Path: " + path + b"\r\nSubject: " + subject.encode() + b"\r\n\r\nhi\r\n")
            list(store.deliver(staged, [Filing(mailbox=MAILBOX, folder=INBOX)]))
    store.close()
    return made


def sorting(trial: Trial) -> None:
    trial.run("sieve", "put", ALICE, "other", "-", stdin='require "imap4flags"; keep :flags "$Other";')
    trial.run("sieve", "put", ALICE, "a", "-", "--activate", stdin=SORTING)


def mail(trial: Trial) -> dict[str, list[tuple[str, frozenset[str]]]]:
    """What lies where: subject and flags."""
    store = MaildirStore(str(trial.place / "mail"), layout_for=lambda _: Layout())
    found: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for info in store.folders(MAILBOX).list():
        folder = store.folder(MAILBOX, info.name)
        rows = found[str(info.name)] = []
        for one in folder.list():
            with folder.retrieve(one.uid) as body:
                head = body.read(0, body.stored_octets).decode()
            rows.append((head.split("Subject: ")[1].split("\r\n")[0], one.flags | one.keywords))
    store.close()
    return {name: rows for name, rows in found.items() if rows}


def outcomes(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(row["action"], row["outcome"]) for row in rows]


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(trial: Trial) -> None:
    sorting(trial)
    before = mail(trial)

    found = trial.json("sieve", "run", ALICE, "--dry-run")

    assert mail(trial) == before
    assert outcomes(found) == [
        ("fileinto", "into Work, which is made"),
        ("fileinto", "into Work, which is made"),
        ("keep", "stays"),
        ("fileinto", "into Work, which is made"),
        ("fileinto", "into Other, which is made"),
        ("keep", "stays"),
        ("discard", "stays"),
        ("redirect", "nothing is sent"),
        ("fileinto", "stays: there is no folder Nowhere"),
        ("fileinto", "stays"),
        ("fileinto", "into From B, which is made"),
        ("keep", "stays"),
    ]


def test_a_run_files_marks_and_loses_nothing(trial: Trial) -> None:
    sorting(trial)

    first = trial.json("sieve", "run", ALICE)

    none: frozenset[str] = frozenset()
    assert mail(trial) == {
        "INBOX": [
            ("both", none),
            ("marked", frozenset({"\\Seen"})),
            ("spam", none),
            ("on", none),
            ("lost", none),
            ("inbox", none),
            ("plain", frozenset({"$Other"})),
        ],
        "Work": [("work", frozenset({"\\Flagged", "$Todo"})), ("both", none), ("two", none)],
        "Other": [("two", none)],
        "From B": [("by b", none)],
    }
    assert ("fileinto", "into Work") in outcomes(first)


def test_what_is_discarded_goes_where_that_is_asked_for(trial: Trial) -> None:
    script = trial.place / "discard.sieve"
    script.write_text('if header "subject" ["spam", "on"] { discard; }')

    would = trial.json(
        "sieve", "run", ALICE, "--file", "-", "--discard", "remove", "--dry-run", stdin=script.read_text()
    )
    done = trial.json("sieve", "run", ALICE, "--file", str(script), "--discard", "remove")

    assert would == done
    assert [row["outcome"] for row in done if row["action"] == "discard"] == ["removed", "removed"]
    assert [subject for subject, _ in mail(trial)["INBOX"]] == [one for one in SUBJECTS if one not in ("spam", "on")]


def test_only_the_newest_are_looked_at_where_a_limit_is_given(trial: Trial) -> None:
    sorting(trial)

    found = trial.json("sieve", "run", ALICE, "a", "--limit", "2", "--dry-run")

    assert [row["uid"] for row in found] == [9, 10]


def test_what_cannot_be_run_says_why_and_changes_nothing(trial: Trial) -> None:
    broken = trial.place / "broken.sieve"
    broken.write_text("keep")
    before = mail(trial)

    assert "no script is active" in trial.run("sieve", "run", ALICE, code=67).stderr
    assert "1:5: error" in trial.run("sieve", "run", ALICE, "--file", str(broken), code=65).stderr
    trial.run("sieve", "run", ALICE, "absent", code=67)
    trial.run("sieve", "run", ALICE, "--file", "-", "--folder", "Nowhere", stdin="keep;", code=67)
    trial.run("sieve", "run", ALICE, "a", "--file", str(broken), code=64)

    assert mail(trial) == before


def test_a_script_that_fails_on_a_message_leaves_it(trial: Trial) -> None:
    script = trial.place / "fails.sieve"
    script.write_text('require "include"; include "absent";')

    found = trial.json("sieve", "run", ALICE, "--file", str(script), "--limit", "1")

    assert outcomes(found) == [("keep", "stays"), ("error", "stays")]
