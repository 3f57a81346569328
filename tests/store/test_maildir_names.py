import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.model.address import MailboxId
from msgstore.model.errors import InvalidFolderName, ReservedFolderName
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.message import ANSWERED, FLAGGED, SEEN
from msgstore.store.maildir import folders, keywords
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.names import (
    NameSource,
    Sizes,
    base_of,
    flags_of,
    is_message_name,
    keyword_letters_of,
    order_key,
    sizes_of,
    with_flags,
)

ALICE = MailboxId("alice", "example.com")
COMPONENTS = st.text(min_size=1, max_size=20)


def source(hostname: str = "mail.example.com") -> NameSource:
    numbers = iter(range(1000))
    return NameSource(hostname=hostname, process=42, next_number=lambda: next(numbers), random_hex=lambda: "0123abcd")


def test_a_name_tells_time_process_host_and_both_sizes() -> None:
    name = source().unique(seconds=1700000000.25, octets=1200, wire_octets=1234)

    assert name == "1700000000.M250000P42Q0R0123abcd.mail.example.com,S=1200,W=1234"
    assert sizes_of(name) == Sizes(1200, 1234)


def test_names_differ_while_the_clock_stands_still() -> None:
    names = source()

    assert len({names.unique(seconds=1.0, octets=1, wire_octets=1) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("hostname", "shown"), [("a/b:c,d", "a\\057b\\072c\\054d"), ("host name\n", "hostname"), ("", "")]
)
def test_a_host_name_can_neither_leave_the_directory_nor_forge_a_field(hostname: str, shown: str) -> None:
    name = source(hostname).unique(seconds=1.0, octets=1, wire_octets=1)

    assert name == f"1.M0P42Q0R0123abcd.{shown},S=1,W=1"


@pytest.mark.parametrize(
    ("name", "flags", "letters"),
    [
        ("1.a.h:2,S", {SEEN}, ""),
        ("1.a.h:2,FRSab", {FLAGGED, ANSWERED, SEEN}, "ab"),
        ("1.a.h:2,", set[str](), ""),
        ("1.a.h", set[str](), ""),
        ("1.a.h:1,S", set[str](), ""),
        ("1.a.h:2,SX,extra", {SEEN}, ""),
    ],
)
def test_flags_and_keyword_letters_are_read_from_a_name(name: str, flags: set[str], letters: str) -> None:
    assert flags_of(name) == flags
    assert keyword_letters_of(name) == letters


def test_setting_flags_keeps_what_is_not_understood() -> None:
    assert with_flags("1.a.h:2,SXab,more", [FLAGGED]) == "1.a.h:2,FXab,more"
    assert with_flags("1.a.h:2,SXab", [SEEN], keyword_letters="c") == "1.a.h:2,SXc"
    assert with_flags("1.a.h", []) == "1.a.h:2,"
    assert base_of(with_flags("1.a.h", [SEEN])) == "1.a.h"


@pytest.mark.parametrize("name", ["", "1.a.h,S=1", "1.a.h,S=x,W=2", "1.a.h,W=3", "1.a.h,S=-1,W=2", "1.a.h,S=1,W=²"])
def test_sizes_that_a_name_does_not_tell_are_not_invented(name: str) -> None:
    assert sizes_of(name) is None


@pytest.mark.parametrize(("name", "is_one"), [("1.a", True), (".nfs1", False), (":2,S", False), ("a\nb", False)])
def test_what_can_be_no_line_of_the_list_is_no_message(name: str, is_one: bool) -> None:  # noqa: FBT001
    assert is_message_name(name) == is_one


def test_unknown_messages_are_ordered_by_second_then_microsecond_then_name() -> None:
    names = ["10.b", "9.M5.z", "9.M40.a", "no number", "10.a", "9"]

    assert sorted(names, key=order_key) == ["no number", "9", "9.M5.z", "9.M40.a", "10.a", "10.b"]


@pytest.mark.parametrize(
    ("components", "directory"),
    [
        (("Sent",), ".Sent"),
        (("A", "B"), ".A.B"),
        (("Entwürfe",), ".Entw&APw-rfe"),
        (("Tom & Jerry",), ".Tom &- Jerry"),
        (("a.b",), ".a%2eb"),
        (("100%",), ".100%"),
        (("日本語",), ".&ZeVnLIqe-"),
    ],
)
def test_folders_lie_in_the_directories_dovecot_gives_them(components: tuple[str, ...], directory: str) -> None:
    assert folders.directory_of(FolderName(components)) == directory
    assert folders.folder_of(directory) == FolderName(components)


@given(st.lists(COMPONENTS, min_size=1, max_size=4))
def test_every_folder_name_finds_its_way_back_from_its_directory(components: list[str]) -> None:
    try:
        name = FolderName(tuple(components))
        directory = folders.directory_of(name)
    except (InvalidFolderName, ReservedFolderName):
        return

    assert folders.folder_of(directory) == (None if name.is_inbox else name) or name.is_inbox
    assert "/" not in directory
    assert "\0" not in directory
    assert directory not in (".", "..")


@given(st.text(max_size=20))
def test_any_directory_name_stands_for_a_folder_or_for_none(directory: str) -> None:
    found = folders.folder_of("." + directory)

    assert found is None or all(found.components)


@pytest.mark.parametrize("directory", sorted(folders.RESERVED_DIRECTORIES))
def test_directories_that_belong_to_somebody_are_no_folders(directory: str) -> None:
    assert folders.folder_of(directory) is None


def test_a_folder_that_would_hide_a_file_is_refused() -> None:
    for component in ("uidlist", "sieve", "new", "subscriptions"):
        with pytest.raises(ReservedFolderName):
            folders.directory_of(FolderName((component,)))


def test_a_folder_name_too_long_for_a_directory_is_refused() -> None:
    with pytest.raises(InvalidFolderName):
        folders.directory_of(FolderName(("語" * 60, "語" * 60)))


@pytest.mark.parametrize("text", ["&", "&A-", "&AAA", "ü", "&ZeVnLIqe", "&!!-"])
def test_what_is_not_modified_utf7_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="modified UTF-7"):
        folders.decode_utf7(text)


