import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from msgstore.delivery.history import KEEP_LIMIT_SECONDS, Kind, Mark
from msgstore.delivery.historyfile import ROWS_LIMIT
from msgstore.model.address import MailboxId
from msgstore.wiring import SystemClock
from tests.delivery import history_process
from tests.delivery.history_process import ALICE, mark
from tests.delivery.history_room import DAY, Room, room_in, vacation

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["files", "database"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Room]:
    with room_in(tmp_path, in_database=request.param == "database") as made:
        yield made


def test_what_was_kept_is_seen_by_later_runs_and_after_a_restart(room: Room) -> None:
    assert [room.seen(mark("a")), room.seen(mark("a")), room.seen(mark("b"))] == [False, True, False]

    room.history.close()
    room.history = room.again()

    assert room.seen(mark("a"))


def test_nothing_is_remembered_of_a_run_that_failed(room: Room) -> None:
    with contextlib.suppress(RuntimeError), room.history.run(ALICE) as run:
        assert not run.seen(mark("a"))
        raise RuntimeError

    assert not room.seen(mark("a"))


def test_the_same_question_has_one_answer_in_a_run(room: Room) -> None:
    with room.history.run(ALICE) as run:
        assert [run.seen(mark("a")), run.seen(mark("a"))] == [False, False]
        run.keep()
        assert not run.seen(mark("a"))


def test_only_marks_whose_action_was_done_are_kept(room: Room) -> None:
    with room.history.run(ALICE) as run:
        assert not run.seen(mark("a"))
        assert not run.seen(vacation("b"))
        run.keep([vacation("b")])

    assert room.seen(vacation("b"))
    assert not room.seen(mark("a"))


@pytest.mark.parametrize(
    "other",
    [
        Mark(kind=Kind.VACATION, unique="a", seconds=1000),
        Mark(kind=Kind.DUPLICATE, unique="A", seconds=1000),
        Mark(kind=Kind.DUPLICATE, unique="a", seconds=1000, handle="h"),
        Mark(kind=Kind.DUPLICATE, unique="", seconds=1000, handle="a"),
    ],
)
def test_kinds_handles_and_case_are_told_apart(room: Room, other: Mark) -> None:
    room.seen(mark("a"))

    assert not room.seen(other)


def test_users_know_nothing_of_each_other(room: Room) -> None:
    bob = MailboxId("bob", "example.com")
    room.store.create_mailbox(bob)
    room.seen(mark("a"))

    with room.history.run(bob) as run:
        assert not run.seen(mark("a"))


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_at_all_means_never_seen(room: Room, seconds: float) -> None:
    never = Mark(kind=Kind.DUPLICATE, unique="a", seconds=seconds)

    assert [room.seen(never), room.seen(never)] == [False, False]


def test_a_record_counts_from_the_first_time_for_the_shorter_of_both_times(room: Room) -> None:
    long, short = vacation("a", 100), vacation("a", 10)
    room.seen(long)

    room.clock.now += 9
    assert room.seen(short)
    room.clock.now += 2
    assert not room.seen(short, keep=False)
    assert room.seen(long)
    room.clock.now += 89
    assert not room.seen(long)


def test_a_renewed_record_counts_from_the_last_time(room: Room) -> None:
    last = Mark(kind=Kind.DUPLICATE, unique="a", seconds=10, is_renewed=True)

    assert not room.seen(last)
    for _ in range(3):
        room.clock.now += 9
        assert room.seen(last)
    room.clock.now += 10
    assert not room.seen(last)


def test_no_record_counts_longer_than_the_limit(room: Room) -> None:
    for_ever = vacation("a", 1e12)
    room.seen(for_ever)

    room.clock.now += KEEP_LIMIT_SECONDS + 1

    assert not room.seen(for_ever)


def test_a_record_from_a_clock_that_was_wrong_does_not_count(room: Room) -> None:
    room.clock.now += 365 * DAY
    room.seen(mark("a"))

    room.clock.now -= 365 * DAY

    assert not room.seen(mark("a"))


def test_the_oldest_records_of_a_kind_go_first_and_no_other_kind_pays(room: Room) -> None:
    room.seen(vacation("oldest"))
    for start in range(0, ROWS_LIMIT + 1000, 1000):
        room.clock.now += 1
        with room.history.run(ALICE) as run:
            for number in range(start, start + 1000):
                run.seen(mark(str(number)))
            run.keep()

    with sqlite3.connect(room.database) as database:
        (count,) = database.execute("select count(*) from seen where kind = 'duplicate'").fetchone()
    database.close()
    assert ROWS_LIMIT <= count <= ROWS_LIMIT + 1000
    assert room.seen(vacation("oldest"))
    assert room.seen(mark(str(ROWS_LIMIT + 999)))
    assert not room.seen(mark("0"))


@pytest.mark.parametrize("is_reply", [True, False])
def test_a_mark_that_another_run_has_is_answered_as_the_caller_wants(room: Room, *, is_reply: bool) -> None:
    with room.history.run(ALICE) as first, room.history.run(ALICE) as second:
        assert not first.seen(mark("a"))

        assert second.seen(mark("a"), when_unsure=is_reply) == is_reply
        assert not second.seen(mark("b"))

    assert not room.seen(mark("a"))


def test_a_thread_waits_for_the_run_of_another_one(room: Room) -> None:
    history = room.history_with(clock=SystemClock(), wait_seconds=10)
    began, answers = threading.Event(), list[bool]()

    def second() -> None:
        with history.run(ALICE) as run:
            began.set()
            answers.append(run.seen(mark("a")))

    with history.run(ALICE) as first:
        first.seen(mark("a"))
        thread = threading.Thread(target=second)
        thread.start()
        began.wait()
        first.keep()
    thread.join()

    assert answers == [True]
    history.close()


def test_of_many_threads_one_is_the_first(room: Room) -> None:
    history = room.history_with(clock=SystemClock(), wait_seconds=15)
    answers: list[bool] = []

    def deliver() -> None:
        for number in range(20):
            with history.run(ALICE) as run:
                answers.append(run.seen(mark(str(number))))
                run.keep()

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers.count(False) == 20
    history.close()


@contextlib.contextmanager
def process(room: Room) -> Generator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"}
    with subprocess.Popen(
        [sys.executable, "-m", history_process.__name__, str(room.place), room.kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def ask(child: "subprocess.Popen[str]", line: str) -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


def test_a_process_that_is_killed_before_its_action_leaves_neither_record_nor_lock(room: Room) -> None:
    with process(room) as child:
        assert ask(child, "seen a") == "False"
        with room.history.run(ALICE) as run:
            assert run.seen(mark("a"), when_unsure=True)
        child.kill()
        child.wait()

    assert not room.seen(mark("a"))


def test_what_a_process_kept_outlives_its_being_killed(room: Room) -> None:
    room.clock.now = SystemClock().time()
    with process(room) as child:
        ask(child, "seen a")
        assert ask(child, "keep") == "kept"
        child.kill()
        child.wait()

    assert room.seen(mark("a"))


@pytest.mark.timeout(60)
def test_of_many_processes_one_is_the_first(room: Room) -> None:
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(process(room)) for _ in range(3)]
        # All are up before any begins.
        for child in children:
            ask(child, "warm")
        for child in children:
            assert child.stdin is not None
            child.stdin.write("race\n")
            child.stdin.close()
        answers = [word for child in children for word in _rest_of(child)]

    assert (answers.count("False"), answers.count("True")) == (100, 200)


def _rest_of(child: "subprocess.Popen[str]") -> list[str]:
    assert child.stdout is not None
    return child.stdout.read().split()
