"""``msgstore doctor``: what keeps this host from taking and giving mail, and what to do about it."""

import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import rich_click as click

from msgstore.access.codes import AccessError
from msgstore.access.sync import AccessClient
from msgstore.admin.certificates import (
    LEAST_DAYS,
    CertificateUnusable,
    OwnCertificate,
    read_certificate,
    shown_certificate,
)
from msgstore.admin.console import EX_TEMPFAIL, Console, acting_for_owner_of, pass_console
from msgstore.admin.keycheck import examine_keys
from msgstore.admin.sending import broken_site_scripts, needs_of_site, needs_of_users, told
from msgstore.config.schema import ManageSieveSettings
from msgstore.crypto.password import is_usable_hash
from msgstore.delivery.outbound import SmtpOutbound
from msgstore.model.address import parse_address
from msgstore.model.errors import ConfigError, MsgstoreError, OutboundUnavailable
from msgstore.opening import host_name

__all__ = ["Finding", "commands", "examine"]

_LEAST_FREE_OCTETS: Final = 1 << 30
_LEAST_FREE_INODES: Final = 10_000
_SECONDS: Final = 5.0
_SHOWN: Final = 5
_BROKEN_KEYS: Final = frozenset(("symlinked-key", "unreadable-key", "unusable-key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    state: Literal["ok", "warning", "failed"]
    what: str
    text: str
    """What was found and, where it is not fine, what to do."""


@click.command()
@pass_console
def doctor(console: Console) -> None:
    """Look at everything a delivery and a login need; exit status 75 when something is broken."""
    findings = list(examine(console))
    rows = [{"state": finding.state, "what": finding.what, "text": finding.text} for finding in findings]
    console.table(rows, ("state", "what", "text"))
    if any(finding.state == "failed" for finding in findings):
        sys.exit(EX_TEMPFAIL)


def examine(console: Console) -> Iterator[Finding]:
    """Look at one thing after the other; never raises for what it finds."""
    try:
        settings = console.settings
    except ConfigError as error:
        for fault in error.faults:
            yield Finding(state="failed", what="configuration", text=fault)
        return
    yield Finding(state="ok", what="configuration", text="no faults")
    yield from _data_dir(console, Path(settings.data_dir))
    yield from _domains(console)
    for listen in settings.lmtp.listen:
        yield _lmtp(listen)
    yield _access(settings.access.listen.partition(":")[2])
    yield from _sending(console)
    for listen in settings.managesieve.listen:
        yield _managesieve(listen, settings.managesieve)


def _data_dir(console: Console, place: Path) -> Iterator[Finding]:
    try:
        status = place.stat()
    except OSError as error:
        text = f"{place}: {error.strerror}; make it, or run `msgstore setup`"
        yield Finding(state="failed", what="data directory", text=text)
        return
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"{place} is open to others: chmod 700 it"
        yield Finding(state="warning", what="data directory", text=text)
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        text = f"{place} belongs to uid {status.st_uid}, you are uid {os.geteuid()}: run this as the service user"
        yield Finding(state="failed", what="data directory", text=text)
        return
    yield _health(console)
    free, inodes = shutil.disk_usage(place).free, os.statvfs(place).f_favail
    enough = free > _LEAST_FREE_OCTETS and inodes > _LEAST_FREE_INODES
    text = f"{free >> 20} MiB and {inodes} inodes are free" + ("" if enough else "; deliveries will soon be deferred")
    yield Finding(state="ok" if enough else "warning", what="free space", text=text)


def _health(console: Console) -> Finding:
    try:
        with console.store() as store:
            store.check_health()
    except (MsgstoreError, OSError) as error:
        return Finding(state="failed", what="writing mail", text=str(error))
    return Finding(state="ok", what="writing mail", text="a file could be written, synced and removed")


def _domains(console: Console) -> Iterator[Finding]:
    try:
        names = console.directory.domains.names()
        if not names:
            text = "no domain is hosted; run `msgstore setup ADDRESS`"
            yield Finding(state="failed", what="domains", text=text)
        for name in names:
            yield _users(console, name)
            yield from _keys(console, name)
        if names and not console.settings.postmaster:
            text = 'mail for postmaster is refused; set postmaster = "ADDRESS" (RFC 5321 §4.5.1)'
            yield Finding(state="warning", what="postmaster", text=text)
        elif names:
            console.directory.find(parse_address(console.settings.postmaster))
            yield Finding(state="ok", what="postmaster", text=console.settings.postmaster)
    except MsgstoreError as error:
        yield Finding(state="failed", what="domains", text=str(error))


def _users(console: Console, name: str) -> Finding:
    try:
        return _users_found(console, name)
    except MsgstoreError as error:
        # One domain in trouble must not hide the others.
        return Finding(state="failed", what=name, text=str(error))


def _users_found(console: Console, name: str) -> Finding:
    if not (Path(console.directory.domains.root) / name).is_dir():
        return Finding(state="warning", what=name, text="has no directory and so no users yet")
    with console.directory.editing(name) as (file, directory):
        file.refresh(directory)
        entries = file.entries()
    console.directory.policy(name)
    bad = [entry.user for entry in entries if entry.enabled and not is_usable_hash(entry.stored_hash)]
    if bad:
        text = f"{', '.join(bad[:5])}: the stored password is not argon2id; set a new one with `msgstore user passwd`"
        return Finding(state="warning", what=name, text=text)
    return Finding(state="ok", what=name, text=f"{len(entries)} users")


def _keys(console: Console, name: str) -> Iterator[Finding]:
    """Look at the keys of a domain's users as the daemons will, who are not root."""
    faults: list[tuple[str, str]] = []
    try:
        with acting_for_owner_of(Path(console.settings.data_dir)):
            for user in console.directory.users(name):
                faults += [(one.kind, f"{user.mailbox}: {one.text}") for one in examine_keys(console.keys, user)]
    except (MsgstoreError, OSError) as error:
        yield Finding(state="failed", what=f"{name} keys", text=str(error))
        return
    broken = [text for kind, text in faults if kind in _BROKEN_KEYS]
    if broken:
        yield Finding(state="failed", what=f"{name} keys", text=_shortened(broken))
    if len(broken) < len(faults):
        half = [text for kind, text in faults if kind not in _BROKEN_KEYS]
        yield Finding(state="warning", what=f"{name} keys", text=_shortened(half))


def _shortened(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def _lmtp(listen: str) -> Finding:
    scheme, _, place = listen.partition(":")
    host, _, port = place.rpartition(":")
    try:
        if scheme == "unix":
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(_SECONDS)
            connection.connect(place)
        else:
            connection = socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS)
        with connection:
            greeting = connection.recv(512).decode("ascii", "replace").strip()
    except OSError as error:
        text = f"{listen}: {error.strerror or error}; is lmtpd running?"
        return Finding(state="failed", what="lmtpd", text=text)
    state: Literal["ok", "failed"] = "ok" if greeting.startswith("220") else "failed"
    return Finding(state=state, what="lmtpd", text=f"{listen}: {greeting or 'no greeting'}")


def _access(path: str) -> Finding:
    try:
        with AccessClient.connect(path, client="msgstore doctor", timeout_seconds=_SECONDS) as client:
            hello = client.hello("msgstore doctor")
    except (OSError, AccessError) as error:
        text = f"{path}: {error}; is accessd running, and has your user a role in [access.roles]?"
        return Finding(state="failed", what="accessd", text=text)
    return Finding(state="ok", what="accessd", text=f"{path}: {hello.server}, roles {', '.join(hello.roles)}")


def _sending(console: Console) -> Iterator[Finding]:
    """Look at what is sent on, and at the server that does it."""
    outbound = console.settings.outbound
    try:
        for fault in broken_site_scripts(console):
            yield Finding(state="warning", what="site scripts", text=fault)
        if not outbound.target:
            with console.store() as store:
                needs = [*needs_of_site(console), *needs_of_users(console, store)]
            yield _without_outbound(needs)
            return
    except (MsgstoreError, OSError) as error:
        yield Finding(state="failed", what="scripts and forwards", text=str(error))
    if outbound.target:
        hostname = outbound.hostname or host_name(console.settings)
        try:
            said = SmtpOutbound(outbound.target, hostname=hostname, timeout_seconds=_SECONDS).probe()
        except OutboundUnavailable as error:
            text = f"{outbound.target}: {error}; what is to be sent on waits at its sender"
            yield Finding(state="failed", what="outbound", text=text)
            return
        yield Finding(state="ok", what="outbound", text=f"{outbound.target}: {said}")


def _without_outbound(needs: Sequence[str]) -> Finding:
    if not needs:
        return Finding(state="ok", what="outbound", text="outbound.target is not set, and nothing needs it")
    text = f"outbound.target is not set, and is needed by {told(needs)}"
    return Finding(state="warning", what="outbound", text=text)


def _managesieve(listen: str, settings: ManageSieveSettings) -> Finding:
    """Look at the certificate in its file, and at the server."""
    own: OwnCertificate | None = None
    try:
        if settings.tls_cert:
            own = read_certificate(settings.tls_cert, settings.tls_key)
        greeting, shown = shown_certificate(listen, seconds=_SECONDS)
    except CertificateUnusable as error:
        return Finding(state="failed", what="managesieve", text=str(error))
    except OSError as error:
        text = f"{listen}: {error.strerror or error}; is accessd running?"
        return Finding(state="failed", what="managesieve", text=text)
    if own is None:
        return Finding(state="ok", what="managesieve", text=f"{listen}: {greeting}")
    if shown != own.der:
        text = f"{listen}: shows another certificate than that in {settings.tls_cert}: reload accessd"
        return Finding(state="warning", what="managesieve", text=text)
    text = f"{listen}: {greeting}, certificate for {own.days_left} more days"
    return Finding(state="ok" if own.days_left >= LEAST_DAYS else "warning", what="managesieve", text=text)


commands: Final = (doctor,)
