"""msgstore keeps the mail of a server suite; lmtpd and accessd stand on it.

The three interfaces and the key types are re-exported here.  What stands in which package is said in the docstring of
the package.
"""

from msgstore.model.address import Address, MailboxId
from msgstore.model.envelope import Envelope, Recipient
from msgstore.model.folder import INBOX, FolderInfo, FolderName, FolderStatus
from msgstore.model.interfaces import AuthProvider, Body, DeliveryAgent, Folder, FolderTree, MessageStore
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.result import DeliveryResult, EnhancedStatus
from msgstore.model.user import User

__all__ = [
    "INBOX",
    "Address",
    "AuthProvider",
    "Body",
    "DeliveryAgent",
    "DeliveryResult",
    "EnhancedStatus",
    "Envelope",
    "Folder",
    "FolderInfo",
    "FolderName",
    "FolderStatus",
    "FolderTree",
    "MailboxId",
    "MessageInfo",
    "MessageStore",
    "Recipient",
    "Uid",
    "User",
]
