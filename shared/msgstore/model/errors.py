"""Every error of the library, as one tree; more leaves stand in ``scripts``, ``keys`` and ``store`` beside it.

Each leaf knows the reply an LMTP client gets (``reply_code``, ``status``) and the word a client of the access socket
gets (``rpc_code``).  Class 4 means "try again", class 5 "never"; what we do not understand is temporary.

::

    MsgstoreError                 451 4.3.0  INTERNAL
      ConfigError                            (start-up only)
      AddressError
        InvalidAddress            501 5.1.3  INVALID_ADDRESS
      RecipientError
        UserNotFound              550 5.1.1  NO_MAILBOX
        DomainNotHosted           550 5.1.2  DOMAIN_NOT_HOSTED
        MailboxDisabled           451 4.2.1  NO_MAILBOX
        DirectoryUnavailable      451 4.3.0  AUTH_TEMP
        MailLoop                  554 5.4.6  INTERNAL
      AuthError
        AuthFailed                           AUTH_FAILED
        RateLimited                          RATE_LIMITED
        KeyNotFound                          KEY_NOT_FOUND
        KeyUnreadable             451 4.7.5  KEY_UNREADABLE
        KeyUnusable               451 4.7.5  KEY_UNUSABLE
      StoreError                  451 4.3.0  IO
        MailboxNotFound           550 5.1.1  NO_MAILBOX
        MailboxLocked             451 4.3.2  LOCKED
        MessageTooLarge           552 5.3.4  TOO_LARGE
        QuotaExceeded             452 4.2.2  OVER_QUOTA
          QuotaExceededForGood    552 5.2.2  OVER_QUOTA
          MessageOverQuota        552 5.2.3  OVER_QUOTA
        DiskFull                  452 4.3.1  IO
        StoreUnavailable          451 4.3.0  IO
        StoreCorrupt              451 4.3.0  IO
        FolderNotFound            451 4.2.0  NO_FOLDER
        FolderExists              451 4.2.0  FOLDER_EXISTS
        FolderHasChildren         451 4.2.0  HAS_CHILDREN
        InvalidFolderName         451 4.2.0  INVALID_NAME
        ReservedFolderName        451 4.2.0  RESERVED_NAME
        UidTaken                  451 4.2.0  INVALID
        MessageNotFound           451 4.2.0  NO_MESSAGE
        MessageExpunged           451 4.2.0  EXPUNGED
      OutboundUnavailable         451 4.4.0  INTERNAL
      OutboundRefused             550 5.x.x  INTERNAL
      Overloaded                  451 4.3.2  BUSY

RFC 3463, RFC 5321 §4.2; the choice of each reply is explained where it is raised.
"""

import errno
from typing import ClassVar

from msgstore.model.result import EnhancedStatus

__all__ = [
    "AddressError",
    "AuthError",
    "AuthFailed",
    "ConfigError",
    "DirectoryUnavailable",
    "DiskFull",
    "DomainNotHosted",
    "FolderExists",
    "FolderHasChildren",
    "FolderNotFound",
    "InvalidAddress",
    "InvalidFolderName",
    "KeyNotFound",
    "KeyUnreadable",
    "KeyUnusable",
    "MailLoop",
    "MailboxDisabled",
    "MailboxLocked",
    "MailboxNotFound",
    "MessageExpunged",
    "MessageNotFound",
    "MessageOverQuota",
    "MessageTooLarge",
    "MsgstoreError",
    "OutboundRefused",
    "OutboundUnavailable",
    "Overloaded",
    "QuotaExceeded",
    "QuotaExceededForGood",
    "RateLimited",
    "RecipientError",
    "ReservedFolderName",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "UidTaken",
    "UserNotFound",
    "store_error_from",
]


