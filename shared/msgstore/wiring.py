"""From settings to live objects: what the daemons serve.

This module and :mod:`msgstore.opening`, which opens the store alone, are the only places that name concrete classes.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.auth.keyaccess import KeyAccess
from msgstore.auth.keys import UserKeys
from msgstore.auth.provider import PasswordProvider
from msgstore.auth.throttle import Throttle, ThrottleLimits
from msgstore.config.schema import Settings
from msgstore.crypto.password import PROFILES
from msgstore.delivery.agent import Agent
from msgstore.delivery.filter import DetailFilter
from msgstore.delivery.forwarding import SEND_EVENTS, Forwarder
from msgstore.delivery.history import History
from msgstore.delivery.outbound import NoOutbound, SmtpOutbound
from msgstore.delivery.programs import SiteScripts, sieve_engine
from msgstore.delivery.resolve import Resolver
from msgstore.delivery.rewriting import Rewriter
from msgstore.delivery.sealing import Sealing, SealKeys
from msgstore.delivery.sending import Sender
from msgstore.delivery.sieving import SIEVE_EVENTS, SieveFilter
from msgstore.delivery.traces import TRACES_NAME, Traces
from msgstore.delivery.warner import QuotaWarner
from msgstore.model.errors import ConfigError, DirectoryUnavailable, StoreError
from msgstore.model.interfaces import AuthProvider, DeliveryAgent, MessageStore, Outbound
from msgstore.opening import CLOCK, SystemClock, build_keys, build_store, host_name, require_database
from msgstore.sieve import Engine
from msgstore.store.requests import RequestLog
from msgstore.telemetry.counters import AccessEvents, DeliveryEvents, SieveEvents
from msgstore.telemetry.log import logger
from msgstore.telemetry.metrics import Metrics

__all__ = [
    "CLOCK",
    "AccessParts",
    "DeliveryParts",
    "SystemClock",
    "build_access",
    "build_delivery",
    "build_keys",
    "build_outbound",
    "build_store",
    "build_traces",
    "host_name",
    "require_data_dir",
]

log = logger(__name__)

REQUESTS_FILE: Final = ".msgstore-requests"
"""In the data directory; what was written under an id of the client during the last day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryParts:
    """What lmtpd serves."""

    agent: DeliveryAgent
    store: MessageStore
    history: History
    traces: Traces
    directory: Directory
    metrics: Metrics
    events: DeliveryEvents

    def snapshot(self) -> bytes:
        """Give what was counted; a domain hosted since the start has its series from now on."""
        return _snapshot(self.metrics, self.directory)

    def close(self) -> None:
        """Give back descriptors and files."""
        self.traces.close()
        self.history.close()
        self.store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessParts:
    """What accessd serves."""

    auth: AuthProvider
    store: MessageStore
    agent: DeliveryAgent
    engine: Engine
    """Checks scripts as deliveries will run them."""

    history: History
    traces: Traces
    requests: RequestLog
    keys: KeyAccess
    directory: Directory
    metrics: Metrics
    events: AccessEvents
    sieve_events: SieveEvents

    def snapshot(self) -> bytes:
        """Give what was counted; a domain hosted since the start has its series from now on."""
        return _snapshot(self.metrics, self.directory)

    def close(self) -> None:
        """Give back descriptors and files."""
        self.requests.close()
        self.traces.close()
        self.history.close()
        self.store.close()


def _snapshot(metrics: Metrics, directory: Directory) -> bytes:
    try:
        metrics.set_domains(directory.domains.names())
    except DirectoryUnavailable as error:
        # What was counted is told all the same.
        log.warning("metrics.domains_unknown", why=str(error))
    return metrics.snapshot()


def require_data_dir(settings: Settings) -> None:
    """Look at the data directory before a daemon starts: where it cannot be used, starting again does not help.

    The same with the database, where there is one; one that cannot be asked now may be there later.

    Raises:
        ConfigError: it is missing, no directory, or this process may not work in it; the database is of no use.
    """
    if settings.store.backend == "memory":
        return
    places = {"data_dir": settings.data_dir, "domains_dir": settings.domains_dir}
    faults: list[str] = []
    for key, place in places.items():
        if not place:
            continue
        try:
            with os.scandir(place):
                pass
        except OSError as error:
            faults.append(f"{key}: {place}: {error.strerror}")
            continue
        if key == "data_dir":
            faults += _faults_of_owner(place)
    if faults:
        raise ConfigError(tuple(faults))
    try:
        require_database(settings)
    except StoreError as error:
        log.warning("store.not_asked", why=str(error))


def _faults_of_owner(place: str) -> list[str]:
    owner = Path(place).stat().st_uid
    if os.geteuid() == 0 != owner:
        # What root makes there the owner cannot read, and that would be found out by mail that waits.
        return [f"data_dir: {place} belongs to uid {owner}: run this as that user, not as root"]
    if not os.access(place, os.W_OK | os.X_OK):
        return [f"data_dir: {place}: this process (uid {os.geteuid()}) may not write there"]
    return []


