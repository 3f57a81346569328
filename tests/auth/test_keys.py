"""Where keys are found, and what becomes of those that cannot be read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from msgstore.auth.domains import Domains
from msgstore.config.loader import settings_from
from msgstore.crypto import PublicKey
from msgstore.model.errors import AuthError, DirectoryUnavailable, KeyNotFound, KeyUnreadable
from msgstore.model.keys import KeyAlgorithmUnknown, KeyMalformed
from msgstore.model.user import User
from tests.auth.key_room import KeyRoom
from tests.crypto.vectors import KEYRING, LEGACY, PUBLIC

OTHER = bytes(range(32))


@pytest.fixture
def room(tmp_path: Path) -> KeyRoom:
    return KeyRoom(tmp_path)


def test_a_user_without_any_file_has_no_key(room: KeyRoom) -> None:
    assert room.public() is None
    with pytest.raises(KeyNotFound):
        room.keys.wrapped(room.account().user)


def test_a_key_lies_beside_the_mail_or_in_the_domain_and_the_first_counts(room: KeyRoom) -> None:
    (room.old_keys() / "Bob.pub").write_bytes(OTHER)
    (room.old_keys() / "Bob.key").write_bytes(LEGACY)

    old = room.public("bob"), room.keys.wrapped(room.account("bob").user)
    (room.home("Bob") / "keyring.pub").write_bytes(PUBLIC)
    (room.home("Bob") / "keyring.key").write_bytes(KEYRING)
    room.keys.forget()
    new = room.public("bob"), room.keys.wrapped(room.account("bob").user)

    assert (old[0], old[1].form, old[1].content, old[1].spot.where) == (PublicKey(OTHER), "legacy", LEGACY, "domain")
    assert (new[0], new[1].form, new[1].content, new[1].spot.where) == (
        PublicKey(PUBLIC),
        "keyring",
        KEYRING,
        "mailbox",
    )


def test_a_key_is_the_users_whatever_the_spelling_and_detail(room: KeyRoom) -> None:
    (room.home() / "keyring.pub").write_bytes(PUBLIC)

    assert room.public("ALICE+work") == PublicKey(PUBLIC)


def test_a_mailbox_that_is_not_made_yet_is_no_trouble(room: KeyRoom) -> None:
    room.home().rmdir()
    (room.old_keys() / "alice.pub").write_bytes(PUBLIC)

    assert room.public() == PublicKey(PUBLIC)


def a_link(path: Path) -> None:
    target = path.parent / "elsewhere"
    target.write_bytes(PUBLIC)
    path.symlink_to(target)


def a_dangling_link(path: Path) -> None:
    path.symlink_to("/nowhere")


def a_second_name(path: Path) -> None:
    path.write_bytes(PUBLIC)
    (path.parent / "other").hardlink_to(path)


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [a_link, a_dangling_link, a_second_name, a_fifo, Path.mkdir])
@pytest.mark.parametrize("name", ["keyring.pub", "keyring.key"])
def test_a_file_that_is_there_and_cannot_be_read_is_never_no_key(
    room: KeyRoom, make: Callable[[Path], object], name: str
) -> None:
    make(room.home() / name)

    for _ in range(2):
        with pytest.raises(KeyUnreadable) as refused:
            (room.keys.public_key if name == "keyring.pub" else room.keys.wrapped)(room.account().user)
        assert refused.value.status.kind == 4


@pytest.mark.parametrize("level", ["users", "users/alice", "keys"])
def test_a_link_on_the_way_is_never_no_key(room: KeyRoom, level: str) -> None:
    room.old_keys()
    (room.domain / level).rename(room.place / "moved")
    (room.domain / level).symlink_to(room.place / "moved")

    with pytest.raises(KeyUnreadable):
        room.public()


@pytest.mark.parametrize("octets", [0, 1, 31, 33, 64])
def test_a_public_key_of_another_length_is_an_error_and_does_not_let_the_older_place_answer(
    room: KeyRoom, octets: int
) -> None:
    (room.old_keys() / "alice.pub").write_bytes(PUBLIC)
    (room.home() / "keyring.pub").write_bytes(bytes(octets))

    with pytest.raises(KeyMalformed):
        room.public()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", KeyMalformed),
        (LEGACY[:-1], KeyMalformed),
        (KEYRING[:-1], KeyMalformed),
        (b"{}", KeyMalformed),
        (KEYRING.replace(b'"version":1', b'"version":9', 1), KeyAlgorithmUnknown),
    ],
)
def test_a_wrapped_key_that_is_none_is_an_error(room: KeyRoom, content: bytes, kind: type[AuthError]) -> None:
    (room.home() / "keyring.key").write_bytes(content)

    with pytest.raises(kind):
        room.keys.wrapped(room.account().user)


def test_a_user_whose_name_no_file_can_have_is_an_error(room: KeyRoom) -> None:
    user = room.account().user

    with pytest.raises(KeyUnreadable):
        room.keys.public_key(User(username="../alice@example.com", mailbox=user.mailbox))


def test_an_answer_stands_for_a_second_and_then_as_long_as_nothing_changed_in_the_domain(room: KeyRoom) -> None:
    user = room.account().user
    answers = [room.keys.public_key(user)]
    (room.home() / "keyring.pub").write_bytes(PUBLIC)

    for seconds in (0.9, 0.2, 8.0, 1.0):
        room.clock.now += seconds
        answers.append(room.keys.public_key(user))

    assert answers == [None, None, None, None, PublicKey(PUBLIC)]


def test_one_look_at_the_domain_answers_for_all_its_users(room: KeyRoom) -> None:
    users = [room.account(name).user for name in ("alice", "bob")]
    for user in users:
        room.keys.public_key(user)
    room.clock.now += 1.5

    before = [room.keys.recall(user) for user in users]
    room.keys.public_key(users[0])
    after = [room.keys.recall(user) for user in users]

    assert before == [None, None]
    assert all(known is not None and known.public is None for known in after)


def test_a_key_that_is_put_into_the_domain_is_seen_within_a_second(room: KeyRoom) -> None:
    user = room.account().user
    answers = [room.keys.public_key(user)]
    (room.old_keys() / "alice.pub").write_bytes(PUBLIC)

    answers.append(room.keys.public_key(user))
    room.clock.now += 1.1
    answers.append(room.keys.public_key(user))

    assert answers == [None, None, PublicKey(PUBLIC)]


def test_what_could_not_be_read_is_looked_at_again(room: KeyRoom) -> None:
    (room.home() / "keyring.pub").write_bytes(bytes(31))
    with pytest.raises(KeyMalformed):
        room.public()

    (room.home() / "keyring.pub").write_bytes(PUBLIC)

    assert room.public() == PublicKey(PUBLIC)


@pytest.mark.parametrize(
    ("settings", "file", "policy", "gives_keys"),
    [
        ({}, "", "opportunistic", False),
        ({}, 'encryption_mode = "on"', "opportunistic", True),
        ({"encryption": {"policy": "required"}}, 'encryption_mode = "off"', "required", True),
        ({"encryption": {"policy": "required"}, "domains": {"example.com": {"encryption": "off"}}}, "", "off", False),
        ({"domains": {"example.com": {"encryption": "required"}}}, "", "required", True),
    ],
)
def test_the_nearest_policy_counts(
    tmp_path: Path, settings: dict[str, object], file: str, policy: str, *, gives_keys: bool
) -> None:
    (tmp_path / "example.com").mkdir()
    (tmp_path / "example.com" / "config.toml").write_text(file)

    found = Domains(settings_from({"data_dir": str(tmp_path), **settings})).policy("example.com")

    assert (found.encryption, found.gives_keys) == (policy, gives_keys)


def test_the_own_policy_of_a_user_is_stronger_than_the_domains_and_seen_at_once(room: KeyRoom) -> None:
    answers = [room.directory.encryption_of(room.account().user)]
    for policy in (None, "required", "off", None):
        room.directory.set_encryption(room.account(), policy)
        answers.append(room.directory.encryption_of(room.account().user))
    (room.domain / "encryption").write_text("# by hand\nalice:of\nalice:required\nbob:off\n")
    answers.append(room.directory.encryption_of(room.account().user))

    assert answers == ["opportunistic", "opportunistic", "required", "off", "opportunistic", "required"]
    assert room.directory.encryption_of(room.account("bob").user) == "off"
    room.directory.set_encryption(room.account("bob"), None)
    assert (room.domain / "encryption").read_text() == "# by hand\nalice:of\nalice:required\n"


def test_a_file_of_policies_that_cannot_be_read_is_never_the_domains_policy(room: KeyRoom) -> None:
    (room.domain / "encryption").symlink_to("/etc/hostname")

    with pytest.raises(DirectoryUnavailable):
        room.account()
