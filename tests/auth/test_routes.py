import os
import time
from pathlib import Path

import pytest

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.auth.routes import Route, Routes
from msgstore.config.loader import settings_from
from msgstore.model.address import parse_address
from msgstore.model.errors import DirectoryUnavailable, DomainNotHosted, MailboxDisabled, MsgstoreError, UserNotFound


class Place:
    def __init__(self, tmp_path: Path, **settings: object) -> None:
        self.root = tmp_path
        self.now = 100.0
        for domain, users in {
            "example.com": "alice:h:alice\nbob:h:bob\noff:!h:off\npost+box:h:postbox\n",
            "other.org": "carol:h:c\n",
        }.items():
            (tmp_path / domain).mkdir()
            (tmp_path / domain / "passwd").write_text(users)
        self.domain = tmp_path / "example.com"
        loaded = settings_from({"data_dir": str(tmp_path), **settings})
        directory = Directory(loaded, Domains(loaded), clock=lambda: self.now)
        self.routes = Routes(directory, clock=lambda: self.now)

    def user_file(self, name: str, text: str) -> None:
        (self.domain / "user_forwards").mkdir(exist_ok=True)
        (self.domain / "user_forwards" / name).write_text(text)

    def goes_to(self, address: str) -> list[str]:
        """Give mailboxes with their detail, then addresses elsewhere."""
        self.routes.forget()
        route = self.routes.find(parse_address(address))
        return [f"{one.user.mailbox}{'' if one.detail is None else '/' + one.detail}" for one in route.accounts] + [
            f"-> {one}" for one in route.remote
        ]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_user_without_a_forward_is_a_mailbox(place: Place) -> None:
    assert place.goes_to("Alice+Work@Example.com") == ["alice@example.com/Work"]
    assert not place.routes.find(parse_address("alice@example.com")).is_forward


@pytest.mark.parametrize(
    ("line", "address", "goes_to"),
    [
        ("sales:alice@example.com", "sales@example.com", ["alice@example.com"]),
        ("Sales:ALICE@EXAMPLE.COM", "SALES@Example.com.", ["alice@example.com"]),
        ("sales:alice", "sales@example.com", ["alice@example.com"]),
        ("sales:alice+orders@example.com", "sales+x@example.com", ["alice@example.com/orders"]),
        ("sales:alice@example.com,carol@other.org", "sales@example.com", ["alice@example.com", "c@other.org"]),
        ("sales:x@far.example", "sales@example.com", ["-> x@far.example"]),
        ("sales:<x@far.example>", "sales@example.com", ["-> x@far.example"]),
        ("sales:x@Far.example,x@far.EXAMPLE", "sales@example.com", ["-> x@Far.example"]),
        ("sales:alice@example.com,alice", "sales@example.com", ["alice@example.com"]),
        ("alice:x@far.example", "alice+work@example.com", ["-> x@far.example"]),
        ("alice:x@far.example,alice@example.com", "alice@example.com", ["alice@example.com", "-> x@far.example"]),
        ("alice+work:x@far.example", "alice+work@example.com", ["-> x@far.example"]),
        ("alice+work:x@far.example", "alice+home@example.com", ["alice@example.com/home"]),
        ("post:x@far.example", "post+box@example.com", ["postbox@example.com"]),
        ("*:x@far.example", "whoever@example.com", ["-> x@far.example"]),
        ("*:x@far.example", "alice@example.com", ["alice@example.com"]),
        ("*:x@far.example", "alice+y@example.com", ["alice@example.com/y"]),
        ("*:x@far.example\nsales:y@far.example", "sales@example.com", ["-> y@far.example"]),
        ("*:alice@example.com", "a/b@example.com", ["alice@example.com"]),
        ("*:alice@example.com", '"../.."@example.com', ["alice@example.com"]),
        ("b\u00fc:alice@example.com", "B\u00dc@example.com", ["alice@example.com"]),
    ],
)
def test_the_file_of_a_domain_says_where_mail_goes(place: Place, line: str, address: str, goes_to: list[str]) -> None:
    (place.domain / "forwards").write_text(f"# forwards\n{line}\n")

    assert place.goes_to(address) == goes_to


