"""A mailbox with a history, and a clock that the test moves."""

import contextlib
from collections.abc import Generator
from pathlib import Path

from msgstore.delivery.history import History, Kind, Mark
from msgstore.delivery.historyfile import FILE_NAME
from tests.clocks import HandClock
from tests.delivery.history_process import ALICE, store_in

DAY = 86_400.0


class Room:
    def __init__(self, place: Path, *, in_database: bool = False) -> None:
        self.store = store_in(place, in_database=in_database)
        self.place = place
        self.kind = "database" if in_database else "files"
        self.store.create_mailbox(ALICE)
        self.clock = HandClock()
        self.file = place / "example.com" / "users" / "alice" / FILE_NAME
        self.database = place / "mail.sqlite" if in_database else self.file
        self.history = self.again()

    def again(self) -> History:
        """Give another history of the same mailboxes, as a process that was started anew has it."""
        return self.history_with(clock=self.clock, wait_seconds=0, pause=self._pass)

    def history_with(self, **more: object) -> History:
        return History(self.store.control_directory, records=self.store.records(), **more)  # type: ignore[arg-type]

    def seen(self, one: Mark, *, keep: bool = True) -> bool:
        with self.history.run(ALICE) as run:
            answer = run.seen(one)
            if keep:
                run.keep()
        return answer

    def _pass(self, seconds: float) -> None:
        self.clock.now += seconds


@contextlib.contextmanager
def room_in(tmp_path: Path, *, in_database: bool = False) -> Generator[Room]:
    made = Room(tmp_path, in_database=in_database)
    yield made
    made.history.close()
    made.store.close()


def vacation(unique: str, seconds: float = DAY, handle: str = "") -> Mark:
    return Mark(kind=Kind.VACATION, unique=unique, seconds=seconds, handle=handle)
