"""From a forward-path to mailboxes and addresses elsewhere, with the loops that have to end here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgstore.auth.directory import Directory
from msgstore.auth.keys import NO_KEY, KnownKey
from msgstore.auth.routes import Route, Routes
from msgstore.delivery.rewriting import Rewriter
from msgstore.delivery.sealing import SealKeys
from msgstore.mime.headers import field_values
from msgstore.model.address import Address, MailboxId, fold_domain, fold_local_part, parse_address
from msgstore.model.envelope import Forward, Recipient
from msgstore.model.errors import DomainNotHosted, InvalidAddress, OutboundUnavailable

__all__ = ["RECEIVED_LIMIT", "Resolver", "Trail", "read_trail"]

RECEIVED_LIMIT: Final = 100
"""More Received fields than this are a loop. RFC 5321 §6.3."""

_RECEIVED: Final = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_DELIVERED_TO: Final = re.compile(rb"^delivered-to[ \t]*:", re.IGNORECASE | re.MULTILINE)


class Resolver:
    """Resolves recipients against the directory; safe in every thread.

    ``sends_on`` says whether there is anything that takes mail for elsewhere; without it a forward to there waits.
    Without ``keys`` no mail is sealed here.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        rewriter: Rewriter | None = None,
        sends_on: bool = False,
        keys: SealKeys | None = None,
    ) -> None:
        self._routes = Routes(directory)
        self._rewriter = rewriter
        self._sends_on = sends_on
        self._keys = keys

    def resolve(self, forward_path: Address, *, orcpt: str | None, notify: tuple[str, ...]) -> Recipient:
        """Find the mailbox of a forward-path, or where its mail goes instead.

        Raises:
            DomainNotHosted, UserNotFound, MailboxDisabled, DirectoryUnavailable, InvalidAddress: as the names say.
            OutboundUnavailable: it is forwarded to elsewhere, and nothing takes mail for there.
            KeyRequired, KeyRequiredForGood, KeyUnreadable, KeyMalformed: its mail cannot be sealed.
        """
        rewriter = self._rewriter
        if rewriter is not None and rewriter.is_ours(forward_path):
            route = self._way_back(forward_path, rewriter.restore(forward_path))
        else:
            route = self._routes.find(forward_path)
        if route.remote and not self._sends_on:
            raise OutboundUnavailable(f"{forward_path} is forwarded, and outbound.target is not set")
        keys = [NO_KEY if self._keys is None else self._keys.find(one.user) for one in route.accounts]
        return _recipient(forward_path, route, keys, orcpt=orcpt, notify=notify)

    def recall(self, forward_path: Address, *, orcpt: str | None, notify: tuple[str, ...]) -> Recipient | None:
        """Give the answer from memory; None when the disk has to be asked or the answer is a refusal."""
        route = self._routes.recall(forward_path)
        if route is None or (route.remote and not self._sends_on):
            return None
        keys: list[KnownKey] = []
        for one in route.accounts:
            known = NO_KEY if self._keys is None else self._keys.recall(one.user)
            if known is None:
                return None
            keys.append(known)
        return _recipient(forward_path, route, keys, orcpt=orcpt, notify=notify)

    def _way_back(self, forward_path: Address, original: Address) -> Route:
        """Send a bounce to whom it is for: one that was rewritten here is a user elsewhere, or was moved here since."""
        try:
            return self._routes.find(original)
        except DomainNotHosted:
            mailbox = MailboxId("srs", fold_domain(forward_path.domain or ""))
            return Route(mailbox=mailbox, accounts=(), remote=(original,), is_forward=True)


def _recipient(
    forward_path: Address, route: Route, keys: Sequence[KnownKey], *, orcpt: str | None, notify: tuple[str, ...]
) -> Recipient:
    local = [
        Recipient(
            forward_path=forward_path,
            mailbox=account.user.mailbox,
            detail=account.detail,
            orcpt=orcpt,
            notify=notify,
            quota=account.user.quota,
            seal_to=None if key.public is None else key.public.octets,
        )
        for account, key in zip(route.accounts, keys, strict=True)
    ]
    if len(local) == 1 and not route.remote:
        return local[0]
    return Recipient(
        forward_path=forward_path,
        mailbox=route.mailbox,
        orcpt=orcpt,
        notify=notify,
        forward=Forward(local=tuple(local), remote=route.remote),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """What the header says about where the message has been; read once for all recipients."""

    hops: int
    delivered_to: frozenset[tuple[str, str]]
    """Folded local-part and domain of each Delivered-To that is an address."""

    @property
    def has_looped(self) -> bool:
        """Whether the message has passed more hosts than any honest way has."""
        return self.hops > RECEIVED_LIMIT

    def has_visited(self, recipient: Recipient) -> bool:
        """Whether an earlier Delivered-To names this very address: the message came back."""
        if not self.delivered_to:
            return False
        path = recipient.forward_path
        domain = recipient.mailbox.domain if path.domain is None else fold_domain(path.domain)
        return (fold_local_part(path.local_part), domain) in self.delivered_to


def read_trail(header: bytes) -> Trail:
    """Read the header block of a message, without our own trace lines."""
    hops = len(_RECEIVED.findall(header))
    # The search is cheap and mostly in vain; only then is the header taken apart.
    visited = field_values(header, b"delivered-to") if _DELIVERED_TO.search(header) else ()
    return Trail(
        hops=hops, delivered_to=frozenset(place for value in visited if (place := _place_of(value)) is not None)
    )


def _place_of(value: bytes) -> tuple[str, str] | None:
    try:
        earlier = parse_address(value.decode("utf-8"))
        return None if earlier.domain is None else (fold_local_part(earlier.local_part), fold_domain(earlier.domain))
    except (InvalidAddress, UnicodeDecodeError):
        return None
