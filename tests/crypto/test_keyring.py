"""Keyrings: both ways with the older suite, several keys, recovery, and every way in which one can be wrong."""

import base64
import json
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.crypto import SecretKey, open_key_file, open_sealed, recover_key_file, seal
from msgstore.crypto.document import Document
from msgstore.crypto.keyfile import as_keyring, check_key_file, wrap_again
from msgstore.crypto.keyring import Keyring, OpenKeyring
from msgstore.model.errors import KeyNotFound, KeyUnusable
from msgstore.model.keys import (
    BlobNotOpened,
    KeyDamaged,
    KeyWiped,
    WrongPassword,
    WrongRecoveryKey,
)
from tests.crypto.vectors import (
    BLOB,
    CHEAP,
    KEY_ID,
    KEYRING,
    LEGACY,
    MESSAGE,
    NOON,
    OWN_PASSWORD,
    PASSWORD,
    PRIVATE,
    PUBLIC,
    cheap_keyring,
    golden_key,
)


def test_a_keyring_of_the_older_suite_opens_and_is_written_as_it_was() -> None:
    keyring = Keyring.parse(KEYRING)

    with keyring.open(PASSWORD) as opened:
        assert opened.active.public.octets == PUBLIC
        assert open_sealed(BLOB, opened.keys) == MESSAGE
        (entry,) = opened.entries()

    assert keyring.content() == KEYRING
    assert (entry["key_id"], entry["status"], entry["created"]) == (KEY_ID, "active", "2026-11-23T00:58:04.917660058Z")
    assert "private_key" not in entry


def test_an_old_key_that_is_removed_opens_nothing_any_more_and_the_others_still_do() -> None:
    with golden_key() as old, SecretKey.generate() as new:
        blobs = seal(b"one", old.public), seal(b"two", new.public)
        names = old.public.key_id, new.public.key_id
        with cheap_keyring().open(OWN_PASSWORD) as opened:
            opened.rotate(new, NOON)
            content = opened.wrapped()

    with content.open(OWN_PASSWORD) as opened:
        assert len(opened.keys) == 2
        with pytest.raises(KeyUnusable, match="new mail is sealed"):
            opened.remove(names[1])
        with pytest.raises(KeyNotFound):
            opened.remove("0" * 64)
        opened.remove(names[0])
        content = opened.wrapped()

    with content.open(OWN_PASSWORD) as opened:
        assert [entry["key_id"] for entry in opened.entries()] == [names[1]]
        assert open_sealed(blobs[1], opened.keys) == b"two"
        with pytest.raises(BlobNotOpened):
            open_sealed(blobs[0], opened.keys)


@pytest.mark.parametrize(
    "wrong",
    [
        (KEYRING, b"correct horse batterz"),
        (KEYRING.replace(b"primary", b"Primary"), PASSWORD),
        (KEYRING.replace(b"Kf65", b"Kf66"), PASSWORD),
    ],
)
def test_a_keyring_of_the_older_suite_opens_with_nothing_else(wrong: tuple[bytes, bytes]) -> None:
    with pytest.raises(WrongPassword):
        open_key_file(*wrong)


@pytest.mark.parametrize(
    "content", [KEYRING.replace(b'doc_version":1', b'doc_version":2'), KEYRING.replace(b"f4Cm", b"f4Cn")]
)
def test_keys_that_were_changed_under_the_right_password_are_damaged(content: bytes) -> None:
    with pytest.raises(KeyDamaged):
        open_key_file(content, PASSWORD)


