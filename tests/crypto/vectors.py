"""Golden vectors: what the older suite has written, and the values between, for finding a fault step by step."""

import base64
from datetime import UTC, datetime
from typing import Final

from msgstore.crypto.keyring import Keyring, OpenKeyring
from msgstore.crypto.password import PROFILES
from msgstore.crypto.secret import SecretKey

PASSWORD: Final = b"correct horse battery"
PRIVATE: Final = bytes(range(1, 33))
PUBLIC: Final = bytes.fromhex("07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c")
KEY_ID: Final = "aaa8fff703b50b2297f4f6e13508f72420d96fd01ebb84cb074449caaef64041"

LEGACY: Final = bytes.fromhex(
    "ea74599d15dda904d6880c84ea0091aaa482436915a5556d3bb9a37fc4ea8d41"
    "2b0bcd0d2fc9930b13b8a9ac3a11acb623cc178b37769489"
    "3ecc7e2abfff8a282ffb57f744bea7b1ce20118e64fc5da961501d100ea360e5bf03648e2eefb92b024bd5a5f1046f80"
)
LEGACY_SALT: Final = LEGACY[:32]
LEGACY_DERIVED: Final = bytes.fromhex("74d882510490bdd7410564b8b4300185c70bc8b7778846fe3b86897e6c42e06f")

MESSAGE: Final = b"Subject: hi\r\n\r\nsecret\r\n"
BLOB: Final = base64.b64decode(
    "rl8lE68oh4VG6WmnOaN8gikQmIZCoRPrt90AuTbBlgtqzFi4auFHnZAGTBtg1qgAVnO4sQx4fRH8w6njhkiB76vJo8i5UT1KaZBQLO7Ne8u5q9P+"
    "F3UgXJhSJabJiE8="
)

KEYRING: Final = (
    b'{"version":1,"doc_version":1,"kek_wrapped_blob":"f4CmYxv1z7douM7x+2nU5kWUnEjpVo+D9YCO22U/+U9MOPH9m9KtmQ35Bcia3Ea'
    b"u98Ye0VZciPGFRuLB8B7u8/4GYZPnHMdp3UyfnSInktPySsizqJnCbS1CgZC0aErlM3Q2iDoaHr4rjUprCQLi3+X3fVvPjJVoy1Vpyn2ry3J2FvsI"
    b"/WDQXdyDZHOAoaZwADkL2CWvGNMw78vgoQOp/QT6iNzR+zc6ENDpEwsrKyhbBb8b3ZpnGNL+X23d7+OcB10Hnj8cQgAi3ILMVud5IQG8KzuoAe67"
    b"KUWXXfPoWTlqvgnWI2LgdnA7Uwcjx6cr0uRFOMw/kk381tKzBZI0d3tDvxSUeH83LZ5fgvp8NUKMeR5jLQ+u43Scdr1QHYIp1PmOp0vxLwNidlJL"
    b"1sljSi44TTrNmjK+cGqI2A5BmXHdh34mx+rlSUkP3lYS5ZBEdxXwciB1xgiZjCUSQj0MEarg3VXS1WJw4ZR/in+8Le+yQJN0KbWzowW/wbFLjv+F"
    b'sGC5qTvumwWAXNsFLPcQ1qhqE745uynS6E6BhBi7VR9VeWwRwEXraq2ktgPPsIToNgGEvTr0jZEzQwDCw76X316ApZc=","wrap_slots":[{'
    b'"slot_type":"passphrase","slot_id":"primary","wrapped_kek":"Kf65fdWvLLcn5Cse31dhHZR+1Dsjr+jdymvUQrEX7c4zSTvhyhSDZ'
    b'rNSQ9zRZwDSGphZ+QkujKOmMh5rhx5dkMY8PrCy1TWr","kdf":{"algorithm":"argon2id","salt":"usH7+Lt1x0yRht1NEOM6lTsrzTHz23'
    b'+E4a7E1BxKKU0=","time":3,"memory":65536,"threads":4,"key_len":32,"info":"maildancer/keyring-wrap/v1"}}]}'
)
KEYRING_SALT: Final = base64.b64decode("usH7+Lt1x0yRht1NEOM6lTsrzTHz23+E4a7E1BxKKU0=")
KEYRING_DERIVED: Final = bytes.fromhex("8c632cfd4a228a0b81dfd07f79c619744dff354fc1978ebb4581e0089c322110")

CHEAP: Final = PROFILES["testing"]
NOON: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
OWN_PASSWORD: Final = b"secret"


def golden_key() -> SecretKey:
    return SecretKey.copy_of(PRIVATE)


def cheap_keyring() -> Keyring:
    """The golden key under a password that costs next to nothing."""
    with golden_key() as key, OpenKeyring.create(key, OWN_PASSWORD, CHEAP, NOON) as opened:
        return opened.wrapped()


def flips(octets: bytes) -> list[bytes]:
    """The octets with one bit turned over, for every bit."""
    return [
        octets[:at] + bytes([octets[at] ^ 1 << bit]) + octets[at + 1 :] for at in range(len(octets)) for bit in range(8)
    ]
