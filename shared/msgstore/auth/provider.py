"""Check passwords: the AuthProvider over directory and throttle.

An unknown user costs the same argon2id as a known one, and every failure looks alike; the caller answers failures at
one absolute deadline and bounds how many of these calls run at once.
"""

from typing import Protocol

from msgstore.auth.directory import Account, Directory
from msgstore.auth.throttle import Throttle
from msgstore.crypto.password import (
    PasswordProfile,
    decoy_hash,
    hash_password,
    is_usable_hash,
    needs_rehash,
    verify_password,
)
from msgstore.model.address import Address, fold_domain, fold_local_part, parse_address
from msgstore.model.envelope import ClientIdentity
from msgstore.model.errors import (
    AuthFailed,
    DirectoryUnavailable,
    DomainNotHosted,
    InvalidAddress,
    RateLimited,
    UserNotFound,
)
from msgstore.model.user import User
from msgstore.telemetry.log import logger

__all__ = ["AuthCounter", "PasswordProvider"]

log = logger(__name__)


class AuthCounter(Protocol):
    """Where attempts are counted."""

    def count_auth(self, *, domain: str, success: bool) -> None:
        """Count one attempt for a domain."""
        ...


class PasswordProvider:
    """Authenticates against password files; safe in every thread."""

    def __init__(
        self, directory: Directory, throttle: Throttle, *, profile: PasswordProfile, counter: AuthCounter
    ) -> None:
        self._directory = directory
        self._throttle = throttle
        self._profile = profile
        self._counter = counter
        self._decoy = decoy_hash(profile)

    def authenticate(self, username: str, password: bytearray, client: ClientIdentity) -> User:
        """Check a password; see :class:`msgstore.model.interfaces.AuthProvider`."""
        try:
            address = parse_address(username)
        except InvalidAddress:
            address = None
        key, domain = self._folded(username, address)
        try:
            self._throttle.check(client.address, key)
        except RateLimited:
            self._counter.count_auth(domain=domain, success=False)
            raise
        try:
            user = self._checked(address, password)
        except (AuthFailed, DomainNotHosted):
            self._throttle.failed(client.address, key)
            self._counter.count_auth(domain=domain, success=False)
            # The log line is the caller's: it knows the service, and a failure is one line.
            raise
        self._throttle.succeeded(client.address, key)
        self._counter.count_auth(domain=user.mailbox.domain, success=True)
        return user

    def lookup(self, address: Address) -> User:
        """Find the user of an address; see :class:`msgstore.model.interfaces.AuthProvider`."""
        return self._directory.find(address).user

    def _checked(self, address: Address | None, password: bytearray) -> User:
        if address is None:
            verify_password(self._decoy, password)
            raise AuthFailed("the user name is no address")
        try:
            account = self._directory.find(address)
        except (UserNotFound, DomainNotHosted, InvalidAddress) as error:
            verify_password(self._decoy, password)
            if isinstance(error, DomainNotHosted):
                raise
            raise AuthFailed("no such user") from error
        stored = account.entry.stored_hash
        # A hash of another scheme must not be answered faster than one that can be checked.
        if not verify_password(stored if is_usable_hash(stored) else self._decoy, password):
            raise AuthFailed("wrong password")
        if not account.user.enabled:
            raise AuthFailed("the user is disabled")
        if needs_rehash(stored, self._profile):
            self._rehash(account, password)
        return account.user

    def _folded(self, username: str, address: Address | None) -> tuple[str, str]:
        """Give one key for all spellings of a user, or a guesser would get five tries for each; and the domain."""
        if address is None:
            return username, ""
        try:
            domain = self._directory.default_domain() if address.domain is None else fold_domain(address.domain)
        except (InvalidAddress, DirectoryUnavailable):
            domain = address.domain
        return f"{fold_local_part(self._directory.without_detail(address.local_part))}@{domain}", domain or ""

    def _rehash(self, account: Account, password: bytearray) -> None:
        """Store a dearer hash; a login never fails because of it."""
        try:
            with self._directory.editing(account.user.mailbox.domain) as (file, directory):
                done = file.replace_hash(directory, account.entry, hash_password(password, self._profile))
        except DirectoryUnavailable as error:
            log.warning("auth.rehash_failed", user=account.user.username, why=str(error))
        else:
            log.info("auth.rehashed", user=account.user.username, done=done)
