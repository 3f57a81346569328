import pytest

from msgstore.crypto.password import (
    PROFILES,
    decoy_hash,
    hash_password,
    is_usable_hash,
    needs_rehash,
    verify_password,
)

GO_SUITE_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$sUGTTXwaZrJI4cLYGX6tBnC5WufO1i71C32kDtD5hOA"
    "$XnBj+5YjytNLWqedUdvbV/2FlIgAP+olZWjV++ekwfI"
)
TESTING = PROFILES["testing"]


def test_a_hash_of_the_older_suite_opens_with_its_password_alone() -> None:
    assert verify_password(GO_SUITE_HASH, b"correct horse battery")
    assert not verify_password(GO_SUITE_HASH, b"correct horse batterz")
    assert not needs_rehash(GO_SUITE_HASH, PROFILES["standard"])


def test_what_was_hashed_verifies() -> None:
    stored = hash_password(bytearray(b"secret"), TESTING)

    assert verify_password(stored, bytearray(b"secret"))
    assert not verify_password(stored, bytearray(b"Secret"))
    assert needs_rehash(stored, PROFILES["standard"])
    assert not needs_rehash(stored, TESTING)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!",
        "x",
        "{SSHA}abc",
        GO_SUITE_HASH.replace("argon2id", "argon2i"),
        GO_SUITE_HASH.replace("m=65536", "m=4194304"),
        GO_SUITE_HASH.replace("t=3", "t=1000000"),
        GO_SUITE_HASH.replace("p=4", "p=64"),
        GO_SUITE_HASH.replace("v=19", "v=16"),
        GO_SUITE_HASH[:-10],
        GO_SUITE_HASH + "\n",
    ],
)
def test_a_hash_beyond_the_bounds_never_fits_and_is_never_tried(stored: str) -> None:
    assert not verify_password(stored, b"correct horse battery")
    if stored != GO_SUITE_HASH[:-10]:
        assert not is_usable_hash(stored)


def test_a_decoy_costs_what_new_hashes_cost_and_fits_nothing() -> None:
    decoy = decoy_hash(TESTING)

    assert is_usable_hash(decoy)
    assert not needs_rehash(decoy, TESTING)
    assert not verify_password(decoy, b"anything")


@pytest.mark.parametrize("password", [b"", b"x" * 1025])
def test_empty_and_endless_passwords_are_refused(password: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 1024 octets"):
        hash_password(password, TESTING)
    assert not verify_password(GO_SUITE_HASH, password)
