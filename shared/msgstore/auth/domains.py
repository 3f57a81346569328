"""Which domains are hosted and what is set for each.

Settings are merged as the older suite merges them: built-in and ``[store]`` defaults, ``config.toml`` and
``domains.toml`` of the configuration tree, the domain's own ``config.toml``, and above all ``[domains."…"]`` of our
settings.  Every file is read again when it changes; a broken one makes the domain unavailable, not unknown.
"""

import dataclasses
import os
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from msgstore.auth.files import FileStamp, open_directory, read_small, stamp_of
from msgstore.auth.forwards import ForwardTables, split_targets
from msgstore.config.schema import Settings
from msgstore.model.address import MailboxId, fold_domain, fold_local_part, parse_address
from msgstore.model.errors import DirectoryUnavailable, InvalidAddress
from msgstore.model.user import EncryptionPolicy

__all__ = ["DomainPolicy", "Domains", "is_domain_name"]

_CONFIG: Final = "config.toml"
_LIST_SECONDS: Final = 5.0
"""How long the list of hosted domains is good for; a single domain is looked at each time."""

Table = Mapping[str, object]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainPolicy:
    """What is set for one hosted domain, defaults included."""

    name: str
    base_path: str
    path_template: str
    maildir_subdir: str
    max_message_octets: int
    defer_rejection: bool
    """Whether unknown users are refused only after DATA (``recipient_rejection = "data"``)."""

    forwards: ForwardTables

    encryption: EncryptionPolicy
    """Whether mail for users of the domain is sealed."""

    gives_keys: bool
    """Whether a new user gets a key: mail must be sealed, or ``encryption_mode = "on"`` in the domain's file."""


