"""From a forward-path to a mailbox, with the loops that have to end here."""

from typing import Final

from msgstore.auth.directory import Account, Directory
from msgstore.mime.headers import field_values, fields
from msgstore.model.address import Address, fold_domain, fold_local_part, parse_address
from msgstore.model.envelope import Recipient
from msgstore.model.errors import InvalidAddress

__all__ = ["RECEIVED_LIMIT", "Resolver", "has_looped", "was_delivered_to"]

RECEIVED_LIMIT: Final = 100
"""More Received fields than this are a loop. RFC 5321 §6.3."""


class Resolver:
    """Resolves recipients against the directory; safe in every thread."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def resolve(self, forward_path: Address, *, orcpt: str | None, notify: tuple[str, ...]) -> Recipient:
        """Find the mailbox of a forward-path.

        Raises:
            DomainNotHosted, UserNotFound, MailboxDisabled, DirectoryUnavailable, InvalidAddress: as the names say.
        """
        account = self._directory.usable(self._directory.find(forward_path))
        return _recipient(forward_path, account, orcpt, notify)

    def recall(self, forward_path: Address, *, orcpt: str | None, notify: tuple[str, ...]) -> Recipient | None:
        """Give the answer from memory; None when the disk has to be asked or the answer is a refusal."""
        account = self._directory.recall(forward_path)
        if account is None or not account.user.enabled:
            return None
        return _recipient(forward_path, account, orcpt, notify)


def _recipient(forward_path: Address, account: Account, orcpt: str | None, notify: tuple[str, ...]) -> Recipient:
    return Recipient(
        forward_path=forward_path, mailbox=account.user.mailbox, detail=account.detail, orcpt=orcpt, notify=notify
    )


def has_looped(header: bytes) -> bool:
    """Whether the header shows more hops than any honest way has."""
    return sum(1 for name, _ in fields(header) if name == b"received") > RECEIVED_LIMIT


def was_delivered_to(header: bytes, recipient: Recipient) -> bool:
    """Whether an earlier Delivered-To names this very address: the message came back."""
    path = recipient.forward_path
    local = fold_local_part(path.local_part)
    domain = recipient.mailbox.domain if path.domain is None else fold_domain(path.domain)
    for value in field_values(header, b"delivered-to"):
        try:
            earlier = parse_address(value.decode("utf-8"))
            same_domain = earlier.domain is not None and fold_domain(earlier.domain) == domain
        except (InvalidAddress, UnicodeDecodeError):
            continue
        if same_domain and fold_local_part(earlier.local_part) == local:
            return True
    return False
