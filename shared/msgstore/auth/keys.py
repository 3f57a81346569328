"""Where users' keys lie: beside their mail, or in the domain's ``keys/`` as older installations have them.

::

    <mailbox>/keyring.pub          32 octets           else  <domain>/keys/<user>.pub
    <mailbox>/keyring.key          keyring or older    else  <domain>/keys/<user>.key

A public key makes its owner's mail be sealed: what is there and cannot be read, or is none, is an error and never "no
key".  A public key is asked for with every message.  What was read stands for a second without a look at the disk;
after that one look at the domain's ``keys/``, which every change made here touches, answers for all its users.  What
other programs change beside the mail is seen within :data:`TRUSTED_SECONDS`.

``….next`` beside a wrapped key is the same key under a password that is just being changed; see
:mod:`msgstore.auth.keychange`.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from msgstore.auth.domains import Domains
from msgstore.auth.files import FileStamp, open_directory, read_small, stamp_of
from msgstore.crypto.keyfile import Form, check_key_file
from msgstore.crypto.secret import PublicKey
from msgstore.model.address import MailboxId
from msgstore.model.errors import InvalidAddress, KeyNotFound, KeyUnreadable
from msgstore.model.user import User

__all__ = ["KEYS_NAME", "NEXT", "NO_KEY", "TRUSTED_SECONDS", "HomeOf", "KnownKey", "Spot", "UserKeys", "WrappedKey"]

KEYS_NAME: Final = "keys"
NEXT: Final = ".next"
TRUSTED_SECONDS: Final = 10.0
"""How long what was read of one user stands while nothing in the domain's ``keys/`` changes."""

_REMEMBER_SECONDS: Final = 1.0
_REMEMBER_MOST: Final = 65_536

HomeOf: TypeAlias = Callable[[MailboxId], tuple[str, tuple[str, ...]] | None]
"""Gives the directory of a mailbox, as a root and checked names below it; None where mailboxes have no directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place for one user's keys."""

    where: Literal["mailbox", "domain"]
    root: str
    names: tuple[str, ...]
    stem: str
    """Name of the files up to ``.pub`` and ``.key``."""

    @contextmanager
    def opened(self) -> Generator[int]:
        """Open the directory for the time of the block.

        Raises:
            OSError: as the kernel says; FileNotFoundError where a level is missing.
        """
        descriptor = open_directory(self.root, *self.names)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A file with private keys, as it lies on the disk; nothing in it is secret without the password."""

    spot: Spot
    content: bytes
    form: Form
    following: bytes | None
    """The same keys under another password, where a change of it was cut short; see ``keychange``."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What is known of one user."""

    public: PublicKey | None
    """None is no key, known for sure."""


NO_KEY: Final = KnownKey(None)


@dataclass(frozen=True, slots=True)
class _Remembered:
    looked_at: float
    sign: object
    known: KnownKey


@dataclass(frozen=True, slots=True)
class _DomainLook:
    looked_at: float
    stamp: FileStamp | None
    sign: object
    """Another object after every change."""