class MsgstoreError(Exception):
    """Base of all errors here; the text is for logs and people at the site, never for a remote peer."""

    reply_code: ClassVar[int] = 451
    """Basic LMTP reply code; its first digit decides what an MTA does."""

    status: EnhancedStatus = EnhancedStatus(4, 3, 0)
    """Enhanced status of RFC 3463."""

    reply_text: str = "Temporary internal error"
    """Text that may be shown to a remote peer."""

    rpc_code: ClassVar[str] = "INTERNAL"
    """Stable word for clients of the access socket."""

    @property
    def is_temporary(self) -> bool:
        """Whether trying again later can help."""
        return self.reply_code < 500


class ConfigError(MsgstoreError):
    """The configuration cannot be used; ``faults`` names every one of them."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class AddressError(MsgstoreError):
    """Base of errors about the form of an address."""


class InvalidAddress(AddressError):
    """The text is not an address, or not one that can name a mailbox."""

    reply_code = 501
    status = EnhancedStatus(5, 1, 3)
    reply_text = "Bad recipient address syntax"
    rpc_code = "INVALID_ADDRESS"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"{text!r} {why}")
        self.text = text


class RecipientError(MsgstoreError):
    """Base of errors about a well-formed recipient that cannot be served."""


class UserNotFound(RecipientError):
    """The domain is ours, the user does not exist."""

    reply_code = 550
    status = EnhancedStatus(5, 1, 1)
    reply_text = "User unknown"
    rpc_code = "NO_MAILBOX"


class DomainNotHosted(RecipientError):
    """The domain is not one of ours; never confused with an unknown user."""

    reply_code = 550
    status = EnhancedStatus(5, 1, 2)
    reply_text = "Domain not hosted here"
    rpc_code = "DOMAIN_NOT_HOSTED"


class MailboxDisabled(RecipientError):
    """The user exists and is switched off for now."""

    status = EnhancedStatus(4, 2, 1)
    reply_text = "Mailbox disabled for now"
    rpc_code = "NO_MAILBOX"


class DirectoryUnavailable(RecipientError):
    """Users or domains cannot be looked up now; never means that somebody does not exist."""

    rpc_code = "AUTH_TEMP"


class MailLoop(RecipientError):
    """The message has been here before, or has passed too many hosts. RFC 5321 §6.3."""

    reply_code = 554
    status = EnhancedStatus(5, 4, 6)
    reply_text = "Mail loop detected"


class AuthError(MsgstoreError):
    """Base of errors about who a peer is and about keys."""


class AuthFailed(AuthError):
    """Unknown user or wrong password; which of them stays in ``reason``, for the log alone."""

    rpc_code = "AUTH_FAILED"

    def __init__(self, reason: str) -> None:
        super().__init__("authentication failed")
        self.reason = reason


class RateLimited(AuthError):
    """Too many failures; try again after ``after_seconds``."""

    rpc_code = "RATE_LIMITED"

    def __init__(self, *, after_seconds: float) -> None:
        super().__init__(f"too many failed logins, locked for {after_seconds:.0f} s")
        self.after_seconds = after_seconds


class KeyNotFound(AuthError):
    """The user has no key."""

    rpc_code = "KEY_NOT_FOUND"


class KeyUnreadable(AuthError):
    """A key is there and cannot be read; never treated as absent."""

    status = EnhancedStatus(4, 7, 5)
    rpc_code = "KEY_UNREADABLE"


class KeyUnusable(AuthError):
    """A key is there and has a wrong form, or the password does not open it."""

    status = EnhancedStatus(4, 7, 5)
    rpc_code = "KEY_UNUSABLE"


class StoreError(MsgstoreError):
    """Base of errors from keeping and reading mail."""

    rpc_code = "IO"


class MailboxNotFound(StoreError):
    """There is no such mailbox in the store."""

    reply_code = 550
    status = EnhancedStatus(5, 1, 1)
    reply_text = "User unknown"
    rpc_code = "NO_MAILBOX"


class MailboxLocked(StoreError):
    """Another session or program holds a lock that did not come free in time."""

    status = EnhancedStatus(4, 3, 2)
    rpc_code = "LOCKED"


class MessageTooLarge(StoreError):
    """The message is above the limit for one message."""

    reply_code = 552
    status = EnhancedStatus(5, 3, 4)
    reply_text = "Message too big"
    rpc_code = "TOO_LARGE"

    def __init__(self, *, limit_octets: int) -> None:
        super().__init__(f"the message is larger than {limit_octets} octets")
        self.limit_octets = limit_octets


class QuotaExceeded(StoreError):
    """The message would take the mailbox over its quota."""

    reply_code = 452
    status = EnhancedStatus(4, 2, 2)
    reply_text = "Mailbox over quota"
    rpc_code = "OVER_QUOTA"

    def __init__(self, *, used_octets: int, limit_octets: int) -> None:
        super().__init__(f"{used_octets} of {limit_octets} octets are in use")
        self.used_octets = used_octets
        self.limit_octets = limit_octets


class QuotaExceededForGood(QuotaExceeded):
    """The same, where the site wants mail for a full mailbox to go back at once."""

    reply_code = 552
    status = EnhancedStatus(5, 2, 2)


class MessageOverQuota(QuotaExceeded):
    """The message alone is larger than the quota, so no waiting helps. RFC 3463 §3.3."""

    reply_code = 552
    status = EnhancedStatus(5, 2, 3)
    reply_text = "Message larger than the quota of the mailbox"


class DiskFull(StoreError):
    """No space, no inode or no disk quota is left where mail is kept."""

    reply_code = 452
    status = EnhancedStatus(4, 3, 1)
    reply_text = "Insufficient system storage"


class StoreUnavailable(StoreError):
    """The disk or database answers with an error; an operator has to look."""


class StoreCorrupt(StoreError):
    """Something in the store contradicts itself."""


class FolderNotFound(StoreError):
    """There is no such folder in the mailbox."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "NO_FOLDER"


