"""Sealed messages: the layout, both ways with the older suite, and every way in which a blob can be wrong."""

import mmap
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import Box, PrivateKey
from nacl.public import PublicKey as NaclPublicKey

from msgstore.crypto import (
    OVERHEAD_OCTETS,
    PublicKey,
    SecretKey,
    check_algorithm,
    open_into,
    open_sealed,
    seal,
    seal_into,
)
from msgstore.model.errors import MsgstoreError
from msgstore.model.keys import (
    BlobIsPlaintext,
    BlobNotOpened,
    BlobTruncated,
    KeyMalformed,
    KeyWiped,
    SealAlgorithmUnknown,
    SealError,
)
from tests.crypto.vectors import BLOB, MESSAGE, PRIVATE, PUBLIC, flips, golden_key

LOW_ORDER = bytes(32)


def test_a_blob_of_the_older_suite_opens() -> None:
    with golden_key() as key:
        assert open_sealed(BLOB, key) == MESSAGE
        assert open_sealed(memoryview(bytearray(BLOB)), key, octets=len(MESSAGE)) == MESSAGE


@given(message=st.binary(max_size=300))
def test_what_is_sealed_here_opens_by_the_plain_functions_of_nacl(message: bytes) -> None:
    blob = bytes(seal(message, PublicKey(PUBLIC)))

    box = Box(PrivateKey(PRIVATE), NaclPublicKey(blob[:32]))
    assert box.decrypt(blob[56:], blob[32:56]) == message
    assert len(blob) == len(message) + OVERHEAD_OCTETS


@given(message=st.binary(max_size=300))
def test_what_nacl_sealed_opens_here(message: bytes) -> None:
    ephemeral = PrivateKey.generate()
    sealed = Box(ephemeral, NaclPublicKey(PUBLIC)).encrypt(message)
    blob = bytes(ephemeral.public_key) + sealed

    with golden_key() as key:
        assert open_sealed(blob, key) == message


def test_every_flip_of_a_blob_is_a_typed_error() -> None:
    with golden_key() as key:
        for changed in flips(BLOB):
            with pytest.raises(SealError):
                open_sealed(changed, key)


def test_every_cut_of_a_blob_and_every_octet_more_is_a_typed_error() -> None:
    with golden_key() as key:
        for length in range(len(BLOB)):
            with pytest.raises(BlobTruncated):
                open_sealed(BLOB[:length], key, octets=len(MESSAGE))
            with pytest.raises(BlobTruncated if length < OVERHEAD_OCTETS else BlobNotOpened):
                open_sealed(BLOB[:length], key)
        with pytest.raises(BlobNotOpened):
            open_sealed(BLOB + b"\0", key)


@given(octets=st.binary(max_size=400))
def test_octets_of_anybody_are_a_typed_error(octets: bytes) -> None:
    with golden_key() as key, pytest.raises(SealError):
        open_sealed(octets, key)


@pytest.mark.parametrize(
    "text",
    [
        b"Subject: hello\r\n\r\n" + b"body " * 20,
        b"From alice Sat Jan  3 01:05:34 1996\n" + b"Subject: x\n" * 9,
        b"X-" + b"Long" * 30 + b": x\r\n\r\n",
        b"Received: from a (b [192.0.2.1])\r\n\tby c; " + b"x" * 60,
    ],
)
def test_plain_mail_is_told_from_a_blob_that_does_not_open(text: bytes) -> None:
    with golden_key() as key, pytest.raises(BlobIsPlaintext):
        open_sealed(text, key)


def test_a_blob_for_another_key_is_refused_and_the_right_one_of_several_is_found() -> None:
    message = b"Subject: x\r\n\r\nfor the second\r\n"
    with SecretKey.generate() as first, SecretKey.generate() as second:
        blob = seal(message, second.public)
        target = bytearray(len(message))

        fitted = open_into(target, blob, (first, second))

        assert fitted is second
        assert target == message
        with pytest.raises(BlobNotOpened):
            open_sealed(blob, first)
        with pytest.raises(BlobNotOpened):
            open_sealed(blob, ())


def test_nothing_is_written_where_no_key_fits() -> None:
    target = bytearray(b"as it was" + bytes(len(MESSAGE) - 9))
    before = bytes(target)

    with SecretKey.generate() as other, pytest.raises(BlobNotOpened):
        open_into(target, BLOB, other)

    assert target == before


def test_two_blobs_of_one_message_are_never_alike() -> None:
    first, second = (seal(MESSAGE, PublicKey(PUBLIC)) for _ in range(2))

    assert all(first[at : at + 16] != second[at : at + 16] for at in range(0, len(first) - 16, 16))


@given(message=st.binary(max_size=200))
def test_a_message_is_sealed_where_it_stands(message: bytes) -> None:
    buffer = bytearray(OVERHEAD_OCTETS) + message

    with memoryview(buffer) as view, view[OVERHEAD_OCTETS:] as inside:
        seal_into(view, inside, PublicKey(PUBLIC))

    with golden_key() as key:
        assert open_sealed(buffer, key) == message


def test_a_message_is_sealed_from_mapped_memory_into_mapped_memory() -> None:
    with mmap.mmap(-1, len(MESSAGE)) as plain, mmap.mmap(-1, len(MESSAGE) + OVERHEAD_OCTETS) as sealed:
        plain[:] = MESSAGE
        with memoryview(plain) as source, memoryview(sealed) as target:
            seal_into(target, source, PublicKey(PUBLIC))
        with golden_key() as key:
            assert open_sealed(sealed[:], key) == MESSAGE


def test_sealing_and_opening_make_one_copy_of_the_message_and_no_other() -> None:
    octets = 8 << 20
    message = bytearray(octets)
    with golden_key() as key:
        tracemalloc.start()
        try:
            blob = seal(message, key.public)
            sealing = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            held = tracemalloc.get_traced_memory()[0]
            open_sealed(blob, key)
            opening = tracemalloc.get_traced_memory()[1] - held
        finally:
            tracemalloc.stop()

    assert octets <= sealing < octets * 1.02
    assert octets <= opening < octets * 1.02


def test_a_public_key_of_low_order_seals_nothing() -> None:
    target = bytearray(len(MESSAGE) + OVERHEAD_OCTETS)

    with pytest.raises(KeyMalformed):
        seal_into(target, MESSAGE, PublicKey(LOW_ORDER))

    assert target == bytes(len(target))


def test_a_buffer_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="72 more"):
        seal_into(bytearray(10), b"x" * 10, PublicKey(PUBLIC))
    with golden_key() as key, pytest.raises(ValueError, match="72 less"):
        open_into(bytearray(10), BLOB, key)


def test_a_wiped_key_opens_nothing() -> None:
    key = golden_key()
    key.wipe()

    with pytest.raises(KeyWiped):
        open_sealed(BLOB, key)


def test_an_algorithm_is_known_by_its_name() -> None:
    check_algorithm("X25519-XSalsa20-Poly1305")

    with pytest.raises(SealAlgorithmUnknown, match="aes"):
        check_algorithm("aes256-gcm")


def test_no_error_holds_an_octet_of_the_message() -> None:
    text = b"Subject: topsecret\r\n\r\n" + b"topsecret " * 20

    with golden_key() as key, pytest.raises(MsgstoreError) as refused:
        open_sealed(text, key)

    assert "topsecret" not in str(refused.value) + repr(refused.value)
