"""The target of a fuzzer for keyrings, ``one_input``, as atheris wants it; and a plain loop that feeds it.

::

    python -m tests.crypto.keyring_fuzz SECONDS [SEED]
"""

import json
import random
import sys
import time
from typing import Final

from msgstore.crypto.keyfile import check_key_file, open_key_file
from msgstore.model.errors import KeyUnusable
from tests.crypto.vectors import KEYRING, LEGACY, OWN_PASSWORD, cheap_keyring

TOKENS: Final = (
    *(b'{ } [ ] " : , \\ null true -1 0 1e999 NaN "" "primary" "escrow" "passphrase" "device" {} []'.split()),
    *(b'"memory":268435456 "time":99999999999 "threads":0 "key_len":4294967295 "salt":"" "version":2'.split()),
    *(b"\xff", b"\x00", b"\\ud800", b"[" * 2000, b"9" * 5000, b"=", b"\xef\xbb\xbf"),
)

VALUES: Final[tuple[object, ...]] = (None, -1, 0, 2**70, 1.5, "", "x", "AA==", [], {}, True)


def one_input(content: bytes) -> None:
    """Whatever the octets are: a file that opens, or a typed error."""
    try:
        # The older form costs 64 MiB whatever it says: it is the subject of tests of its own.
        if check_key_file(content) == "keyring":
            open_key_file(content, OWN_PASSWORD).wipe()
    except KeyUnusable:
        pass


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """Change a file in a few places, some of them in ways that JSON can still be read."""
    content = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(content) + 1)
        match chance.randrange(5):
            case 0:
                content[at : at + chance.randint(0, 40)] = chance.choice(TOKENS)
            case 1:
                content[at : at + 1] = bytes([chance.randrange(256)])
            case 2:
                del content[at : at + chance.randint(1, 200)]
            case 3:
                content[at:at] = content[chance.randrange(len(content) + 1) :][: chance.randint(1, 300)]
            case _:
                content = bytearray(with_changed_value(bytes(content), chance))
    return bytes(content)


def with_changed_value(content: bytes, chance: random.Random) -> bytes:
    """Put another value in the place of one field, wherever it is."""
    try:
        whole = json.loads(content)
        slot = chance.choice(whole["wrap_slots"])
        place = chance.choice([whole, slot, slot["kdf"]])
        place[chance.choice(list(place))] = chance.choice(VALUES)
        return json.dumps(whole).encode()
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return content


def run(seconds: float, seed: int) -> int:
    """Feed the target for some time; give the number of inputs."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    seeds = (cheap_keyring().content(), KEYRING.replace(b"65536", b"8").replace(b'"threads":4', b'"threads":1'), LEGACY)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        one_input(mutated(chance.choice(seeds), chance))
        count += 1
    return count


if __name__ == "__main__":
    print(run(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0), "inputs")
