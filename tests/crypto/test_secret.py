"""Secrets: nothing shows them, and after a wipe they are gone."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from msgstore.crypto import PublicKey, SecretKey, decode_recovery, encode_recovery, sodium
from msgstore.crypto.base64secret import decode_secret, encode_secret
from msgstore.crypto.secret import Secret
from msgstore.model.errors import KeyUnusable
from msgstore.model.keys import KeyMalformed, KeyWiped
from tests.crypto.vectors import KEY_ID, PRIVATE, PUBLIC, golden_key


def test_the_public_key_and_the_name_of_a_pair_are_those_of_the_older_suite() -> None:
    with golden_key() as key:
        assert key.public == PublicKey(PUBLIC)
        assert key.public.key_id == KEY_ID


def test_the_octets_are_overwritten_at_the_end_of_the_block() -> None:
    octets = bytearray(PRIVATE)

    with SecretKey(octets) as key:
        assert key.octets() == PRIVATE

    assert octets == bytes(32)
    assert key.is_wiped
    with pytest.raises(KeyWiped):
        key.octets()
    key.wipe()


def test_the_octets_are_overwritten_when_nobody_holds_the_key_any_more() -> None:
    octets = bytearray(PRIVATE)

    key = SecretKey(octets)
    del key

    assert octets == bytes(32)


def test_a_view_that_somebody_kept_reads_zeros_after_the_wipe() -> None:
    key = golden_key()
    view = key.octets()

    key.wipe()

    assert bytes(view) == bytes(32)
    with pytest.raises(TypeError):
        view[0] = 1


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_key_of_another_length_is_refused_and_its_octets_are_wiped(length: int) -> None:
    octets = bytearray(b"k" * length)

    with pytest.raises(KeyMalformed, match=f"not {length}"):
        SecretKey(octets)
    with pytest.raises(KeyMalformed, match=f"not {length}"):
        PublicKey(bytes(length))

    assert octets == bytes(length)


def test_a_public_key_has_one_form() -> None:
    with pytest.raises(KeyMalformed, match="last bit"):
        PublicKey(PUBLIC[:-1] + bytes([PUBLIC[-1] | 0x80]))


def test_no_text_form_copy_or_pickle_lets_a_secret_out() -> None:
    key = golden_key()

    assert repr(key) == str(key) == f"{key}" == f"<SecretKey of {KEY_ID[:16]}>"
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            take(key)
    with pytest.raises(TypeError):
        bytes(key)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue] (that is what is tested)
    key.wipe()
    assert repr(key) == f"<SecretKey of {KEY_ID[:16]}, wiped>"
    assert repr(Secret(bytearray(b"topsecret"))) == "<Secret>"


def test_generated_keys_differ() -> None:
    with SecretKey.generate() as first, SecretKey.generate() as second:
        assert first.public != second.public


def test_a_copy_outlives_the_key() -> None:
    with golden_key() as key:
        taken = key.copy_octets()

    assert taken == PRIVATE


@given(octets=st.binary(max_size=100))
def test_base64_of_secrets_is_what_the_standard_says(octets: bytes) -> None:
    import base64  # noqa: PLC0415 (the oracle)

    text = encode_secret(octets)

    assert bytes(text) == base64.b64encode(octets)
    assert decode_secret(text) == octets


@given(text=st.binary(max_size=12) | st.text("AQgw=+/", max_size=12).map(str.encode))
def test_base64_that_is_read_is_what_would_be_written(text: bytes) -> None:
    try:
        octets = decode_secret(text)
    except ValueError:
        return
    assert encode_secret(octets) == text


@given(private=st.binary(min_size=32, max_size=32), noise=st.sampled_from(["", " ", "\n", "-"]))
def test_a_recovery_key_is_read_however_it_was_typed(private: bytes, noise: str) -> None:
    with SecretKey.copy_of(private) as key:
        text = encode_recovery(key)
        typed = (noise + text.lower().replace("-", noise) + noise).replace("o", "0").replace("i", "1")

        with decode_recovery(typed.encode()) as found:
            assert found.public == key.public

    assert len(text.replace("-", "")) == 58


def test_every_cut_and_every_wrong_character_of_a_recovery_key_is_a_typed_error() -> None:
    with golden_key() as key:
        text = encode_recovery(key).replace("-", "")

    for at in range(len(text)):
        for wrong in (text[:at], text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :], text[:at] + "é"):
            with pytest.raises(KeyMalformed):
                decode_recovery(wrong.encode())
    with pytest.raises(KeyUnusable):
        decode_recovery(b"\xff" * 60)


def test_the_functions_behind_nacl_are_those_that_nacl_gives() -> None:
    message, nonce, key, aad = b"message", bytes(range(24)), bytes(range(32)), b"aad"
    box, sealed = bytearray(len(message) + 16), bytearray(len(message) + 16)

    sodium.secretbox_seal(box, message, nonce, key)
    sodium.aead_seal(sealed, message, nonce, key, aad=aad)
    derived = bytearray(32)
    assert sodium.argon2id(derived, b"password", bytes(16), passes=1, memory_kib=8)

    assert bindings.crypto_secretbox_open(bytes(box), nonce, key) == message
    assert bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(bytes(sealed), aad, nonce, key) == message
    assert derived == bindings.crypto_pwhash_alg(
        32, b"password", bytes(16), 1, 8192, bindings.crypto_pwhash_ALG_ARGON2ID13
    )


def test_lengths_are_checked_before_the_library_is_called() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        sodium.box_seal(bytearray(17), b"x", bytes(24), bytes(31))
    with pytest.raises(ValueError, match="24 octets"):
        sodium.secretbox_open(bytearray(1), bytes(17), bytes(23), bytes(32))
    with pytest.raises(ValueError, match="17 octets"):
        sodium.aead_open(bytearray(1), bytes(20), bytes(24), bytes(32), aad=b"")
    with pytest.raises(ValueError, match="16 octets"):
        sodium.argon2id(bytearray(32), b"x", bytes(8), passes=1, memory_kib=8)


def test_a_wipe_of_nothing_is_nothing() -> None:
    sodium.wipe(b"")
    sodium.fill_random(bytearray())
