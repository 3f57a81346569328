"""Where the message goes for one recipient.

:class:`Filter` is the seam: a Sieve run, and sealing after it, answer the same question as :class:`DetailFilter`, which
knows no script.
"""

from collections.abc import Sequence
from typing import Protocol

from msgstore.model.envelope import Envelope, Recipient
from msgstore.model.errors import InvalidFolderName, StoreError
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, MessageStore

__all__ = ["DetailFilter", "Filter"]


class Filter(Protocol):
    """Decides for one recipient at a time; safe in every thread."""

    def decide(self, envelope: Envelope, recipient: Recipient, header: bytes) -> Sequence[Filing]:
        """Say where the message is to be put.

        ``header`` is the message's own header block, without our trace lines.

        Raises:
            MsgstoreError: the recipient is answered with it.
        """
        ...


class DetailFilter:
    """Puts mail into the folder that the detail names, if the user has it, else into INBOX. RFC 5233 §1."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    def decide(self, envelope: Envelope, recipient: Recipient, header: bytes) -> Sequence[Filing]:
        """See :class:`Filter`."""
        del header
        folder = INBOX if not recipient.detail else self._detail_folder(recipient, recipient.detail)
        return (Filing(mailbox=recipient.mailbox, folder=folder, internal_date=envelope.received_at),)

    def _detail_folder(self, recipient: Recipient, detail: str) -> FolderName:
        """An address is public: it may choose among folders, never make one or be refused for one."""
        try:
            name = FolderName.parse(detail)
            return name if self._store.folders(recipient.mailbox).exists(name) else INBOX
        except (InvalidFolderName, StoreError):
            return INBOX