def test_a_forward_is_followed_once(place: Place) -> None:
    (place.domain / "forwards").write_text("alice:bob@example.com\nbob:alice@example.com\nself:self@example.com\n")

    assert place.goes_to("alice@example.com") == ["bob@example.com"]
    assert place.goes_to("bob@example.com") == ["alice@example.com"]
    with pytest.raises(DirectoryUnavailable, match="who is no user"):
        place.goes_to("self@example.com")


@pytest.mark.parametrize(
    "targets", ["", ",", "nobody@example.com", "not an address", "a@b@c", ",".join(f"u{n}@x" for n in range(101))]
)
def test_a_forward_that_cannot_be_followed_is_a_matter_of_time(place: Place, targets: str) -> None:
    (place.domain / "forwards").write_text(f"sales:{targets}\n")

    with pytest.raises(DirectoryUnavailable):
        place.goes_to("sales@example.com")


def test_a_forward_to_a_disabled_user_and_one_of_a_disabled_user_wait(place: Place) -> None:
    (place.domain / "forwards").write_text("sales:off@example.com\noff:alice@example.com\n")

    for address in ("sales@example.com", "off@example.com"):
        with pytest.raises(MailboxDisabled):
            place.goes_to(address)


@pytest.mark.parametrize(("address", "kind"), [("x@example.com", UserNotFound), ("x@far.example", DomainNotHosted)])
def test_what_has_neither_user_nor_forward_is_unknown(place: Place, address: str, kind: type[MsgstoreError]) -> None:
    (place.domain / "forwards").write_text("sales:alice\n")

    with pytest.raises(kind):
        place.goes_to(address)


def tiers(place: Place) -> None:
    (place.root / "config.toml").write_text('[forwards]\nu = "default@x"\n"*" = "all@x"\nv = "default@x"\n')
    (place.domain / "config.toml").write_text('[forwards]\nu = ["admin@x"]\n')
    (place.domain / "forwards").write_text("u:domain@x\nw:domain@x\n")
    place.user_file("u", "user@x\n")
    place.user_file("w", "user@x\n")


@pytest.mark.parametrize(
    ("order", "u", "w"),
    [("admin-first", "admin@x", "domain@x"), ("user-first", "user@x", "user@x")],
)
def test_the_first_of_the_places_that_know_a_name_answers(tmp_path: Path, order: str, u: str, w: str) -> None:
    place = Place(tmp_path, outbound={"forward_order": order})
    tiers(place)

    assert place.goes_to("u@example.com") == [f"-> {u}"]
    assert place.goes_to("w@example.com") == [f"-> {w}"]
    assert place.goes_to("v@example.com") == ["-> default@x"]
    assert place.goes_to("z@example.com") == ["-> all@x"]
    assert place.goes_to("z@other.org") == ["-> all@x"]


def test_a_catch_all_of_an_earlier_place_beats_a_name_in_a_later_one(place: Place) -> None:
    tiers(place)
    (place.domain / "config.toml").write_text('[forwards]\n"*" = "first@x"\n')

    assert place.goes_to("w@example.com") == ["-> first@x"]


def test_an_empty_table_of_a_domain_ends_the_one_for_all(place: Place) -> None:
    tiers(place)
    (place.domain / "config.toml").write_text("[forwards]\n")

    assert place.goes_to("u@example.com") == ["-> domain@x"]
    with pytest.raises(UserNotFound):
        place.goes_to("v@example.com")


def test_tables_of_a_domain_are_merged(place: Place) -> None:
    (place.root / "domains.toml").write_text('["example.com".forwards]\na = "a1@x"\nb = "b1@x,b2@x"\n')
    (place.domain / "config.toml").write_text('[forwards]\na = "a2@x"\n')

    assert place.goes_to("a@example.com") == ["-> a2@x"]
    assert place.goes_to("b@example.com") == ["-> b1@x", "-> b2@x"]


@pytest.mark.parametrize("text", ["forwards = 3", "[forwards]\na = 3", "[forwards]\na = [3]"])
def test_a_table_of_a_wrong_kind_is_a_matter_of_time(place: Place, text: str) -> None:
    (place.domain / "config.toml").write_text(text + "\n")

    with pytest.raises(DirectoryUnavailable, match="forwards"):
        place.goes_to("alice@example.com")