def build_delivery(settings: Settings) -> DeliveryParts:
    """Make the delivery agent and what it stands on; call it after worker processes have been forked."""
    directory = Directory(settings, Domains(settings))
    store = build_store(settings, directory)
    metrics = Metrics(service="lmtpd")
    metrics.set_domains(directory.domains.names())
    history, traces = History(store.control_directory, clock=CLOCK, records=store.records()), build_traces(settings)
    return DeliveryParts(
        agent=_build_agent(
            settings,
            directory,
            store,
            keys=build_keys(settings, directory),
            history=history,
            traces=traces,
            metrics=metrics,
        ),
        store=store,
        history=history,
        traces=traces,
        directory=directory,
        metrics=metrics,
        events=DeliveryEvents(metrics),
    )


def build_access(settings: Settings) -> AccessParts:
    """Make what accessd serves; call it after worker processes have been forked."""
    directory = Directory(settings, Domains(settings))
    metrics = Metrics(service="accessd")
    metrics.set_domains(directory.domains.names())
    limits = ThrottleLimits(
        failures_per_client_and_user=settings.auth.max_failures_per_client_and_user,
        failures_per_client=settings.auth.max_failures_per_client,
        window_seconds=settings.auth.window_seconds,
        lockout_seconds=settings.auth.lockout_seconds,
    )
    profile = PROFILES[settings.auth.hash_profile]
    auth = PasswordProvider(directory, Throttle(limits, CLOCK), profile=profile, counter=metrics)
    store, keys = build_store(settings, directory), build_keys(settings, directory)
    history, traces = History(store.control_directory, clock=CLOCK, records=store.records()), build_traces(settings)
    remembers_on_disk = settings.store.backend != "memory"
    return AccessParts(
        auth=auth,
        store=store,
        agent=_build_agent(settings, directory, store, keys=keys, history=history, traces=traces, metrics=metrics),
        engine=sieve_engine(settings.sieve),
        history=history,
        traces=traces,
        requests=RequestLog(
            os.path.join(settings.data_dir, REQUESTS_FILE) if remembers_on_disk else ":memory:",  # noqa: PTH118
            clock=CLOCK,
        ),
        keys=KeyAccess(directory, keys, profile=profile),
        directory=directory,
        metrics=metrics,
        events=AccessEvents(metrics),
        sieve_events=SieveEvents(metrics),
    )


def _build_agent(
    settings: Settings,
    directory: Directory,
    store: MessageStore,
    *,
    keys: UserKeys,
    history: History,
    traces: Traces,
    metrics: Metrics,
) -> DeliveryAgent:
    rewriter = Rewriter(settings.outbound, clock=CLOCK)
    sealing = Sealing(store, memory_octets=settings.encryption.memory_octets)
    metrics.declare_events(SEND_EVENTS)
    outbound = build_outbound(settings)
    routing = DetailFilter(store)
    forwarder = Forwarder(
        outbound,
        counter=metrics,
        hostname=host_name(settings),
        is_hosted=directory.domains.is_hosted,
        rewriter=rewriter,
    )
    sieve = None
    if settings.sieve.enabled:
        metrics.declare_events(SIEVE_EVENTS)
        site = SiteScripts(settings.sieve, directory.domains.root)
        sieve = SieveFilter(
            settings.sieve,
            store=store,
            scripts_of=store.scripts,
            site=site,
            history=history,
            sender=_build_sender(settings, outbound, forwarder, site),
            routing=routing,
            count=metrics.count_event,
            clock=CLOCK,
            hostname=host_name(settings),
            separator=settings.auth.detail_separator,
            traces=traces if settings.sieve.trace_days else None,
        )
    return Agent(
        store=store,
        resolver=_build_resolver(settings, directory, keys, rewriter),
        routing=routing,
        counter=metrics,
        sealing=sealing,
        clock=CLOCK,
        hostname=host_name(settings),
        warner=QuotaWarner(
            store,
            sealing=sealing,
            percents=settings.quota.warn_percent,
            clock=CLOCK,
            hostname=host_name(settings),
        ),
        forwarder=forwarder,
        sieve=sieve,
    )


def _build_resolver(settings: Settings, directory: Directory, keys: UserKeys, rewriter: Rewriter) -> Resolver:
    return Resolver(
        directory,
        rewriter=rewriter,
        sends_on=bool(settings.outbound.target),
        keys=SealKeys(keys, directory, refusal=settings.encryption.refusal),
    )


def build_traces(settings: Settings) -> Traces:
    """Open what scripts decided over which message; there is something in it where ``trace_days`` of it is set."""
    return Traces(
        os.path.join(settings.data_dir, TRACES_NAME),  # noqa: PTH118
        days=settings.sieve.trace_days,
        clock=CLOCK,
    )


def _build_sender(settings: Settings, outbound: Outbound, forwarder: Forwarder, site: SiteScripts) -> Sender:
    return Sender(
        outbound,
        forwarder,
        site=site,
        clock=CLOCK,
        hostname=settings.outbound.hostname or host_name(settings),
        sends_on=bool(settings.outbound.target),
        redirect_sender=settings.sieve.redirect_sender,
        redirect_hours=settings.sieve.redirect_hours,
    )


def build_outbound(settings: Settings) -> Outbound:
    """Make what takes mail for elsewhere."""
    outbound = settings.outbound
    if not outbound.target:
        return NoOutbound()
    return SmtpOutbound(
        outbound.target,
        hostname=outbound.hostname or host_name(settings),
        timeout_seconds=outbound.timeout_seconds,
        max_connections=outbound.max_connections,
    )
