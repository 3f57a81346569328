"""Read TOML into settings and report every fault at once, each with its key path and the nearest known key.

The main file and ``conf.d/*.toml`` beside it, in name order, are merged table by table; later files win.  msgspec
checks each value; it stops at its first error, so every leaf is converted by itself.
"""

import dataclasses
import difflib
import ipaddress
import math
import os
import re
import string
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from msgstore.config.schema import DomainSettings, Settings
from msgstore.config.storing import StoreSettings
from msgstore.model.address import MailboxId, fold_domain, parse_address
from msgstore.model.errors import ConfigError, InvalidAddress

__all__ = ["DEFAULT_PATH", "find_config", "json_schema", "load_settings", "plain", "settings_from", "to_toml"]

DEFAULT_PATH: Final = Path("/etc/msgstore/msgstore.toml")
"""Read when neither ``--config`` nor ``$MSGSTORE_CONFIG`` names another file."""

_UNIX_PATH_LIMIT_OCTETS: Final = 107
"""sockaddr_un holds 108 octets, the last one NUL. unix(7)."""

_ANNOTATION: Final = re.compile(r"/shared(?:/[^/*%\x00-\x1f\x7f-\U0010ffff]+)+", re.IGNORECASE)
"""RFC 5464 §3.2; those below /private are the user's own, and no setting of all users."""

Table = Mapping[str, object]
_T = TypeVar("_T")


