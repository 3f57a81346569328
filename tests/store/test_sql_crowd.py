"""Processes and threads at work on a few folders of one database, and killed in the middle of it."""

import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.scenario.harness import wait_until
from tests.sql_room import sql_store
from tests.store.sql_ledger import ALICE, check_ledger, check_sums, ledger_of, start_crowd

pytestmark = pytest.mark.timeout(120)

EACH = 60
KILLS = 4


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with a mailbox."""
    found: str = (
        f"sqlite:///{tmp_path}/mail.sqlite" if request.param == "sqlite" else request.getfixturevalue("mail_database")
    )
    store = sql_store(found, tmp_path)
    store.create_mailbox(ALICE)
    store.close()
    return found


def test_uids_come_in_order_and_counters_are_sums_while_others_expunge_move_and_read(url: str, tmp_path: Path) -> None:
    def deliveries(first: int) -> list[str]:
        return [
            f"deliver,{first + number * EACH},{EACH},{folder}"
            for number, folder in enumerate(("INBOX", "INBOX", "Junk", "Junk"))
        ]

    others = start_crowd(url, tmp_path, "poll,INBOX", "poll,Junk", "poll,Trash", "expunge,Junk", "move,Junk,Trash")
    wait_until(lambda: noted(tmp_path)["polled"] > 0, what="a reader")
    deliverers = [start_crowd(url, tmp_path, *deliveries(1000 * number)) for number in range(2)]
    codes = [child.wait(timeout=60) for child in deliverers]
    (tmp_path / "stop").touch()
    codes.append(others.wait(timeout=60))

    ledger = ledger_of(tmp_path)
    assert codes == [0, 0, 0]
    check_ledger(url, ledger)
    check_sums(url, is_gapless=False)
    inbox = sorted(line[2] for line in ledger if line[:2] == ["filed", "INBOX"])
    assert inbox == list(range(1, 4 * EACH + 1))
    assert {"filed", "polled", "expunged", "moved"} == set(noted(tmp_path))


def test_what_was_acknowledged_before_a_process_was_killed_is_there_once(url: str, tmp_path: Path) -> None:
    for kill in range(KILLS):
        before = noted(tmp_path)["filed"]
        parts = [f"deliver,{10_000 * kill + 1000 * number},0,{('INBOX', 'Junk')[number % 2]}" for number in range(4)]
        child = start_crowd(url, tmp_path, *parts)
        wait_until(lambda before=before: noted(tmp_path)["filed"] >= before + 50, what="deliveries")  # type: ignore[misc]
        end_at_once(child)

    check_ledger(url, ledger_of(tmp_path))
    check_sums(url, is_gapless=True)
    assert noted(tmp_path)["filed"] >= 50 * KILLS


def noted(directory: Path) -> Counter[str]:
    return Counter(line[0] for line in ledger_of(directory))


def end_at_once(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    assert child.wait(timeout=10) == -signal.SIGKILL
