"""What the two programs count beside deliveries and logins, on top of :class:`Metrics`."""

from typing import Final

from msgstore.telemetry.metrics import Metrics

__all__ = ["AccessEvents", "DeliveryEvents", "SieveEvents"]

_DELIVERY_EVENTS: Final = ("connection", "idle", "error", "nul", "bare_lf", "overloaded", "unhealthy")
_ACCESS_EVENTS: Final = ("connection", "peer_denied", "frame_refused", "request", "request_failed")
_SIEVE_EVENTS: Final = (
    "connection",
    "refused",
    "tls",
    "login",
    "login_failed",
    "fault",
    "script_put",
    "script_refused",
)


class DeliveryEvents:
    """Counts what LMTP connections do."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        metrics.declare_events(_DELIVERY_EVENTS)
        metrics.set_gauge("connections", 0)

    def count(self, event: str) -> None:
        """Count one event of a bounded set."""
        self._metrics.count_event(event)

    def set_connections(self, connections: int) -> None:
        """Say how many connections are open now."""
        self._metrics.set_gauge("connections", connections)


class AccessEvents:
    """Counts what peers of the access socket do."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._connections = 0
        metrics.declare_events(_ACCESS_EVENTS)
        metrics.set_gauge("connections", 0)
        metrics.set_gauge("watches", 0)

    def connection_opened(self) -> None:
        """A peer with a role has connected."""
        self._metrics.count_event("connection")
        self._connections += 1
        self._metrics.set_gauge("connections", self._connections)

    def connection_closed(self) -> None:
        """Its connection has ended."""
        self._connections -= 1
        self._metrics.set_gauge("connections", self._connections)

    def set_watches(self, watches: int) -> None:
        """Say how many watches there are now."""
        self._metrics.set_gauge("watches", watches)

    def peer_denied(self) -> None:
        """A peer without a role was closed."""
        self._metrics.count_event("peer_denied")

    def frame_refused(self) -> None:
        """A peer sent what is no frame, and was closed."""
        self._metrics.count_event("frame_refused")

    def request_answered(self, method: str, outcome: str) -> None:
        """A request has its response; the method stays out of the labels, the log has it."""
        del method
        self._metrics.count_event("request")
        if outcome != "ok":
            self._metrics.count_event("request_failed")


class SieveEvents:
    """Counts what ManageSieve clients do; every event begins with ``managesieve_``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        metrics.declare_events(f"managesieve_{event}" for event in _SIEVE_EVENTS)
        metrics.set_gauge("managesieve_connections", 0)

    def count(self, event: str) -> None:
        """Count one event of a bounded set."""
        self._metrics.count_event(f"managesieve_{event}")

    def set_connections(self, connections: int) -> None:
        """Say how many connections are open now."""
        self._metrics.set_gauge("managesieve_connections", connections)
