import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import settings_from
from msgstore.model.address import parse_address
from msgstore.model.errors import (
    DirectoryUnavailable,
    DomainNotHosted,
    InvalidAddress,
    MailboxDisabled,
    MsgstoreError,
    UserNotFound,
)


def directory_in(tmp_path: Path, *, clock: Callable[[], float] = time.monotonic, **settings: object) -> Directory:
    for domain, users in {
        "example.com": "alice:h:alice\nBob:h:Bob\noff:!h:off\npost+box:h:postbox\n",
        "other.org": "carol:h:c\n",
    }.items():
        (tmp_path / domain).mkdir(exist_ok=True)
        (tmp_path / domain / "passwd").write_text(users)
    loaded = settings_from({"data_dir": str(tmp_path), **settings})
    return Directory(loaded, Domains(loaded), clock=clock)


@pytest.mark.parametrize(
    ("address", "mailbox", "detail"),
    [
        ("alice@example.com", "alice@example.com", None),
        ("ALICE@EXAMPLE.COM", "alice@example.com", None),
        ("alice@example.com.", "alice@example.com", None),
        ('"alice"@example.com', "alice@example.com", None),
        ("alice+Work@Example.com", "alice@example.com", "Work"),
        ("alice+@example.com", "alice@example.com", ""),
        ("bob@example.com", "Bob@example.com", None),
        ("carol@other.org", "c@other.org", None),
        ("post+box@example.com", "postbox@example.com", None),
    ],
)
def test_every_spelling_of_an_address_finds_one_mailbox(
    tmp_path: Path, address: str, mailbox: str, detail: str | None
) -> None:
    account = directory_in(tmp_path).find(parse_address(address))

    assert (str(account.user.mailbox), account.detail) == (mailbox, detail)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("nobody@example.com", UserNotFound),
        ("+work@example.com", UserNotFound),
        ("alice@elsewhere.example", DomainNotHosted),
        ("alice", DomainNotHosted),
        ("postmaster@example.com", UserNotFound),
    ],
)
def test_what_cannot_be_found_is_told_apart(tmp_path: Path, address: str, kind: type[MsgstoreError]) -> None:
    with pytest.raises(kind):
        directory_in(tmp_path).find(parse_address(address))


def test_a_bare_name_is_in_the_default_domain(tmp_path: Path) -> None:
    directory = directory_in(tmp_path, default_domain="Other.ORG")

    assert str(directory.find(parse_address("carol")).user.mailbox) == "c@other.org"


def test_every_hosted_domain_has_a_postmaster(tmp_path: Path) -> None:
    directory = directory_in(tmp_path, postmaster="alice@example.com", default_domain="example.com")

    for address in ("postmaster", "Postmaster@example.com", "POSTMASTER@other.org"):
        assert str(directory.find(parse_address(address)).user.mailbox) == "alice@example.com"


def test_a_disabled_user_exists_and_takes_no_mail(tmp_path: Path) -> None:
    directory = directory_in(tmp_path)
    account = directory.find(parse_address("off@example.com"))

    with pytest.raises(MailboxDisabled):
        directory.usable(account)


def test_trouble_with_a_file_is_never_an_unknown_user(tmp_path: Path) -> None:
    directory = directory_in(tmp_path)
    (tmp_path / "example.com" / "passwd").unlink()
    (tmp_path / "example.com" / "passwd").mkdir()

    with pytest.raises(DirectoryUnavailable):
        directory.find(parse_address("alice@example.com"))


def test_a_mailbox_name_in_the_file_that_is_no_name_is_the_administrators_trouble(tmp_path: Path) -> None:
    directory = directory_in(tmp_path)
    (tmp_path / "example.com" / "passwd").write_text("alice:h:../../etc\n")

    with pytest.raises(DirectoryUnavailable):
        directory.find(parse_address("alice@example.com"))


def test_a_new_user_is_found_at_once_and_an_old_answer_is_remembered_for_a_moment(tmp_path: Path) -> None:
    directory = directory_in(tmp_path)
    address = parse_address("dave@example.com")
    with pytest.raises(UserNotFound):
        directory.find(address)

    with (tmp_path / "example.com" / "passwd").open("a") as file:
        file.write("dave:h:dave\n")

    assert directory.recall(address) is None
    assert directory.find(address).user.username == "dave@example.com"
    assert directory.recall(address) is not None
    directory.forget(address)
    assert directory.recall(address) is None


def test_whoever_asks_the_disk_for_one_user_answers_for_the_others_until_a_file_changes(tmp_path: Path) -> None:
    now = [100.0]
    directory = directory_in(tmp_path, clock=lambda: now[0])
    alice, bob, postmaster = (parse_address(f"{name}@example.com") for name in ("alice", "bob", "postmaster"))
    os.utime(tmp_path / "example.com" / "passwd")
    time.sleep(0.06)
    directory.find(alice)
    directory.find(bob)

    now[0] += 1.5
    assert directory.recall(bob) is None
    directory.find(alice)
    assert directory.recall(bob) is not None
    with pytest.raises(UserNotFound):
        directory.find(postmaster)

    now[0] += 1.5
    with (tmp_path / "example.com" / "passwd").open("a") as file:
        file.write("dave:h:dave\n")
    directory.find(alice)
    assert directory.recall(bob) is None


def test_limits_that_change_are_seen_by_those_who_are_remembered(tmp_path: Path) -> None:
    now = [100.0]
    directory = directory_in(tmp_path, clock=lambda: now[0])
    alice, bob = parse_address("alice@example.com"), parse_address("bob@example.com")
    directory.find(alice)
    directory.find(bob)

    now[0] += 1.5
    (tmp_path / "example.com" / "quota").write_text("bob:1000:\n")
    directory.find(alice)

    assert directory.recall(bob) is None
    assert directory.find(bob).user.quota.octets == 1000