class UserKeys:
    """The keys of users; safe in every thread."""

    def __init__(self, domains: Domains, home_of: HomeOf, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._domains = domains
        self._home_of = home_of
        self._clock = clock
        self._guard = threading.Lock()
        self._looks: dict[str, _DomainLook] = {}
        self._recent: OrderedDict[tuple[str, MailboxId], _Remembered] = OrderedDict()

    def public_key(self, user: User) -> PublicKey | None:
        """Give the key that mail for a user is sealed to; None where the user has none.

        Raises:
            KeyUnreadable: there is one, or may be, and it cannot be read.
            KeyMalformed: what is there is no public key.
        """
        known = self.recall(user)
        if known is not None:
            return known.public
        sign = self._look_at(user.mailbox.domain)
        asked = (user.username, user.mailbox)
        with self._guard:
            found = self._recent.get(asked)
        now = self._clock()
        if found is None or found.sign is not sign or now - found.looked_at >= TRUSTED_SECONDS:
            # The sign is older than what is read now: a change in between is looked for again.
            found = _Remembered(now, sign, KnownKey(self._read_public(user)))
            with self._guard:
                self._recent[asked] = found
                self._recent.move_to_end(asked)
                if len(self._recent) > _REMEMBER_MOST:
                    self._recent.popitem(last=False)
        return found.known.public

    def recall(self, user: User) -> KnownKey | None:
        """Give from memory what stands without a look at the disk; None when it has to be asked."""
        found, look = self._recent.get((user.username, user.mailbox)), self._looks.get(user.mailbox.domain)
        if found is None or look is None or found.sign is not look.sign:
            return None
        now = self._clock()
        is_fresh = now - look.looked_at < _REMEMBER_SECONDS and now - found.looked_at < TRUSTED_SECONDS
        return found.known if is_fresh else None

    def wrapped(self, user: User) -> WrappedKey:
        """Give the file with a user's private keys.

        Raises:
            KeyNotFound: the user has none.
            KeyUnreadable: there is one, or may be, and it cannot be read.
            KeyMalformed, KeyAlgorithmUnknown: what is there is no such file.
        """
        for spot in self.spots(user):
            found = _read(spot, ".key")
            if found is not None:
                return WrappedKey(
                    spot=spot, content=found, form=check_key_file(found), following=_read(spot, ".key" + NEXT)
                )
        raise KeyNotFound(f"{user.mailbox} has no private key")

    def spots(self, user: User) -> tuple[Spot, ...]:
        """Give the places where a user's keys may lie; the first is where new ones are put.

        Raises:
            KeyUnreadable: the user has a name that no file can have.
        """
        domain = user.mailbox.domain
        try:
            own = MailboxId(user.username.rpartition("@")[0], domain)
        except InvalidAddress as error:
            raise KeyUnreadable(f"keys of {user.username!r}: that is no name of a file") from error
        old = Spot(where="domain", root=self._domains.root, names=(domain, KEYS_NAME), stem=own.local_part)
        home = self._home_of(user.mailbox)
        if home is None:
            return (old,)
        return (Spot(where="mailbox", root=home[0], names=home[1], stem="keyring"), old)

    def forget(self) -> None:
        """Look at the disk again at the next question."""
        with self._guard:
            self._looks.clear()
            self._recent.clear()

    def _read_public(self, user: User) -> PublicKey | None:
        for spot in self.spots(user):
            found = _read(spot, ".pub")
            if found is not None:
                return PublicKey(found)
        return None

    def _look_at(self, domain: str) -> object:
        now = self._clock()
        look = self._looks.get(domain)
        if look is not None and now - look.looked_at < _REMEMBER_SECONDS:
            return look.sign
        stamp = self._stamp(domain)
        # A stamp from this very moment would hide the next change.
        is_same = look is not None and look.stamp == stamp and (stamp is None or stamp.is_settled)
        look = _DomainLook(now, stamp, look.sign if look is not None and is_same else object())
        with self._guard:
            self._looks[domain] = look
        return look.sign

    def _stamp(self, domain: str) -> FileStamp | None:
        try:
            descriptor = open_directory(self._domains.root, domain)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyUnreadable(f"keys of {domain}: {error.strerror}") from error
        try:
            return stamp_of(descriptor, KEYS_NAME)
        except OSError as error:
            raise KeyUnreadable(f"keys of {domain}: {error.strerror}") from error
        finally:
            os.close(descriptor)


def _read(spot: Spot, end: str) -> bytes | None:
    """Read a file; None only where the kernel says that it, or a directory on the way, is not there."""
    try:
        with spot.opened() as descriptor:
            found = read_small(descriptor, spot.stem + end)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyUnreadable(f"{'/'.join((spot.root, *spot.names, spot.stem + end))}: {error.strerror}") from error
    return None if found is None else found[0]
