"""What is wrong with users' keys, and sealed mail that nobody can read; shared by ``doctor`` and ``store check``."""

import errno
from collections.abc import Callable, Iterator
from typing import TypeVar

from msgstore.auth.keys import UserKeys
from msgstore.model.errors import FolderNotFound, KeyNotFound, KeyUnreadable, KeyUnusable
from msgstore.model.interfaces import MessageStore
from msgstore.model.outcomes import Finding
from msgstore.model.user import User

__all__ = ["examine_keys", "examine_sealed_mail"]

T = TypeVar("T")


def examine_keys(keys: UserKeys, user: User) -> Iterator[Finding]:
    """Say what is wrong with the key files of a user; needs no password, and so cannot say whether they open."""
    public = _read(lambda: keys.public_key(user))
    wrapped = _read(lambda: keys.wrapped(user))
    found = [one for one in (public, wrapped) if isinstance(one, Finding)]
    yield from found
    if found:
        return
    if public is not None and wrapped is None:
        text = "there is a public key and no private one: mail is sealed that nobody can read here"
        yield Finding(kind="no-private-key", place="keys", text=text)
    elif public is None and wrapped is not None:
        text = "there is a private key and no public one: mail is not sealed"
        yield Finding(kind="no-public-key", place="keys", text=text)


def examine_sealed_mail(keys: UserKeys, store: MessageStore, user: User) -> Iterator[Finding]:
    """Name the folders of a user without private keys that hold sealed mail; reads names and no message.

    Raises:
        StoreError: the store cannot be worked on now.
    """
    if _read(lambda: keys.wrapped(user)) is not None:
        return
    for info in store.folders(user.mailbox).list():
        try:
            sealed = sum(1 for (is_sealed,) in store.folder(user.mailbox, info.name).rows(["sealed"]) if is_sealed)
        except FolderNotFound:
            continue
        if sealed:
            text = f"{sealed} messages are sealed, and the user has no key that could open them"
            yield Finding(kind="sealed-without-key", place=str(info.name), text=text)


def _read(read: Callable[[], T]) -> T | Finding | None:
    try:
        return read()
    except KeyNotFound:
        return None
    except KeyUnreadable as error:
        is_link = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ELOOP
        text = f"{error}; symbolic links are not followed: put the file itself there" if is_link else str(error)
        return Finding(kind="symlinked-key" if is_link else "unreadable-key", place="keys", text=text)
    except KeyUnusable as error:
        return Finding(kind="unusable-key", place="keys", text=str(error))
