"""What can be wrong with keys and with sealed messages; leaves of the tree in ``msgstore.model.errors``.

::

    MsgstoreError
      AuthError
        KeyUnusable               451 4.7.5  KEY_UNUSABLE
          KeyMalformed
          KeyAlgorithmUnknown
          KeyCostTooHigh
          KeyDamaged
          KeyWiped
          WrongPassword
          WrongRecoveryKey
        KeyNotFound
          KeyRequired             451 4.7.5  KEY_NOT_FOUND
          KeyRequiredForGood      550 5.7.5  KEY_NOT_FOUND
      SealError                   451 4.7.5  SEALED
        SealAlgorithmUnknown      550 5.7.6  SEALED
        BlobTruncated
        BlobIsPlaintext
        BlobNotOpened

A text of these names lengths and kinds, never an octet of a key, a password or a message.
"""

from msgstore.model.errors import KeyNotFound, KeyUnusable, MsgstoreError
from msgstore.model.result import EnhancedStatus

__all__ = [
    "BlobIsPlaintext",
    "BlobNotOpened",
    "BlobTruncated",
    "KeyAlgorithmUnknown",
    "KeyCostTooHigh",
    "KeyDamaged",
    "KeyMalformed",
    "KeyRequired",
    "KeyRequiredForGood",
    "KeyWiped",
    "SealAlgorithmUnknown",
    "SealError",
    "WrongPassword",
    "WrongRecoveryKey",
]


class KeyMalformed(KeyUnusable):
    """What should be a key or hold one has a wrong length or form: 31 octets, half a file, no JSON."""


class KeyAlgorithmUnknown(KeyUnusable):
    """A key is made or wrapped in a way that is not known here; nothing says that it is damaged."""


class KeyCostTooHigh(KeyUnusable):
    """A wrapped key asks for more memory or time than is ever spent on one; nothing was derived."""


class KeyDamaged(KeyUnusable):
    """The password or recovery key fits, and what it opened is not what was wrapped."""


class KeyWiped(KeyUnusable):
    """The key was wiped before this use: its session is over."""


class WrongPassword(KeyUnusable):
    """The password does not open the wrapped key; where the very part it opens is damaged, this is said too."""


class WrongRecoveryKey(KeyUnusable):
    """The recovery key opens nothing in the wrapped key, or the wrapped key was made without one."""


class KeyRequired(KeyNotFound):
    """Mail for the recipient has to be sealed, and there is no key to seal it to. RFC 3463 §3.8."""

    status = EnhancedStatus(4, 7, 5)
    reply_text = "No key to encrypt to, try again later"


class KeyRequiredForGood(KeyRequired):
    """The same, where the site wants such mail to go back at once."""

    reply_code = 550
    status = EnhancedStatus(5, 7, 5)
    reply_text = "No key to encrypt to"


class SealError(MsgstoreError):
    """Base of errors about sealed messages; the message stays as it is stored."""

    status = EnhancedStatus(4, 7, 5)
    rpc_code = "SEALED"


class SealAlgorithmUnknown(SealError):
    """A message is said to be sealed by an algorithm that is not known here. RFC 3463 §3.8, X.7.6."""

    reply_code = 550
    status = EnhancedStatus(5, 7, 6)
    reply_text = "Sealed in a way that is not known here"


class BlobTruncated(SealError):
    """There are fewer octets than a sealed message has."""


class BlobIsPlaintext(SealError):
    """Where a sealed message should stand there is the text of one that was never sealed."""


class BlobNotOpened(SealError):
    """None of the keys opens the message: it is sealed for another one, or was changed; the format tells no more."""