def test_an_exact_name_and_then_the_setting_come_before_the_catch_all_for_postmaster(tmp_path: Path) -> None:
    place = Place(tmp_path, postmaster="carol@other.org")
    (place.domain / "forwards").write_text("*:x@far.example\n")
    assert place.goes_to("postmaster@example.com") == ["c@other.org"]

    (place.domain / "forwards").write_text("*:x@far.example\npostmaster:alice\n")

    assert place.goes_to("Postmaster@example.com") == ["alice@example.com"]


def test_a_new_alias_is_found_at_once_and_a_new_forward_of_a_user_within_a_moment(place: Place) -> None:
    alias, alice = parse_address("sales@example.com"), parse_address("alice@example.com")
    with pytest.raises(UserNotFound):
        place.routes.find(alias)
    before = place.routes.find(alice)

    (place.domain / "forwards").write_text("sales:alice\n")
    place.user_file("alice", "x@far.example\n")

    assert place.routes.recall(alias) is None
    assert [str(one.user.mailbox) for one in place.routes.find(alias).accounts] == ["alice@example.com"]
    # The look for the alias was one for the whole domain.
    assert [str(one) for one in place.routes.find(alice).remote] == ["x@far.example"]
    assert not before.remote
    assert place.routes.recall(alice) == place.routes.find(alice)


def test_users_without_a_forward_cost_no_look_at_forwards_again(place: Place) -> None:
    place.user_file("bob", "x@far.example\n")
    routes = place.routes
    routes.find(parse_address("bob@example.com"))

    (place.domain / "forwards").symlink_to(place.root)
    found = [routes.find(parse_address(f"alice+{number}@example.com")) for number in range(3)]

    assert all(isinstance(one, Route) and not one.is_forward for one in found)


def test_a_domain_of_the_settings_forwards_before_it_has_a_directory(tmp_path: Path) -> None:
    place = Place(tmp_path, domains={"new.example": {}})
    (tmp_path / "domains.toml").write_text('["new.example".forwards]\n"*" = "alice@example.com"\n')

    assert place.goes_to("any@new.example") == ["alice@example.com"]


def test_a_file_that_cannot_be_read_is_never_an_unknown_user(place: Place) -> None:
    (place.domain / "forwards").mkdir()

    with pytest.raises(DirectoryUnavailable):
        place.goes_to("sales@example.com")


def test_a_bare_name_without_a_default_domain_is_not_ours(place: Place) -> None:
    with pytest.raises(DomainNotHosted):
        place.goes_to("alice")


def test_a_target_whose_domain_is_none_is_a_matter_of_time(place: Place) -> None:
    (place.domain / "forwards").write_text("sales:x@\u2260..\u2260.example\nmore:x@xn--\u00fc.example\n", "utf-8")

    for address in ("sales@example.com", "more@example.com"):
        with pytest.raises(DirectoryUnavailable):
            place.goes_to(address)


def test_a_look_for_one_user_answers_for_the_others_until_a_file_changes(place: Place) -> None:
    alice, bob, carol = (parse_address(text) for text in ("alice@example.com", "bob@example.com", "carol@other.org"))
    for path in (place.domain / "passwd", place.domain):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    # A file is trusted when its last change is a few ticks old.
    time.sleep(0.06)
    for _ in range(2):
        for address in (alice, bob, carol):
            place.routes.find(address)
        place.now += 1.5

    assert place.routes.recall(bob) is None
    place.routes.find(alice)
    assert place.routes.recall(bob) == place.routes.recall(bob)
    assert place.routes.recall(bob) is not None
    assert place.routes.recall(carol) is None

    place.now += 1.5
    place.user_file("bob", "bob@elsewhere.example\n")
    place.routes.find(alice)
    assert place.routes.recall(bob) is None
    assert place.routes.find(bob).is_forward


def test_a_route_that_a_forward_gave_is_looked_up_again_after_a_second(place: Place) -> None:
    place.user_file("bob", "bob@elsewhere.example\n")
    alice, bob = parse_address("alice@example.com"), parse_address("bob@example.com")
    place.routes.find(bob)

    assert place.routes.recall(bob) is not None
    place.now += 1.5
    place.routes.find(alice)
    assert place.routes.recall(bob) is None
