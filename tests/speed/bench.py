"""Compare our LMTP delivery with Dovecot's and with stock aiosmtpd; print ratios from interleaved runs.

All servers stay up; in every round each configuration runs on all of them in turn, in random order, and ratios are
taken inside the round.  Mail lies on a loop-mounted ext4 with a journal (needs root), else in --disk.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.speed.load import tree_cpu_seconds, tree_resident_octets
from tests.speed.servers import Server, dovecot, journaled_disk, ours, stock

SCRIPT: Final = 'require ["fileinto", "imap4flags"];\n' + "".join(
    f'if header :contains ["list-id", "subject"] "word{number}" {{ fileinto "Junk"; stop; }}\n'
    f'elsif address :domain "from" "host{number}.example" {{ addflag "$rule{number}"; }}\n'
    for number in range(10)
)
"""Twenty rules, none of which fits: the worst case."""

CONFIGURATIONS: Final = (
    # octets, connections, recipients, messages
    (4096, 1, 1, 300),
    (4096, 16, 1, 1000),
    (65536, 16, 1, 400),
    (4096, 16, 10, 100),
    (5 << 20, 4, 1, 20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Figures of one run."""

    per_second: float
    cpu_ms: float
    p99_ms: float


def measure(
    server: Server, octets: int, connections: int, recipients: int, messages: int, *, users: int = 100, helper: int = 0
) -> Run:
    """Run one configuration on one server; ``helper`` is a process that works for it, such as its database."""
    command = [sys.executable, str(Path(__file__).with_name("load.py")), "--path", server.path]
    command += ["--octets", str(octets), "--connections", str(connections)]
    command += ["--recipients", str(recipients), "--messages", str(messages)]
    command += ["--users", str(users)]
    pids = [server.pid, *([helper] if helper else [])]
    before = sum(map(tree_cpu_seconds, pids))
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    cpu = sum(map(tree_cpu_seconds, pids)) - before
    if result["bad"]:
        raise SystemExit(f"{server.name} refused: {result['bad']}")
    return Run(per_second=result["per_second"], cpu_ms=cpu * 1000 / result["deliveries"], p99_ms=result["p99_ms"])


def compare(servers: list[Server], rounds: int) -> None:
    """Run everything and print a table."""
    runs: dict[tuple[tuple[int, ...], str], list[Run]] = {}
    for server in servers:
        measure(server, 4096, 4, 1, 200)
    for number in range(rounds):
        for configuration in random.sample(CONFIGURATIONS, len(CONFIGURATIONS)):
            for server in random.sample(servers, len(servers)):
                runs.setdefault((configuration, server.name), []).append(measure(server, *configuration))
        print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    print(
        f"{'octets:conn:rcpt':<18}{'server':<10}{'per s':>8}{'cpu ms':>8}{'p99 ms':>8}   ours/it: per s (low-high), cpu"
    )
    for configuration in CONFIGURATIONS:
        mine = runs[configuration, "msgstore"]
        for server in servers:
            found = runs[configuration, server.name]
            rates = sorted(a.per_second / b.per_second for a, b in zip(mine, found, strict=True))
            cpus = [a.cpu_ms / b.cpu_ms for a, b in zip(mine, found, strict=True) if b.cpu_ms]
            middle = {name: statistics.median(getattr(run, name) for run in found) for name in Run.__slots__}
            print(
                f"{':'.join(map(str, configuration[:3])):<18}{server.name:<10}{middle['per_second']:>8.0f}"
                f"{middle['cpu_ms']:>8.3f}{middle['p99_ms']:>8.1f}   {statistics.median(rates):.2f} "
                f"({rates[0]:.2f}-{rates[-1]:.2f}), {statistics.median(cpus) if cpus else 0:.2f}"
            )
    for server in servers:
        sizes = ", ".join(f"{octets >> 20} MiB" for octets in tree_resident_octets(server.pid).values())
        print(f"resident memory of {server.name}: {sizes}")


def main() -> None:
    """Set everything up, compare, take it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--disk", type=Path, help="measure in this directory instead of an ext4 image")
    parser.add_argument("--servers", default="msgstore,dovecot,aiosmtpd")
    parser.add_argument(
        "--sieve", action="store_true", help="with a script of twenty rules, and ours without one as plain"
    )
    arguments = parser.parse_args()
    wanted = arguments.servers.split(",")
    with ExitStack() as stack:
        disk = arguments.disk or stack.enter_context(journaled_disk(4))
        script = SCRIPT if arguments.sieve else ""
        makers: dict[str, Callable[[], AbstractContextManager[Server]]] = {
            "msgstore": lambda: ours(disk, script=script),
            "plain": lambda: ours(disk, name="plain"),
            "dovecot": lambda: dovecot(disk, script=script),
            "aiosmtpd": lambda: stock(disk),
        }
        if arguments.sieve:
            wanted = ["msgstore", "plain", "dovecot"]
        compare([stack.enter_context(makers[name]()) for name in wanted], arguments.rounds)


if __name__ == "__main__":
    main()
