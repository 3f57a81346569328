"""When a peer is too slow; pure, time is passed in."""

from typing import Final

from msgstore.config.schema import LmtpSettings

__all__ = ["Pace"]

RATE_FREE_SECONDS: Final = 60.0
"""A message may take that long before its rate counts."""

RATE_WINDOW_SECONDS: Final = 10.0
RATE_OCTETS: Final = 1024
"""Least that must arrive in each window then."""


class Pace:
    """The clocks of one connection; they are looked at by one sweep over all connections, not by timers."""

    __slots__ = ("_active_at", "_began_at", "_deadline", "_delivery_seconds", "_idle_seconds", "_octets", "_window_at")

    def __init__(self, now: float, settings: LmtpSettings) -> None:
        self._idle_seconds: Final = settings.idle_seconds
        self._delivery_seconds: Final = settings.delivery_seconds
        self._active_at = now
        self._began_at = now
        self._window_at = now
        self._octets = 0
        self._deadline = now

    def received(self, now: float, octets: int) -> None:
        """Octets have come."""
        self._active_at = now
        self._octets += octets

    def resumed(self, now: float) -> None:
        """We read again after a pause of our own, which is not held against the peer."""
        self._active_at = now
        self._window_at = now
        self._octets = 0

    def message_began(self, now: float) -> None:
        """DATA or BDAT was taken."""
        self._began_at = now
        self._window_at = now
        self._octets = 0

    def delivery_began(self, now: float) -> None:
        """The end of the message was seen."""
        self._deadline = now + self._delivery_seconds

    def has_expired(self, now: float) -> bool:
        """Whether the delivery has taken too long."""
        return now >= self._deadline

    def is_silent(self, now: float) -> bool:
        """Whether nothing has come for too long."""
        return now - self._active_at >= self._idle_seconds

    def is_too_slow(self, now: float, *, in_data: bool) -> bool:
        """Whether the peer has been silent, or has sent a message too slowly, for too long."""
        if self.is_silent(now):
            return True
        if not in_data or now - self._began_at < RATE_FREE_SECONDS or now - self._window_at < RATE_WINDOW_SECONDS:
            return False
        is_slow = self._octets < RATE_OCTETS
        self._window_at = now
        self._octets = 0
        return is_slow