def find_config(path: Path | None) -> Path:
    """Say which file holds the settings: ``path``, else ``$MSGSTORE_CONFIG``, else :data:`DEFAULT_PATH`."""
    if path is not None:
        return path
    return Path(os.environ.get("MSGSTORE_CONFIG") or DEFAULT_PATH)


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings of this machine.

    Raises:
        ConfigError: a file cannot be read or parsed, or holds faults; all of them are named.
    """
    main = find_config(path)
    faults: list[str] = []
    merged: dict[str, object] = {}
    for file in (main, *_further_files(main.parent / "conf.d", faults)):
        try:
            merged = _merged(merged, tomllib.loads(file.read_text("utf-8")))
        except OSError as error:
            faults.append(f"{file}: cannot be read: {error.strerror}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            faults.append(f"{file}: is not TOML: {error}")
    if faults:
        raise ConfigError(tuple(faults))
    return settings_from(merged)


def _further_files(directory: Path, faults: list[str]) -> list[Path]:
    """List ``*.toml`` in name order, without hidden files, which editors leave behind."""
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 (glob takes what it may not read for empty)
    except FileNotFoundError:
        return []
    except OSError as error:
        faults.append(f"{directory}: cannot be read: {error.strerror}")
        return []
    return [directory / name for name in names if name.endswith(".toml") and not name.startswith(".")]


def settings_from(table: Table) -> Settings:
    """Check a table of plain values.

    Raises:
        ConfigError: with one line per fault.
    """
    faults: list[str] = []
    settings = _build(Settings, table, "", faults)
    # A field with a fault has its default by now, so nothing is named twice.
    faults.extend(_contradictions(settings))
    if faults:
        raise ConfigError(tuple(faults))
    return settings


def json_schema() -> dict[str, object]:
    """Give the JSON schema of the file."""
    return cast("dict[str, object]", msgspec.json.schema(Settings))


def plain(settings: Settings) -> dict[str, object]:
    """Give the settings as tables of plain values, defaults included."""
    return cast("dict[str, object]", msgspec.to_builtins(settings))


def to_toml(settings: Settings) -> str:
    """Write the settings as TOML that :func:`load_settings` reads back to the same."""
    return "\n".join(_toml_lines(plain(settings), ())) + "\n"


def _merged(below: Table, above: Table) -> dict[str, object]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = _merged(cast("Table", old), cast("Table", value)) if both else value
    return result


def _build(kind: Callable[..., _T], table: object, path: str, faults: list[str]) -> _T:
    """Build one settings class from a table; faults are appended and the field keeps its default."""
    hints = get_type_hints(kind)
    if not isinstance(table, dict):
        faults.append(f"{path.rstrip('.')}: must be a table, not {table!r}")
        return kind()
    values: dict[str, object] = {}
    for key, value in cast("dict[str, object]", table).items():
        if key not in hints:
            faults.append(_unknown(f"{path}{key}", key, hints))
        elif dataclasses.is_dataclass(hints[key]):
            values[key] = _build(cast("Callable[..., object]", hints[key]), value, f"{path}{key}.", faults)
        elif get_args(hints[key])[1:] == (DomainSettings,):
            values[key] = _domains(value, f"{path}{key}.", faults)
        else:
            found = _leaf(hints[key], value, path + key, faults)
            if found is not None:
                values[key] = found
    return kind(**values)


def _domains(table: object, path: str, faults: list[str]) -> dict[str, DomainSettings]:
    if not isinstance(table, dict):
        faults.append(f"{path.rstrip('.')}: must be a table, not {table!r}")
        return {}
    result: dict[str, DomainSettings] = {}
    for name, value in cast("dict[str, object]", table).items():
        where = f'{path}"{name}"'
        settings = _build(DomainSettings, value, f"{where}.", faults)
        folded = _folded_domain(name)
        if folded is None:
            faults.append(f"{where}: is not a domain name")
        elif folded in result:
            faults.append(f"{where}: is the same domain as another one, {folded}")
        else:
            result[folded] = settings
    return result


def _folded_domain(name: str) -> str | None:
    """Give the form under which a domain is hosted, None for what is no domain name."""
    try:
        return MailboxId("x", fold_domain(parse_address(f"x@{name}").domain or "")).domain
    except InvalidAddress:
        return None


def _leaf(kind: Any, value: object, path: str, faults: list[str]) -> object:
    """Convert one value, None after a fault; ``kind`` is what ``get_type_hints`` gave, which has no narrower type."""
    try:
        return cast("object", msgspec.convert(value, kind))
    except msgspec.ValidationError as error:
        known = _choices(kind)
        hint = f"; known are {', '.join(known)}" if known else ""
        where, what = _within(str(error), path)
        faults.append(f"{where}: {what}, found {value!r}{hint}")
        return None


def _within(error: str, path: str) -> tuple[str, str]:
    """Put the place inside of a value, which msgspec names behind its sentence, into the key path."""
    what, found, inner = error.partition(" - at `$")
    return (path + inner.rstrip("`"), what) if found else (path, error)


def _choices(kind: Any) -> tuple[str, ...]:
    found = get_args(kind)
    return tuple(found) if found and all(isinstance(choice, str) for choice in found) and get_origin(kind) else ()


def _unknown(path: str, key: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"{path}: unknown key" + (f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}")


def _contradictions(settings: Settings) -> Iterator[str]:
    """Find what types cannot say."""
    yield from _bad_paths(settings)
    yield from _bad_names(settings)
    if not settings.lmtp.listen:
        yield "lmtp.listen: must name at least one address"
    for section, listen in (("lmtp", settings.lmtp.listen), ("managesieve", settings.managesieve.listen)):
        for index, address in enumerate(listen):
            yield from _bad_address(f"{section}.listen[{index}]", address)
    yield from _bad_address("access.listen", settings.access.listen, tcp=False)
    for name, address in (("lmtpd", settings.metrics.lmtpd), ("accessd", settings.metrics.accessd)):
        if address:
            yield from _bad_address(f"metrics.{name}", address, loopback=True)
    for index, percent in enumerate(settings.quota.warn_percent):
        if not 1 <= percent <= 100:
            yield f"quota.warn_percent[{index}]: must be from 1 to 100, found {percent}"
    yield from _bad_outbound(settings)
    yield from _bad_sieve(settings)
    for section in ("lmtp", "access", "managesieve", "auth", "quota", "outbound", "sieve"):
        yield from _bad_numbers(section, getattr(settings, section))
    yield from _bad_modes(settings)
    for index, network in enumerate(settings.lmtp.trusted_networks):
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield f"lmtp.trusted_networks[{index}]: {error}"
    yield from _bad_template("store.path_template", settings.store.path_template)
    yield from _bad_store(settings.store)
    yield from _bad_domains(settings)


def _bad_modes(settings: Settings) -> Iterator[str]:
    for section in ("lmtp", "access", "managesieve"):
        mode = cast("str", getattr(settings, section).socket_mode)
        if not re.fullmatch(r"0?[0-7]{3}", mode):
            yield f'{section}.socket_mode: must be an octal mode such as "0660", found {mode!r}'


def _bad_domains(settings: Settings) -> Iterator[str]:
    for name, domain in settings.domains.items():
        yield from _bad_numbers(f'domains."{name}"', domain)
        if domain.maildir_subdir is not None:
            yield from _bad_parts(f'domains."{name}".maildir_subdir', domain.maildir_subdir)
        if domain.path_template is not None:
            yield from _bad_template(f'domains."{name}".path_template', domain.path_template)


def _bad_outbound(settings: Settings) -> Iterator[str]:
    outbound = settings.outbound
    if outbound.target:
        yield from _bad_address("outbound.target", outbound.target)
    if outbound.srs_domain and _folded_domain(outbound.srs_domain) is None:
        yield f"outbound.srs_domain: is not a domain name, found {outbound.srs_domain!r}"
    if outbound.srs_secret_file and not Path(outbound.srs_secret_file).is_absolute():
        yield f"outbound.srs_secret_file: must be an absolute path, found {outbound.srs_secret_file!r}"
    if outbound.srs == "on" and not (outbound.srs_domain and outbound.srs_secret_file):
        yield "outbound.srs: needs srs_domain and srs_secret_file"


def _bad_sieve(settings: Settings) -> Iterator[str]:
    sieve = settings.sieve
    paths = {"default": (sieve.default,), "before": sieve.before, "after": sieve.after, "lists": sieve.lists.values()}
    for key, found in (*paths.items(), ("global_dir", (sieve.global_dir,))):
        for path in filter(None, found):
            if not Path(path).is_absolute():
                yield f"sieve.{key}: must be an absolute path, found {path!r}"
    if "/" in sieve.domain_script or sieve.domain_script in (".", ".."):
        yield f"sieve.domain_script: must be the name of a file, found {sieve.domain_script!r}"
    names = [name.lower() for name in sieve.server_metadata]
    for name in sieve.server_metadata:
        if not _ANNOTATION.fullmatch(name) or names.count(name.lower()) > 1:
            yield f"sieve.server_metadata: must be names below /shared/, each once in any case, found {name!r}"
    if sieve.vacation_days_min > sieve.vacation_days_max:
        yield "sieve.vacation_days_min: must not be above vacation_days_max"


def _bad_paths(settings: Settings) -> Iterator[str]:
    if not Path(settings.data_dir).is_absolute():
        yield f"data_dir: must be an absolute path, found {settings.data_dir!r}"
    if settings.domains_dir and not Path(settings.domains_dir).is_absolute():
        yield f"domains_dir: must be an absolute path or empty, found {settings.domains_dir!r}"
    yield from _bad_parts("store.base_path", settings.store.base_path)
    yield from _bad_parts("store.maildir_subdir", settings.store.maildir_subdir)


def _bad_store(store: StoreSettings) -> Iterator[str]:
    if store.backend == "postgresql" and not store.dsn.startswith(("postgresql://", "postgres://")):
        yield f"store.dsn: must be postgresql://..., found {store.dsn!r}"
    if store.backend == "sqlite" and store.dsn and not Path(store.dsn).is_absolute():
        yield f"store.dsn: must be an absolute path, found {store.dsn!r}"
    if store.bodies and not Path(store.bodies).is_absolute() and not store.bodies.startswith("s3://"):
        yield f"store.bodies: must be an absolute path or s3://BUCKET/PREFIX, found {store.bodies!r}"


def _bad_parts(key: str, path: str) -> Iterator[str]:
    if any(part in (".", "..") for part in path.split("/")) or re.search(r"[\x00-\x1f\x7f]", path):
        yield f"{key}: must hold no . or .. and no control character, found {path!r}"


def _bad_names(settings: Settings) -> Iterator[str]:
    if settings.default_domain and _folded_domain(settings.default_domain) is None:
        yield f"default_domain: is not a domain name, found {settings.default_domain!r}"
    if settings.postmaster:
        try:
            MailboxId.parse(settings.postmaster)
        except InvalidAddress:
            yield f"postmaster: must be an address with a domain, found {settings.postmaster!r}"


def _bad_numbers(section: str, values: object) -> Iterator[str]:
    zero_allowed = {"workers", "password_threads", "octets", "messages", "quota_octets", "quota_messages", "trace_days"}
    for field in dataclasses.fields(cast("Any", values)):
        value: object = getattr(values, field.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not math.isfinite(value):
            yield f"{section}.{field.name}: must be a number, found {value}"
        elif value < 0 or (value == 0 and field.name not in zero_allowed and field.name != "failure_seconds"):
            yield f"{section}.{field.name}: must be above 0, found {value}"


def _bad_address(key: str, address: str, *, tcp: bool = True, loopback: bool = False) -> Iterator[str]:
    scheme, found, rest = address.partition(":")
    if found and scheme == "unix":
        if not rest.startswith("/") or len(os.fsencode(rest)) > _UNIX_PATH_LIMIT_OCTETS:
            yield f"{key}: must be an absolute path of at most {_UNIX_PATH_LIMIT_OCTETS} octets, found {address!r}"
        return
    host, found, port = rest.rpartition(":")
    if not (tcp and scheme == "tcp" and found and port.isdigit() and 0 <= int(port) <= 65535):
        forms = "unix:PATH or tcp:ADDRESS:PORT" if tcp else "unix:PATH"
        yield f"{key}: must be {forms}, found {address!r}"
        return
    try:
        literal = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        yield f"{key}: needs an IP address before the port, found {address!r}"
        return
    if loopback and not literal.is_loopback:
        yield f"{key}: must be a Unix socket or a loopback address, found {address!r}"


def _bad_template(key: str, template: str) -> Iterator[str]:
    yield from _bad_parts(key, template)
    if not template:
        # As in existing installations: none means the local-part.
        return
    known = {"localpart", "domain", "email"}
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        yield f"{key}: {error}"
        return
    for name in sorted(names - known):
        yield f"{key}: unknown variable {{{name}}}; known are {{localpart}}, {{domain}}, {{email}}"
    if not names & {"localpart", "email"}:
        yield f"{key}: needs {{localpart}} or {{email}}, or all users would share one mailbox"


def _toml_lines(table: Table, path: tuple[str, ...]) -> Iterator[str]:
    inner = {key: cast("Table", value) for key, value in table.items() if isinstance(value, dict)}
    if path:
        yield f"[{'.'.join(_toml_key(part) for part in path)}]"
    for key, value in table.items():
        if key not in inner and value is not None:
            yield f"{_toml_key(key)} = {_toml_value(value)}"
    for key, value in inner.items():
        yield ""
        yield from _toml_lines(value, (*path, key))


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def _toml_value(value: object) -> str:
    # JSON spells strings, numbers, booleans and arrays of them as TOML does.
    return msgspec.json.encode(value).decode()
