"""Whether a mailbox has room for more."""

from typing import Protocol

from msgstore.model.address import MailboxId
from msgstore.model.errors import (
    MailboxNotFound,
    MessageOverQuota,
    QuotaExceeded,
    QuotaExceededForGood,
    StoreError,
)
from msgstore.model.interfaces import MessageStore
from msgstore.model.outcomes import Usage
from msgstore.model.user import Quota
from msgstore.telemetry.log import logger

__all__ = ["Owner", "check_quota"]

log = logger(__name__)


class Owner(Protocol):
    """Whose mailbox it is: a user, or a recipient."""

    @property
    def mailbox(self) -> MailboxId:
        """The mailbox."""
        ...

    @property
    def quota(self) -> Quota:
        """Its limits."""
        ...


def check_quota(store: MessageStore, user: Owner, octets: int, messages: int = 1) -> None:
    """Refuse what would take a mailbox over its quota.

    Costs no look at the store where there is no limit.  A refusal rests on a count that is sure.  Messages on their
    way at the same time may overshoot, and where the store cannot say what a mailbox holds there is room.

    Raises:
        MessageOverQuota: it alone is larger than the quota.
        QuotaExceeded, QuotaExceededForGood: there is no room.
    """
    quota = user.quota
    if not quota.is_limited:
        return
    if quota.octets is not None and octets > quota.octets:
        raise MessageOverQuota(used_octets=0, limit_octets=quota.octets)
    try:
        usage = store.usage(user.mailbox)
        if not _fits(quota, usage, octets, messages) and not usage.is_sure:
            usage = store.recount(user.mailbox)
    except MailboxNotFound:
        usage = Usage(octets=0, messages=0)
    except StoreError as error:
        # Mail matters more than its limits; whether it can be kept will show.
        log.warning("quota.usage_unknown", mailbox=str(user.mailbox), why=str(error))
        return
    if not _fits(quota, usage, octets, messages):
        kind = QuotaExceededForGood if quota.is_final else QuotaExceeded
        raise kind(used_octets=usage.octets, limit_octets=quota.octets or 0)


def _fits(quota: Quota, usage: Usage, octets: int, messages: int) -> bool:
    return (quota.octets is None or usage.octets + octets <= quota.octets) and (
        quota.messages is None or usage.messages + messages <= quota.messages
    )
