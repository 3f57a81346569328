"""A process that uses a history, for tests that kill it: told what to do on standard input, one word a line."""

import sys
from pathlib import Path

from msgstore.delivery.history import History, Kind, Mark, Run
from msgstore.model.address import MailboxId
from msgstore.model.interfaces import MessageStore
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.wiring import SystemClock
from tests.sql_room import sqlite_store

ALICE = MailboxId("alice", "example.com")
LAYOUT = Layout(base_path="users", path_template="{localpart}", maildir_subdir="")


def store_in(place: Path, *, in_database: bool = False) -> MessageStore:
    return sqlite_store(place) if in_database else MaildirStore(str(place), layout_for=lambda _: LAYOUT)


def mark(unique: str) -> Mark:
    return Mark(kind=Kind.DUPLICATE, unique=unique, seconds=1000)


def main() -> None:
    store = store_in(Path(sys.argv[1]), in_database=sys.argv[2] == "database")
    history = History(store.control_directory, records=store.records(), clock=SystemClock(), wait_seconds=10)
    run: Run | None = None
    for line in sys.stdin:
        verb, _, unique = line.strip().partition(" ")
        match verb:
            case "seen":
                run = run or history.run(ALICE)
                print(run.seen(mark(unique)), flush=True)
            case "keep":
                assert run is not None
                run.keep()
                print("kept", flush=True)
            case "warm":
                with history.run(ALICE) as other:
                    print(other.seen(mark("warm")), flush=True)
            case "race":
                for number in range(100):
                    with history.run(ALICE) as one:
                        print(one.seen(mark(str(number))), flush=True)
                        one.keep()
            case _:
                return


if __name__ == "__main__":
    main()
