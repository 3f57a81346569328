"""Changing users' keys: durable, in an order in which a cut at any point loses no mail.

A private key is durable before the public one that mail is sealed to.  A keyring that is replaced holds all that the
old one held.  With a new password first ``….key.next`` is written, then the hash, then the one is put in the place of
``….key``: whichever of the two passwords is valid after a cut, one of the two files opens with it.

Everything happens under the lock that the older suite's tools take, and only if nobody changed the files meanwhile.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

from msgstore.auth.directory import Account, Directory
from msgstore.auth.files import locked, move_file, open_made_directory, read_small, remove_file, replace_file
from msgstore.auth.keys import KEYS_NAME, NEXT, Spot, UserKeys, WrappedKey
from msgstore.auth.passwd import PasswdFile
from msgstore.crypto.keyfile import OpenKeys, open_key_file
from msgstore.crypto.secret import PublicKey
from msgstore.crypto.sodium import Buffer
from msgstore.model.errors import KeyNotFound, KeyUnreadable
from msgstore.model.keys import WrongPassword

__all__ = ["KeyChanges", "open_keys"]

_PUBLIC_MODE: Final = 0o640
_PRIVATE_MODE: Final = 0o600
_KEYS_MODE: Final = 0o750


def open_keys(wrapped: WrappedKey, password: Buffer) -> OpenKeys:
    """Open a user's keys with a password, also where a change of it was cut short.

    Raises:
        WrongPassword: neither file opens with it.
        KeyUnusable: no password can open them; the class says why.
    """
    try:
        return open_key_file(wrapped.content, password)
    except WrongPassword:
        if wrapped.following is None:
            raise
        return open_key_file(wrapped.following, password)


class KeyChanges:
    """Changes keys of users; safe in every thread and against other processes."""

    def __init__(self, directory: Directory, keys: UserKeys) -> None:
        self._directory = directory
        self._keys = keys

    def settle(self, account: Account, password: Buffer) -> WrappedKey:
        """End a change of password that was cut short, now that a valid password is known; give the file that it opens.

        Costs nothing where none was.

        Raises:
            KeyNotFound, KeyUnreadable, KeyUnusable: as :meth:`UserKeys.wrapped` and :func:`open_keys`.
        """
        wrapped = self._keys.wrapped(account.user)
        if wrapped.following is None:
            return wrapped
        open_keys(wrapped, password).wipe()
        with self._changing(account) as (_, domain, current):
            if current != wrapped:
                return self._keys.wrapped(account.user)
            name = wrapped.spot.stem + ".key"
            with _writable(wrapped.spot, domain) as descriptor:
                try:
                    open_key_file(wrapped.content, password).wipe()
                except WrongPassword:
                    move_file(descriptor, name + NEXT, name)
                else:
                    remove_file(descriptor, name + NEXT)
        return self._keys.wrapped(account.user)

    def add(self, account: Account, *, content: bytes, public: PublicKey) -> bool:
        """Give a user the first keys, durably; False, and nothing changes, where there are some already.

        Raises:
            KeyUnreadable: there may be some, or the files cannot be written.
            DirectoryUnavailable: the domain's directory cannot be opened.
        """
        with self._changing(account) as (_, domain, current):
            self._keys.forget()
            if current is not None or self._keys.public_key(account.user) is not None:
                return False
            spot = self._keys.spots(account.user)[0]
            with _writable(spot, domain) as descriptor:
                replace_file(descriptor, spot.stem + ".key", content, mode=_PRIVATE_MODE)
                replace_file(descriptor, spot.stem + ".pub", public.octets, mode=_PUBLIC_MODE)
            _touch(domain)
        self._keys.forget()
        return True

    def replace(self, account: Account, old: WrappedKey, *, content: bytes, public: PublicKey) -> bool:
        """Put changed keys in the place of ``old``, durably; False, and nothing changes, where it is not there now.

        Raises:
            KeyUnreadable, DirectoryUnavailable: as for :meth:`add`.
        """
        with self._changing(account) as (_, domain, current):
            if current != old:
                return False
            spot = old.spot
            with _writable(spot, domain) as descriptor:
                replace_file(descriptor, spot.stem + ".key", content, mode=_PRIVATE_MODE)
                remove_file(descriptor, spot.stem + ".key" + NEXT)
                found = read_small(descriptor, spot.stem + ".pub")
                if found is None or found[0] != public.octets:
                    replace_file(descriptor, spot.stem + ".pub", public.octets, mode=_PUBLIC_MODE)
            _touch(domain)
        self._keys.forget()
        return True

    def remove(self, account: Account) -> None:
        """Take all keys of a user away, durably; sealed mail cannot be read any more.

        Raises:
            KeyUnreadable, DirectoryUnavailable: as for :meth:`add`; some may be gone.
        """
        with self._directory.editing(account.user.mailbox.domain) as (_, domain), locked(domain):
            for spot in self._keys.spots(account.user):
                with suppress(FileNotFoundError), spot.opened(), _writable(spot, domain) as descriptor:
                    # The public one first: no mail is sealed to a key that nobody has.
                    for end in (".pub", ".key", ".key" + NEXT):
                        remove_file(descriptor, spot.stem + end)
            _touch(domain)
        self._keys.forget()

    def change_password(self, account: Account, stored_hash: str, *, old: WrappedKey, content: bytes) -> bool:
        """Change a hash and the wrapped keys together, durably; False where somebody changed one of them meanwhile.

        ``old`` is what :meth:`settle` gave, where the old password is known.

        Raises:
            KeyUnreadable, DirectoryUnavailable: the change was cut short; one of the two files opens with whichever
                password is valid now.
        """
        with self._changing(account) as (file, domain, current):
            if current != old:
                return False
            name = old.spot.stem + ".key"
            with _writable(old.spot, domain) as descriptor:
                replace_file(descriptor, name + NEXT, content, mode=_PRIVATE_MODE)
            # Where this fails the hash may be the new one or the old one, so both files stay.
            done = file.replace_hash_locked(domain, account.entry, stored_hash)
            with _writable(old.spot, domain) as descriptor:
                if done:
                    move_file(descriptor, name + NEXT, name)
                else:
                    remove_file(descriptor, name + NEXT)
        self._directory.forget()
        return done

    @contextmanager
    def _changing(self, account: Account) -> Generator[tuple[PasswdFile, int, WrappedKey | None]]:
        """Hold the lock; give the password file, the domain's directory, and the wrapped keys as they are now."""
        with self._directory.editing(account.user.mailbox.domain) as (file, domain), locked(domain):
            try:
                current = self._keys.wrapped(account.user)
            except KeyNotFound:
                current = None
            yield file, domain, current


@contextmanager
def _writable(spot: Spot, domain: int) -> Generator[int]:
    """Open a place for writing, the domain's ``keys/`` made where it is missing."""
    try:
        if spot.where == "mailbox":
            with spot.opened() as descriptor:
                yield descriptor
        else:
            descriptor = open_made_directory(domain, KEYS_NAME, mode=_KEYS_MODE)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
    except OSError as error:
        raise KeyUnreadable(f"keys in {'/'.join((spot.root, *spot.names))}: {error.strerror}") from error


def _touch(domain: int) -> None:
    """Let whoever remembers keys of the domain look again."""
    descriptor = open_made_directory(domain, KEYS_NAME, mode=_KEYS_MODE)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)
