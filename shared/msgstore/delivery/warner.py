"""Telling users that their mailbox fills up: one message for each threshold, and again only after it was below."""

import secrets
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from msgstore.delivery.sealing import Sealing, keys_of
from msgstore.model.address import MailboxId
from msgstore.model.envelope import Recipient
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Clock, Filing, MessageStore
from msgstore.model.outcomes import Usage
from msgstore.model.user import Quota
from msgstore.telemetry.log import logger

__all__ = ["QuotaWarner"]

log = logger(__name__)

_TEXT: Final = """\
From: Mail delivery <postmaster@{domain}>
To: {mailbox}
Subject: Your mailbox is {percent}% full
Date: {date}
Message-ID: <{unique}@{hostname}>
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Your mailbox {mailbox} holds {octets} octets in {messages} messages.
That is {percent}% of what it may hold or more.
When it is full, new mail is not taken.  Please delete what you do not need.
"""


class QuotaWarner:
    """Warns after deliveries; safe in every thread.  Processes that pass a threshold at one moment may both tell."""

    def __init__(
        self,
        store: MessageStore,
        *,
        percents: Sequence[int],
        clock: Clock,
        hostname: str,
        sealing: Sealing | None = None,
    ) -> None:
        self._store = store
        self._sealing = sealing or Sealing(store)
        self._percents = percents
        self._clock = clock
        self._hostname = hostname
        self._guard = threading.Lock()

    def delivered(self, recipient: Recipient) -> None:
        """Look whether a delivery passed a threshold; what goes wrong here is no fault of the delivery."""
        if not self._percents or not recipient.quota.is_limited:
            return
        try:
            usage = self._store.usage(recipient.mailbox)
            percent = self._newly_reached(recipient.mailbox, _percent(recipient.quota, usage))
            if percent:
                self._tell(recipient, percent, usage)
        except MsgstoreError as error:
            log.warning("quota.warning_failed", mailbox=str(recipient.mailbox), why=str(error))

    def _newly_reached(self, mailbox: MailboxId, percent: int) -> int:
        """Give a threshold that was not told yet, 0 where there is none; it counts as told from now on."""
        reached = max((one for one in self._percents if percent >= one), default=0)
        with self._guard:
            told = self._store.quota_mark(mailbox)
            if reached != told:
                # Remembered first: a warning that is lost is better than one after every message.
                self._store.set_quota_mark(mailbox, reached)
        return reached if reached > told else 0

    def _tell(self, recipient: Recipient, percent: int, usage: Usage) -> None:
        mailbox, now = recipient.mailbox, self._clock.time()
        text = _TEXT.format(
            domain=mailbox.domain,
            mailbox=mailbox,
            percent=percent,
            date=format_datetime(datetime.fromtimestamp(int(now), UTC)),
            unique=f"quota.{int(now * 1e6):x}.{secrets.token_hex(8)}",
            hostname=self._hostname,
            octets=usage.octets,
            messages=usage.messages,
        )
        keys = keys_of((recipient,))
        with self._sealing.stage(sealed_for_some=bool(keys)) as staged:
            staged.write(text.replace("\n", "\r\n").encode("utf-8", "replace"))
            for answer in self._sealing.deliver(staged, [Filing(mailbox=mailbox, folder=INBOX)], keys):
                if isinstance(answer, MsgstoreError):
                    raise answer
        log.info("quota.warned", mailbox=str(mailbox), percent=percent)


def _percent(quota: Quota, usage: Usage) -> int:
    octets = usage.octets * 100 // quota.octets if quota.octets else 0
    messages = usage.messages * 100 // quota.messages if quota.messages else 0
    return max(octets, messages)
