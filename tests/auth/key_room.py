"""A domain with users, mailboxes and keys on a real disk."""

from pathlib import Path

from msgstore.auth.directory import Account, Directory
from msgstore.auth.domains import Domains
from msgstore.auth.keychange import KeyChanges
from msgstore.auth.keys import UserKeys
from msgstore.config.loader import settings_from
from msgstore.crypto import PublicKey, SecretKey
from msgstore.crypto.keyring import OpenKeyring
from msgstore.crypto.password import hash_password
from msgstore.model.address import MailboxId, parse_address
from tests.clocks import HandClock
from tests.crypto.vectors import CHEAP, NOON

DOMAIN = "example.com"


class KeyRoom:
    def __init__(self, place: Path, **settings: object) -> None:
        self.place = place
        self.domain = place / DOMAIN
        for name in ("alice", "Bob"):
            (self.domain / "users" / name).mkdir(parents=True)
        stored = {name: hash_password(b"old", CHEAP) for name in ("alice", "Bob")}
        (self.domain / "passwd").write_text("".join(f"{name}:{stored[name]}:{name}\n" for name in stored))
        known = settings_from({"data_dir": str(place), **settings})
        self.clock = HandClock()
        self.directory = Directory(known, Domains(known), clock=self.clock.monotonic)
        self.keys = UserKeys(self.directory.domains, self.home_of, clock=self.clock.monotonic)
        self.changes = KeyChanges(self.directory, self.keys)

    def home_of(self, mailbox: MailboxId) -> tuple[str, tuple[str, ...]]:
        return str(self.place), (mailbox.domain, "users", mailbox.local_part)

    def account(self, name: str = "alice") -> Account:
        self.directory.forget()
        return self.directory.find(parse_address(f"{name}@{DOMAIN}"))

    def public(self, name: str = "alice") -> PublicKey | None:
        return self.keys.public_key(self.account(name).user)

    def home(self, name: str = "alice") -> Path:
        return self.domain / "users" / name

    def old_keys(self) -> Path:
        (self.domain / "keys").mkdir(exist_ok=True)
        return self.domain / "keys"


def keyring_under(key: SecretKey, password: bytes) -> bytes:
    with OpenKeyring.create(key, password, CHEAP, NOON) as opened:
        return opened.wrapped().content()
