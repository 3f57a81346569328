"""``maildirsize``: what is read, added and counted anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.model.folder import INBOX
from msgstore.model.message import Uid
from msgstore.model.outcomes import Usage
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.quota import Counted, difference, parse_maildirsize, written
from msgstore.store.maildir.store import MaildirStore
from tests.contract.shelf import ALICE, TEXT, WORK, add, put, to

DELIVERING = """
import sys
from tests.contract.shelf import ALICE, put, to
from tests.store.test_maildirsize import opened
store = opened(sys.argv[1])
for _ in range(50):
    put(store, to(ALICE))
store.close()
"""
ONE = len(TEXT)


def opened(root: Path | str) -> MaildirStore:
    return MaildirStore(str(root), layout_for=lambda _: Layout(), hostname="test.example")


def size_file(root: Path) -> Path:
    return root / "example.com" / "users" / "alice" / "maildirsize"


@pytest.fixture
def store(tmp_path: Path) -> MaildirStore:
    store = opened(tmp_path)
    put(store, to(ALICE), to(ALICE, INBOX))
    store.folders(ALICE).create(WORK)
    return store


# The format.


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"1000000S,1000C\n300 2\n-100 -1\n", Counted(octets=200, messages=1, lines=2)),
        (b"1000000S\n         300            2\n", Counted(octets=300, messages=2, lines=1)),
        (b"\n0 0\n", Counted(octets=0, messages=0, lines=1)),
        (b"NOQUOTA\n5 1\n", Counted(octets=5, messages=1, lines=1)),
    ],
)
def test_files_of_other_programs_are_read(content: bytes, expected: Counted) -> None:
    assert parse_maildirsize(content) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"0S\n",
        b"0S\n1 1",
        b"0S\n1\n",
        b"0S\nx 1\n",
        b"oops\n1 1\n",
        b"0S\n1 1\n-2 -1\n",
        b"0S\n" + b"1 1\n" * 1280,
    ],
)
def test_a_broken_negative_or_long_file_is_counted_anew(content: bytes) -> None:
    assert parse_maildirsize(content) is None


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 50)), max_size=50), st.randoms(use_true_random=False))
def test_lines_in_any_order_add_up_to_a_count(changes: list[tuple[int, int]], random: "object") -> None:
    shuffled = list(changes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' Random
    added = b"".join(difference(octets=octets, messages=messages) for octets, messages in shuffled)

    found = parse_maildirsize(written(octets=0, messages=0) + added)

    assert found is not None
    assert (found.octets, found.messages) == (sum(one for one, _ in changes), sum(one for _, one in changes))


# The file.


def test_usage_follows_what_comes_and_goes_without_a_count(store: MaildirStore, tmp_path: Path) -> None:
    assert store.usage(ALICE) == Usage(octets=ONE, messages=1)
    first = size_file(tmp_path).stat().st_ino

    put(store, to(ALICE), to(ALICE, WORK))
    add(store, WORK)
    inbox = store.folder(ALICE, INBOX)
    inbox.copy([Uid(1)], WORK)
    inbox.move([Uid(2)], WORK)
    usage = store.usage(ALICE)
    inbox.expunge([Uid(1)])

    assert (usage.octets, usage.messages, usage.is_sure) == (5 * ONE, 5, False)
    assert store.usage(ALICE) == Usage(octets=4 * ONE, messages=4)
    assert size_file(tmp_path).stat().st_ino == first
    assert store.recount(ALICE) == store.usage(ALICE) == Usage(octets=4 * ONE, messages=4)
    assert store.usage(ALICE).is_sure


def test_a_mailbox_that_nobody_asks_about_has_no_file(store: MaildirStore, tmp_path: Path) -> None:
    put(store, to(ALICE))

    assert not size_file(tmp_path).exists()


def test_a_file_that_others_make_later_is_found(store: MaildirStore, tmp_path: Path) -> None:
    os.utime(size_file(tmp_path).parent, (1_700_000_000, 1_700_000_000))
    put(store, to(ALICE))

    size_file(tmp_path).write_bytes(b"0S,0C\n5 1\n")
    put(store, to(ALICE))

    assert size_file(tmp_path).read_bytes() == b"0S,0C\n5 1\n%d 1\n" % ONE


@pytest.mark.parametrize("content", [b"rubbish", b"0S\n1 1\n-5 -5\n", b"0S\n" + b"1 1\n" * 5000])
def test_a_file_that_cannot_be_right_heals(store: MaildirStore, tmp_path: Path, content: bytes) -> None:
    size_file(tmp_path).write_bytes(content)

    assert store.usage(ALICE) == Usage(octets=ONE, messages=1)
    assert size_file(tmp_path).read_bytes() == b"0S,0C\n%d 1\n" % ONE


def test_nothing_in_the_place_of_the_file_makes_a_delivery_fail(store: MaildirStore, tmp_path: Path) -> None:
    size_file(tmp_path).mkdir()

    (filed,) = put(store, to(ALICE))

    assert not isinstance(filed, Exception)
    assert store.usage(ALICE).messages == 2


def test_a_file_of_another_program_is_believed_and_its_limits_stay(store: MaildirStore, tmp_path: Path) -> None:
    size_file(tmp_path).write_bytes(b"10000000S,1000C\n500 3\n")

    put(store, to(ALICE))

    assert store.usage(ALICE) == Usage(octets=500 + ONE, messages=4)
    assert size_file(tmp_path).read_bytes().startswith(b"10000000S,1000C\n500 3\n")


def test_a_removed_folder_is_not_counted_any_more(store: MaildirStore) -> None:
    add(store, WORK)
    store.usage(ALICE)

    store.folders(ALICE).delete(WORK)

    assert store.usage(ALICE) == Usage(octets=ONE, messages=1)


def test_deliveries_of_two_processes_are_all_counted(store: MaildirStore, tmp_path: Path) -> None:
    store.usage(ALICE)

    running = [subprocess.Popen([sys.executable, "-c", DELIVERING, str(tmp_path)]) for _ in range(2)]
    codes = [one.wait(15) for one in running]

    assert codes == [0, 0]
    assert store.usage(ALICE) == store.recount(ALICE) == Usage(octets=101 * ONE, messages=101)