class Domains:
    """Finds hosted domains; safe in every thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.root: Final = settings.domains_dir or settings.data_dir
        self._guard = threading.Lock()
        self._policies: dict[str, tuple[tuple[FileStamp | None, ...], DomainPolicy]] = {}
        self._listed: tuple[float, tuple[str, ...]] = (float("-inf"), ())

    def is_hosted(self, domain: str) -> bool:
        """Whether a folded domain name is ours.

        Raises:
            DirectoryUnavailable: the configuration tree cannot be looked at.
        """
        if domain in self._settings.domains:
            return True
        if not is_domain_name(domain):
            return False
        try:
            descriptor = open_directory(self.root, MailboxId("x", domain).domain)
        except (FileNotFoundError, NotADirectoryError, InvalidAddress):
            return False
        except OSError as error:
            raise DirectoryUnavailable(f"domain {domain}: {error.strerror}") from error
        os.close(descriptor)
        return True

    def names(self) -> tuple[str, ...]:
        """Give all hosted domains, sorted; a directory made in the last seconds may be missing."""
        now = time.monotonic()
        since, names = self._listed
        if now - since < _LIST_SECONDS:
            return names
        found = set(self._settings.domains)
        try:
            with os.scandir(self.root) as entries:
                found |= {entry.name for entry in entries if _names_domain(entry)}
        except FileNotFoundError:
            pass
        except OSError as error:
            raise DirectoryUnavailable(f"{self.root}: {error.strerror}") from error
        self._listed = (now, tuple(sorted(found)))
        return self._listed[1]

    def forget(self) -> None:
        """Look at the disk again at the next question."""
        self._listed = (float("-inf"), ())

    def policy(self, domain: str) -> DomainPolicy:
        """Give what is set for a hosted domain.

        Raises:
            DirectoryUnavailable: one of its files cannot be read or is not TOML.
        """
        try:
            stamps = self._stamps(domain)
            with self._guard:
                known = self._policies.get(domain)
            if known is not None and known[0] == stamps:
                return known[1]
            policy = self._read(domain)
        except (OSError, ValueError) as error:
            raise DirectoryUnavailable(f"configuration of {domain}: {error}") from error
        if all(stamp is None or stamp.is_settled for stamp in stamps):
            with self._guard:
                self._policies[domain] = (stamps, policy)
        return policy

    def _stamps(self, domain: str) -> tuple[FileStamp | None, ...]:
        return (
            self._at((), lambda directory: stamp_of(directory, _CONFIG)),
            self._at((), lambda directory: stamp_of(directory, "domains.toml")),
            self._at((domain,), lambda directory: stamp_of(directory, _CONFIG)),
        )

    def _read(self, domain: str) -> DomainPolicy:
        merged = system = self._table((), _CONFIG)
        section = self._table((), "domains.toml").get(domain)
        above = [cast("Table", one) for one in (section, self._table((domain,), _CONFIG)) if isinstance(one, dict)]
        for one in above:
            merged = _merged(merged, one)
        store, own = self._settings.store, self._settings.domains.get(domain)
        encryption = (own.encryption if own is not None else None) or self._settings.encryption.policy
        # An empty text is an answer as well: it takes back what a file below it says.
        policy = DomainPolicy(
            name=domain,
            base_path=_text(merged, "msgstore", "base_path", default=store.base_path),
            path_template=_text(merged, "msgstore", "options", "path_template", default=store.path_template),
            maildir_subdir=_text(merged, "msgstore", "options", "maildir_subdir", default=store.maildir_subdir),
            max_message_octets=_number(merged, "max_message_size") or self._settings.lmtp.max_message_octets,
            defer_rejection=_choice(merged, "recipient_rejection", ("rcpt", "data")) == "data",
            forwards=_forwards(system, above),
            encryption=encryption,
            gives_keys=encryption == "required" or _choice(merged, "encryption_mode", ("off", "on")) == "on",
        )
        if own is None:
            return policy
        return dataclasses.replace(
            policy,
            path_template=own.path_template or policy.path_template,
            maildir_subdir=policy.maildir_subdir if own.maildir_subdir is None else own.maildir_subdir,
            max_message_octets=own.max_message_octets or policy.max_message_octets,
        )

    def _table(self, names: tuple[str, ...], file: str) -> Table:
        found = self._at(names, lambda directory: read_small(directory, file))
        try:
            return {} if found is None else tomllib.loads(found[0].decode("utf-8"))
        except ValueError as error:
            raise ValueError(f"{'/'.join((self.root, *names, file))}: {error}") from error

    def _at(self, names: tuple[str, ...], look: Callable[[int], _T | None]) -> _T | None:
        try:
            descriptor = open_directory(self.root, *names)
        except FileNotFoundError:
            return None
        try:
            return look(descriptor)
        finally:
            os.close(descriptor)


def is_domain_name(name: str) -> bool:
    """Whether a directory of this name can be a domain: it stands behind an at sign and is folded already.

    ``lost+found``, which every file system has at its root, is none.
    """
    try:
        written = parse_address(f"x@{name}").domain or ""
        return MailboxId("x", fold_domain(written)).domain == name
    except InvalidAddress:
        return False


def _names_domain(entry: "os.DirEntry[str]") -> bool:
    return is_domain_name(entry.name) and entry.is_dir(follow_symlinks=False)


def _merged(below: Table, above: Table) -> dict[str, object]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = _merged(cast("Table", old), cast("Table", value)) if both else value
    return result


def _forwards(system: Table, above: list[Table]) -> ForwardTables:
    """Tell the forwards of the domain from those for all: the domain's come first, an empty table ends the others."""
    admin: dict[str, tuple[str, ...]] = {}
    is_ended = False
    for table in above:
        if "forwards" in table:
            own = _forward_table(table)
            is_ended = not own
            admin.update(own)
    return ForwardTables(admin=admin, default={} if is_ended else _forward_table(system))


def _forward_table(table: Table) -> dict[str, tuple[str, ...]]:
    found = table.get("forwards", {})
    if not isinstance(found, dict):
        raise ValueError("forwards: is not a table")  # noqa: TRY004 (all faults of a file are alike)
    result: dict[str, tuple[str, ...]] = {}
    for name, value in cast("dict[str, object]", found).items():
        texts = cast("list[object]", value) if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"forwards.{name}: must be text or a list of texts, found {value!r}")
        result[fold_local_part(name)] = split_targets(",".join(str(text) for text in texts))
    return result


def _text(table: Table, *keys: str, default: str) -> str:
    found: object = table
    for key in keys:
        if not isinstance(found, dict):
            raise ValueError(f"{'.'.join(keys)}: is not in a table")  # noqa: TRY004 (all faults of a file are alike)
        found = cast("Table", found).get(key, {} if key != keys[-1] else None)
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{'.'.join(keys)}: must be text, found {found!r}")
    return default if found is None else found


def _choice(table: Table, key: str, known: tuple[str, ...]) -> str:
    found = _text(table, key, default=known[0])
    if found not in known:
        raise ValueError(f"{key}: must be one of {', '.join(known)}, found {found!r}")
    return found


def _number(table: Table, key: str) -> int:
    found = table.get(key, 0)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError(f"{key}: must be a number of octets, found {found!r}")
    return found