@given(st.text())
def test_modified_utf7_is_read_back(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return

    assert folders.decode_utf7(folders.encode_utf7(text)) == text


def test_subscriptions_of_both_versions_are_read() -> None:
    one = folders.parse_subscriptions(b"V\t2\n\nA\tB\nINBOX\n")
    two = folders.parse_subscriptions(b"A.B\ninbox\n\n..\n")

    assert one == two == {FolderName(("A", "B")), INBOX}


@given(st.sets(st.tuples(COMPONENTS), max_size=4))
def test_subscriptions_are_read_back(components: set[tuple[str]]) -> None:
    names: set[FolderName] = set()
    for one in components:
        try:
            names.add(FolderName(one))
            folders.directory_of(FolderName(one))
        except (InvalidFolderName, ReservedFolderName):
            return

    assert folders.parse_subscriptions(folders.format_subscriptions(names)) == names


def test_keywords_get_the_next_free_letter_and_keep_it() -> None:
    known = keywords.parse_keywords(b"0 $Forwarded\n2 work\nx bad\n26 beyond\n0 twice\n")

    letters, named, left = keywords.letters_for(["NEW", "Work"], known)

    assert not left
    assert known == {"a": "$Forwarded", "c": "work"}
    assert letters == "bc"
    assert named == {"a": "$Forwarded", "b": "NEW", "c": "work"}
    assert keywords.parse_keywords(keywords.format_keywords(named)) == named
    assert keywords.names_for("abz", named) == {"$Forwarded", "NEW"}


def test_a_twenty_seventh_keyword_gets_no_letter() -> None:
    letters, named, left = keywords.letters_for([f"k{number:02}" for number in range(27)], {})

    assert len(letters) == len(named) == 26
    assert left == {"k26"}


@pytest.mark.parametrize(
    ("layout", "place"),
    [
        (Layout(), ("/data", ("example.com", "users", "alice"))),
        (Layout(base_path=""), ("/data", ("example.com", "alice"))),
        (Layout(base_path="/var/mail"), ("/var/mail", ("alice",))),
        (Layout(path_template="{domain}/{localpart}"), ("/data", ("example.com", "users", "example.com", "alice"))),
        (Layout(path_template="{email}"), ("/data", ("example.com", "users", "alice@example.com"))),
        (Layout(maildir_subdir="Maildir"), ("/data", ("example.com", "users", "alice", "Maildir"))),
    ],
)
def test_mailboxes_lie_where_the_layout_says(layout: Layout, place: tuple[str, tuple[str, ...]]) -> None:
    assert layout.maildir_place("/data", ALICE) == place


@pytest.mark.parametrize(
    "parts",
    [
        {"path_template": "shared"},
        {"path_template": "{user}"},
        {"path_template": "../{localpart}"},
        {"base_path": "a/../b"},
        {"maildir_subdir": ".."},
        {"maildir_subdir": "a\nb"},
        {"path_template": "{domain}"},
    ],
)
def test_a_layout_that_leaves_its_tree_or_is_shared_by_all_is_refused(parts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Layout(**parts)


def test_what_names_need_of_python_is_loaded_before_the_user_changes() -> None:
    claim = "import sys, msgstore.store.maildir.folders; sys.exit('encodings.utf_16_be' not in sys.modules)"

    done = subprocess.run([sys.executable, "-c", claim], check=False)

    assert done.returncode == 0
