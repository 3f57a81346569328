"""Arguments and results of the methods about connections and logins; one of the three doors to msgspec.

In arguments None means "left out", which a ``nil`` on the wire means too.  Required keys have no default.  A field's
type is checked exactly: no text for a number, no truth value for one.  ``session`` is the token of a login.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = [
    "DescribeResult",
    "EndArgs",
    "GoingAway",
    "HelloArgs",
    "HelloResult",
    "IdArgs",
    "Limits",
    "LoginArgs",
    "LoginResult",
    "LookupArgs",
    "LookupResult",
    "NoArgs",
    "Nothing",
    "Password",
    "Peer",
    "PingResult",
    "QuotaShape",
    "SaslResult",
    "SaslStartArgs",
    "SaslStepArgs",
    "ServiceName",
    "SessionArgs",
    "SessionIdle",
    "SessionRow",
    "SessionsArgs",
    "SessionsResult",
    "Short",
    "StatsResult",
    "VerifyArgs",
    "VerifyResult",
]

Short = Annotated[str, Meta(max_length=1024)]
Password = Annotated[str, Meta(max_length=1024)]
"""Longer ones would only feed argon2."""

ServiceName = Literal["pop3", "imap", "smtp", "sieve"]


class NoArgs(Struct, kw_only=True, frozen=True):
    """Nothing is needed."""


class Nothing(Struct, kw_only=True, frozen=True):
    """Nothing is said."""


class HelloArgs(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a client speaks."""

    proto: int = 1
    client: Short | None = None
    features: tuple[Short, ...] | None = None
    errors: Literal["array", "string"] | None = None


class Peer(Struct, kw_only=True, frozen=True):
    """Who the kernel says the peer is. unix(7), SO_PEERCRED."""

    pid: int
    uid: int


class Limits(Struct, kw_only=True, frozen=True):
    """Numbers a client has to keep to."""

    frame_octets: int = 1024 * 1024
    """Largest object the server sends."""

    inline_octets: int = 128 * 1024
    read_octets: int = 256 * 1024
    inflight: int = 64
    handles: int = 32
    page_rows: int = 2000
    column_rows: int = 20_000
    """Messages of a page that comes by columns."""

    idle_ms: int = 1_800_000
    alive_ms: int = 300_000


class HelloResult(Struct, kw_only=True, frozen=True):
    """What this server speaks."""

    proto: int
    server: str
    features: tuple[str, ...]
    roles: tuple[str, ...]
    peer: Peer
    limits: Limits
    boot: str
    """Changes when accessd restarts: sessions and handles are gone then."""


class PingResult(Struct, kw_only=True, frozen=True):
    """Milliseconds since 1970 UTC at the server."""

    t: int


class DescribeResult(Struct, kw_only=True, frozen=True):
    """The contract as JSON schema."""

    methods: dict[str, dict[str, object]]
    errors: dict[str, dict[str, str | bool | None]]
    limits: dict[str, int]


class StatsResult(Struct, kw_only=True, frozen=True):
    """What is going on in this process."""

    connections: int
    sessions: int
    inflight: int
    handles: int
    exclusive: int
    """Maildrops held by ``mailbox.open``."""

    watches: int


class IdArgs(Struct, kw_only=True, frozen=True):
    """Names a request of this connection."""

    id: Annotated[int, Meta(ge=0, le=2**32 - 1)]


class GoingAway(Struct, kw_only=True, frozen=True):
    """The server ends; running requests have this long."""

    grace_ms: int


class VerifyArgs(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A name and a password to check."""

    user: Short
    password: Password
    service: ServiceName
    client_address: Short | None = None
    """The remote peer, for throttling."""

    tls: bool | None = None


class LoginArgs(VerifyArgs, kw_only=True, frozen=True, omit_defaults=True):
    """A name and a password to open a session with."""

    want: tuple[Literal["key"], ...] | None = None


class QuotaShape(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Limits of a mailbox; what is absent is not limited."""

    limit_octets: int | None = None
    limit_messages: int | None = None


class VerifyResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Who somebody is."""

    user: str
    mailbox: str
    sealing: bool
    """Whether mail for the user is to be sealed: there is a public key, and the site's policy is not ``off``."""

    detail: str | None = None
    quota: QuotaShape | None = None
    max_sends_per_hour: int | None = None


class LoginResult(VerifyResult, kw_only=True, frozen=True, omit_defaults=True):
    """Who somebody is, and the session that was opened."""

    session: str
    idle_ms: int
    public_key: bytes | None = None
    """Where there is one, whatever the policy: mail may be there that is sealed."""

    private_key: bytes | None = None
    """Opened, where it was asked for: that of the public key."""

    old_private_keys: tuple[bytes, ...] | None = None
    """Those that open older mail, youngest first."""


class SaslStartArgs(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Begins an exchange of RFC 4422; ``data`` is never base64 here."""

    mech: Short
    service: ServiceName
    initial: bytes | None = None
    client_address: Short | None = None
    want: tuple[Literal["key"], ...] | None = None


class SaslStepArgs(Struct, kw_only=True, frozen=True):
    """Goes on with an exchange."""

    step: Short
    data: bytes


class SaslResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The next challenge, or the end with what login (or verify, for smtp) gives."""

    step: str | None = None
    data: bytes | None = None
    done: bool | None = None
    session: str | None = None
    user: str | None = None
    mailbox: str | None = None
    detail: str | None = None
    quota: QuotaShape | None = None
    sealing: bool | None = None
    public_key: bytes | None = None
    private_key: bytes | None = None
    old_private_keys: tuple[bytes, ...] | None = None
    max_sends_per_hour: int | None = None
    idle_ms: int | None = None


class SessionArgs(Struct, kw_only=True, frozen=True):
    """Names a session."""

    session: Short


class SessionIdle(Struct, kw_only=True, frozen=True):
    """How long a session may be silent."""

    idle_ms: int


class LookupArgs(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """An address somebody wants to send to."""

    address: Short
    client_address: Short | None = None


class LookupResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is known of an address."""

    address: str
    domain_is_local: bool
    user_exists: bool
    """True also for addresses that only forward."""

    defer_rejection: bool
    max_message_octets: int
    sealing: bool
    mailbox: str | None = None
    detail: str | None = None
    forwards: tuple[str, ...] | None = None


class SessionsArgs(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Whose sessions; None is everybody's."""

    user: Short | None = None


class SessionRow(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One open session; ``id`` is not its token."""

    id: str
    user: str
    service: str
    since: int
    folders: tuple[str, ...]
    exclusive: bool
    client_address: str | None = None


class SessionsResult(Struct, kw_only=True, frozen=True):
    """Open sessions of this process."""

    sessions: tuple[SessionRow, ...]


class EndArgs(Struct, kw_only=True, frozen=True):
    """Names a session by the id of ``auth.sessions``."""

    id: Short
