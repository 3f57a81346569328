"""Sealed mail: messages for one recipient, private keys under a password, passwords.  PyNaCl's only door.

``box`` seals and opens messages, ``secret`` holds keys while they are open, ``keyfile`` opens the files they are kept
in, of either form: ``keyring`` (``document`` inside, ``keyslots`` around) or the older one of ``keywrap``.
``recovery`` is a recovery key as people write it down, ``password`` the hashes of logins, ``sodium`` libsodium on
buffers.

What existing installations have written is read, and what is written here they read.  Every fault is a typed error of
``msgstore.model.keys``, whatever the octets were.  Secrets lie in buffers that are wiped; what the standard library
makes of them on the way (a derived key as ``bytes``) is wiped where it is made.  Everything blocks, without the GIL
where it takes long; objects belong to one thread at a time.
"""

from msgstore.crypto.box import ALGORITHM, OVERHEAD_OCTETS, check_algorithm, open_into, open_sealed, seal, seal_into
from msgstore.crypto.keyfile import OpenKeys, open_key_file, recover_key_file
from msgstore.crypto.recovery import decode_recovery, encode_recovery
from msgstore.crypto.secret import PublicKey, SecretKey

__all__ = [
    "ALGORITHM",
    "OVERHEAD_OCTETS",
    "OpenKeys",
    "PublicKey",
    "SecretKey",
    "check_algorithm",
    "decode_recovery",
    "encode_recovery",
    "open_into",
    "open_key_file",
    "open_sealed",
    "recover_key_file",
    "seal",
    "seal_into",
]
