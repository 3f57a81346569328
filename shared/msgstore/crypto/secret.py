"""Octets that must not get out: keys while they are open.

A secret lies in one buffer that never moves and is overwritten when it is over: at the end of a ``with`` block, by
``wipe()``, and when the last reference goes.  It has no text form, cannot be copied, compared or pickled.  It belongs
to one thread at a time, or to several that all only use it while none wipes it.
"""

import hashlib
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self

from msgstore.crypto.sodium import KEY_OCTETS, Buffer, fill_random, public_of, wipe
from msgstore.model.keys import KeyMalformed, KeyWiped

__all__ = ["PublicKey", "Secret", "SecretKey"]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An X25519 public key.

    Raises:
        KeyMalformed: it has not 32 octets, or the bit set that no key has.
    """

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != KEY_OCTETS:
            raise KeyMalformed(f"a public key has {KEY_OCTETS} octets, not {len(self.octets)}")
        # X25519 passes over this bit (RFC 7748 §5) and nobody sets it: a key must not have two forms.
        if self.octets[-1] & 0x80:
            raise KeyMalformed("a public key has its last bit set")

    @property
    def key_id(self) -> str:
        """Name of the key pair: SHA-256 of the public key, 64 hexadecimal digits."""
        return hashlib.sha256(self.octets).hexdigest()


class Secret:
    """Octets that are gone after :meth:`wipe`."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytearray) -> None:
        """Take ``octets`` over: nobody else uses or keeps the buffer from now on."""
        self._octets: bytearray | None = octets

    def octets(self) -> memoryview:
        """Give a view of the octets themselves, for the moment of use; it reads zeros after a wipe.

        Raises:
            KeyWiped: there are none any more.
        """
        if self._octets is None:
            raise KeyWiped("the key is not there any more")
        return memoryview(self._octets).toreadonly()

    def copy_octets(self) -> bytearray:
        """Give a copy that the caller wipes.

        Raises:
            KeyWiped: there are none any more.
        """
        return bytearray(self.octets())

    @property
    def is_wiped(self) -> bool:
        """Whether it is over."""
        return self._octets is None

    def wipe(self) -> None:
        """Overwrite the octets; a second time does nothing."""
        octets, self._octets = self._octets, None
        if octets is not None:
            wipe(octets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __del__(self) -> None:
        # The slot is missing where the constructor of a subclass refused before it was set.
        if getattr(self, "_octets", None) is not None:
            self.wipe()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{', wiped' if self.is_wiped else ''}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Pickle and copy both come through here.
        raise TypeError("a secret is neither copied nor pickled")


class SecretKey(Secret):
    """An X25519 private key; ``public`` outlives it.

    Raises:
        KeyMalformed: it has not 32 octets; the buffer is wiped all the same.
    """

    __slots__ = ("public",)

    public: PublicKey
    """The key that mail is sealed to."""

    def __init__(self, octets: bytearray) -> None:
        if len(octets) != KEY_OCTETS:
            length = len(octets)
            wipe(octets)
            raise KeyMalformed(f"a private key has {KEY_OCTETS} octets, not {length}")
        super().__init__(octets)
        self.public = PublicKey(public_of(octets))

    @classmethod
    def generate(cls) -> "SecretKey":
        """Make a new key pair."""
        octets = bytearray(KEY_OCTETS)
        fill_random(octets)
        return cls(octets)

    @classmethod
    def copy_of(cls, octets: Buffer) -> "SecretKey":
        """Take a copy; the caller wipes its own.

        Raises:
            KeyMalformed: there are not 32 octets.
        """
        return cls(bytearray(octets))

    def __repr__(self) -> str:
        return f"<SecretKey of {self.public.key_id[:16]}{', wiped' if self.is_wiped else ''}>"
