"""A private key in the older form, and derivations from passwords."""

import pytest

from msgstore.crypto.keywrap import LEGACY_OCTETS, Derivation, derive, unwrap_legacy, wrap_legacy
from msgstore.crypto.secret import SecretKey
from msgstore.crypto.sodium import secretbox_open
from msgstore.model.keys import KeyCostTooHigh, KeyMalformed, WrongPassword
from tests.crypto.vectors import (
    KEYRING_DERIVED,
    KEYRING_SALT,
    LEGACY,
    LEGACY_DERIVED,
    LEGACY_SALT,
    PASSWORD,
    PUBLIC,
    flips,
    golden_key,
)


def four_lanes(salt: bytes) -> Derivation:
    return Derivation(salt=salt, passes=3, memory_kib=65536, lanes=4)


def test_a_key_of_the_older_suite_opens_with_its_password_alone() -> None:
    with unwrap_legacy(LEGACY, PASSWORD) as key:
        assert key.public.octets == PUBLIC

    with pytest.raises(WrongPassword):
        unwrap_legacy(LEGACY, PASSWORD + b" ")


@pytest.mark.parametrize(("salt", "derived"), [(LEGACY_SALT, LEGACY_DERIVED), (KEYRING_SALT, KEYRING_DERIVED)])
def test_keys_are_derived_as_the_older_suite_derives_them(salt: bytes, derived: bytes) -> None:
    with derive(PASSWORD, four_lanes(salt)) as key:
        assert key.octets() == derived


@pytest.mark.parametrize("salt", [b"salt of 16 octet", b"salt of 32 octets for argon2-cff"])
def test_one_lane_gives_the_same_key_by_either_library(salt: bytes) -> None:
    from argon2.low_level import Type, hash_secret_raw  # noqa: PLC0415 (the oracle)

    with derive(b"password", Derivation(salt=salt, passes=2, memory_kib=64, lanes=1)) as key:
        assert key.octets() == hash_secret_raw(b"password", salt, 2, 64, 1, 32, Type.ID)


def test_what_is_wrapped_here_is_in_the_older_form() -> None:
    with golden_key() as key:
        content = wrap_legacy(key, bytearray(b"new password"))

    private = bytearray(32)
    with derive(b"new password", four_lanes(content[:32])) as wrapping:
        assert secretbox_open(private, content[56:], content[32:56], wrapping.octets())
    assert len(content) == LEGACY_OCTETS == 104
    with SecretKey(private) as found:
        assert found.public.octets == PUBLIC
    assert content[:32] != LEGACY_SALT


def test_every_cut_of_a_wrapped_key_and_an_octet_more_is_a_typed_error() -> None:
    for wrong in (*(LEGACY[:length] for length in range(len(LEGACY))), LEGACY + b"\0"):
        with pytest.raises(KeyMalformed, match="104 octets"):
            unwrap_legacy(wrong, PASSWORD)


def test_every_flip_behind_the_salt_of_a_wrapped_key_is_found_by_its_tag() -> None:
    private = bytearray(32)

    for changed in flips(LEGACY[32:]):
        assert not secretbox_open(private, changed[24:], changed[:24], LEGACY_DERIVED)


@pytest.mark.parametrize("at", [0, 13, 31, 32, 55, 56, 71, 72, 103])
def test_a_changed_octet_of_a_wrapped_key_is_a_typed_error(at: int) -> None:
    with pytest.raises(WrongPassword):
        unwrap_legacy(LEGACY[:at] + bytes([LEGACY[at] ^ 1]) + LEGACY[at + 1 :], PASSWORD)


@pytest.mark.parametrize("password", [b"", b"x" * 1025])
def test_empty_and_endless_passwords_open_and_wrap_nothing(password: bytes) -> None:
    with pytest.raises(WrongPassword):
        unwrap_legacy(LEGACY, password)
    with golden_key() as key, pytest.raises(WrongPassword):
        wrap_legacy(key, password)


@pytest.mark.parametrize(
    ("passes", "memory_kib", "lanes"),
    [(3, 4 << 20, 4), (3, 2**63 - 1, 1), (11, 65536, 4), (2**40, 65536, 1), (1, 65536, 5), (1, 2**40, 2**30)],
)
def test_a_derivation_that_costs_too_much_is_refused_before_any_work(passes: int, memory_kib: int, lanes: int) -> None:
    with pytest.raises(KeyCostTooHigh):
        Derivation(salt=bytes(16), passes=passes, memory_kib=memory_kib, lanes=lanes)


@pytest.mark.parametrize(
    ("salt", "passes", "memory_kib", "lanes", "octets"),
    [
        (16, 0, 8, 1, 32),
        (16, 1, 7, 1, 32),
        (16, 1, 31, 4, 32),
        (16, 1, 8, 0, 32),
        (7, 1, 8, 1, 32),
        (65, 1, 8, 1, 32),
        (16, 1, 8, 1, 15),
        (16, 1, 8, 1, 2**32),
    ],
)
def test_what_argon2id_does_not_have_is_refused(
    salt: int, passes: int, memory_kib: int, lanes: int, octets: int
) -> None:
    with pytest.raises(KeyMalformed):
        Derivation(salt=bytes(salt), passes=passes, memory_kib=memory_kib, lanes=lanes, octets=octets)
