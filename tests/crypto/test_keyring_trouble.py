"""Keyrings and wrapped keys that are not as they should be: a typed error each, whatever the octets are."""

import base64
import json
import random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.crypto import open_key_file
from msgstore.crypto.document import Document
from msgstore.crypto.keyfile import check_key_file
from msgstore.crypto.keyring import Keyring
from msgstore.model.errors import KeyUnusable
from msgstore.model.keys import KeyAlgorithmUnknown, KeyCostTooHigh, KeyDamaged, KeyMalformed, WrongPassword
from tests.crypto.keyring_fuzz import mutated, one_input
from tests.crypto.vectors import KEYRING, LEGACY, OWN_PASSWORD, PASSWORD, cheap_keyring, flips

Step = str | int
SLOT: Final = ("wrap_slots", 0)
KDF: Final = (*SLOT, "kdf")
ENTRY: Final = ("entries", 0)


def with_value(content: bytes, path: tuple[Step, ...], value: object) -> bytes:
    """JSON with another value in one place."""
    whole: Any = json.loads(content)
    place = whole
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(whole).encode()


@pytest.mark.parametrize("beginning", [b"{", b" {", b"\n\t {"])
def test_an_older_key_whose_salt_begins_like_a_keyring_is_an_older_key(beginning: bytes) -> None:
    assert check_key_file(beginning + LEGACY[len(beginning) :]) == "legacy"


def test_every_flip_of_a_keyring_is_a_typed_error() -> None:
    content = cheap_keyring().content()

    for wrong in flips(content):
        if check_form(wrong) != "legacy":
            with pytest.raises(KeyUnusable):
                open_key_file(wrong, OWN_PASSWORD)


def check_form(content: bytes) -> str | None:
    try:
        return check_key_file(content)
    except KeyUnusable:
        return None


def test_every_cut_of_a_keyring_is_a_typed_error() -> None:
    for length in range(len(KEYRING)):
        with pytest.raises(WrongPassword if length == len(LEGACY) else KeyMalformed):
            open_key_file(KEYRING[:length], OWN_PASSWORD)
    with pytest.raises(KeyMalformed):
        open_key_file(KEYRING + b"}", PASSWORD)


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ((*KDF, "memory"), 4 << 20, KeyCostTooHigh),
        ((*KDF, "time"), 1 << 40, KeyCostTooHigh),
        ((*KDF, "memory"), 1 << 80, KeyMalformed),
        ((*KDF, "memory"), -1, KeyMalformed),
        ((*KDF, "memory"), True, KeyMalformed),
        ((*KDF, "time"), 0, KeyMalformed),
        ((*KDF, "threads"), 200, KeyMalformed),
        ((*KDF, "key_len"), 1 << 31, KeyMalformed),
        ((*KDF, "salt"), base64.b64encode(bytes(100)).decode(), KeyMalformed),
        ((*KDF, "algorithm"), "scrypt", KeyAlgorithmUnknown),
        ((*KDF, "info"), "another/v2", KeyAlgorithmUnknown),
        (KDF, None, KeyMalformed),
        ((*SLOT, "slot_id"), "\ud800", KeyMalformed),
        ((*SLOT, "wrapped_kek"), "AA==", KeyMalformed),
        ((*SLOT, "wrapped_kek"), "!", KeyMalformed),
        ((*SLOT, "slot_type"), "retina", WrongPassword),
        (("version",), 2, KeyAlgorithmUnknown),
        (("doc_version",), 1 << 63, KeyMalformed),
        (("kek_wrapped_blob",), "AAAA", KeyDamaged),
        (("wrap_slots",), [], KeyMalformed),
        (("wrap_slots",), {}, KeyMalformed),
    ],
)
def test_what_a_keyring_cannot_be_has_an_error_of_its_own(
    path: tuple[Step, ...], value: object, kind: type[KeyUnusable]
) -> None:
    content = with_value(cheap_keyring().content(), path, value)

    with pytest.raises(KeyUnusable) as refused:
        open_key_file(content, OWN_PASSWORD)

    assert type(refused.value) is kind


@pytest.mark.parametrize(
    ("names", "kind"),
    [(["primary"] * 2, KeyMalformed), (list("abcde"), KeyCostTooHigh), ([str(n) for n in range(65)], KeyMalformed)],
)
def test_slots_have_names_of_their_own_and_only_a_few_are_tried(names: list[str], kind: type[KeyUnusable]) -> None:
    content = cheap_keyring().content()
    slots = [{**json.loads(content)["wrap_slots"][0], "slot_id": name} for name in names]

    with pytest.raises(KeyUnusable) as refused:
        open_key_file(with_value(content, ("wrap_slots",), slots), OWN_PASSWORD)

    assert type(refused.value) is kind


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("entries",), {}),
        (("entries",), ["x"]),
        ((*ENTRY, "private_key"), None),
        ((*ENTRY, "private_key"), 5),
        ((*ENTRY, "private_key"), "#0"),
        ((*ENTRY, "private_key"), "AAA"),
        ((*ENTRY, "private_key"), base64.b64encode(bytes(31)).decode()),
        ((*ENTRY, "private_key"), base64.b64encode(bytes(32)).decode()),
        ((*ENTRY, "public_key"), "AAAA"),
        ((*ENTRY, "public_key"), "!"),
        ((*ENTRY, "key_id"), "0" * 64),
        ((*ENTRY, "more"), {"private_key": "AAAA"}),
        (ENTRY, {"private_key": "#99", "algorithm": "Ed25519"}),
        (
            ("entries",),
            [{"private_key": "AAAA", "algorithm": "Ed25519"}, {"private_key": "#0", "algorithm": "Ed25519"}],
        ),
    ],
)
def test_what_a_document_cannot_be_is_damage(path: tuple[Step, ...], value: object) -> None:
    with cheap_keyring().open(OWN_PASSWORD) as opened:
        changed = bytearray(with_value(bytes(opened._document.text()), path, value))

    with pytest.raises(KeyDamaged):
        [entry.key() for entry in Document.parse(changed).entries]


def test_a_keyring_larger_than_any_and_one_nested_without_end_are_refused() -> None:
    for content in (b'{"a":"' + b"x" * 600_000 + b'"}', b'{"a":' + b"[" * 100_000, b'{"a":' + b"9" * 10_000 + b"}"):
        with pytest.raises(KeyMalformed):
            check_key_file(content)
        with pytest.raises(KeyMalformed):
            Keyring.parse(content)


@given(seed=st.integers(0, 2**32))
def test_whatever_becomes_of_a_keyring_the_error_is_typed(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (no secret)

    for _ in range(10):
        one_input(mutated(cheap_keyring().content(), chance))


@given(octets=st.binary(max_size=150) | st.text(max_size=100).map(lambda text: ("{" + text).encode("utf-8", "replace")))
def test_octets_of_anybody_are_no_keyring(octets: bytes) -> None:
    one_input(octets)