class FolderExists(StoreError):
    """A folder of that name is there already."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "FOLDER_EXISTS"


class FolderHasChildren(StoreError):
    """The folder cannot go while there are folders below it."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "HAS_CHILDREN"


class InvalidFolderName(StoreError):
    """The text cannot name a folder."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "INVALID_NAME"


class ReservedFolderName(StoreError):
    """The name is kept for files of the store, or means INBOX where it cannot be meant."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "RESERVED_NAME"


class UidTaken(StoreError):
    """A message was to be restored under a UID at or below one that was given out."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "INVALID"


class MessageNotFound(StoreError):
    """No message has this UID and none ever had."""

    status = EnhancedStatus(4, 2, 0)
    rpc_code = "NO_MESSAGE"


class MessageExpunged(MessageNotFound):
    """The message had this UID and is gone."""

    rpc_code = "EXPUNGED"


class OutboundUnavailable(MsgstoreError):
    """Mail cannot be handed to the outbound server now, or some of it could not; it has to be tried again."""

    status = EnhancedStatus(4, 4, 0)
    reply_text = "Cannot be sent on now"


class OutboundRefused(MsgstoreError):
    """The outbound server will never take the mail; ``status`` is what it said, its text is for the log alone."""

    reply_code = 550
    status = EnhancedStatus(5, 0, 0)
    reply_text = "Refused where it had to be sent on"

    def __init__(self, text: str, status: EnhancedStatus) -> None:
        super().__init__(text)
        self.status = status


class Overloaded(MsgstoreError):
    """A bounded queue is full; nothing was begun."""

    status = EnhancedStatus(4, 3, 2)
    reply_text = "Too busy, try again later"
    rpc_code = "BUSY"


def store_error_from(error: OSError) -> StoreError:
    """Translate what the kernel said into the error a recipient is answered with.

    Full disks and quotas are :class:`DiskFull`; all else is the administrator's trouble, so :class:`StoreUnavailable`.
    """
    text = f"{error.strerror or error} (errno {error.errno})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(text)
    return StoreUnavailable(text)
