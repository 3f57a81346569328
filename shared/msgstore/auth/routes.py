"""From an address to where its mail goes: a user's mailbox, or what the forwards of its domain say.

A forward is followed once: its targets are users or addresses elsewhere, and no forward of a target is looked at, so
nothing can turn in a circle here.  An address without a user that has a forward exists; ``*`` stands for addresses
that have neither user nor forward of their own.  What a forward says and cannot be followed is the administrator's
trouble and therefore temporary.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from msgstore.auth.directory import Account, Directory
from msgstore.auth.files import are_same
from msgstore.auth.forwards import CATCH_ALL, ForwardFiles, tiers
from msgstore.model.address import Address, MailboxId, fold_domain, fold_local_part, parse_address
from msgstore.model.errors import (
    DirectoryUnavailable,
    DomainNotHosted,
    InvalidAddress,
    UserNotFound,
)

__all__ = ["Route", "Routes"]

_REMEMBER_SECONDS: Final = 1.0
"""How long an answer stands without a look at the disk, as with users."""

_REMEMBER_MOST: Final = 65_536
_TARGETS_LIMIT: Final = 100
"""A list of more is a mailing list's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where mail for an address goes."""

    mailbox: MailboxId
    """The user's, or the address itself where it only forwards."""

    accounts: tuple[Account, ...]
    """Users here, each once."""

    remote: tuple[Address, ...] = ()
    """Addresses elsewhere, each once."""

    is_forward: bool = False


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A route, when it was found, and what its domain's files held then; None where more than they had a say."""

    found_at: float
    route: Route
    said_by: tuple[str, tuple[object, ...]] | None


class _Watched:
    """What is known of one domain's forwards, and since when."""

    def __init__(self) -> None:
        self.files = ForwardFiles()
        self.looked_at = float("-inf")


