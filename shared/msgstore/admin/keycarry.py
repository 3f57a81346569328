"""Users' keys along with their mail: they lie beside it in some stores, and sealed mail is nothing without them."""

from collections.abc import Iterator

from msgstore.admin.console import Console
from msgstore.auth.directory import Account
from msgstore.crypto import PublicKey
from msgstore.model.address import Address
from msgstore.model.errors import KeyNotFound, MsgstoreError
from msgstore.model.user import User

__all__ = ["carry_keys"]


def carry_keys(console: Console, other: Console, user: User, *, dry_run: bool) -> Iterator[str]:
    """Let a user have the same keys under another configuration, and say what hinders.

    Keys that are there are replaced by the same keys under another password only.
    """
    address = Address(local_part=user.username.rpartition("@")[0], domain=user.mailbox.domain)
    try:
        here = console.directory.find(address)
    except MsgstoreError as error:
        yield f"keys cannot be looked at: {error}"
        return
    try:
        there = other.directory.find(address)
    except MsgstoreError as error:
        yield f"there is no such user under the other configuration: {error}"
        return
    try:
        yield from _carry(console, other, (here, there), dry_run=dry_run)
    except MsgstoreError as error:
        yield f"keys cannot be carried over: {error}"


def _carry(console: Console, other: Console, accounts: tuple[Account, Account], *, dry_run: bool) -> Iterator[str]:
    here, there = accounts
    public = console.keys.public_key(here.user)
    content = _content(console, here.user)
    known = _content(other, there.user)
    if (content, public) == (known, other.keys.public_key(there.user)):
        return
    if content is None or public is None:
        yield "has half a pair of keys here, or keys only there; they are left as they are"
    elif known is None:
        if not dry_run and not other.key_changes.add(there, content=content, public=public):
            yield "has other keys there; they are left as they are"
    elif other.keys.public_key(there.user) != public:
        yield "has other keys there; they are left as they are"
    elif not dry_run:
        _renew(other, there, content, public)


def _renew(other: Console, there: Account, content: bytes, public: PublicKey) -> None:
    """Put the same keys under another password in their place."""
    other.key_changes.replace(there, other.keys.wrapped(there.user), content=content, public=public)


def _content(console: Console, user: User) -> bytes | None:
    try:
        return console.keys.wrapped(user).content
    except KeyNotFound:
        return None
