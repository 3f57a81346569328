"""A disk that is soon full, for tests that are root."""

import contextlib
import subprocess
from collections.abc import Generator
from pathlib import Path

__all__ = ["small_disk"]


@contextlib.contextmanager
def small_disk(place: Path, *, megabytes: int) -> Generator[Path]:
    """Mount a file system of that size at a new directory."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
