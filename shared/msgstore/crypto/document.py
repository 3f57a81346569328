"""The keys inside a keyring: ``{version, entries: [{key_id, algorithm, purpose, public_key, private_key, …}]}``.

It is JSON with private keys in it, and a JSON parser leaves copies of all that it reads.  So the private keys are
taken out of the text first, into buffers of their own, and put back last; what lies between holds none.  Fields that
are not known here are kept.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, cast

from msgstore.crypto.base64secret import decode_secret, encode_secret
from msgstore.crypto.secret import PublicKey, Secret, SecretKey
from msgstore.crypto.sodium import KEY_OCTETS, wipe
from msgstore.model.keys import KeyDamaged, KeyMalformed

__all__ = ["Document", "Entry", "Status"]

Status = Literal["active", "rotated", "revoked"]

_PRIVATE: Final = re.compile(rb'"private_key"\s*:\s*"((?:[^"\\]|\\/)*)"')
_NEVER: Final = "0001-01-01T00:00:00Z"
"""The zero of the clock that older installations write; there it means no end."""

_NO_KEY: Final = "#"
"""Stands for a private key that was taken out; no character of base64."""


class Entry:
    """One key: what is said of it, and its private octets."""

    def __init__(self, fields: Mapping[str, object], private: Secret) -> None:
        self.fields: dict[str, object] = dict(fields)
        """All of the entry but the private key."""

        self.private: Final = private

    @classmethod
    def of(cls, key: SecretKey, now: datetime, *, status: Status) -> "Entry":
        """Make the entry of a key; ``key`` stays the caller's."""
        since = _written(now)
        fields = {
            "key_id": key.public.key_id,
            "algorithm": "X25519",
            "purpose": "encryption",
            "public_key": base64.b64encode(key.public.octets).decode("ascii"),
            "private_key": _NO_KEY,
            "created": since,
            "valid_from": since,
            "valid_until": _NEVER if status == "active" else since,
            "status": status,
        }
        return cls(fields, Secret(key.copy_octets()))

    @property
    def opens_mail(self) -> bool:
        """Whether mail can be sealed to it: another kind signs, and is only kept."""
        return self.fields.get("algorithm") == "X25519"

    @property
    def is_active(self) -> bool:
        """Whether new mail is sealed to it."""
        return self.opens_mail and self.fields.get("status") == "active"

    @property
    def created(self) -> str:
        """When it was made, in text that sorts."""
        return str(self.fields.get("created", ""))

    def retire(self, now: datetime) -> None:
        """New mail is for another key from now on; this one goes on opening the old."""
        self.fields |= {"status": "rotated", "valid_until": _written(now)}

    def key(self) -> SecretKey:
        """Give a copy of the private key, checked against what the entry says of it.

        Raises:
            KeyDamaged: it is another one's.
        """
        octets = self.private.copy_octets()
        if len(octets) != KEY_OCTETS:
            wipe(octets)
            raise KeyDamaged(f"a private key in the keyring has {len(self.private.octets())} octets")
        key = SecretKey(octets)
        said = self.fields.get("public_key"), self.fields.get("key_id")
        if said != (base64.b64encode(key.public.octets).decode("ascii"), key.public.key_id):
            key.wipe()
            raise KeyDamaged("a private key in the keyring does not belong to its public key")
        return key


class Document:
    """All keys of a keyring, open."""

    def __init__(self, entries: Sequence[Entry], more: Mapping[str, object] | None = None) -> None:
        self.entries: Final = list(entries)
        self._more = dict(more or {})

    @classmethod
    def parse(cls, text: bytearray) -> "Document":
        """Read the text; it is wiped when this returns.

        Raises:
            KeyDamaged: it is no such document.
        """
        privates: list[Secret] = []
        try:
            return cls(*_parsed(_without_secrets(text, privates), privates))
        except (ValueError, RecursionError) as error:
            for private in privates:
                private.wipe()
            # Without the cause: a parser's error holds the text that it read.
            why = str(error) if type(error) is ValueError else "is not JSON"
            raise KeyDamaged(f"what the keyring holds {why}") from None
        finally:
            wipe(text)

    def text(self) -> bytearray:
        """Write the document; the caller wipes it."""
        listed: list[dict[str, object]] = [
            {**entry.fields, "private_key": _NO_KEY + str(index)} for index, entry in enumerate(self.entries)
        ]
        whole = json.dumps({"version": 1, **self._more, "entries": listed}, separators=(",", ":"))
        pieces = re.split(f'(?<="private_key":"){_NO_KEY}[0-9]+(?=")', whole)
        assert len(pieces) == len(self.entries) + 1
        encoded = [encode_secret(entry.private.octets()) for entry in self.entries]
        texts = [piece.encode("ascii") for piece in pieces]
        # Of the right size from the start: a buffer that grows leaves copies behind.
        text = bytearray(sum(map(len, texts)) + sum(map(len, encoded)))
        at = 0
        for index, piece in enumerate(texts):
            for part in (piece, *encoded[index : index + 1]):
                text[at : at + len(part)] = part
                at += len(part)
        for secret in encoded:
            wipe(secret)
        return text

    def wipe(self) -> None:
        """Wipe every private key."""
        for entry in self.entries:
            entry.private.wipe()


def _parsed(text: str, privates: Sequence[Secret]) -> tuple[list[Entry], Mapping[str, object]]:
    fields = _object(json.loads(text))
    listed = fields.pop("entries", None)
    if fields.get("version") != 1 or not isinstance(listed, list):
        raise ValueError("is not of version 1")
    entries = [_entry(_object(one), privates) for one in cast("list[object]", listed)]
    if len({id(entry.private) for entry in entries}) != len(privates):
        raise ValueError("holds private keys that belong to no entry, or to several")
    return entries, fields


def _without_secrets(text: bytearray, privates: list[Secret]) -> str:
    """Take the private keys out, in order; what is given back names each by its number."""
    pieces: list[bytes] = []
    at = 0
    with memoryview(text) as view:
        for found in _PRIVATE.finditer(text):
            begin, end = found.span(1)
            pieces += [bytes(view[at:begin]), f"{_NO_KEY}{len(privates)}".encode()]
            with view[begin:end] as written:
                privates.append(Secret(_decoded(written)))
            at = end
        return b"".join([*pieces, bytes(view[at:])]).decode("utf-8")


def _decoded(written: memoryview) -> bytearray:
    if ord("\\") not in written:
        return decode_secret(written)
    # Some writers of JSON put a backslash before every slash.
    bare = bytearray(len(written))
    length = 0
    for octet in written:
        if octet != ord("\\"):
            bare[length] = octet
            length += 1
    try:
        with memoryview(bare) as view, view[:length] as text:
            return decode_secret(text)
    finally:
        wipe(bare)


def _entry(fields: dict[str, object], privates: Sequence[Secret]) -> Entry:
    named = fields.get("private_key")
    if not isinstance(named, str) or not re.fullmatch(f"{_NO_KEY}[0-9]{{1,6}}", named):
        raise ValueError("has an entry without a private key")
    index = int(named[1:])
    if index >= len(privates):
        raise ValueError("has an entry without a private key")
    entry = Entry(fields, privates[index])
    if entry.opens_mail:
        try:
            said = base64.b64decode(str(fields.get("public_key")), validate=True)
            if PublicKey(said).key_id != fields.get("key_id"):
                raise ValueError("names a key wrongly")
        except (binascii.Error, KeyMalformed) as error:
            raise ValueError("has a public key that is none") from error
    return entry


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("is no object where there must be one")  # noqa: TRY004 (all faults of a text are alike)
    return cast("dict[str, object]", value)


def _written(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
