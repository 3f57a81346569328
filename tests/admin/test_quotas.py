"""The verbs about quotas."""

from pathlib import Path

import pytest

from tests.admin.trial import Trial

ALICE = "alice@example.com"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).from_template()


def limits(trial: Trial) -> tuple[object, object]:
    (row,) = trial.json("quota", "show", ALICE)
    return row["limit_octets"], row["limit_messages"]


def test_limits_of_a_user_are_set_and_taken_back(trial: Trial) -> None:
    with trial.config.open("a", encoding="utf-8") as file:
        file.write('\n[quota]\noctets = 500\nmessages = 5\n[domains."example.com"]\nquota_messages = 7\n')

    found = [limits(trial)]
    trial.run("quota", "set", ALICE, "--octets", "1000")
    found.append(limits(trial))
    trial.run("quota", "set", ALICE, "--octets", "0", "--messages", "9")
    found.append(limits(trial))
    trial.run("quota", "set", ALICE, "--default")
    found.append(limits(trial))

    assert found == [(500, 7), (1000, 7), (None, 9), (500, 7)]
    assert (trial.place / "mail" / "example.com" / "quota").read_text() == ""


def test_recalc_counts_what_others_brought(trial: Trial) -> None:
    trial.json("quota", "show", ALICE)
    box = trial.place / "mail" / "example.com" / "users" / "alice"
    (box / "new" / "1.M1P1.host").write_bytes(b"Subject: x\n\nx\n")

    before = trial.json("quota", "show", ALICE)[0]
    after = trial.json("quota", "recalc", ALICE)[0]

    assert (before["used_octets"], before["used_messages"]) == (0, 0)
    assert (after["used_octets"], after["used_messages"]) == (17, 1)


def test_what_cannot_be_meant_is_refused(trial: Trial) -> None:
    trial.run("quota", "set", ALICE, code=64)
    trial.run("quota", "set", ALICE, "--default", "--octets", "1", code=64)
    trial.run("quota", "set", ALICE, "--octets", "-1", code=64)
    trial.run("quota", "show", "nobody@example.com", code=67)
