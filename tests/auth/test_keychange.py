"""Changes of keys: whole or not at all, and no cut loses what opens the mail."""

import stat
from pathlib import Path

import pytest

from msgstore.auth.keychange import open_keys
from msgstore.auth.keys import WrappedKey
from msgstore.crypto import PublicKey, SecretKey
from msgstore.crypto.keyfile import wrap_again
from msgstore.crypto.keyring import OpenKeyring
from msgstore.crypto.password import hash_password, verify_password
from msgstore.model.errors import DirectoryUnavailable, KeyUnreadable
from msgstore.model.keys import WrongPassword
from tests.auth.key_room import KeyRoom, keyring_under
from tests.crypto.vectors import CHEAP, LEGACY, NOON, PASSWORD, PUBLIC, golden_key


@pytest.fixture
def room(tmp_path: Path) -> KeyRoom:
    return KeyRoom(tmp_path)


def with_keys(room: KeyRoom) -> WrappedKey:
    """Alice has the golden key under her password."""
    with golden_key() as key:
        assert room.changes.add(room.account(), content=keyring_under(key, b"old"), public=key.public)
    return room.keys.wrapped(room.account().user)


def rewrapped(wrapped: WrappedKey, password: bytes, new: bytes) -> bytes:
    with open_keys(wrapped, password) as opened:
        return wrap_again(opened, new, CHEAP)


def opens(room: KeyRoom, password: bytes) -> bool:
    try:
        with open_keys(room.keys.wrapped(room.account().user), password) as opened:
            return opened.active.public == PublicKey(PUBLIC)
    except WrongPassword:
        return False


def logs_in(room: KeyRoom, password: bytes) -> bool:
    return verify_password(room.account().entry.stored_hash, password)


def test_the_first_keys_are_put_beside_the_mail_for_their_owner_alone_and_seen_at_once(room: KeyRoom) -> None:
    assert room.public() is None

    with_keys(room)

    assert room.public() == PublicKey(PUBLIC)
    assert opens(room, b"old")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in room.home().iterdir()}
    assert modes == {"keyring.key": 0o600, "keyring.pub": 0o640}


@pytest.mark.parametrize("name", ["keyring.pub", "keyring.key"])
def test_keys_that_are_there_are_not_written_over(room: KeyRoom, name: str) -> None:
    content = PUBLIC if name == "keyring.pub" else LEGACY
    (room.home() / name).write_bytes(content)

    with SecretKey.generate() as key:
        assert not room.changes.add(room.account(), content=keyring_under(key, b"old"), public=key.public)

    assert (room.home() / name).read_bytes() == content
    assert len(list(room.home().iterdir())) == 1


def test_keys_that_cannot_be_read_are_not_written_over(room: KeyRoom) -> None:
    (room.home() / "keyring.key").symlink_to("/nowhere")

    with SecretKey.generate() as key, pytest.raises(KeyUnreadable):
        room.changes.add(room.account(), content=keyring_under(key, b"old"), public=key.public)


def test_another_process_sees_new_keys_within_a_second(room: KeyRoom) -> None:
    other = KeyRoom.__new__(KeyRoom)
    other.__dict__.update(room.__dict__)
    other.keys = type(room.keys)(room.directory.domains, room.home_of, clock=room.clock.monotonic)
    assert other.public() is None

    with_keys(room)
    room.clock.now += 1.1

    assert other.public() == PublicKey(PUBLIC)


def test_keys_are_replaced_where_they_lie(room: KeyRoom) -> None:
    (room.old_keys() / "alice.pub").write_bytes(PUBLIC)
    (room.old_keys() / "alice.key").write_bytes(LEGACY)
    old = room.keys.wrapped(room.account().user)

    with SecretKey.generate() as key:
        content = keyring_under(key, b"new")
        assert room.changes.replace(room.account(), old, content=content, public=key.public)
        assert room.public() == key.public

    assert (room.old_keys() / "alice.key").read_bytes() == content
    assert not list(room.home().iterdir())


