"""From an address to the user it belongs to.

The order is fixed: fold the domain, take the detail off, look the user up as written and then folded, and only then
name a mailbox.  Nothing here builds a path from what a peer said: names reach the disk after they were found.
"""

import dataclasses
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from msgstore.auth.domains import DomainPolicy, Domains
from msgstore.auth.files import are_same, open_directory
from msgstore.auth.passwd import PasswdEntry, PasswdFile
from msgstore.auth.policies import PolicyLines
from msgstore.auth.quotas import QuotaLine, QuotaLines
from msgstore.config.schema import Settings
from msgstore.model.address import Address, MailboxId, fold_domain, parse_address, split_detail
from msgstore.model.errors import DirectoryUnavailable, DomainNotHosted, InvalidAddress, MailboxDisabled, UserNotFound
from msgstore.model.user import EncryptionPolicy, Quota, User

__all__ = ["Account", "Directory"]

_REMEMBER_SECONDS: Final = 1.0
"""How long an answer stands without a look at the disk; a burst of mail for the users of a domain then costs one."""

_REMEMBER_MOST: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user found for an address, and what only this package may see."""

    user: User
    entry: PasswdEntry
    detail: str | None
    said_by: tuple[object, ...] = dataclasses.field(compare=False, repr=False)
    """What the files held: other objects as soon as one of them is read again."""


class _Lines:
    """What single users of one domain have of their own."""

    def __init__(self) -> None:
        self.quotas: Final = QuotaLines()
        self.policies: Final = PolicyLines()

    def refresh(self, directory: int) -> None:
        self.quotas.refresh(directory)
        self.policies.refresh(directory)


class Directory:
    """Domains and users of this host; safe in every thread."""

    def __init__(self, settings: Settings, domains: Domains, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self.domains: Final = domains
        self._separator = settings.auth.detail_separator
        self._guard = threading.Lock()
        self._files: dict[str, PasswdFile] = {}
        self._lines: dict[str, _Lines] = {}
        self._recent: OrderedDict[Address, tuple[float, Account, str | None]] = OrderedDict()
        """When each was asked, and where the domain's own files alone gave the answer, that domain."""

        self._looked_at: dict[str, tuple[float, tuple[object, ...]]] = {}
        """When the files of a domain were looked at last, and what they held."""

        self._policies: dict[str, DomainPolicy] = {}
        self._postmaster = parse_address(settings.postmaster) if settings.postmaster else None

    def find(self, address: Address) -> Account:
        """Find the user of an address, disabled ones too.

        Raises:
            DomainNotHosted: the domain is not ours, or is missing and no default can be meant.
            UserNotFound: the domain is ours, the user does not exist.
            DirectoryUnavailable: a file cannot be read.
            InvalidAddress: the domain is none.
        """
        now = self._clock()
        account = self._find(address)
        domain = account.user.mailbox.domain
        is_own = address.domain is not None and fold_domain(address.domain) == domain
        with self._guard:
            self._looked_at[domain] = (now, account.said_by)
            self._recent[address] = (now, account, domain if is_own else None)
            if len(self._recent) > _REMEMBER_MOST:
                self._recent.popitem(last=False)
        return account

    def recall(self, address: Address) -> Account | None:
        """Give from memory what the disk said within the last second, or would have; None when it has to be asked.

        Whoever asks the disk for one user of a domain answers for all of them whose files did not change.
        """
        found = self._recent.get(address)
        if found is None:
            return None
        asked_at, account, domain = found
        oldest = self._clock() - _REMEMBER_SECONDS
        if asked_at >= oldest:
            return account
        looked_at, held = (0.0, ()) if domain is None else self._looked_at.get(domain, (0.0, ()))
        return account if looked_at >= oldest and are_same(held, account.said_by) else None

    def usable(self, account: Account) -> Account:
        """Refuse a disabled user.

        Raises:
            MailboxDisabled: the user is switched off.
        """
        if not account.user.enabled:
            raise MailboxDisabled(f"{account.user.mailbox} is disabled")
        return account

    def policy(self, domain: str) -> DomainPolicy:
        """Give what is set for a hosted domain; see :meth:`Domains.policy`."""
        return self.domains.policy(domain)

    def remembered_policy(self, domain: str, *, fresh: bool) -> DomainPolicy:
        """Give what was set for a hosted domain when it was looked at last, or with ``fresh`` what is set now.

        Raises:
            DirectoryUnavailable: it has to be looked at and cannot be.
        """
        known = None if fresh else self._policies.get(domain)
        if known is None:
            known = self._policies[domain] = self.domains.policy(domain)
        return known

    def known_policy(self, domain: str) -> DomainPolicy | None:
        """Give what :meth:`remembered_policy` gave last, without a look at the disk."""
        return self._policies.get(domain)

    @property
    def forward_order(self) -> Literal["admin-first", "user-first"]:
        """Which forward of an address wins."""
        return self._settings.outbound.forward_order

    def users(self, domain: str) -> tuple[User, ...]:
        """Give all users of a hosted domain; none where the settings name it and it has no directory yet.

        Raises:
            DomainNotHosted: it is not ours.
            DirectoryUnavailable: the file cannot be read.
        """
        if not self.domains.is_hosted(domain):
            raise DomainNotHosted(f"{domain} is not hosted")
        try:
            with self.editing(domain) as (file, directory):
                file.refresh(directory)
                lines = self._lines_of(domain, directory)
                return tuple(self._user(entry, domain, lines) for entry in file.entries())
        except DirectoryUnavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return ()
            raise

    @contextmanager
    def editing(self, domain: str) -> Generator[tuple[PasswdFile, int]]:
        """Give the password file of a domain and a descriptor of its directory, for the time of the block.

        Raises:
            DirectoryUnavailable: the directory or the file cannot be read or written.
        """
        with self._guard:
            file = self._files.setdefault(domain, PasswdFile())
        try:
            directory = open_directory(self.domains.root, MailboxId("x", domain).domain)
        except OSError as error:
            raise DirectoryUnavailable(f"directory of {domain}: {error.strerror}") from error
        try:
            yield file, directory
        except OSError as error:
            raise DirectoryUnavailable(f"password file of {domain}: {error.strerror}") from error
        finally:
            os.close(directory)

    def forget(self, address: Address | None = None) -> None:
        """Look at the disk again for this address, or for all."""
        with self._guard:
            self._looked_at.clear()
            if address is None:
                self._recent.clear()
            else:
                self._recent.pop(address, None)

    def without_detail(self, local_part: str) -> str:
        """Give a local-part up to its first separator; the whole where nothing would be left."""
        return (split_detail(local_part, self._separator)[0] if self._separator else "") or local_part

    def default_domain(self) -> str | None:
        """Domain of a bare local-part; None when none can be meant."""
        if self._settings.default_domain:
            return fold_domain(self._settings.default_domain)
        names = self.domains.names()
        return names[0] if len(names) == 1 else None

    def _find(self, address: Address) -> Account:
        domain = self.default_domain() if address.domain is None else fold_domain(address.domain)
        if domain is None or not self.domains.is_hosted(domain):
            raise DomainNotHosted(f"{address} is not in a hosted domain")
        account = self._look_up(address.local_part, domain)
        if account is None and address.local_part.lower() == "postmaster" and self._postmaster is not None:
            account = self._postmaster_account()
        if account is None:
            raise UserNotFound(f"{address} is not a user here")
        return account

    def _postmaster_account(self) -> Account | None:
        """RFC 5321 §4.5.1: every hosted domain has a postmaster."""
        address = self._postmaster
        if address is None or address.domain is None:
            return None
        return self._look_up(address.local_part, fold_domain(address.domain))

    def _look_up(self, local_part: str, domain: str) -> Account | None:
        base, detail = split_detail(local_part, self._separator) if self._separator else (local_part, None)
        try:
            with self.editing(domain) as (file, directory):
                file.refresh(directory)
                lines = self._lines_of(domain, directory)
                said_by = (file.content, lines.quotas.content, lines.policies.content)
                # A user may have the separator in the name itself; such a name is no detail.
                entry = file.find(local_part)
                if entry is not None:
                    return Account(user=self._user(entry, domain, lines), entry=entry, detail=None, said_by=said_by)
                entry = file.find(base) if base and detail is not None else None
                user = None if entry is None else self._user(entry, domain, lines)
        except DirectoryUnavailable as error:
            # A domain that the settings name needs no directory until it has a user.
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        return (
            None if entry is None or user is None else Account(user=user, entry=entry, detail=detail, said_by=said_by)
        )

    def set_quota(self, account: Account, line: QuotaLine | None) -> None:
        """Give an account limits of its own, durably; None takes them back.

        Raises:
            DirectoryUnavailable: the file cannot be read or written.
        """
        domain = account.user.mailbox.domain
        with self.editing(domain) as (_, directory):
            self._lines_of(domain, directory).quotas.put(directory, account.entry.user, line)
        self.forget()

    def set_encryption(self, account: Account, policy: EncryptionPolicy | None) -> None:
        """Give an account a policy of its own, durably; None takes it back.

        Raises:
            DirectoryUnavailable: the file cannot be read or written.
        """
        domain = account.user.mailbox.domain
        with self.editing(domain) as (_, directory):
            self._lines_of(domain, directory).policies.put(directory, account.entry.user, policy)
        self.forget()

    def encryption_of(self, user: User) -> EncryptionPolicy:
        """Say whether mail of a user is sealed, as the domain was looked at last.

        Raises:
            DirectoryUnavailable: it has to be looked at and cannot be.
        """
        return user.encryption or self.remembered_policy(user.mailbox.domain, fresh=False).encryption

    def known_encryption_of(self, user: User) -> EncryptionPolicy | None:
        """Give what :meth:`encryption_of` would without a look at the disk; None where it has to look."""
        policy = self.known_policy(user.mailbox.domain)
        return None if policy is None else user.encryption or policy.encryption

    def _lines_of(self, domain: str, directory: int) -> _Lines:
        with self._guard:
            lines = self._lines.setdefault(domain, _Lines())
        lines.refresh(directory)
        return lines

    def _user(self, entry: PasswdEntry, domain: str, lines: _Lines) -> User:
        own, above, defaults = lines.quotas.find(entry.user), self._settings.domains.get(domain), self._settings.quota
        octets, messages = defaults.octets, defaults.messages
        if above is not None:
            octets = octets if above.quota_octets is None else above.quota_octets
            messages = messages if above.quota_messages is None else above.quota_messages
        if own is not None:
            octets = octets if own.octets is None else own.octets
            messages = messages if own.messages is None else own.messages
        quota = Quota(octets=octets or None, messages=messages or None, is_final=defaults.over == "permanent")
        return dataclasses.replace(_user(entry, domain), quota=quota, encryption=lines.policies.find(entry.user))


def _user(entry: PasswdEntry, domain: str) -> User:
    # A user name may hold an at sign, as in "a@b"@example.com: cut off there it would open the mailbox of another user.
    bare = entry.mailbox == entry.user or "@" not in entry.mailbox
    name = entry.mailbox.removesuffix(f"@{domain}") if bare else entry.mailbox.rpartition("@")[0]
    try:
        mailbox = MailboxId(name, domain)
    except InvalidAddress as error:
        raise DirectoryUnavailable(f"password file of {domain}: mailbox of {entry.user!r} is no name") from error
    return User(username=f"{entry.user}@{domain}", mailbox=mailbox, enabled=entry.enabled)
