"""Users' keys as daemons give them out: by address, as the file they are kept in, opened, under a new password."""

from dataclasses import dataclass

from msgstore.auth.directory import Account, Directory
from msgstore.auth.keychange import KeyChanges, open_keys
from msgstore.auth.keys import UserKeys, WrappedKey
from msgstore.crypto import OpenKeys, PublicKey
from msgstore.crypto.keyfile import wrap_again
from msgstore.crypto.password import PasswordProfile, hash_password
from msgstore.crypto.sodium import Buffer
from msgstore.model.address import Address
from msgstore.model.errors import AuthError, DirectoryUnavailable, DomainNotHosted, KeyNotFound, UserNotFound
from msgstore.model.user import User
from msgstore.telemetry.log import logger

__all__ = ["KeyAccess", "KeyStanding", "rewrap"]

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """Whether there is a key, and what follows from it."""

    public: PublicKey | None
    """None is no key, known for sure."""

    is_sealed_for: bool
    """Whether mail for the user is to be sealed: there is a key, and the policy is not ``off``."""


class KeyAccess:
    """Gives users' keys out; safe in every thread."""

    def __init__(self, directory: Directory, keys: UserKeys, *, profile: PasswordProfile) -> None:
        self._directory = directory
        self._keys = keys
        self._changes = KeyChanges(directory, keys)
        self._profile = profile

    def standing(self, user: User) -> KeyStanding:
        """Say how a user stands.

        Raises:
            KeyUnreadable, KeyMalformed: there is a key, or may be, and it cannot be read.
            DirectoryUnavailable: the policy of the domain cannot be read.
        """
        public = self._keys.public_key(user)
        if public is None:
            return KeyStanding(None, is_sealed_for=False)
        return KeyStanding(public, is_sealed_for=self._directory.encryption_of(user) != "off")

    def find(self, address: Address) -> PublicKey | None:
        """Give the key of the user of an address; None where there is no such user, or the user has none.

        Raises:
            KeyUnreadable, KeyMalformed: as for :meth:`standing`.
            DirectoryUnavailable: nobody can tell who that is.
            InvalidAddress: the domain is none.
        """
        try:
            user = self._directory.find(address).user
        except (UserNotFound, DomainNotHosted):
            return None
        return self._keys.public_key(user)

    def wrapped(self, user: User) -> WrappedKey:
        """Give the file with a user's private keys; see :meth:`UserKeys.wrapped`."""
        return self._keys.wrapped(user)

    def opened(self, user: User, password: Buffer) -> OpenKeys:
        """Open a user's keys, for whoever wipes them; a change of password that was cut short is ended first.

        Raises:
            KeyNotFound, KeyUnreadable, KeyUnusable, DirectoryUnavailable: as the names say.
        """
        return open_keys(self._changes.settle(self._account(user), password), password)

    def settle(self, user: User, password: Buffer) -> None:
        """End a change of password that was cut short, now that somebody has come with a valid one.

        Trouble is logged and stays: the keys open with one of their two files as before.
        """
        try:
            self._changes.settle(self._account(user), password)
        except KeyNotFound:
            return
        except AuthError as error:
            log.warning("auth.keys_not_settled", user=user.username, error=type(error).__name__, why=str(error))

    def change_password(self, user: User, *, old: bytearray, new: bytearray) -> None:
        """Change a password, which is known to be ``old``, and the keys under it together.

        Raises:
            ValueError: the new one is empty or over 1024 octets.
            WrongPassword: the keys do not open with the old one.
            KeyUnreadable, KeyUnusable: the keys cannot be wrapped anew; the password is the old one.
            DirectoryUnavailable: a file cannot be written, or somebody else changed it meanwhile.
        """
        account = self._account(user)
        try:
            wrapped = self._changes.settle(account, old)
        except KeyNotFound:
            stored = hash_password(new, self._profile)
            with self._directory.editing(user.mailbox.domain) as (file, domain):
                done = file.replace_hash(domain, account.entry, stored)
            self._directory.forget()
        else:
            done = rewrap(self._changes, account, wrapped, old=old, new=new, profile=self._profile)
        if not done:
            raise DirectoryUnavailable(f"the password or the keys of {user.username} were changed meanwhile")

    def _account(self, user: User) -> Account:
        local_part, _, domain = user.username.rpartition("@")
        return self._directory.find(Address(local_part=local_part, domain=domain))


def rewrap(
    changes: KeyChanges,
    account: Account,
    wrapped: WrappedKey,
    *,
    old: bytearray,
    new: bytearray,
    profile: PasswordProfile,
) -> bool:
    """Change a hash and the keys under it together; False where somebody else changed one of them meanwhile.

    Raises:
        ValueError: the new password is empty or over 1024 octets.
        WrongPassword: the old one does not open the keys.
        KeyUnreadable, KeyUnusable, DirectoryUnavailable: as the names say.
    """
    stored = hash_password(new, profile)
    with open_keys(wrapped, old) as opened:
        content = wrap_again(opened, new, profile)
    return changes.change_password(account, stored, old=wrapped, content=content)
