"""The DeliveryAgent: accept recipients, stage a message once, file it for each."""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence

from msgstore.delivery.filter import Filter
from msgstore.delivery.forwarding import Forwarder
from msgstore.delivery.incoming import DeliveryCounter, Incoming, Workshop
from msgstore.delivery.resolve import Resolver
from msgstore.delivery.sealing import Sealing
from msgstore.delivery.sieving import SieveFilter
from msgstore.delivery.warner import QuotaWarner
from msgstore.model.address import Address
from msgstore.model.envelope import Envelope, Recipient
from msgstore.model.errors import MsgstoreError
from msgstore.model.interfaces import Clock, MessageStore, Wait
from msgstore.model.result import DeliveryResult
from msgstore.model.user import NO_QUOTA
from msgstore.store.quota import check_quota

__all__ = ["Agent"]


class Agent:
    """Takes messages for hosted recipients; see :class:`msgstore.model.interfaces.DeliveryAgent`."""

    def __init__(
        self,
        *,
        store: MessageStore,
        resolver: Resolver,
        routing: Filter,
        counter: DeliveryCounter,
        clock: Clock,
        hostname: str,
        sealing: Sealing | None = None,
        warner: QuotaWarner | None = None,
        forwarder: Forwarder | None = None,
        sieve: SieveFilter | None = None,
    ) -> None:
        self._workshop = Workshop(
            store=store,
            routing=routing,
            counter=counter,
            sealing=sealing or Sealing(store),
            hostname=hostname,
            warner=warner,
            forwarder=forwarder,
            sieve=sieve,
        )
        self._sieve = sieve
        self._resolver = resolver
        self._clock = clock
        self._numbers = itertools.count()
        self._process = f"{os.getpid():x}"

    def accept(
        self,
        forward_path: Address,
        *,
        orcpt: str | None = None,
        notify: tuple[str, ...] = (),
        octets: int | None = None,
        ignores_quota: bool = False,
    ) -> Recipient:
        """Resolve one recipient; see the interface."""
        recipient = self._resolver.resolve(forward_path, orcpt=orcpt, notify=notify)
        if self._sieve is not None and any(self._sieve.may_wait(one.mailbox) for one in recipient.mailboxes):
            recipient = dataclasses.replace(recipient, may_wait=True)
        if ignores_quota:
            return _without_quota(recipient)
        for one in recipient.mailboxes:
            check_quota(self._workshop.store, one, octets or 0)
        return recipient

    def recall(
        self,
        forward_path: Address,
        *,
        orcpt: str | None = None,
        notify: tuple[str, ...] = (),
        ignores_quota: bool = False,
    ) -> Recipient | None:
        """Resolve one recipient from memory; see the interface."""
        recipient = self._resolver.recall(forward_path, orcpt=orcpt, notify=notify)
        if recipient is None:
            return None
        may_wait, is_limited = False, False
        for one in recipient.mailboxes:
            is_limited = is_limited or one.quota.is_limited
            if self._sieve is not None:
                waits = self._sieve.recall_may_wait(one.mailbox)
                if waits is None:
                    # Its script stands on the disk.
                    return None
                may_wait = may_wait or waits
        if is_limited and not ignores_quota:
            # How full a mailbox is stands on the disk.
            return None
        if may_wait:
            recipient = dataclasses.replace(recipient, may_wait=True)
        return _without_quota(recipient) if is_limited else recipient

    def open(self, envelope: Envelope) -> Incoming:
        """Begin to take a message; touches no disk yet."""
        return Incoming(self._workshop, envelope, self._new_id())

    def deliver(self, envelope: Envelope, message: Iterator[bytes]) -> tuple[DeliveryResult, ...]:
        """Take a whole message."""
        incoming = self.open(envelope)
        try:
            for chunk in message:
                incoming.write(chunk)
        except MsgstoreError as error:
            return incoming.fail(error)
        return incoming.commit()

    def settle(self, waits: Sequence[Wait]) -> None:
        """Do what commits in steps wait for."""
        self._workshop.store.settle(waits)

    def _new_id(self) -> str:
        """Microseconds, process and a running number: unique on this host, sortable, short enough for a reply."""
        return f"{int(self._clock.time() * 1e6):x}-{self._process}-{next(self._numbers):x}"


def _without_quota(recipient: Recipient) -> Recipient:
    forward = recipient.forward
    if forward is not None:
        forward = dataclasses.replace(forward, local=tuple(map(_without_quota, forward.local)))
    return dataclasses.replace(recipient, quota=NO_QUOTA, forward=forward)
