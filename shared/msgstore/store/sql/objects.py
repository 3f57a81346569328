"""Large bodies in an object store that speaks S3: Amazon's, MinIO, Ceph and their like.

The key of a body is ``<prefix>/<day>/<2 hex>/<32 hex>``: the day, of UTC, lets the sweep pass over what is too young,
the two random digits spread the keys of a day, and the rest is the id.  A body is written once and never over another.
S3 shows an object whole or not at all, and to every reader once the upload was acknowledged.

Uploads in parts that a crash cut short are no objects but take space: the bucket should have a lifecycle rule that ends
them after a few days.  The keys that are used need s3:PutObject, GetObject, DeleteObject and ListBucket.

The threads of the client behind this live in one process: it may be made before workers are forked, but not used.
"""

import contextlib
import ipaddress
import os
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from msgstore.model.errors import StoreCorrupt, StoreError, StoreUnavailable
from msgstore.model.interfaces import Body, BodyFacts, Clock
from msgstore.store.body import CHUNK_OCTETS
from msgstore.store.staging import StagedFile

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential

__all__ = ["S3Bodies", "S3Settings"]

PART_OCTETS: Final = 5 << 20
"""What is larger goes up in parts of this size, one after the other; the least that S3 takes for a part."""

READ_AHEAD_OCTETS: Final = 1 << 18
"""Fetched at least; a request costs more than this many octets do."""

STREAM_OCTETS: Final = 1 << 20
"""Fetched at once where the whole body is read: a slow reader then holds no connection, and each request is short."""

