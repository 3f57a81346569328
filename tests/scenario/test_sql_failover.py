"""Three machines deliver into one PostgreSQL, whose primary is killed under load; the standby takes over."""

import itertools
import subprocess
import time
from pathlib import Path

import pytest

from tests.postgres_room import Postgres, dsn, ending, make_standby, required_postgres, server_directory
from tests.scenario.harness import end, wait_until
from tests.scenario.namespaces import network
from tests.sql_room import sql_store
from tests.store.sql_ledger import ALICE, check_ledger, check_sums, ledger_of, start_crowd

pytestmark = [pytest.mark.scenario, pytest.mark.root, pytest.mark.timeout(180)]

FOLDERS = ("INBOX", "Junk", "Trash")
BEFORE, AFTER = 600, 300
"""Deliveries of all machines before the fault, and of each after it."""

OUTAGE_SECONDS = {"killed": 10.0, "unplugged": 30.0}
"""Who pulls the cable leaves nobody behind who could say so: that is found out by waiting."""


def filed_times(directory: Path) -> list[float]:
    return [line[-1] for line in ledger_of(directory) if line[0] == "filed"]


def outage(times: list[float], killed: float) -> tuple[float, float]:
    """Give the longest time without a delivery that ended after the primary was killed."""
    ordered = sorted(times)
    gaps = [(begin, end) for begin, end in itertools.pairwise(ordered) if end > killed]
    return max(gaps, key=lambda gap: gap[1] - gap[0])


@pytest.mark.parametrize("fault", ["killed", pytest.param("unplugged", marks=pytest.mark.slow)])
def test_nothing_is_lost_or_doubled_and_uids_stay_in_order_when_the_primary_is_gone(tmp_path: Path, fault: str) -> None:
    required_postgres()
    with network("one", "two", "three") as nodes, server_directory() as here, server_directory() as there:
        one, two, _ = nodes
        with (
            ending(Postgres.start(here, address=one.address, inside=one.inside)) as primary,
            ending(make_standby(primary, there, address=two.address, inside=two.inside)) as standby,
        ):
            # Through Unix sockets, as we are on none of the machines.
            store = sql_store(f"postgresql://postgres@/postgres?host={here}", tmp_path)
            store.create_mailbox(ALICE)
            store.close()
            url = dsn((primary, standby), "postgres", target_session_attrs="read-write")
            # Beside a primary without its cable one waits for the standby until somebody comes.
            clients = nodes if fault == "killed" else nodes[1:]
            places = [tmp_path / node.namespace for node in clients]
            children: list[subprocess.Popen[bytes]] = []
            try:
                for number, (node, place) in enumerate(zip(clients, places, strict=True)):
                    parts = [
                        f"deliver,{(8 * number + thread) * 100_000},0,{FOLDERS[thread % 3]}" for thread in range(8)
                    ]
                    children.append(start_crowd(url, place, *parts, f"poll,{FOLDERS[number]}", inside=node.inside))
                wait_until(lambda: all(filed_times(place) for place in places), what="deliveries on every machine")
                wait_until(lambda: sum(len(filed_times(place)) for place in places) >= BEFORE, what="deliveries")

                killed = time.monotonic()
                if fault == "killed":
                    primary.kill()
                else:
                    one.unplug()
                standby.promote()
                promoted = time.monotonic()
                wait_until(
                    lambda: all(sum(at > promoted for at in filed_times(place)) >= AFTER for place in places),
                    what="deliveries after the promotion",
                    seconds=60,
                )
            finally:
                for place in places:
                    (place / "stop").touch()
                codes = [end(child, 0) for child in children]

            ledger = ledger_of(*places)
            own = f"postgresql://postgres@/postgres?host={there}"
            check_ledger(own, ledger)
            check_sums(own, is_gapless=True)
            outages = [outage(filed_times(place), killed) for place in places]
            errors = [line[1] for line in ledger if line[0] in ("error", "uncertain")]
            print(
                f"{fault}: acknowledged {sum(line[0] == 'filed' for line in ledger)}, errors {len(errors)}; "
                f"promotion took {promoted - killed:.2f} s; no machine filed for "
                + ", ".join(f"{end - begin:.2f} s (until {end - promoted:+.2f} s)" for begin, end in outages)
            )
            assert codes == [0] * len(clients)
            assert max(end for _, end in outages) - promoted < OUTAGE_SECONDS[fault]
