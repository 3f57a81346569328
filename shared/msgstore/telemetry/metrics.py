"""The metrics of the README and what an operator needs beside them; the only door to prometheus_client.

Every worker process counts in a :class:`Metrics` of its own and hands snapshots to its parent, which merges them into
one page.  prometheus_client's multiprocess mode is not used: it leaves files of dead processes behind and knows no
process metrics.  A domain is a label only when it is hosted, everything else counts as ``other``, so no peer can make
series; all series of a hosted domain exist from the start, because absent is not zero.
"""

import json
import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "OTHER_DOMAIN", "Metrics", "MetricsHub"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Content-Type of a page."""

OTHER_DOMAIN: Final = "other"
"""Stands for every domain that is not hosted here."""

_MAX_LABELS: Final = 1000
"""Hosted domains with a label of their own, ``other`` included; a scrape must stay below a second."""

_DELIVERY_STATUSES: Final = ("success", "rejected", "failed")
_AUTH_STATUSES: Final = ("success", "failed")

_DURATION_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 240.0)
"""Seconds: from a merged flush on a fast disk to the delivery deadline."""

_SIZE_BUCKETS: Final = (1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 25 << 20, 50 << 20)
"""Octets, as the older suite has them, so that dashboards keep working."""

_Samples = list[tuple[str, dict[str, str], float]]


class Metrics:
    """Counts of one process; every method may be called in any thread."""

    def __init__(self, *, service: str) -> None:
        self.service: Final = service
        self._registry = CollectorRegistry()
        self._domains: frozenset[str] = frozenset()
        self._labelled: frozenset[str] = frozenset()
        """Every domain that ever had series; they last as long as the process."""

        own = self._registry
        self._deliveries = Counter(
            "msgstore_deliveries", "Total message deliveries, one per recipient", ["domain", "status"], registry=own
        )
        self._duration = Histogram(
            "msgstore_delivery_duration_seconds",
            "Time from the end of the message to its result",
            ["domain"],
            buckets=_DURATION_BUCKETS,
            registry=own,
        )
        self._size = Histogram(
            "msgstore_delivery_size_bytes",
            "Sizes of delivered messages",
            ["domain"],
            buckets=_SIZE_BUCKETS,
            registry=own,
        )
        self._auth = Counter("msgstore_auth_attempts", "Authentication attempts", ["domain", "status"], registry=own)
        self._events = Counter(f"msgstore_{service}_events", "What else happened, by kind", ["event"], registry=own)
        self._gauges = Gauge(f"msgstore_{service}_current", "What is going on now, by kind", ["what"], registry=own)
        self._event_children: dict[str, Counter] = {}
        self._children: dict[tuple[str, str], tuple[Counter, Histogram, Histogram]] = {}

    def set_domains(self, domains: Iterable[str]) -> None:
        """Say which domains are hosted; their series exist from now on."""
        hosted = frozenset(domains)
        # Those that have a label keep it: series that end and begin again look like a restart.
        kept = self._labelled & hosted
        free = _MAX_LABELS - len(self._labelled | {OTHER_DOMAIN})
        wanted = kept | frozenset(sorted(hosted - kept)[:free])
        for domain in sorted((wanted | {OTHER_DOMAIN}) - self._labelled):
            for status in _DELIVERY_STATUSES:
                self._deliveries.labels(domain, status)
            self._duration.labels(domain)
            self._size.labels(domain)
            for status in _AUTH_STATUSES:
                self._auth.labels(domain, status)
        self._labelled |= wanted | {OTHER_DOMAIN}
        self._domains = wanted

    def declare_events(self, events: Iterable[str]) -> None:
        """Make the series of these events exist at zero."""
        for event in events:
            self._events.labels(event)

    def count_delivery(self, *, domain: str, status: str, seconds: float, octets: int) -> None:
        """Count one recipient of one message."""
        label = domain if domain in self._domains else OTHER_DOMAIN
        found = self._children.get((label, status))
        if found is None:
            found = (self._deliveries.labels(label, status), self._duration.labels(label), self._size.labels(label))
            self._children[label, status] = found
        deliveries, duration, size = found
        deliveries.inc()
        duration.observe(seconds)
        size.observe(octets)

    def count_auth(self, *, domain: str, success: bool) -> None:
        """Count one checked or refused password."""
        label = domain if domain in self._domains else OTHER_DOMAIN
        self._auth.labels(label, "success" if success else "failed").inc()

    def count_event(self, event: str, amount: float = 1) -> None:
        """Count something of a bounded set of kinds."""
        found = self._event_children.get(event)
        if found is None:
            found = self._event_children[event] = self._events.labels(event)
        found.inc(amount)

    def set_gauge(self, what: str, value: float) -> None:
        """Say how much of something there is now."""
        self._gauges.labels(what).set(value)

    def snapshot(self) -> bytes:
        """Give every sample of this process, process figures included, for :class:`MetricsHub`."""
        families: list[tuple[str, str, str, _Samples]] = [
            (
                family.name,
                family.type,
                family.documentation,
                # When a series began is not asked for, and would be a second gauge beside each of the counters.
                [(s.name, dict(s.labels), s.value) for s in family.samples if not s.name.endswith("_created")],
            )
            for family in self._registry.collect()
        ]
        families.extend(_process_families())
        return json.dumps(families).encode()


class MetricsHub(Collector):
    """Merges snapshots of many workers into one page; counters of dead workers stay counted."""

    def __init__(self) -> None:
        self._live: dict[str, bytes] = {}
        self._buried: list[tuple[str, str, str, _Samples]] = []

    def update(self, worker: str, snapshot: bytes) -> None:
        """Take the newest snapshot of one worker."""
        self._live[worker] = snapshot

    def bury(self, worker: str) -> None:
        """Keep what a dead worker counted and drop what it was doing."""
        snapshot = self._live.pop(worker, None)
        if snapshot is not None:
            lasting = [family for family in _read(snapshot) if family[1] in ("counter", "histogram")]
            self._buried = _summed([self._buried, lasting])

    def page(self) -> bytes:
        """Give the text that Prometheus scrapes."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        """Give the merged families; called by prometheus_client."""
        for name, kind, text, samples in _summed([self._buried, *(_read(live) for live in self._live.values())]):
            metric = Metric(name, text, kind)
            for sample, labels, value in samples:
                metric.add_sample(sample, labels, value)
            yield metric


def _read(snapshot: bytes) -> list[tuple[str, str, str, _Samples]]:
    found: list[tuple[str, str, str, _Samples]] = json.loads(snapshot)
    return found


def _summed(parts: Sequence[Sequence[tuple[str, str, str, _Samples]]]) -> list[tuple[str, str, str, _Samples]]:
    kinds: dict[str, tuple[str, str]] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for part in parts:
        for name, kind, text, samples in part:
            kinds[name] = (kind, text)
            table = sums.setdefault(name, {})
            for sample, labels, value in samples:
                # The oldest process is the start of all, everything else adds up.
                key = (sample, tuple(labels.items()))
                if name.endswith("start_time_seconds"):
                    table[key] = min(value, table.get(key, value))
                else:
                    table[key] = table.get(key, 0.0) + value
    return [
        (name, kind, text, [(sample, dict(labels), value) for (sample, labels), value in sums[name].items()])
        for name, (kind, text) in kinds.items()
    ]


_STARTED: Final = time.time()


def _process_families() -> list[tuple[str, str, str, _Samples]]:
    """Own process figures: ``ProcSubset=pid`` hides what prometheus_client reads, ``/proc/self`` stays."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures: Mapping[str, tuple[str, str, float]] = {
        "process_cpu_seconds": ("counter", "User and system CPU time in seconds", usage.ru_utime + usage.ru_stime),
        "process_resident_memory_bytes": ("gauge", "Resident memory of all processes", float(_resident_octets())),
        "process_open_fds": ("gauge", "Open descriptors of all processes", float(_open_descriptors())),
        "process_start_time_seconds": ("gauge", "Start of the oldest process, seconds since 1970", _STARTED),
        "msgstore_workers": ("gauge", "Processes that count here", 1.0),
    }
    return [
        (name, kind, text, [(name + ("_total" if kind == "counter" else ""), {}, value)])
        for name, (kind, text, value) in figures.items()
    ]


def _resident_octets() -> int:
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _open_descriptors() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