_REF: Final = re.compile(r"([0-9]{8})/([0-9a-f]{2})/[0-9a-f]{30}\2")
_DAY: Final = re.compile(r"[0-9]{8}")
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_SEGMENT: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]+")
_REGION: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_ENDPOINT: Final = re.compile(
    r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_HEALTH: Final = "health"

_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the bucket is and how it is spoken to.

    Raises:
        ValueError: a value cannot be used.
    """

    bucket: str
    prefix: str = "msgstore"
    """Put before every key; segments of letters, digits and ``._-`` with slashes between them.  Empty means none."""

    endpoint: str | None = None
    """As ``https://s3.example.net:9000``; the bucket is named in the path.  Without TLS only where it says ``http:``.

    None means that of the environment (``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``), else Amazon's of the region.
    """

    region: str | None = None
    """None means that of the environment (``AWS_REGION``, ``AWS_DEFAULT_REGION``), else ``us-east-1``."""

    access_key_id: str | None = None
    """None, here and in the secret, means what the environment, the container or the machine's role gives."""

    secret_access_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 20.0
    """For one request: at most a part of 5 MiB goes over in it."""

    retries: int = 3
    """Of one request, after errors 5xx, broken connections and timeouts."""

    retry_seconds: float = 30.0
    """No retry begins later than this after the first try, so a request ends after this and one timeout."""

    def __post_init__(self) -> None:
        _require(_BUCKET.fullmatch(self.bucket), "the name of the bucket")
        _require(not self.prefix or all(map(_SEGMENT.fullmatch, self.prefix.split("/"))), "the prefix")
        _require(self.region is None or _REGION.fullmatch(self.region), "the region")
        _require(self.endpoint is None or _is_endpoint(self.endpoint), "the endpoint")
        _require((self.access_key_id is None) == (self.secret_access_key is None), "half of the access key")
        _require(self.timeout_seconds > 0 and self.retry_seconds >= 0 and self.retries >= 0, "a time limit")


class S3Bodies:
    """Bodies as objects in one bucket; see :class:`msgstore.store.sql.bodies.LargeBodies`.

    Opened bodies have no descriptor, and read on after they are removed only what they hold already: bodies are to be
    removed some time after their rows.
    """

    def __init__(self, settings: S3Settings, *, clock: Clock) -> None:
        """Nothing is sent before the first use."""
        self._settings = settings
        self._clock = clock
        self._opened: S3Store | None = None

    def keep(self, blob_id: UUID, staged: StagedFile) -> str:
        """Upload a body, in memory of a few parts however large it is; what it was staged in need not be durable."""
        name = blob_id.hex
        ref = f"{_day(self._clock.time())}/{name[-2:]}/{name}"
        octets = os.fstat(staged.prepare(modified_seconds=None)).st_size
        with _translated():
            store = self._store()
            if octets <= PART_OCTETS:
                obstore.put(store, ref, b"".join(staged.chunks()), use_multipart=False)
            else:
                obstore.put(store, ref, staged.chunks(), use_multipart=True, chunk_size=PART_OCTETS, max_concurrency=1)
        return ref

    def open(self, ref: str, facts: BodyFacts | None = None) -> Body:
        """Fetch the beginning of a body, and with it how long it is."""
        _check(ref)
        with _translated():
            store = self._store()
        octets, beginning = _fetched(store, ref, (0, READ_AHEAD_OCTETS))
        return ObjectBody(store, ref, octets=octets, beginning=beginning, facts=facts)

    def remove(self, ref: str) -> None:
        """Delete an object."""
        _check(ref)
        with contextlib.suppress(StoreCorrupt), _translated(missing=StoreCorrupt):
            obstore.delete(self._store(), ref)

    def refs(self, *, older_than: float) -> Iterator[str]:
        """List one day after the other, with the time that the object store says each body came."""
        with _translated():
            store = self._store()
            listing = obstore.list_with_delimiter(store)  # pyright: ignore[reportUnknownMemberType]  # one form is Arrow's
        days = sorted(listing["common_prefixes"])
        for day in days:
            if _DAY.fullmatch(day) and day <= _day(older_than):
                yield from _old_ones(store, day, older_than)

    def check_health(self) -> None:
        """Write a small object, always the same, and read it back."""
        with _translated():
            store = self._store()
            obstore.put(store, _HEALTH, b"ok", use_multipart=False)
            if bytes(obstore.get(store, _HEALTH).bytes()) != b"ok":
                raise StoreUnavailable("the object store gives back something else than it was given")

    def close(self) -> None:
        """Let go of the connections; the next use makes new ones."""
        self._opened = None

    def _store(self) -> S3Store:
        _RUNTIME.enter()
        if self._opened is None:
            self._opened = _opened(self._settings)
        return self._opened


class ObjectBody:
    """A body that is an object: what is asked for is fetched, and a little more."""

    def __init__(
        self, store: S3Store, ref: str, *, octets: int, beginning: bytes, facts: BodyFacts | None = None
    ) -> None:
        """``octets`` is how long the whole is, ``beginning`` what is known of it."""
        self.facts = facts
        self._store: S3Store | None = store
        self._ref = ref
        self._octets = octets
        self._window = (0, beginning)

    @property
    def stored_octets(self) -> int:
        """Size of the object."""
        return self._octets

    def read(self, offset: int, octets: int) -> bytes:
        """Give at most ``octets`` octets from ``offset``; short only at the end.

        Raises:
            StoreError: the object store cannot be reached, the body is gone or closed.
        """
        store = self._require()
        end = min(offset + max(octets, 0), self._octets)
        if offset >= end:
            return b""
        begin, window = self._window
        if not begin <= offset <= end <= begin + len(window):
            begin, window = offset, self._span(store, offset, max(end, offset + READ_AHEAD_OCTETS))
            if len(window) <= READ_AHEAD_OCTETS:
                self._window = begin, window
        return window[offset - begin : end - begin]

    def chunks(self) -> Iterator[bytes]:
        """Give the whole message in pieces of at most 64 KiB.

        Raises:
            StoreError: as in :meth:`read`.
        """
        offset = 0
        while offset < self._octets:
            store = self._require()
            begin, window = self._window
            span = window[offset - begin :] if begin <= offset < begin + len(window) else b""
            span = span or self._span(store, offset, offset + STREAM_OCTETS)
            offset += len(span)
            for start in range(0, len(span), CHUNK_OCTETS):
                yield span[start : start + CHUNK_OCTETS]

    def fileno(self) -> int | None:
        """Nothing: there is no file."""
        return None

    def close(self) -> None:
        """Let go of what was fetched; harmless to repeat."""
        self._store = None
        self._window = (0, b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require(self) -> S3Store:
        if self._store is None:
            raise StoreUnavailable("the body is closed")
        return self._store

    def _span(self, store: S3Store, begin: int, end: int) -> bytes:
        end = min(end, self._octets)
        octets, span = _fetched(store, self._ref, (begin, end))
        if octets != self._octets or len(span) != end - begin:
            raise StoreUnavailable(f"the body {self._ref} is not what it was when it was opened")
        return span


class _Runtime:
    """Whose threads the client has: a child has none of its parent's, and would wait for them for ever."""

    def __init__(self) -> None:
        self._pid: int | None = None

    def enter(self) -> None:
        """Note that this process uses the client.

        Raises:
            StoreUnavailable: its parent did, before it was forked.
        """
        pid = os.getpid()
        if self._pid is None:
            self._pid = pid
        if self._pid != pid:
            raise StoreUnavailable("the object store was used before this process was forked from another")


_RUNTIME: Final = _Runtime()


def _opened(settings: S3Settings) -> S3Store:
    endpoint = (settings.endpoint or _from_environment(_ENDPOINTS) or "").rstrip("/")
    region = settings.region or _from_environment(_REGIONS) or "us-east-1"
    if (endpoint and not _is_endpoint(endpoint)) or not _REGION.fullmatch(region):
        # The client would not say so: it panics.
        raise StoreUnavailable("the environment names an endpoint or a region of the object store that can be none")
    config: S3Config = {"region": region, "disable_bulk_delete": True}  # not all that speak S3 delete several at once
    if endpoint:
        config |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
    return S3Store(
        settings.bucket,
        prefix=settings.prefix or None,
        config=config,
        credential_provider=_keys_of(settings),
        client_options={
            "allow_http": endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=min(settings.timeout_seconds, 5)),
            "timeout": timedelta(seconds=settings.timeout_seconds),
        },
        retry_config={
            "max_retries": settings.retries,
            "retry_timeout": timedelta(seconds=settings.retry_seconds),
            "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
        },
    )


def _keys_of(settings: S3Settings) -> "Callable[[], S3Credential] | None":
    """Give what answers with the key of the settings; None leaves it to the client to look for one."""
    key, secret = settings.access_key_id, settings.secret_access_key
    if key is None or secret is None:
        return None
    # Given as a value it would go out with the token that the environment has for another key.
    return lambda: {"access_key_id": key, "secret_access_key": secret, "token": None, "expires_at": None}


def _fetched(store: S3Store, ref: str, span: tuple[int, int]) -> tuple[int, bytes]:
    """Give how long an object is, and a part of it."""
    with _translated(missing=StoreCorrupt):
        _RUNTIME.enter()
        result = obstore.get(store, ref, options={"range": span})
        return result.meta["size"], bytes(result.bytes())


def _old_ones(store: S3Store, day: str, older_than: float) -> Iterator[str]:
    pages = obstore.list(store, day, chunk_size=1000)  # pyright: ignore[reportUnknownMemberType]  # one form is Arrow's
    while True:
        with _translated():
            page = next(pages, None)
        if page is None:
            return
        for found in page:
            if _REF.fullmatch(found["path"]) and found["last_modified"].timestamp() < older_than:
                yield found["path"]


@contextlib.contextmanager
def _translated(*, missing: type[StoreError] = StoreUnavailable) -> Generator[None]:
    """Turn what the client raises into errors of ours; what the staged file raises is one already.

    ``missing`` is what it means that there is no such object; that there is no such bucket always means trouble.
    """
    try:
        yield
    except StoreError:
        raise
    except (BaseError, OSError, ValueError) as error:
        text = str(error)
        code = _CODE.search(text)
        # The first line says what was tried; the rest is the answer's text and the client's own structures.
        line = text.partition("\n")[0].partition("<")[0].strip() + (f" {code[1]}" if code else "")
        if isinstance(error, FileNotFoundError) and (code is None or code[1] != "NoSuchBucket"):
            raise missing(line) from error
        raise StoreUnavailable(line) from error


def _check(ref: str) -> None:
    if not _REF.fullmatch(ref):
        raise StoreCorrupt(f"{ref[:80]!r} names no body in an object store")


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%d}"


def _from_environment(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _is_endpoint(text: str) -> bool:
    found = _ENDPOINT.fullmatch(text)
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        return False
    try:
        ipaddress.IPv6Address(found["ipv6"] or "::1")
    except ValueError:
        return False
    return True


def _require(claim: object, what: str) -> None:
    if not claim:
        raise ValueError(f"{what} of the object store cannot be used")