def test_keys_that_somebody_else_changed_meanwhile_stay(room: KeyRoom) -> None:
    old = with_keys(room)
    content = rewrapped(old, b"old", b"other")
    (room.home() / "keyring.key").write_bytes(content)

    assert not room.changes.replace(room.account(), old, content=b"x", public=PublicKey(PUBLIC))
    assert not room.changes.change_password(room.account(), "h", old=old, content=b"x")

    assert (room.home() / "keyring.key").read_bytes() == content
    assert logs_in(room, b"old")


def test_password_and_keys_change_together(room: KeyRoom) -> None:
    old = with_keys(room)

    content = rewrapped(old, b"old", b"new")
    assert room.changes.change_password(room.account(), hash_password(b"new", CHEAP), old=old, content=content)

    assert (logs_in(room, b"new"), opens(room, b"new")) == (True, True)
    assert (logs_in(room, b"old"), opens(room, b"old")) == (False, False)
    assert not (room.home() / "keyring.key.next").exists()


def test_a_password_that_somebody_else_changed_meanwhile_stays_and_so_do_the_keys(room: KeyRoom) -> None:
    old, account = with_keys(room), room.account()
    with room.directory.editing("example.com") as (file, directory):
        file.replace_hash(directory, account.entry, hash_password(b"else", CHEAP))

    content = rewrapped(old, b"old", b"new")
    assert not room.changes.change_password(account, hash_password(b"new", CHEAP), old=old, content=content)

    assert logs_in(room, b"else")
    assert room.keys.wrapped(room.account().user) == old


@pytest.mark.parametrize("is_new", [False, True])
def test_a_change_that_was_cut_short_opens_with_the_valid_password_and_is_ended_by_it(
    room: KeyRoom, *, is_new: bool
) -> None:
    old = with_keys(room)
    (room.home() / "keyring.key.next").write_bytes(rewrapped(old, b"old", b"new"))
    valid, other = (b"new", b"old") if is_new else (b"old", b"new")

    assert opens(room, valid)
    with pytest.raises(WrongPassword):
        room.changes.settle(room.account(), b"neither")
    settled = room.changes.settle(room.account(), valid)

    assert settled.following is None
    assert (opens(room, valid), opens(room, other)) == (True, False)
    assert sorted(path.name for path in room.home().iterdir()) == ["keyring.key", "keyring.pub"]
    assert room.changes.settle(room.account(), b"any") == settled


def test_a_change_that_fails_at_the_password_file_leaves_a_key_for_either_password(room: KeyRoom) -> None:
    old, account = with_keys(room), room.account()
    content = rewrapped(old, b"old", b"new")
    passwd = room.domain / "passwd"
    passwd.rename(room.domain / "kept")
    passwd.mkdir()

    with pytest.raises(DirectoryUnavailable):
        room.changes.change_password(account, "h", old=old, content=content)

    passwd.rmdir()
    (room.domain / "kept").rename(passwd)
    assert (logs_in(room, b"old"), opens(room, b"old"), opens(room, b"new")) == (True, True, True)


def test_the_older_form_keeps_its_place_and_form_under_a_new_password(room: KeyRoom) -> None:
    (room.old_keys() / "alice.key").write_bytes(LEGACY)
    old = room.keys.wrapped(room.account().user)

    content = rewrapped(old, PASSWORD, b"new")
    assert room.changes.change_password(room.account(), hash_password(b"new", CHEAP), old=old, content=content)

    assert room.keys.wrapped(room.account().user).form == "legacy"
    assert opens(room, b"new")


def test_the_key_that_is_replaced_is_kept_inside_the_new_keyring(room: KeyRoom) -> None:
    old = with_keys(room)
    with open_keys(old, b"old") as opened, SecretKey.generate() as key:
        assert isinstance(opened, OpenKeyring)
        opened.rotate(key, NOON)
        assert room.changes.replace(
            room.account(), old, content=opened.wrapped().content(), public=opened.active.public
        )
        assert room.public() == key.public

    with open_keys(room.keys.wrapped(room.account().user), b"old") as again:
        assert [one.public.octets for one in again.keys][1:] == [PUBLIC]