class Routes:
    """The routes of all hosted domains; safe in every thread."""

    def __init__(self, directory: Directory, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._guard = threading.Lock()
        self._domains: dict[str, _Watched] = {}
        self._recent: OrderedDict[Address, _Remembered] = OrderedDict()

    def find(self, address: Address) -> Route:
        """Find where mail for an address goes.

        Raises:
            DomainNotHosted, UserNotFound, MailboxDisabled, InvalidAddress: as the names say.
            DirectoryUnavailable: a file cannot be read, or a forward cannot be followed.
        """
        now = self._clock()
        own = None if address.domain is None else fold_domain(address.domain)
        before = () if own is None else self._held_for(own)
        route = self._find(address)
        said_by = None
        if own is not None and own == route.mailbox.domain and not route.is_forward:
            after = self._held_for(own)
            # Another thread may have read a file anew in between, and nobody knows which of the two we saw.
            said_by = (own, after) if are_same(before, after) else None
        with self._guard:
            self._recent[address] = _Remembered(now, route, said_by)
            if len(self._recent) > _REMEMBER_MOST:
                self._recent.popitem(last=False)
        return route

    def recall(self, address: Address) -> Route | None:
        """Give from memory what the disk said within the last second, or would have; None when it has to be asked.

        A user's mailbox stands as long as a look for anybody of the domain finds its files as they were.
        """
        found = self._recent.get(address)
        if found is None:
            return None
        oldest = self._clock() - _REMEMBER_SECONDS
        if found.found_at >= oldest:
            return found.route
        if found.said_by is None or self._directory.recall(address) is not found.route.accounts[0]:
            return None
        domain, held = found.said_by
        watched = self._domains.get(domain)
        if watched is None or watched.looked_at < oldest or not are_same(held, self._held_for(domain)):
            return None
        return found.route

    def _held_for(self, domain: str) -> tuple[object, ...]:
        watched = self._domains.get(domain)
        files = (None, None) if watched is None else watched.files.content
        return *files, self._directory.known_policy(domain)

    def forget(self) -> None:
        """Look at the disk again at the next question."""
        with self._guard:
            self._recent.clear()
            self._domains.clear()

    def _find(self, address: Address) -> Route:
        try:
            account = self._directory.usable(self._directory.find(address))
        except UserNotFound:
            account = None
        domain = self._directory.default_domain() if address.domain is None else fold_domain(address.domain)
        if domain is None:
            raise DomainNotHosted(f"{address} is not in a hosted domain")
        names = self._names_of(address, account)
        targets = self._targets(domain, names, has_user=account is not None)
        if targets is not None:
            return self._followed(address, domain, account, targets)
        if account is None:
            raise UserNotFound(f"{address} is not a user here")
        return Route(mailbox=account.user.mailbox, accounts=(account,))

    def _names_of(self, address: Address, account: Account | None) -> Sequence[str]:
        """Give the names under which a forward may stand: as written, then without the detail.

        A user whose name holds the separator is found as written, and then there is no detail.
        """
        whole = fold_local_part(address.local_part)
        if account is not None and account.detail is None:
            return (whole,)
        base = fold_local_part(self._directory.without_detail(address.local_part))
        return (whole,) if base == whole else (whole, base)

    def _targets(self, domain: str, names: Sequence[str], *, has_user: bool) -> tuple[str, ...] | None:
        with self._guard:
            watched = self._domains.setdefault(domain, _Watched())
        now = self._clock()
        is_fresh = has_user and now - watched.looked_at < _REMEMBER_SECONDS
        user: dict[str, tuple[str, ...]] = {}
        if not is_fresh or watched.files.has_user_file(names):
            try:
                with self._directory.editing(domain) as (_, directory):
                    if not is_fresh:
                        watched.files.refresh(directory)
                    user.update(watched.files.user_table(directory, names))
            except DirectoryUnavailable as error:
                # A domain that the settings name needs no directory until it has a user.
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
        policy = self._directory.remembered_policy(domain, fresh=not is_fresh)
        watched.looked_at = now if not is_fresh else watched.looked_at
        order = self._directory.forward_order
        wanted = names if has_user else (*names, CATCH_ALL)
        for table in tiers(order, user=user, domain=watched.files.domain_table(), tables=policy.forwards):
            for name in wanted:
                if name in table:
                    return table[name]
        return None

    def _followed(self, address: Address, domain: str, own: Account | None, targets: tuple[str, ...]) -> Route:
        if not 1 <= len(targets) <= _TARGETS_LIMIT:
            raise DirectoryUnavailable(f"the forward of {address} has {len(targets)} targets")
        accounts: dict[MailboxId, Account] = {}
        remote: dict[Address, Address] = {}
        for text in targets:
            target = self._parsed(address, text)
            if target.domain is None:
                target = Address(local_part=target.local_part, domain=domain)
            account = self._account(address, target)
            if account is None:
                remote.setdefault(_folded(target), target)
            else:
                accounts.setdefault(account.user.mailbox, account)
        # The mailbox names it in logs, and counts its deliveries at a time.
        mailbox = own.user.mailbox if own is not None else self._named(address, domain)
        return Route(mailbox=mailbox, accounts=tuple(accounts.values()), remote=tuple(remote.values()), is_forward=True)

    def _named(self, address: Address, domain: str) -> MailboxId:
        try:
            return MailboxId(fold_local_part(self._directory.without_detail(address.local_part)), domain)
        except InvalidAddress:
            # A catch-all has no names that could harm; no path is made of this one.
            return MailboxId("catch-all", domain)

    def _account(self, address: Address, target: Address) -> Account | None:
        """Find the user whom a target names; None where it is not ours."""
        try:
            return self._directory.usable(self._directory.find(target))
        except DomainNotHosted:
            return None
        except UserNotFound as error:
            raise DirectoryUnavailable(f"{address} is forwarded to {target}, who is no user") from error
        except InvalidAddress as error:
            raise DirectoryUnavailable(f"{address} is forwarded to {target}, which is no address") from error

    @staticmethod
    def _parsed(address: Address, text: str) -> Address:
        try:
            return parse_address(text.removeprefix("<").removesuffix(">"))
        except InvalidAddress as error:
            raise DirectoryUnavailable(f"{address} is forwarded to {text[:80]!r}, which is no address") from error


def _folded(target: Address) -> Address:
    """Give what tells two targets apart: the case of a domain does not, that of a foreign local-part may."""
    try:
        return Address(local_part=target.local_part, domain=fold_domain(target.domain or ""))
    except InvalidAddress as error:
        raise DirectoryUnavailable(f"a forward names {target}, which is no address") from error
