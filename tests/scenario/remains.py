"""Looking for what should be nowhere: runs of secret octets in files, in names and in the memory of processes."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

__all__ = ["RUN_OCTETS", "Remains", "workers_of"]

RUN_OCTETS: Final = 16
"""So long a run is no chance."""

_STEP: Final = RUN_OCTETS // 2
"""A run holds a whole block of this length that begins at a multiple of it."""

_PART_OCTETS: Final = 1 << 24
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r\S+) \S+ \S+ \d+ *(.*)")


class Remains:
    """Finds any run of 16 octets of any of the secrets."""

    def __init__(self, *secrets: bytes) -> None:
        self._blocks = {
            secret[at : at + _STEP]: (secret, at)
            for secret in secrets
            for at in range(0, len(secret) - _STEP + 1, _STEP)
        }
        self._any = re.compile(b"|".join(map(re.escape, self._blocks)))
        """One walk for all of them: memory is mostly zeros, which begin none."""

    def in_octets(self, octets: bytes) -> list[bytes]:
        """Give the runs, each as long as it is."""
        found: list[bytes] = []
        for match in self._any.finditer(octets):
            run = _run(octets, match.start(), *self._blocks[match[0]])
            if len(run) >= RUN_OCTETS:
                found.append(run)
        return found

    def in_tree(self, *roots: Path) -> list[str]:
        """Look into every file and at every name below; gives what was found where."""
        found: list[str] = []
        for path in (path for root in roots for path in root.rglob("*")):
            found += [f"name {path}" for _ in self.in_octets(os.fsencode(path.name))]
            if path.is_file() and not path.is_symlink():
                found += [f"{path}: {run!r}" for run in self.in_octets(path.read_bytes())]
        return found

    def in_memory(self, pid: int) -> list[str]:
        """Look at everything a process has mapped and may write; gives what was found where."""
        found: list[str] = []
        for name, octets in _memory(pid):
            found += [f"process {pid} {name}: {run!r}" for run in self.in_octets(octets)]
        return found


def workers_of(pid: int) -> list[int]:
    """Give a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def _run(octets: bytes, place: int, secret: bytes, at: int) -> bytes:
    first, last = 0, _STEP
    while place + first > 0 and at + first > 0 and octets[place + first - 1] == secret[at + first - 1]:
        first -= 1
    while place + last < len(octets) and at + last < len(secret) and octets[place + last] == secret[at + last]:
        last += 1
    return octets[place + first : place + last]


def _memory(pid: int) -> Iterator[tuple[str, bytes]]:
    mappings: Sequence[str] = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in mappings:
            known = _MAPPING.fullmatch(line)
            if known is None or "w" not in known[3] or known[4].startswith("[v"):
                continue
            start, end = int(known[1], 16), int(known[2], 16)
            for part in range(start, end, _PART_OCTETS - RUN_OCTETS):
                try:
                    memory.seek(part)
                    octets = memory.read(min(_PART_OCTETS, end - part))
                except (OSError, ValueError):
                    break
                yield known[4] or f"{known[1]}", octets
