"""The verbs about scripts."""

import os
import subprocess
from pathlib import Path

import pytest

from msgstore.model.scripts import SCRIPT_LIMIT_OCTETS
from tests.admin.trial import PATHS, Trial

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


def test_a_script_is_deactivated_and_renamed(trial: Trial) -> None:
    trial.run("sieve", "put", ALICE, "a", "-", "--activate", stdin=GOOD)
    trial.run("sieve", "put", ALICE, "c", "-", stdin="keep;")

    assert trial.json("sieve", "rename", ALICE, "a", "b/é") == {"name": "b/é", "before": "a"}
    trial.run("sieve", "rename", ALICE, "b/é", "c", code=73)
    trial.run("sieve", "rename", ALICE, "nobody", "d", code=67)
    trial.run("sieve", "rename", ALICE, "c", "x" * 129, code=65)
    renamed = {row["name"]: row["active"] for row in trial.json("sieve", "list", ALICE)}
    assert trial.json("sieve", "deactivate", ALICE) == {"name": None}
    trial.run("sieve", "deactivate", ALICE)
    left = {row["name"]: row["active"] for row in trial.json("sieve", "list", ALICE)}

    assert renamed == {"b/é": True, "c": False}
    assert left == {"b/é": False, "c": False}


@pytest.mark.parametrize("text", ["keep;", "keep;\n", "keep;\r\n", "keep;\n\n"])
def test_a_script_that_is_printed_is_the_one_that_was_put(trial: Trial, tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.sieve"
    file.write_bytes(text.encode())
    trial.run("sieve", "put", ALICE, "a", str(file))

    printed = subprocess.run(
        trial.command("sieve", "get", ALICE, "a"),
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": PATHS},
    )

    assert printed.stdout == text.encode()
    assert trial.json("sieve", "get", ALICE, "a")["text"] == text


def test_warnings_of_a_script_that_is_kept_are_told_to_programs_too(trial: Trial) -> None:
    put = trial.json("sieve", "put", ALICE, "a", "-", stdin='require "ihave";\nif ihave "bogus" { bogus; }\n')

    assert put["warnings"] == 1
    assert [(row["line"], row["level"]) for row in put["findings"]] == [(2, "warning")]


def test_all_scripts_of_a_user_or_of_everybody_are_checked(trial: Trial) -> None:
    trial.run("user", "add", "bob@example.com", "--generate")
    trial.run("sieve", "put", ALICE, "good", "-", "--activate", stdin=GOOD)
    fine = trial.json("sieve", "check", "--all")
    home = trial.place / "mail" / "example.com" / "users" / "alice"
    (home / "sieve" / "bad.sieve").write_text('keep;\nfileinto "x";\n')
    (home / "sieve" / "large.sieve").write_bytes(b"#" * (SCRIPT_LIMIT_OCTETS + 1))
    (home / ".sieve").unlink()
    (home / ".sieve").symlink_to("/etc/passwd")

    found = trial.json("sieve", "check", "--user", ALICE, code=65)
    told = trial.run("sieve", "check", "--all", code=65).stdout

    assert fine == {"valid": True, "checked": 1, "findings": []}
    assert [(row["script"], row["line"]) for row in found["findings"] if row["level"] == "error"] == [
        (None, None),
        ("bad", 2),
        ("large", None),
    ]
    assert "alice@example.com" in told
    assert trial.json("sieve", "check", "--user", "bob@example.com")["checked"] == 0
    trial.run("sieve", "check", "--user", "nobody@example.com", code=67)
    trial.run("sieve", "check", code=64)
    trial.run("sieve", "check", "x.sieve", "--all", code=64)


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

    assert trial.run("sieve", "get", ALICE, "a").stdout == "keep;"
    trial.run("sieve", "rules", "list", ALICE, "absent", code=67)


def test_an_address_of_a_server_says_user_and_host(trial: Trial) -> None:
    for url in ("managesieve://host", "imap://a@host", "managesieve://a:b@host", "managesieve://a@host/x"):
        trial.run("sieve", "import", ALICE, url, "--password-stdin", stdin="secret\n", code=64)
    nobody = "managesieve://a@127.0.0.1:1"
    trial.run("sieve", "import", ALICE, nobody, "--password-stdin", stdin="secret\n", code=75)


def test_what_is_misspelt_is_told_with_what_there_is(trial: Trial) -> None:
    trial.run("sieve", "put", ALICE, "main", "-", "--activate", stdin="keep;")

    assert "has main" in trial.run("sieve", "get", ALICE, "mian", code=67).stderr
    assert "has main" in trial.run("sieve", "activate", ALICE, "mian", code=67).stderr
    assert "--none" in trial.run("sieve", "rm", ALICE, "main", code=73).stderr
    assert "there is no file" in trial.run("sieve", "check", "nowhere.sieve", code=64).stderr
    assert "is a directory" in trial.run("sieve", "put", ALICE, "main", str(trial.place), code=64).stderr
    assert "there is no file" in trial.run("sieve", "test", "-", "nowhere.eml", stdin="keep;", code=64).stderr
    assert "only one" in trial.run("sieve", "test", "-", "-", code=64).stderr


def test_a_trace_shows_the_lines_of_the_script(trial: Trial, tmp_path: Path) -> None:
    script = tmp_path / "a.sieve"
    script.write_text(GOOD)

    shown = trial.run("sieve", "test", str(script), "-", "--trace", stdin="Subject: x\n\n").stdout

    assert 'if header :is "Subject" "x" {' in shown


def test_an_envelope_that_is_none_and_a_message_that_is_empty_are_told(trial: Trial, tmp_path: Path) -> None:
    script = tmp_path / "a.sieve"
    script.write_text("keep;")

    refused = trial.run("sieve", "test", str(script), "-", "--envelope-from", "a b", stdin="X: y\n\n", code=65)
    empty = trial.run("sieve", "test", str(script), "-", "--envelope-from", "")

    assert "'a b' is not an address" in refused.stderr
    assert "the message is empty" in empty.stderr
    assert "keep" in empty.stdout
