"""Several private keys of one user in one file, under a key that passwords and recovery keys wrap.

::

    {version: 1, doc_version, kek_wrapped_blob,
     wrap_slots: [{slot_type: passphrase | device | escrow, slot_id, wrapped_kek,
                   kdf: {algorithm, salt, time, memory, threads, key_len, info}}]}

The document of keys is sealed by XChaCha20-Poly1305 under the key-encryption key (KEK), with its version as associated
data.  A passphrase slot wraps the KEK under HKDF-SHA256 of an argon2id key, with the slot's name as associated data; an
escrow slot is a NaCl sealed box of the KEK to a recovery key.  A new password rewrites one slot; the KEK and the keys
stay.  Slots and fields that are not known here are kept as they are.

Keyrings of the older suite are the same.  New slots record one lane and a salt of 16 octets, so that libsodium is
enough to open them.  RFC 5869, RFC 8439, draft-irtf-cfrg-xchacha.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Self, cast

from msgstore.crypto.document import Document, Entry
from msgstore.crypto.keyslots import (
    Fields,
    base64_text,
    password_slot,
    read_number,
    read_object,
    read_octets,
    read_text,
    recovery_slot,
    unwrap_recovery_slot,
    unwrap_slot,
)
from msgstore.crypto.password import PasswordProfile
from msgstore.crypto.secret import PublicKey, Secret, SecretKey
from msgstore.crypto.sodium import (
    AEAD_TAG_OCTETS,
    KEY_OCTETS,
    NONCE_OCTETS,
    Buffer,
    aead_open,
    aead_seal,
    fill_random,
    wipe,
)
from msgstore.model.errors import KeyNotFound, KeyUnusable
from msgstore.model.keys import (
    KeyAlgorithmUnknown,
    KeyCostTooHigh,
    KeyDamaged,
    KeyMalformed,
    WrongPassword,
    WrongRecoveryKey,
)

__all__ = ["KEY_FILE_LIMIT_OCTETS", "Keyring", "OpenKeyring"]

KEY_FILE_LIMIT_OCTETS: Final = 512 * 1024
"""About a thousand keys."""

_SLOTS_LIMIT: Final = 64
_PASSPHRASES_LIMIT: Final = 4
"""Each costs a derivation until one fits."""


class Keyring:
    """A keyring as it lies in a file: no secret is in it.

    Raises:
        KeyMalformed: it is none.
        KeyAlgorithmUnknown: it is of another version.
    """

    def __init__(self, fields: Fields) -> None:
        if read_number(fields, "version") != 1:
            raise KeyAlgorithmUnknown("the keyring is not of version 1")
        self.doc_version: Final = read_number(fields, "doc_version")
        self.sealed_document: Final = read_octets(fields, "kek_wrapped_blob")
        listed = fields.get("wrap_slots")
        if not isinstance(listed, list) or not 0 < len(cast("list[object]", listed)) <= _SLOTS_LIMIT:
            raise KeyMalformed("the keyring has no slots, or too many")
        self.slots: Final[Sequence[Fields]] = [read_object(slot) for slot in cast("list[object]", listed)]
        names = [(read_text(slot, "slot_type"), read_text(slot, "slot_id")) for slot in self.slots]
        if len(set(names)) != len(names):
            raise KeyMalformed("two slots of the keyring have one name")
        self._more = {name: value for name, value in fields.items() if name not in _KNOWN}

    @classmethod
    def parse(cls, content: bytes) -> "Keyring":
        """Read a file.

        Raises:
            KeyMalformed, KeyAlgorithmUnknown: as for the class.
        """
        if len(content) > KEY_FILE_LIMIT_OCTETS:
            raise KeyMalformed("the keyring is larger than any")
        try:
            found: object = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise KeyMalformed("the keyring is not JSON") from error
        return cls(read_object(found))

    @property
    def recovery_slots(self) -> tuple[str, ...]:
        """Names of the slots that a recovery key opens."""
        return tuple(read_text(slot, "slot_id") for slot in self.slots if slot["slot_type"] == "escrow")

    def content(self) -> bytes:
        """Write the file."""
        fields: dict[str, object] = {
            "version": 1,
            "doc_version": self.doc_version,
            "kek_wrapped_blob": base64_text(self.sealed_document),
            "wrap_slots": [dict(slot) for slot in self.slots],
            **self._more,
        }
        return json.dumps(fields, separators=(",", ":")).encode("ascii")

    def open(self, password: Buffer) -> "OpenKeyring":
        """Open it with a password.

        Raises:
            WrongPassword: no slot opens with it.
            KeyCostTooHigh, KeyAlgorithmUnknown, KeyMalformed: a slot cannot be tried.
            KeyDamaged: the keys inside are not what was wrapped.
        """
        mine = [slot for slot in self.slots if slot["slot_type"] == "passphrase"]
        if len(mine) > _PASSPHRASES_LIMIT:
            raise KeyCostTooHigh(f"{len(mine)} slots would have to be tried; at most {_PASSPHRASES_LIMIT} are")
        for slot in mine:
            kek = unwrap_slot(slot, password)
            if kek is not None:
                return self._opened(kek)
        raise WrongPassword("the password opens no slot of the keyring, or the slot was changed")

    def recover(self, key: SecretKey) -> "OpenKeyring":
        """Open it with a recovery key.

        Raises:
            WrongRecoveryKey: no slot opens with it.
            KeyMalformed, KeyDamaged: as for :meth:`open`.
        """
        for slot in self.slots:
            kek = unwrap_recovery_slot(slot, key) if slot["slot_type"] == "escrow" else None
            if kek is not None:
                return self._opened(kek)
        raise WrongRecoveryKey("the recovery key opens no slot of the keyring")

    def _opened(self, kek: Secret) -> "OpenKeyring":
        sealed = self.sealed_document
        try:
            if len(sealed) < NONCE_OCTETS + AEAD_TAG_OCTETS:
                raise KeyDamaged("the keyring holds nothing")
            text = bytearray(len(sealed) - NONCE_OCTETS - AEAD_TAG_OCTETS)
            nonce, box = sealed[:NONCE_OCTETS], sealed[NONCE_OCTETS:]
            if not aead_open(text, box, nonce, kek.octets(), aad=_document_aad(self.doc_version)):
                raise KeyDamaged("what the keyring holds was changed")
            return OpenKeyring(Document.parse(text), kek, self.slots, doc_version=self.doc_version, more=self._more)
        except KeyUnusable:
            kek.wipe()
            raise


class OpenKeyring:
    """A keyring while it is open: the keys for reading mail, and what an administrator changes.

    Changes are in memory until :meth:`wrapped` gives the file.  A context manager; everything is wiped at its end.
    """

    def __init__(
        self, document: Document, kek: Secret, slots: Sequence[Fields], *, doc_version: int, more: Fields | None = None
    ) -> None:
        self._document = document
        self._kek = kek
        self._slots = list(slots)
        self._doc_version = doc_version
        self._more = dict(more or {})
        self._keys: tuple[SecretKey, ...] | None = None

    @classmethod
    def create(cls, key: SecretKey, password: Buffer, profile: PasswordProfile, now: datetime) -> "OpenKeyring":
        """Make a keyring with one key, which stays the caller's, under a password.

        Raises:
            WrongPassword: the password is empty or over 1024 octets.
        """
        kek = bytearray(KEY_OCTETS)
        fill_random(kek)
        keyring = cls(Document([Entry.of(key, now, status="active")]), Secret(kek), (), doc_version=0)
        keyring.set_password(password, profile)
        return keyring

    @property
    def keys(self) -> tuple[SecretKey, ...]:
        """Every key that opens mail, the active one first, then the youngest; they are wiped with the keyring.

        Raises:
            KeyDamaged: a key does not belong to its public key.
        """
        if self._keys is None:
            mine = [entry for entry in self._document.entries if entry.opens_mail]
            mine.sort(key=lambda entry: (entry.is_active, entry.created), reverse=True)
            self._keys = tuple(entry.key() for entry in mine)
        return self._keys

    @property
    def active(self) -> SecretKey:
        """The key that new mail is sealed to.

        Raises:
            KeyUnusable: there is none.
            KeyDamaged: as for :attr:`keys`.
        """
        if not any(entry.is_active for entry in self._document.entries):
            raise KeyUnusable("no key of the keyring is active")
        return self.keys[0]

    def entries(self) -> tuple[Fields, ...]:
        """Say what is known of every key, without the private ones."""
        return tuple(
            {name: value for name, value in entry.fields.items() if name != "private_key"}
            for entry in self._document.entries
        )

    def rotate(self, key: SecretKey, now: datetime) -> None:
        """Make a key, which stays the caller's, the active one; the others go on opening old mail."""
        for entry in self._document.entries:
            if entry.is_active:
                entry.retire(now)
        self._add(Entry.of(key, now, status="active"))

    def add_old(self, key: SecretKey, now: datetime) -> None:
        """Add a key, which stays the caller's, that only opens old mail."""
        self._add(Entry.of(key, now, status="rotated"))

    def remove(self, key_id: str) -> None:
        """Take a key away: what is sealed to it is never read again.

        Raises:
            KeyNotFound: there is no such key.
            KeyUnusable: new mail is sealed to it.
        """
        found = [one for one in self._document.entries if one.fields.get("key_id") == key_id]
        if not found:
            raise KeyNotFound(f"the keyring has no key {key_id}")
        if any(entry.is_active for entry in found):
            raise KeyUnusable("new mail is sealed to this key; `msgstore key rotate` makes another one")
        self._forget(found)

    def set_password(self, password: Buffer, profile: PasswordProfile) -> None:
        """Let this password open the keyring and no other; recovery keys stay.

        Raises:
            WrongPassword: the password is empty or over 1024 octets.
        """
        slot = password_slot(self._kek, password, profile)
        self._slots = [slot, *(one for one in self._slots if one["slot_type"] != "passphrase")]

    def set_recovery(self, slot_id: str, public: PublicKey) -> None:
        """Let the owner of a recovery key open the keyring; a slot of this name is replaced.

        Raises:
            KeyMalformed: the public key is of low order.
        """
        slot = recovery_slot(self._kek, slot_id, public)
        others = (one for one in self._slots if (one["slot_type"], one["slot_id"]) != ("escrow", slot_id))
        self._slots = [*others, slot]

    def wrapped(self) -> Keyring:
        """Give the keyring as it lies in a file, under a version of its own."""
        self._doc_version += 1
        text = self._document.text()
        sealed = bytearray(NONCE_OCTETS + len(text) + AEAD_TAG_OCTETS)
        with memoryview(sealed) as view:
            fill_random(view[:NONCE_OCTETS])
            nonce = bytes(view[:NONCE_OCTETS])
            aead_seal(view[NONCE_OCTETS:], text, nonce, self._kek.octets(), aad=_document_aad(self._doc_version))
        wipe(text)
        return Keyring(
            {
                "version": 1,
                "doc_version": self._doc_version,
                "kek_wrapped_blob": base64_text(sealed),
                "wrap_slots": self._slots,
                **self._more,
            }
        )

    def wipe(self) -> None:
        """Wipe every key; a second time does nothing."""
        for key in self._keys or ():
            key.wipe()
        self._document.wipe()
        self._kek.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return f"<OpenKeyring of {len(self._document.entries)} keys{', wiped' if self._kek.is_wiped else ''}>"

    def _add(self, entry: Entry) -> None:
        name = entry.fields["key_id"]
        self._forget([one for one in self._document.entries if one.fields.get("key_id") == name])
        self._document.entries.append(entry)

    def _forget(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._document.entries.remove(entry)
            entry.private.wipe()
        for key in self._keys or ():
            key.wipe()
        self._keys = None


_KNOWN: Final = frozenset(("version", "doc_version", "kek_wrapped_blob", "wrap_slots"))


def _document_aad(doc_version: int) -> bytes:
    return b"\x01" + doc_version.to_bytes(8, "big")
