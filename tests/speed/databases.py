"""Compare mail in a database with our Maildir and with Dovecot: deliveries over LMTP, lists, changes.

Interleaved: in every round each server takes each load in turn, in random order, and ratios are taken inside the round.
All mail and all databases lie on one loop-mounted ext4 with a journal (needs root).
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgstore.model.folder import INBOX
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import FLAGGED, Uid
from msgstore.model.outcomes import FlagChange, Restored
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.contract.shelf import ALICE
from tests.postgres_room import Postgres, ending
from tests.speed.bench import Run, measure
from tests.speed.servers import Server, dovecot, journaled_disk, ours
from tests.sql_room import sql_store

LOADS: Final = {
    "32 writers": (4096, 32, 1, 2000, 100),
    "one mailbox": (4096, 32, 1, 2000, 1),
    "one writer": (4096, 1, 1, 300, 100),
}
LISTED: Final = 100_000


def compare(servers: dict[str, tuple[Server, int]], rounds: int) -> None:
    """Drive all loads and print how often each server is as fast as our Maildir and as Dovecot."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for number in range(rounds + 1):
        for load, (octets, connections, recipients, messages, users) in LOADS.items():
            for name in random.sample(list(servers), len(servers)):
                server, helper = servers[name]
                run = measure(server, octets, connections, recipients, messages, users=users, helper=helper)
                # The first round only warms up.
                if number:
                    runs.setdefault((load, name), []).append(run)
        print(f"round {number} of {rounds} done", file=sys.stderr, flush=True)
    print(f"{'load':<12} {'server':<11}{'per s':>7}{'cpu ms':>8}{'p99 ms':>8}  to Maildir             to Dovecot")
    for load in LOADS:
        for name in servers:
            found = runs[load, name]
            middle = [statistics.median(getattr(run, field) for run in found) for field in Run.__slots__]
            ratios = [_ratio(found, runs[load, other]) for other in ("msgstore", "dovecot")]
            print(
                f"{load:<12} {name:<11}{middle[0]:>7.0f}{middle[1]:>8.3f}{middle[2]:>8.1f}  {ratios[0]:<23} {ratios[1]}"
            )


def _ratio(found: list[Run], others: list[Run]) -> str:
    rates = sorted(one.per_second / other.per_second for one, other in zip(found, others, strict=True))
    return f"{statistics.median(rates):.2f} ({rates[0]:.2f}-{rates[-1]:.2f})"


def lists(stores: dict[str, MessageStore]) -> None:
    """Print what a list of many messages, one page and the changes since the last look cost."""
    print(f"{'store':<11}{'list ms':>9}{'page ms':>9}{'changes ms':>11}   of {LISTED} messages")
    for name, store in stores.items():
        fill(store)
        folder = store.folder(ALICE, INBOX)
        known = folder.stat().modseq
        folder.set_flags([Uid(5)], FlagChange.ADD, flags=frozenset({FLAGGED}))
        figures = [
            best_ms(lambda folder=folder: folder.table(["uid", "octets"])),  # type: ignore[misc]
            best_ms(lambda folder=folder: folder.list(after_uid=50_000, limit=500)),  # type: ignore[misc]
            best_ms(lambda folder=folder, known=known: folder.changes(known)),  # type: ignore[misc]
        ]
        print(f"{name:<11}{figures[0]:>9.1f}{figures[1]:>9.2f}{figures[2]:>11.2f}")


def fill(store: MessageStore) -> None:
    """Put many messages into one folder."""
    store.create_mailbox(ALICE)
    folder = store.folder(ALICE, INBOX)
    for start in range(1, LISTED + 1, 1000):
        staged = [store.stage() for _ in range(1000)]
        for one in staged:
            one.write(b"Subject: x\r\n\r\n")
        folder.restore([Restored(staged=one, uid=Uid(start + i), internal_date=1e9) for i, one in enumerate(staged)])
        for one in staged:
            one.discard()


def best_ms(action: Callable[[], object]) -> float:
    """Give the best of some runs in milliseconds."""
    found: list[float] = []
    for _ in range(7):
        began = time.perf_counter()
        action()
        found.append((time.perf_counter() - began) * 1000)
    return min(found)


def main() -> None:
    """Set everything up, compare, take it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["deliveries", "lists"])
    arguments = parser.parse_args()
    with ExitStack() as stack:
        disk = stack.enter_context(journaled_disk(6))
        (disk / "pg").mkdir()
        postgres = stack.enter_context(ending(Postgres.start(disk / "pg")))
        if arguments.only != "lists":
            dsn = postgres.dsn(postgres.fresh_database())
            settings = f'[store]\nbackend = "postgresql"\ndsn = "{dsn}"\n'
            sqlite = '[store]\nbackend = "sqlite"\n'
            servers = {
                "msgstore": (stack.enter_context(ours(disk)), 0),
                "sqlite": (stack.enter_context(ours(disk, name="sqlite", store=sqlite)), 0),
                "postgresql": (stack.enter_context(ours(disk, name="postgresql", store=settings)), postgres.pid),
                "dovecot": (stack.enter_context(dovecot(disk)), 0),
            }
            compare(servers, arguments.rounds)
        if arguments.only != "deliveries":
            stores = _stores(disk, postgres)
            for store in stores.values():
                stack.callback(store.close)
            lists(stores)


def _stores(disk: Path, postgres: Postgres) -> dict[str, MessageStore]:
    places = {name: disk / f"lists-{name}" for name in ("maildir", "sqlite", "postgresql")}
    for place in places.values():
        place.mkdir()
    return {
        "maildir": MaildirStore(str(places["maildir"]), layout_for=lambda _: Layout()),
        "sqlite": sql_store(f"sqlite:///{places['sqlite']}/mail.sqlite", places["sqlite"]),
        "postgresql": sql_store(postgres.dsn(postgres.fresh_database()), places["postgresql"]),
    }


if __name__ == "__main__":
    main()
