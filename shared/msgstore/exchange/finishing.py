"""The first look at a folder that is to be filled, which ends what an earlier run left half done."""

from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound
from msgstore.model.folder import FolderName, FolderStatus
from msgstore.model.interfaces import MessageStore

__all__ = ["finished_status"]


def finished_status(store: MessageStore, mailbox: MailboxId, name: FolderName, *, dry_run: bool) -> FolderStatus | None:
    """Look at a folder; None where it is not there.  What an earlier run that died left is finished first.

    Raises:
        StoreError: it cannot be looked at now.
    """
    if not store.mailbox_exists(mailbox):
        return None
    handle = store.folder(mailbox, name)
    try:
        if not dry_run:
            handle.restore(())
        return handle.stat()
    except FolderNotFound:
        return None
