"""Slow guessing down, per client and user and per client.

A user name alone is never a reason to refuse: whoever knows it could lock its owner out.  Without a client address
there is nothing to count by here; the deadline of every failure and the bounded pool of checks still hold.  Counts
live in this process and are bounded in number; the oldest give way.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from msgstore.model.errors import RateLimited
from msgstore.model.interfaces import Clock

__all__ = ["Throttle", "ThrottleLimits"]

_MOST_ENTRIES: Final = 100_000
"""About 20 MB at the worst, under a flood from as many addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleLimits:
    """When to lock and for how long."""

    failures_per_client_and_user: int = 5
    failures_per_client: int = 20
    window_seconds: float = 300.0
    lockout_seconds: float = 900.0


@dataclass(slots=True)
class _Count:
    failures: int
    until: float
    """When the window ends, set by the first failure alone."""

    locked_until: float = 0.0


class Throttle:
    """Counts failed logins; safe in every thread."""

    def __init__(self, limits: ThrottleLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._guard = threading.Lock()
        self._counts: OrderedDict[tuple[str, str], _Count] = OrderedDict()

    def check(self, client: str | None, user: str) -> None:
        """Let the next attempt pass or not.

        Raises:
            RateLimited: this client may not try this user, or not at all, for a while.
        """
        if client is None:
            return
        now = self._clock.monotonic()
        with self._guard:
            wait = max((self._locked_for(key, now) for key in ((client, user), (client, ""))), default=0.0)
        if wait > 0:
            raise RateLimited(after_seconds=wait)

    def failed(self, client: str | None, user: str) -> None:
        """Count one failure."""
        if client is None:
            return
        now = self._clock.monotonic()
        with self._guard:
            self._count((client, user), self._limits.failures_per_client_and_user, now)
            self._count((client, ""), self._limits.failures_per_client, now)

    def succeeded(self, client: str | None, user: str) -> None:
        """Forget this client's failures with this user; those against other users stay."""
        if client is not None:
            with self._guard:
                self._counts.pop((client, user), None)

    def _locked_for(self, key: tuple[str, str], now: float) -> float:
        count = self._counts.get(key)
        return 0.0 if count is None else count.locked_until - now

    def _count(self, key: tuple[str, str], limit: int, now: float) -> None:
        count = self._counts.get(key)
        if count is None or (count.until <= now and count.locked_until <= now):
            count = _Count(0, now + self._limits.window_seconds)
            self._counts[key] = count
        count.failures += 1
        if count.failures >= limit and count.locked_until <= now:
            count.locked_until = now + self._limits.lockout_seconds
        self._counts.move_to_end(key)
        while len(self._counts) > _MOST_ENTRIES:
            self._counts.popitem(last=False)
