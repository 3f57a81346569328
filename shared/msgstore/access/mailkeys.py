"""Sealed mail opened by the client: the keys of a login, and what an opened message looks like.  Knows no socket."""

import os
import threading
from collections.abc import Iterable
from typing import Final

from msgstore.access import contract
from msgstore.access.bodyshapes import MessageSource
from msgstore.access.codes import AccessError
from msgstore.access.heads import head_of
from msgstore.access.keyshapes import WrappedKeyResult
from msgstore.access.mailshapes import HeadersResult, RetrieveResult
from msgstore.access.shapes import LoginResult
from msgstore.crypto import ALGORITHM, PublicKey, SecretKey, open_key_file, open_sealed, seal
from msgstore.crypto.sodium import Buffer, wipe
from msgstore.model.errors import MsgstoreError
from msgstore.model.keys import WrongPassword

__all__ = [
    "SEALED_HERE",
    "Keyed",
    "MailKeys",
    "as_damaged",
    "as_opened",
    "headers_of",
    "sealed_for",
]

SEALED_HERE: Final[dict[str, object]] = {"algorithm": ALGORITHM, "encrypted": True}
"""Argument ``encryption`` of a message that the client has sealed."""

_DERIVATIONS: Final = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Each costs 64 MiB and a core for a while; in a busy daemon others wait."""


class MailKeys:
    """A user's private keys while a session lasts; wiped with it, and when the last reference goes.

    Wiped while a thread opens a message with them, that one fails.
    """

    def __init__(self, keys: Iterable[SecretKey]) -> None:
        """Take copies; the caller wipes its own."""
        self._keys = tuple(SecretKey(key.copy_octets()) for key in keys)

    @classmethod
    def opened(cls, found: WrappedKeyResult, password: str) -> "MailKeys":
        """Open a key file with the password of the login; takes a while and blocks.

        Raises:
            KeyUnusable: it does not open, and the class says why.
        """
        files = [found.key_file, *(() if found.next_key_file is None else (found.next_key_file,))]
        octets = bytearray(password.encode("utf-8"))
        try:
            with _DERIVATIONS:
                return _opened(files, octets)
        finally:
            wipe(octets)

    @property
    def keys(self) -> tuple[SecretKey, ...]:
        """Them all, the active one first."""
        return self._keys

    def text_of(self, blob: Buffer) -> bytearray:
        """Open a sealed message; the caller wipes what it gets.

        Raises:
            SealError: it is damaged, or sealed for somebody else.
            KeyWiped: the session is over.
        """
        return open_sealed(blob, self._keys)

    def text_in(self, descriptor: int, octets: int) -> bytearray:
        """Open a sealed message of so many octets in a file.

        Raises:
            SealError, KeyWiped: as for :meth:`text_of`.
            OSError: the file cannot be read.
        """
        return self.text_of(_read(descriptor, octets))

    def wipe(self) -> None:
        """Forget them; harmless to repeat."""
        for key in self._keys:
            key.wipe()

    def __repr__(self) -> str:
        return f"<MailKeys: {len(self._keys)}>"


def _opened(files: Iterable[bytes], password: bytearray) -> MailKeys:
    trouble: WrongPassword | None = None
    for content in files:
        try:
            with open_key_file(content, password) as opened:
                return MailKeys(opened.keys)
        except WrongPassword as error:
            trouble = error
    raise trouble or WrongPassword("there is no key file")


class Keyed:
    """What a session of either client knows of its user's keys."""

    def __init__(self, opened: LoginResult) -> None:
        self.opened = opened
        """What the login gave."""

        self._opens_mail = False
        self._keys: MailKeys | None = None
        self._key_trouble: AccessError | None = None
        self._is_over = False

    def forget_keys(self) -> None:
        """Wipe the keys; sealed messages cannot be opened any more.  Harmless to repeat."""
        self._is_over = True
        if self._keys is not None:
            self._keys.wipe()

    def _take_keys(self, keys: MailKeys) -> None:
        """Keep keys; those that come after the end of the session are wiped at once."""
        self._keys = keys
        if self._is_over:
            keys.wipe()

    def _note_trouble(self, error: MsgstoreError) -> None:
        """Keep trouble with the keys for a message that needs them: all other mail can be read.

        Raises:
            AccessError: it was about something else.
        """
        trouble = error if isinstance(error, AccessError) else AccessError(error.rpc_code, str(error))
        if not trouble.code.startswith("KEY_"):
            raise trouble
        self._key_trouble = trouble

    def _require_keys(self) -> MailKeys:
        if self._keys is None:
            raise self._key_trouble or AccessError("KEY_NOT_FOUND", "the user has no key")
        return self._keys

    @property
    def _seals_to(self) -> bytes | None:
        """The key to which the session seals what it appends; None where it does not."""
        return self.opened.public_key if self._opens_mail and self.opened.sealing else None


def as_opened(sealed: RetrieveResult, text: bytearray) -> RetrieveResult:
    """Describe a message that was opened: as if it had never been sealed."""
    bare = text.count(b"\n") - text.count(b"\r\n")
    return RetrieveResult(
        uid=sealed.uid,
        octets=len(text) + bare,
        stored_octets=len(text),
        crlf=not bare,
        dots=text.startswith(b".") or b"\n." in text,
    )


def as_damaged(sealed: RetrieveResult) -> RetrieveResult:
    """Mark a message that none of the keys opens; its octets come as they are."""
    if sealed.sealed is None or sealed.sealed.damaged:
        return sealed
    return contract.changed(sealed, sealed=contract.changed(sealed.sealed, damaged=True))


def headers_of(described: RetrieveResult, text: bytes | bytearray, lines: int | None) -> HeadersResult:
    """Give what ``message.headers`` gives, of a message at hand."""
    headers, more = head_of(text, lines)
    return HeadersResult(headers=headers, octets=described.octets, lines=more)


def sealed_for(public_key: bytes, message: MessageSource) -> bytes:
    """Seal a message, of a file the whole content.

    Raises:
        KeyMalformed: that is no key.
        OSError: the file cannot be read.
    """
    public = PublicKey(public_key)
    if isinstance(message, bytes):
        return bytes(seal(message, public))
    text = _read(message.fileno(), os.fstat(message.fileno()).st_size)
    try:
        return bytes(seal(text, public))
    finally:
        wipe(text)


def _read(descriptor: int, octets: int) -> bytearray:
    """Read into one buffer; a mapped file would end the process where the disk fails."""
    whole = bytearray(octets)
    at = 0
    with memoryview(whole) as view:
        while at < octets and (got := os.preadv(descriptor, [view[at:]], at)):
            at += got
    del whole[at:]
    return whole
