import time
from pathlib import Path

import pytest

from msgstore.config.loader import load_settings
from msgstore.delivery.traces import TRACES_NAME, DeliveryTrace
from msgstore.sieve import Step
from msgstore.wiring import build_traces
from tests.admin.trial import Trial

DAY = 86_400


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    made = Trial(tmp_path).from_template()
    with made.config.open("a", encoding="utf-8") as file:
        file.write("[sieve]\ntrace_days = 3\n")
    return made


def id_of(seconds: float) -> str:
    return f"{int(seconds * 1e6):x}-1-0.1"


def remembered(trial: Trial, *mailboxes: str) -> str:
    traces = build_traces(load_settings(trial.config))
    now = time.time()
    for mailbox in mailboxes:
        traces.add(
            DeliveryTrace(
                delivery_id=id_of(now),
                mailbox=mailbox,
                at_seconds=now,
                actions=("fileinto",),
                error="a folder is missing",
                filed=("INBOX",),
                notes=("line 3: folder Work is missing",),
                steps=(
                    Step(script="main", line=2, kind="test", name="header", outcome="true"),
                    Step(script="main", line=3, kind="action", name="fileinto", outcome="Work"),
                    Step(script="after", line=1, kind="command", name="stop"),
                ),
            )
        )
    traces.close()
    return id_of(now)


def test_a_delivery_is_explained_line_by_line(trial: Trial) -> None:
    delivery_id = remembered(trial, "alice@example.com", "bob@example.com")

    first, second = trial.run("sieve", "explain", delivery_id).stdout.split("\n\n")

    head, *lines = first.splitlines()
    assert head.startswith(f"{delivery_id} for alice@example.com, 20")
    assert lines == [
        "decided: fileinto",
        "put into: INBOX",
        "failed: a folder is missing",
        "note: line 3: folder Work is missing",
        "script main:",
        "  line 2    test     header true",
        "  line 3    action   fileinto Work",
        "script after:",
        "  line 1    command  stop",
    ]
    assert second.startswith(f"{delivery_id} for bob@example.com, 20")


def test_a_program_gets_the_same_as_values(trial: Trial) -> None:
    delivery_id = remembered(trial, "alice@example.com")

    found = trial.json("sieve", "explain", delivery_id)

    (mailbox,) = found["mailboxes"]
    assert found["delivery_id"] == delivery_id
    assert (mailbox["mailbox"], mailbox["filed"], mailbox["actions"]) == ("alice@example.com", ["INBOX"], ["fileinto"])
    assert mailbox["steps"][0] == {"script": "main", "line": 2, "kind": "test", "name": "header", "outcome": "true"}


@pytest.mark.parametrize(
    ("days_ago", "code", "text"),
    [(0, 67, "no script was run over it"), (5, 67, "it is forgotten"), (-2, 67, "which is not yet")],
)
def test_what_is_not_known_says_why(trial: Trial, days_ago: int, code: int, text: str) -> None:
    shown = trial.run("sieve", "explain", id_of(time.time() - days_ago * DAY), code=code).stderr

    assert text in shown


def test_what_is_no_id_is_a_mistake_of_the_caller(trial: Trial) -> None:
    assert "is no delivery id" in trial.run("sieve", "explain", "../../etc", code=64).stderr


def test_where_nothing_is_remembered_the_setting_is_named(tmp_path: Path) -> None:
    trial = Trial(tmp_path).from_template()

    found = trial.json("sieve", "explain", id_of(time.time()), code=78)

    assert found["error"] == "ConfigError"
    assert found["text"].startswith("sieve.trace_days: is 0")


def test_what_is_damaged_is_named_with_its_line(trial: Trial) -> None:
    delivery_id = remembered(trial, "alice@example.com")
    (file,) = (trial.place / "mail" / TRACES_NAME).iterdir()
    file.write_bytes(file.read_bytes()[:-20])

    shown = trial.run("sieve", "explain", delivery_id, code=65).stderr

    assert shown.rstrip().endswith(f"{file}, line 1")
