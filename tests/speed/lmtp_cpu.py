"""What the protocol alone costs, against stock aiosmtpd with an equal handler; and what lmtpd needs of memory.

CPU of the server in ms a message, ratios from interleaved runs.
"""

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.speed.load import Load, Plan, tree_cpu_seconds, tree_resident_octets
from tests.speed.servers import ROOT, Server, ours

CONFIGURATIONS: Final = ((1024, 4000), (65536, 400), (10 << 20, 4))
"""Octets and messages, one connection."""

IDLE_CONNECTIONS: Final = 500
LARGE_OCTETS: Final = 50 << 20
LARGE_CONNECTIONS: Final = 8
MEBIBYTE: Final = 1 << 20


@contextmanager
def discarding(kind: str, place: Path) -> Generator[Server]:
    """Run one server that keeps nothing."""
    path = place / kind
    paths = os.pathsep.join((str(ROOT / "shared"), str(ROOT)))
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.speed.discard_server", kind, str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        deadline = time.monotonic() + 30
        while not path.exists():
            assert child.poll() is None, f"{kind} ended"
            assert time.monotonic() < deadline, f"{kind} does not listen"
            time.sleep(0.05)
        yield Server(name=kind, pid=child.pid, path=str(path))
    finally:
        child.terminate()
        child.wait(timeout=30)


def cpu_ms(server: Server, octets: int, messages: int) -> float:
    """Send messages on one connection and give the server's CPU time for each."""
    before = tree_cpu_seconds(server.pid)
    result = Load(Plan(path=server.path, connections=1, messages=messages, octets=octets, recipients=1)).run()
    assert not result["bad"], result["bad"]
    return (tree_cpu_seconds(server.pid) - before) * 1000 / messages


def compare(rounds: int) -> None:
    """Print what a message costs both."""
    with tempfile.TemporaryDirectory(prefix="msgstore-bench-") as place, ExitStack() as stack:
        servers = [stack.enter_context(discarding(kind, Path(place))) for kind in ("ours", "stock")]
        for server in servers:
            cpu_ms(server, 1024, 200)
        print(f"{'octets':<12}{'ours ms':>10}{'stock ms':>10}   ours/stock (low-high)")
        for octets, messages in CONFIGURATIONS:
            runs: dict[str, list[float]] = {server.name: [] for server in servers}
            for _ in range(rounds):
                for server in random.sample(servers, 2):
                    runs[server.name].append(cpu_ms(server, octets, messages))
            ratios = sorted(a / b for a, b in zip(runs["ours"], runs["stock"], strict=True))
            print(
                f"{octets:<12}{statistics.median(runs['ours']):>10.3f}{statistics.median(runs['stock']):>10.3f}   "
                f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
            )


def _roomy(place: Path) -> AbstractContextManager[Server]:
    return ours(place, workers=1, max_connections=2 * IDLE_CONNECTIONS)


def memory() -> None:
    """Print what lmtpd needs at rest, with idle connections, and at most under large messages."""
    with tempfile.TemporaryDirectory(prefix="msgstore-bench-") as place, _roomy(Path(place)) as server:
        warm = Plan(path=server.path, connections=4, messages=200, octets=4096, recipients=1)
        Load(warm).run()
        idle = sum(tree_resident_octets(server.pid).values())
        processes = {pid: octets // MEBIBYTE for pid, octets in tree_resident_octets(server.pid).items()}
        print(f"at rest: {' + '.join(str(size) for size in processes.values())} MiB (parent + worker)")
        peers = [socket.socket(socket.AF_UNIX) for _ in range(IDLE_CONNECTIONS)]
        try:
            for peer in peers:
                peer.connect(server.path)
                peer.sendall(b"LHLO idle.example.net\r\n")
                assert peer.recv(4096).startswith(b"220")
            more = sum(tree_resident_octets(server.pid).values()) - idle
            print(f"{IDLE_CONNECTIONS} idle connections: {more / MEBIBYTE:.1f} MiB more")
        finally:
            for peer in peers:
                peer.close()
        idle = sum(tree_resident_octets(server.pid).values())
        large = Plan(
            path=server.path,
            connections=LARGE_CONNECTIONS,
            messages=2 * LARGE_CONNECTIONS,
            octets=LARGE_OCTETS,
            recipients=1,
        )
        child = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("load.py"))]
            + [word for name, value in large.arguments() for word in (f"--{name}", str(value))],
            stdout=subprocess.DEVNULL,
        )
        peak = idle
        while child.poll() is None:
            peak = max(peak, sum(tree_resident_octets(server.pid).values()))
            time.sleep(0.01)
        assert child.returncode == 0
        print(f"{LARGE_CONNECTIONS} x {LARGE_OCTETS // MEBIBYTE} MiB at once: {(peak - idle) / MEBIBYTE:.1f} MiB more")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    compare(arguments.rounds)
    memory()


if __name__ == "__main__":
    main()
