"""Check passwords: the AuthProvider over directory and throttle.

An unknown user costs the same argon2id as a known one, and every failure looks alike; the caller answers failures at
one absolute deadline and bounds how many of these calls run at once.
"""

from typing import Protocol

from msgstore.auth.directory import Account, Directory
from msgstore.auth.throttle import Throttle
from msgstore.crypto.password import PasswordProfile, decoy_hash, hash_password, needs_rehash, verify_password
from msgstore.model.address import Address, fold_domain, fold_local_part, parse_address
from msgstore.model.envelope import ClientIdentity
from msgstore.model.errors import AuthFailed, DirectoryUnavailable, DomainNotHosted, InvalidAddress, UserNotFound
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
        key = username if address is None else _throttle_key(address)
        self._throttle.check(client.address, key)
        domain = "" if address is None or address.domain is None else address.domain.lower()
        try:
            user = self._checked(address, password)
        except (AuthFailed, DomainNotHosted) as error:
            self._throttle.failed(client.address, key)
            self._counter.count_auth(domain=domain, success=False)
            reason = error.reason if isinstance(error, AuthFailed) else "domain not hosted"
            log.info("auth.failed", user=username, client=client.address, why=reason)
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
        fits = verify_password(account.entry.stored_hash, password)
        if not fits:
            raise AuthFailed("wrong password")
        if not account.user.enabled:
            raise AuthFailed("the user is disabled")
        if needs_rehash(account.entry.stored_hash, self._profile):
            self._rehash(account, password)
        return account.user

    def _rehash(self, account: Account, password: bytearray) -> None:
        """Store a dearer hash; a login never fails because of it."""
        try:
            with self._directory.editing(account.user.mailbox.domain) as (file, directory):
                done = file.replace_hash(directory, account.entry, hash_password(password, self._profile))
        except DirectoryUnavailable as error:
            log.warning("auth.rehash_failed", user=account.user.username, why=str(error))
        else:
            log.info("auth.rehashed", user=account.user.username, done=done)


def _throttle_key(address: Address) -> str:
    """One key for all spellings of a user, or a guesser would get five tries for each."""
    try:
        domain = fold_domain(address.domain or "")
    except InvalidAddress:
        domain = address.domain or ""
    return f"{fold_local_part(address.local_part)}@{domain}"
