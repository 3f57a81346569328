"""The settings, as values: one class per section, every field with its meaning and default.

The TOML file has one table per class; every key is optional.  The sample file and ``msgstore config schema`` are made
from this module, so a docstring here is what an operator reads.
"""

from dataclasses import dataclass, field
from typing import Literal

from msgstore.config.sieving import SieveSettings
from msgstore.config.storing import StoreSettings
from msgstore.model.user import EncryptionPolicy

__all__ = [
    "AccessSettings",
    "AuthSettings",
    "DomainSettings",
    "EncryptionSettings",
    "LmtpSettings",
    "LogSettings",
    "ManageSieveSettings",
    "MetricsSettings",
    "OutboundSettings",
    "QuotaSettings",
    "RetentionSettings",
    "RoleName",
    "Settings",
    "SieveSettings",
    "StoreSettings",
]

RoleName = Literal["pop3", "imap", "smtp", "admin"]
"""What a peer of the access socket may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSettings:
    """One hosted domain; stronger than the ``config.toml`` in the domain's directory."""

    max_message_octets: int | None = None
    """Largest message for users of this domain; none means the limit of ``[lmtp]``."""

    path_template: str | None = None
    """Stronger than ``path_template`` of ``[store]``."""

    maildir_subdir: str | None = None
    """Stronger than ``maildir_subdir`` of ``[store]``."""

    quota_octets: int | None = None
    """Stronger than ``octets`` of ``[quota]``; 0 means no limit."""

    quota_messages: int | None = None
    """Stronger than ``messages`` of ``[quota]``; 0 means no limit."""

    encryption: EncryptionPolicy | None = None
    """Stronger than ``policy`` of ``[encryption]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSettings:
    """What a mailbox may hold, where neither its domain nor the user has a limit of their own."""

    octets: int = 0
    """Octets, with CRLF line ends; 0 means no limit."""

    messages: int = 0
    """Messages; 0 means no limit."""

    over: Literal["temporary", "permanent"] = "temporary"
    """Whether mail for a full mailbox waits at the sender (452) or goes back at once (552)."""

    warn_percent: tuple[int, ...] = (80, 95)
    """A user is told once when the mailbox gets this full; empty means never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionSettings:
    """Sealed mail: plaintext that nobody but its recipient needs is not kept."""

    policy: EncryptionPolicy = "opportunistic"
    """``off``: mail is kept as it comes; ``opportunistic``: it is sealed for recipients who have a key; ``required``:
    mail for recipients without one is refused, and new users get a key.  What was sealed before it came is kept as it
    is.  Clients of the access socket get sealed mail as it is kept; our libraries for them open it."""

    refusal: Literal["temporary", "permanent"] = "temporary"
    """Whether mail that cannot be sealed and must be waits at the sender (451 4.7.5) or goes back (550 5.7.5)."""

    memory_octets: int = 268_435_456
    """Octets of messages that one worker holds in memory at once to seal them; what comes beyond that is told to come
    again later (451)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LmtpSettings:
    """The LMTP server."""

    listen: tuple[str, ...] = ("unix:/run/msgstore/lmtp.sock",)
    """``unix:PATH`` or ``tcp:ADDRESS:PORT``; not used for sockets that systemd passes."""

    socket_mode: str = "0660"
    """Mode of Unix sockets, octal."""

    socket_group: str = ""
    """Group of Unix sockets; empty leaves the process' own."""

    workers: int = 0
    """Processes; 0 means one per core, at most 4."""

    hostname: str = ""
    """Name in greeting and trace; empty means the machine's own."""

    max_connections: int = 200
    """Connections of one worker; more wait in the listen queue."""

    max_recipients: int = 1000
    """Recipients of one transaction. RFC 5321 §4.5.3.1.8 asks for at least 100."""

    max_message_octets: int = 52_428_800
    """Largest message; announced as SIZE."""

    max_concurrent_per_mailbox: int = 10
    """Deliveries to one mailbox at a time, in one worker."""

    max_errors: int = 10
    """Protocol errors on one connection before 421."""

    idle_seconds: float = 300.0
    """Silence after which a connection is closed. RFC 5321 §4.5.3.2.7."""

    delivery_seconds: float = 240.0
    """Time for one delivery; recipients not begun by then are answered 451."""

    grace_seconds: float = 30.0
    """Time to finish at shutdown."""

    delivery_threads: int = 24
    """Deliveries that may wait for the disk at once, in one worker."""

    trusted_networks: tuple[str, ...] = ()
    """TCP peers that may use XCLIENT, XFORWARD, XSPAM and XSEALED; Unix sockets of trusted_uids are named below."""

    trusted_uids: tuple[int, ...] = ()
    """User ids at Unix sockets that may use XCLIENT, XFORWARD, XSPAM and XSEALED."""

    announce_dsn: bool = False
    """Whether DSN is announced; its parameters are understood anyway.  Clients that see it leave reports of success to
    us, and none are sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """The access socket."""

    listen: str = "unix:/run/msgstore/access.sock"
    """``unix:PATH``; not used for a socket that systemd passes."""

    socket_mode: str = "0660"
    """Mode of the socket, octal."""

    socket_group: str = ""
    """Group of the socket; empty leaves the process' own."""

    roles: dict[str, tuple[RoleName, ...]] = field(default_factory=dict[str, tuple[RoleName, ...]])
    """User name or numeric id, or ``@group``, to roles; the service's own user is always admin."""

    workers: int = 1
    """Processes."""

    max_connections: int = 1000
    """Connections of one worker."""

    idle_seconds: float = 1800.0
    """Silence after which a session ends."""

    request_seconds: float = 30.0
    """Default deadline of one request."""

    grace_seconds: float = 10.0
    """Time to finish at shutdown."""

    worker_threads: int = 16
    """Requests that may wait for the disk at once."""

    max_inflight: int = 64
    """Requests of one connection in work; more wait unread."""

    max_handles: int = 32
    """Open bodies of one connection."""

    max_watches: int = 64
    """Watches of one connection."""

    open_keys: bool = False
    """Whether a session may hand its private keys to accessd, which then searches sealed mail and gives its headers
    itself.  The keys, and what is read with them, are in accessd's memory until the session ends."""

    watch_poll_seconds: float = 60.0
    """How often a watched folder is looked at, whatever hints and the kernel tell; more often where they cannot."""

    alive_seconds: float = 300.0
    """How often a watch says that it lives; announced to clients as alive_ms."""

    hints_dir: str = "/run/msgstore/hints"
    """Where the daemons tell each other of changes; made when it is missing, readable for their own user alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManageSieveSettings:
    """The ManageSieve server, with which users change their scripts; a part of accessd."""

    listen: tuple[str, ...] = ()
    """``tcp:ADDRESS:PORT`` (usually 4190) or ``unix:PATH``; empty means there is none.  Not used where systemd passes
    sockets named ``managesieve``."""

    socket_mode: str = "0660"
    """Mode of Unix sockets, octal."""

    socket_group: str = ""
    """Group of Unix sockets; empty leaves the process' own."""

    tls_cert: str = ""
    """PEM file with the certificate and those between it and the root; without it there is no STARTTLS."""

    tls_key: str = ""
    """PEM file with the key; empty means it stands beside the certificate."""

    plain_login: bool = False
    """Whether passwords are taken without TLS, from Unix sockets and from this machine alone."""

    max_connections: int = 200
    """Connections of one worker; more are told to come again later."""

    max_connections_per_client: int = 50
    """Those of them that may come from one address."""

    login_seconds: float = 60.0
    """Time that a connection has for its login, however busy it is meanwhile."""

    idle_seconds: float = 1800.0
    """Silence after which a session ends. RFC 5804 §1.2 asks for at least 30 minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Users and passwords."""

    detail_separator: str = "+"
    """Stands between user and detail in a local-part; empty means there is no detail."""

    failure_seconds: float = 5.0
    """Every failed login is answered this long after it began."""

    max_failures_per_client_and_user: int = 5
    """Failures in the window before this address may not try this user."""

    max_failures_per_client: int = 20
    """Failures in the window before this address may not try at all."""

    window_seconds: float = 300.0
    """How long a failure counts."""

    lockout_seconds: float = 900.0
    """How long a lock lasts."""

    password_threads: int = 0
    """Password checks at once, 64 MiB each; 0 means one per core."""

    password_queue: int = 64
    """Password checks that may wait."""

    hash_profile: Literal["standard", "testing"] = "standard"
    """Cost of new hashes; ``testing`` is weak and quick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundSettings:
    """Where mail goes that is sent on: forwards, redirects, automatic replies."""

    target: str = ""
    """SMTP server that queues, ``unix:PATH`` or ``tcp:ADDRESS:PORT``; while empty, what had to be sent on waits at its
    sender.  The systemd units that come with msgstore leave the daemons Unix sockets alone."""

    hostname: str = ""
    """Name in EHLO and in new message ids; empty means the name of ``[lmtp]``."""

    timeout_seconds: float = 60.0
    """Time for handing over one message, from connect to the last reply."""

    max_connections: int = 8
    """Connections of one worker."""

    forward_order: Literal["admin-first", "user-first"] = "admin-first"
    """Which forward wins: that of ``[forwards]`` of the domain, then the domain's file, then the user's; or the user's,
    the domain's file, then ``[forwards]``.  ``[forwards]`` for all domains is the last one."""

    srs: Literal["off", "on"] = "off"
    """Whether foreign reverse-paths of forwarded mail are rewritten, so that SPF does not refuse it."""

    srs_domain: str = ""
    """Domain of rewritten reverse-paths; mail for it has to come here."""

    srs_secret_file: str = ""
    """Secrets, one a line: the first signs, all are believed.  Put a new one in front to change it."""

    srs_days: int = 21
    """How long a rewritten reverse-path is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """How long mail is kept; carried out by ``msgstore retention run``, which a timer starts every night."""

    folders: dict[str, int] = field(default_factory=dict[str, int])
    """Folder to days: older messages are expunged.  A folder that is not named keeps everything."""

    undelete_days: int = 0
    """How long expunged messages can be brought back; 0 removes them at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Prometheus pages, one for each daemon; off when empty."""

    lmtpd: str = ""
    """``unix:PATH`` or ``tcp:127.0.0.1:PORT``."""

    accessd: str = ""
    """``unix:PATH`` or ``tcp:127.0.0.1:PORT``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Log lines on standard error."""

    format: Literal["auto", "text", "json", "journal"] = "auto"
    """``auto`` is ``journal`` under systemd and ``text`` elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything, defaults included."""

    data_dir: str = "/var/lib/msgstore"
    """Mail, one directory per domain and user."""

    domains_dir: str = ""
    """Domain directories with config.toml and passwd; empty means data_dir."""

    default_domain: str = ""
    """Domain of a bare local-part such as ``<postmaster>``; empty means the only hosted one, if there is only one."""

    postmaster: str = ""
    """Address that gets mail for postmaster of domains without such a user. RFC 5321 §4.5.1."""

    domains: dict[str, DomainSettings] = field(default_factory=dict[str, DomainSettings])
    """Hosted domains; a domain directory in domains_dir counts too."""

    store: StoreSettings = field(default_factory=StoreSettings)
    lmtp: LmtpSettings = LmtpSettings()
    access: AccessSettings = AccessSettings()
    managesieve: ManageSieveSettings = ManageSieveSettings()
    auth: AuthSettings = AuthSettings()
    quota: QuotaSettings = QuotaSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    outbound: OutboundSettings = OutboundSettings()
    sieve: SieveSettings = field(default_factory=SieveSettings)
    retention: RetentionSettings = RetentionSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
