"""What sealing costs: against libsodium alone, against plain delivery, at login, and in memory.

Ratios are taken between neighbours in time; a figure is the median of the rounds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgstore.access.keyshapes import WrappedKeyResult
from msgstore.access.mailkeys import MailKeys
from msgstore.crypto import SecretKey, open_into, seal_into
from msgstore.crypto.keyring import OpenKeyring
from msgstore.crypto.password import PROFILES, hash_password, verify_password
from msgstore.crypto.sodium import NONCE_OCTETS, TAG_OCTETS, box_open, box_seal
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from tests.crypto.vectors import NOON
from tests.speed.bench import measure
from tests.speed.load import tree_resident_octets
from tests.speed.servers import journaled_disk, ours

MESSAGE_OCTETS: Final = 25 << 20
LARGE_OCTETS: Final = 50 << 20
PASSWORD: Final = b"secret"


def cpu_seconds(action: Callable[[], object]) -> float:
    """Give the processor time of this process for one run."""
    began = time.process_time()
    action()
    return time.process_time() - began


def measure_box(rounds: int) -> None:
    """Seal and open 25 MiB, and let libsodium do the same: its bare function on memory that is there already."""
    message = os.urandom(MESSAGE_OCTETS)
    blob, again = bytearray(MESSAGE_OCTETS + SEAL_OVERHEAD_OCTETS), bytearray(MESSAGE_OCTETS)
    box, nonce, shared = bytearray(MESSAGE_OCTETS + TAG_OCTETS), bytes(NONCE_OCTETS), bytes(range(32))
    box_seal(box, message, nonce, shared)
    with SecretKey.generate() as key:
        pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "seal": (lambda: seal_into(blob, message, key.public), lambda: box_seal(box, message, nonce, shared)),
            "open": (lambda: open_into(again, blob, key), lambda: box_open(again, box, nonce, shared)),
        }
        for name, (mine, theirs) in pairs.items():
            ratios = [cpu_seconds(theirs) / cpu_seconds(mine) for _ in range(rounds)]
            print(f"{name} 25 MiB:  {statistics.median(ratios):.2f} of libsodium's speed   (at least 0.9)")


def measure_login(rounds: int) -> None:
    """Check a password and open the keys of a login, as accessd and its client do; count in checks of a password."""
    profile = PROFILES["standard"]
    stored = hash_password(PASSWORD, profile)
    with SecretKey.generate() as key, OpenKeyring.create(key, PASSWORD, profile, NOON) as opened:
        file = WrappedKeyResult(form="keyring", key_file=opened.wrapped().content())

    def log_in() -> None:
        assert verify_password(stored, PASSWORD)
        MailKeys.opened(file, PASSWORD.decode()).wipe()

    ratios = [cpu_seconds(log_in) / cpu_seconds(lambda: verify_password(stored, PASSWORD)) for _ in range(rounds)]
    print(f"login with keys: {statistics.median(ratios):.2f} checks of a password   (at most 3)")


def measure_delivery(disk: Path, key: bytes, rounds: int) -> None:
    """Deliver 4 KB to users with a key and to users without one."""
    with ours(disk, name="plain") as plain, ours(disk, name="sealed", key=key) as sealed:
        for server in (plain, sealed):
            measure(server, 4096, 4, 1, 200)
        for connections, messages in ((1, 300), (16, 1000)):
            cpus: list[float] = []
            rates: list[float] = []
            for number in range(rounds):
                order = (plain, sealed) if number % 2 else (sealed, plain)
                runs = {server.name: measure(server, 4096, connections, 1, messages) for server in order}
                cpus.append(runs["sealed"].cpu_ms / runs["plain"].cpu_ms)
                rates.append(runs["sealed"].per_second / runs["plain"].per_second)
            print(
                f"4 KB sealed, {connections} connections: {statistics.median(cpus):.2f} of the plain processor time "
                f"(at most 1.3), {statistics.median(rates):.2f} of the plain rate"
            )


def measure_memory(disk: Path, key: bytes) -> None:
    """Deliver 50 MiB to a user with a key."""
    with ours(disk, name="large", key=key, workers=1) as server:
        measure(server, 4096, 4, 1, 200)
        worker = max(tree_resident_octets(server.pid))
        idle = _status(worker, "VmRSS")
        Path(f"/proc/{worker}/clear_refs").write_text("5")
        measure(server, LARGE_OCTETS, 1, 1, 1)
        peak, after = _status(worker, "VmHWM"), _status(worker, "VmRSS")
        print(
            f"50 MiB sealed: at most {(peak - idle) / LARGE_OCTETS:.2f} times its size above idle (at most 2.2); idle "
            f"{idle >> 20} MiB before and {after >> 20} MiB after"
        )


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"the kernel tells no {name}")


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--disk", type=Path, help="measure in this directory instead of an ext4 image")
    arguments = parser.parse_args()
    measure_box(arguments.rounds)
    measure_login(arguments.rounds)
    with SecretKey.generate() as key, ExitStack() as stack:
        disk = arguments.disk or stack.enter_context(journaled_disk(3))
        with TemporaryDirectory(dir=disk) as place:
            measure_delivery(Path(place), key.public.octets, arguments.rounds)
            measure_memory(Path(place), key.public.octets)


if __name__ == "__main__":
    main()
