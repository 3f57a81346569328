"""What is remembered of writes with an id."""

import os
from pathlib import Path

import pytest

from msgstore.model.errors import StoreUnavailable
from msgstore.store.requests import KEEP_SECONDS, RequestKey, RequestLog, State
from tests.clocks import HandClock

KEY = RequestKey(owner="user alice@example.org", method="message.append", id="one")


def test_a_request_is_begun_once_and_done_for_a_day(tmp_path: Path) -> None:
    clock = HandClock()
    log, other = (RequestLog(str(tmp_path / "requests"), clock=clock) for _ in range(2))

    begun = log.claim(KEY, b"f")
    running = other.claim(KEY, b"f")
    log.keep(KEY, {"uid": 1})
    done = other.claim(KEY, b"f")
    different = other.claim(KEY, b"g")
    clock.now += KEEP_SECONDS + 1
    forgotten = log.claim(KEY, b"g")
    log.close()
    other.close()

    assert [begun[0], running[0], different[0], forgotten[0]] == [
        State.BEGUN,
        State.RUNNING,
        State.DIFFERENT,
        State.BEGUN,
    ]
    assert done == (State.DONE, {"uid": 1})


def test_what_failed_is_forgotten_and_what_is_done_is_not(tmp_path: Path) -> None:
    log = RequestLog(str(tmp_path / "requests"), clock=HandClock())

    log.claim(KEY, b"f")
    log.forget(KEY)
    again = log.claim(KEY, b"other")
    log.keep(KEY, {})
    log.forget(KEY)
    done = log.claim(KEY, b"other")
    log.close()

    assert again[0] is State.BEGUN
    assert done == (State.DONE, {})


def test_what_a_dead_worker_had_begun_is_begun_anew(tmp_path: Path) -> None:
    place = str(tmp_path / "requests")
    # There is a process of this number, and it began at another time.
    dead = RequestLog(place, clock=HandClock(), worker=f"{os.getpid()}:long ago")
    dead.claim(KEY, b"f")
    dead.close()
    log = RequestLog(place, clock=HandClock())

    again = log.claim(KEY, b"f")
    log.close()

    assert again[0] is State.BEGUN


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    clock = HandClock()
    log = RequestLog(str(tmp_path / "requests"), clock=clock, rows_limit=3)
    keys = [RequestKey(owner="role smtp", method="deliver.message", id=str(number)) for number in range(6)]

    for key in keys:
        clock.now += 61
        log.claim(key, b"f")
        log.keep(key, {})
    states = [log.claim(key, b"f")[0] for key in reversed(keys)]
    log.close()

    assert states[:3] == [State.DONE] * 3
    assert State.BEGUN in states


def test_a_file_that_cannot_be_written_is_trouble_of_the_store(tmp_path: Path) -> None:
    log = RequestLog(str(tmp_path / "missing" / "requests"), clock=HandClock())

    with pytest.raises(StoreUnavailable):
        log.claim(KEY, b"f")