def shape(value: Any) -> object:
    """The names and types of what was JSON."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in cast("dict[str, object]", value).items()}
    return (
        [shape(one) for one in cast("list[object]", value)]
        if isinstance(value, list)
        else str(type(cast("object", value)))
    )


def test_what_is_written_here_has_the_form_of_the_older_suite() -> None:
    theirs, ours = json.loads(KEYRING), json.loads(cheap_keyring().content())

    assert shape(ours) == shape(theirs)
    assert ours["wrap_slots"][0]["kdf"] == {
        **theirs["wrap_slots"][0]["kdf"],
        "salt": ours["wrap_slots"][0]["kdf"]["salt"],
        "time": 1,
        "memory": 8,
        "threads": 1,
    }
    assert len(base64.b64decode(ours["wrap_slots"][0]["kdf"]["salt"])) == 16


def test_the_document_inside_has_the_form_of_the_older_suite() -> None:
    with cheap_keyring().open(OWN_PASSWORD) as opened, Keyring.parse(KEYRING).open(PASSWORD) as theirs:
        own, older = (json.loads(bytes(one._document.text())) for one in (opened, theirs))

    assert older == {
        "version": 1,
        "entries": [
            {
                "key_id": KEY_ID,
                "algorithm": "X25519",
                "purpose": "encryption",
                "public_key": "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=",
                "private_key": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
                "created": "2026-11-23T00:58:04.917660058Z",
                "valid_from": "2026-11-23T00:58:04.917660058Z",
                "valid_until": "0001-01-01T00:00:00Z",
                "status": "active",
            }
        ],
    }
    times = {"created": "2026-11-25T12:00:00.000000Z", "valid_from": "2026-11-25T12:00:00.000000Z"}
    assert own == {"version": 1, "entries": [{**older["entries"][0], **times}]}


def test_old_keys_go_on_opening_old_mail() -> None:
    with golden_key() as old, SecretKey.generate() as new, cheap_keyring().open(OWN_PASSWORD) as opened:
        mail = [seal(b"old", old.public), seal(b"new", new.public)]
        opened.rotate(new, NOON + timedelta(days=1))
        kept = opened.wrapped().content()

        with open_key_file(kept, OWN_PASSWORD) as again:
            assert [bytes(open_sealed(blob, again.keys)) for blob in mail] == [b"old", b"new"]
            assert [key.public for key in again.keys] == [new.public, old.public]
            assert again.active.public == new.public
            assert isinstance(again, OpenKeyring)
            assert [entry["status"] for entry in again.entries()] == ["rotated", "active"]
            assert again.entries()[0]["valid_until"] == "2026-11-26T12:00:00.000000Z"


def test_an_old_key_that_is_added_only_opens_old_mail_and_a_second_time_changes_nothing() -> None:
    with SecretKey.generate() as other, cheap_keyring().open(OWN_PASSWORD) as opened:
        for _ in range(2):
            opened.add_old(other, NOON)

        assert [key.public for key in opened.keys] == [opened.active.public, other.public]
        assert opened.active.public.octets == PUBLIC
        assert len(opened.entries()) == 2


def test_after_a_new_password_the_old_one_opens_nothing_and_recovery_keys_still_do() -> None:
    with SecretKey.generate() as recovery, cheap_keyring().open(OWN_PASSWORD) as opened:
        opened.set_recovery("recovery", recovery.public)
        content = wrap_again(opened, b"new", CHEAP)

        for again in (open_key_file(content, b"new"), recover_key_file(content, recovery)):
            with again:
                assert again.active.public.octets == PUBLIC
        with pytest.raises(WrongPassword):
            open_key_file(content, OWN_PASSWORD)
        with golden_key() as other, pytest.raises(WrongRecoveryKey):
            recover_key_file(content, other)
    assert Keyring.parse(content).recovery_slots == ("recovery",)


def test_a_recovery_key_is_replaced_under_its_name() -> None:
    with SecretKey.generate() as first, SecretKey.generate() as second, cheap_keyring().open(OWN_PASSWORD) as opened:
        opened.set_recovery("recovery", first.public)
        opened.set_recovery("recovery", second.public)
        content = opened.wrapped().content()

        recover_key_file(content, second).wipe()
        with pytest.raises(WrongRecoveryKey):
            recover_key_file(content, first)


def test_slots_and_fields_that_are_not_known_here_are_kept() -> None:
    device = {"slot_type": "device", "slot_id": "phone", "wrapped_kek": "x", "more": [1]}

    fields = json.loads(cheap_keyring().content())
    fields["wrap_slots"].insert(0, device)
    fields["later"] = {"a": 1}
    with open_key_file(json.dumps(fields).encode(), OWN_PASSWORD) as opened:
        kept = json.loads(wrap_again(opened, b"new", CHEAP))

    assert device in kept["wrap_slots"]
    assert kept["later"] == {"a": 1}
    open_key_file(json.dumps(kept).encode(), b"new").wipe()


def test_everything_is_wiped_at_the_end_of_the_block() -> None:
    with cheap_keyring().open(OWN_PASSWORD) as opened:
        keys = opened.keys
        views = [key.octets() for key in keys] + [opened._kek.octets()]
        views += [entry.private.octets() for entry in opened._document.entries]

    assert all(bytes(view) == bytes(32) for view in views)
    assert all(key.is_wiped for key in keys)
    assert repr(opened) == "<OpenKeyring of 1 keys, wiped>"
    with pytest.raises(KeyWiped):
        opened.wrapped()


def test_the_text_of_the_document_is_wiped_and_is_not_part_of_an_error() -> None:
    with cheap_keyring().open(OWN_PASSWORD) as opened:
        good, bad = opened._document.text(), opened._document.text()[:-1]

    Document.parse(good).wipe()
    with pytest.raises(KeyDamaged) as refused:
        Document.parse(bad)

    assert good == bytes(len(good))
    assert bad == bytes(len(bad))
    assert refused.value.__cause__ is None
    assert base64.b64encode(PRIVATE).decode() not in str(refused.value)


def test_the_older_form_becomes_a_keyring_where_it_has_to_hold_more() -> None:
    opened = open_key_file(LEGACY, PASSWORD)
    with as_keyring(opened, b"other", CHEAP, NOON) as keyring:
        content = keyring.wrapped().content()

    assert check_key_file(LEGACY) == "legacy"
    assert check_key_file(content) == "keyring"
    with open_key_file(content, b"other") as again:
        assert again.active.public.octets == PUBLIC
        assert as_keyring(again, b"unused", CHEAP, NOON) is again
    with pytest.raises(KeyWiped):
        opened.active.octets()


def test_the_older_form_stays_what_it_was_under_a_new_password() -> None:
    with open_key_file(LEGACY, PASSWORD) as opened:
        content = wrap_again(opened, b"new", CHEAP)

    assert check_key_file(content) == "legacy"
    with open_key_file(content, b"new") as again:
        assert [key.public.octets for key in again.keys] == [PUBLIC]
    with golden_key() as key, pytest.raises(WrongRecoveryKey):
        recover_key_file(content, key)


def test_keys_of_other_kinds_are_kept_and_open_no_mail() -> None:
    signing = {"algorithm": "Ed25519", "private_key": base64.b64encode(bytes(64)).decode().replace("/", "\\/")}
    with cheap_keyring().open(OWN_PASSWORD) as opened:
        fields = json.loads(bytes(opened._document.text()))
        fields["entries"].insert(0, signing)

        again = Document.parse(bytearray(json.dumps(fields).encode()))

        assert json.loads(bytes(again.text())) == fields
        assert [entry.opens_mail for entry in again.entries] == [False, True]


def test_slashes_that_were_escaped_are_read() -> None:
    with SecretKey(bytearray(b"\xff" * 32)) as key, OpenKeyring.create(key, b"x", CHEAP, NOON) as opened:
        text = bytes(opened._document.text()).replace(b"/", b"\\/")

        (entry,) = Document.parse(bytearray(text)).entries

        assert entry.private.octets() == b"\xff" * 32


def test_a_keyring_without_an_active_key_still_opens_mail() -> None:
    with cheap_keyring().open(OWN_PASSWORD) as opened:
        opened._document.entries[0].retire(NOON)
        content = opened.wrapped().content()

    with open_key_file(content, OWN_PASSWORD) as again:
        assert open_sealed(BLOB, again.keys) == MESSAGE
        with pytest.raises(KeyUnusable, match="active"):
            again.active  # noqa: B018 (the property refuses)


@given(passwords=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4), keys=st.integers(0, 3))
def test_keys_come_back_whatever_was_done_before(passwords: list[bytes], keys: int) -> None:
    content, password, last = cheap_keyring().content(), OWN_PASSWORD, PUBLIC
    for turn, new in enumerate(passwords):
        with Keyring.parse(content).open(password) as opened:
            for _ in range(keys):
                with SecretKey.generate() as key:
                    opened.rotate(key, NOON + timedelta(minutes=turn))
                    last = key.public.octets
            content, password = wrap_again(opened, new, CHEAP), new

    with open_key_file(content, password) as found:
        assert found.active.public.octets == last
        assert len(found.keys) == 1 + keys * len(passwords)
        assert open_sealed(BLOB, found.keys) == MESSAGE
