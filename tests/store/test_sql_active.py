"""An active script is remembered by a process and forgotten when any other changes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.model.scripts import StoredScript
from msgstore.store.sql.store import SqlStore
from tests.clocks import HandClock
from tests.contract.shelf import ALICE
from tests.sql_room import sql_store


class Two:
    """Two processes on one database."""

    def __init__(self, url: str, place: Path) -> None:
        self.clock = HandClock()
        self.here, self.there = (sql_store(url, place, clock=self.clock) for _ in range(2))
        self.here.create_mailbox(ALICE)

    def active(self, store: SqlStore) -> str | None:
        found = store.scripts(ALICE).active()
        return None if found is None else found.content.decode()

    def put(self, store: SqlStore, content: str) -> None:
        shelf = store.scripts(ALICE)
        shelf.put("main", content.encode())
        shelf.activate("main")


@pytest.fixture
def two(each_url: str, tmp_path: Path) -> Iterator[Two]:
    made = Two(each_url, tmp_path)
    yield made
    made.here.close()
    made.there.close()


def test_a_change_counts_at_once_here_and_after_a_second_there(two: Two) -> None:
    assert two.active(two.there) is None
    two.put(two.here, "keep;")
    at_once = two.active(two.here), two.active(two.there)

    two.clock.now += 1.1
    later = two.active(two.there)
    two.put(two.here, "discard;")
    two.clock.now += 1.1

    assert at_once == ("keep;", None)
    assert later == "keep;"
    assert two.active(two.there) == "discard;"


def test_a_script_that_is_no_longer_active_and_a_mailbox_that_is_gone_are_forgotten_too(two: Two) -> None:
    two.put(two.here, "keep;")
    assert two.active(two.there) == "keep;"
    two.here.scripts(ALICE).activate(None)
    two.clock.now += 1.1
    inactive = two.active(two.there)
    two.put(two.here, "stop;")
    two.clock.now += 1.1
    again = two.active(two.there)
    two.here.remove_mailbox(ALICE)
    two.clock.now += 1.1

    assert (inactive, again) == (None, "stop;")
    assert two.active(two.there) is None
    assert two.active(two.here) is None


def test_clocks_that_are_apart_by_half_a_minute_hide_no_change(two: Two) -> None:
    assert two.active(two.there) is None
    two.clock.now -= 30
    two.put(two.here, "keep;")
    two.clock.now += 31.1

    assert two.active(two.there) == "keep;"


def test_what_is_remembered_is_what_is_given(two: Two) -> None:
    two.put(two.here, "keep;")

    found = [two.here.scripts(ALICE).active() for _ in range(3)]

    assert found == [StoredScript(name="main", content=b"keep;")] * 3