@pytest.mark.parametrize("domain", ["..", ".", "a/b", "\u2260\u2260..x"])
def test_no_domain_name_reaches_outside_of_the_tree(tmp_path: Path, domain: str) -> None:
    directory = directory_in(tmp_path)

    with pytest.raises((DomainNotHosted, InvalidAddress)):
        directory.find(parse_address("alice@example.com").__class__(local_part="alice", domain=domain))


def test_a_symlink_is_not_a_hosted_domain(tmp_path: Path) -> None:
    directory = directory_in(tmp_path)
    (tmp_path / "linked.example").symlink_to(tmp_path / "example.com")

    assert not directory.domains.is_hosted("linked.example")
    assert directory.domains.names() == ("example.com", "other.org")


def test_settings_of_a_domain_are_merged_in_the_order_of_the_older_suite(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'max_message_size = 1\n[msgstore]\nbase_path = "mail"\n[msgstore.options]\nmaildir_subdir = "Maildir"\n'
    )
    (tmp_path / "domains.toml").write_text('["example.com"]\nmax_message_size = 2\nrecipient_rejection = "data"\n')
    directory = directory_in(tmp_path, domains={"example.com": {"max_message_octets": 4}})
    (tmp_path / "other.org" / "config.toml").write_text('[msgstore.options]\npath_template = "{email}"\n')

    first, second = directory.policy("example.com"), directory.policy("other.org")

    assert (first.max_message_octets, first.defer_rejection, first.base_path) == (4, True, "mail")
    assert (second.max_message_octets, second.path_template, second.maildir_subdir) == (1, "{email}", "Maildir")


def test_a_broken_domain_configuration_makes_it_unavailable(tmp_path: Path) -> None:
    directory = directory_in(tmp_path)
    (tmp_path / "example.com" / "config.toml").write_text("a = ")

    with pytest.raises(DirectoryUnavailable):
        directory.policy("example.com")


def test_domain_settings_are_read_again_when_they_change(tmp_path: Path) -> None:
    directory = directory_in(tmp_path)
    before = directory.policy("example.com")

    (tmp_path / "example.com" / "config.toml").write_text("max_message_size = 77\n")

    assert before.max_message_octets != 77
    assert directory.policy("example.com").max_message_octets == 77


def test_users_are_listed(tmp_path: Path) -> None:
    assert [user.username for user in directory_in(tmp_path).users("other.org")] == ["carol@other.org"]


@pytest.mark.parametrize(
    ("line", "address", "mailbox"),
    [
        ("a@b:h:a@b", '"a@b"@example.com', "a@b@example.com"),
        ("a@b:h", '"a@b"@example.com', "a@b@example.com"),
        ("dave:h:dave@example.com", "dave@example.com", "dave@example.com"),
        ("dave:h:box@example.com", "dave@example.com", "box@example.com"),
    ],
)
def test_a_name_with_an_at_sign_is_a_mailbox_of_its_own(tmp_path: Path, line: str, address: str, mailbox: str) -> None:
    directory = directory_in(tmp_path)
    (tmp_path / "example.com" / "passwd").write_text(f"a:h:a\n{line}\n")

    assert str(directory.find(parse_address(address)).user.mailbox) == mailbox


@pytest.mark.parametrize("name", ["lost+found", "a b", "#recycle", "Upper.example", "x..y", "-x"])
def test_a_directory_whose_name_is_no_domain_is_not_hosted(tmp_path: Path, name: str) -> None:
    directory = directory_in(tmp_path)
    (tmp_path / name).mkdir()

    assert directory.domains.names() == ("example.com", "other.org")
    assert not directory.domains.is_hosted(name)


def test_an_empty_text_takes_back_what_a_file_below_says(tmp_path: Path) -> None:
    directory = directory_in(tmp_path, store={"maildir_subdir": "Maildir", "base_path": "mail"})
    (tmp_path / "domains.toml").write_text('["other.org".msgstore]\nbase_path = "boxes"\n')
    (tmp_path / "example.com" / "config.toml").write_text(
        '[msgstore]\nbase_path = ""\n[msgstore.options]\nmaildir_subdir = ""\npath_template = ""\n'
    )

    first, second = directory.policy("example.com"), directory.policy("other.org")

    assert (first.base_path, first.maildir_subdir, first.path_template) == ("", "", "")
    assert (second.base_path, second.maildir_subdir, second.path_template) == ("boxes", "Maildir", "{localpart}")


@pytest.mark.parametrize(
    "text",
    [
        'max_message_size = "10MB"',
        "max_message_size = -1",
        'recipient_rejection = "dta"',
        "msgstore = 3",
        "[msgstore]\noptions = 3",
        "[msgstore]\nbase_path = 3",
    ],
)
def test_a_value_of_a_wrong_kind_is_not_taken_for_an_absent_one(tmp_path: Path, text: str) -> None:
    directory = directory_in(tmp_path)
    (tmp_path / "example.com" / "config.toml").write_text(text)

    with pytest.raises(DirectoryUnavailable, match=r"must be|is not in a table"):
        directory.policy("example.com")


def test_a_domain_of_the_settings_has_no_users_until_it_has_a_directory(tmp_path: Path) -> None:
    directory = directory_in(tmp_path, domains={"new.example": {}})

    assert directory.users("new.example") == ()
    with pytest.raises(DomainNotHosted):
        directory.users("elsewhere.example")
