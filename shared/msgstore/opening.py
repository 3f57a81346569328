"""From settings to the store, for whoever reads and changes mail without delivering it.

Apart from :mod:`msgstore.wiring`, so that a command which lists folders does not load the engine of Sieve and what
counts deliveries: that would be most of the time it takes.
"""

import os
import socket
import time
from typing import TYPE_CHECKING, Final

from msgstore.auth.directory import Directory
from msgstore.auth.keys import UserKeys
from msgstore.config.schema import Settings
from msgstore.model.address import MailboxId
from msgstore.model.errors import ConfigError
from msgstore.model.interfaces import MessageStore
from msgstore.store.directories import Place
from msgstore.store.disk import Disk
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.manysyncs import ManySyncs
from msgstore.store.memory import MemoryStore

if TYPE_CHECKING:
    from msgstore.store.sql.bodies import LargeBodies

__all__ = ["CLOCK", "SystemClock", "build_keys", "build_store", "host_name", "require_database"]

_LAYOUT_SECONDS: Final = 1.0


class SystemClock:
    """The machine's own time."""

    def time(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


CLOCK: Final = SystemClock()


def build_store(settings: Settings, directory: Directory) -> MessageStore:
    """Open the backend that the settings name."""
    if settings.store.backend == "memory":
        return MemoryStore(clock=CLOCK, keeps_removed=settings.retention.undelete_days > 0)
    if settings.store.backend != "maildir":
        return _build_sql(settings)
    return MaildirStore(
        settings.data_dir,
        layout_for=_Layouts(directory),
        disk=Disk(many=ManySyncs()),
        clock=CLOCK,
        line_endings=settings.store.line_endings,
        default_folders=settings.store.default_folders,
        keeps_removed=settings.retention.undelete_days > 0,
        hostname=host_name(settings),
    )


def _build_sql(settings: Settings) -> MessageStore:
    try:
        # Loaded by those alone who have it: it is an extra, and takes a while.
        from msgstore.store.sql.store import SqlStore  # noqa: PLC0415

        bodies = _build_bodies(settings)
    except ModuleNotFoundError as error:
        raise ConfigError(
            (f"store.backend: {settings.store.backend} needs a package that is not installed: {error.name}",)
        ) from error
    chosen = settings.store
    return SqlStore(
        _url(settings),
        data_dir=settings.data_dir,
        bodies=bodies,
        clock=CLOCK,
        default_folders=chosen.default_folders,
        keeps_removed=settings.retention.undelete_days > 0,
    )


def _build_bodies(settings: Settings) -> "LargeBodies":
    chosen = settings.store
    if not chosen.bodies.startswith("s3://"):
        from msgstore.store.sql.bodies import FileBodies  # noqa: PLC0415

        return FileBodies(Disk(), chosen.bodies or f"{settings.data_dir}/bodies")
    from msgstore.store.sql.objects import S3Bodies, S3Settings  # noqa: PLC0415

    bucket, _, prefix = chosen.bodies.removeprefix("s3://").partition("/")
    try:
        place = S3Settings(
            bucket=bucket,
            prefix=prefix.rstrip("/") or "msgstore",
            endpoint=chosen.s3_endpoint or None,
            region=chosen.s3_region or None,
        )
    except ValueError as error:
        raise ConfigError((f"store.bodies: {error}, found {chosen.bodies!r}",)) from error
    return S3Bodies(place, clock=CLOCK)


def _url(settings: Settings) -> str:
    if settings.store.backend == "postgresql":
        return settings.store.dsn
    return f"sqlite:///{settings.store.dsn or f'{settings.data_dir}/mail.sqlite'}"


def require_database(settings: Settings) -> None:
    """Look at the database before a daemon starts: where it is of no use, starting again does not help.

    Nothing of it stays open, so it may be called before a fork.

    Raises:
        ConfigError: it is none that this program can keep mail in, or its tables are of a newer version.
        StoreError: it cannot be asked now, and may be there when the first mail comes.
    """
    if settings.store.backend not in ("sqlite", "postgresql"):
        return
    try:
        from msgstore.store.sql.database import Database  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise ConfigError(
            (f"store.backend: {settings.store.backend} needs a package that is not installed: {error.name}",)
        ) from error
    database = Database(_url(settings))
    try:
        database.require_known()
    finally:
        database.close()


def build_keys(settings: Settings, directory: Directory) -> UserKeys:
    """Make what finds users' keys, beside their mail or in their domain's directory."""
    layouts = _Layouts(directory)

    def home_of(mailbox: MailboxId) -> Place | None:
        if settings.store.backend != "maildir":
            return None
        return layouts(mailbox.domain).mailbox_place(settings.data_dir, mailbox)

    return UserKeys(directory.domains, home_of)


class _Layouts:
    """Layouts of domains, looked up again after a second: a delivery must not stat three configuration files."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: dict[str, tuple[float, Layout]] = {}

    def __call__(self, domain: str) -> Layout:
        now = CLOCK.monotonic()
        known = self._known.get(domain)
        if known is not None and now - known[0] < _LAYOUT_SECONDS:
            return known[1]
        policy = self._directory.policy(domain)
        layout = Layout(
            base_path=policy.base_path, path_template=policy.path_template, maildir_subdir=policy.maildir_subdir
        )
        if known is not None and known[1] == layout:
            layout = known[1]
        self._known[domain] = (now, layout)
        return layout


def host_name(settings: Settings) -> str:
    """Name of this machine in greeting and trace; never asks the network."""
    return settings.lmtp.hostname or socket.gethostname() or os.uname().nodename
