"""Scripts beside the mail: read as Pigeonhole, msgstore and the older suite keep them, and written for Pigeonhole."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msgstore.exchange.maildir_target import write_maildir
from msgstore.exchange.script_source import find_scripts, read_scripts
from msgstore.exchange.script_target import ScriptsTarget
from msgstore.exchange.values import Failures, PassedOver
from msgstore.model.errors import StoreUnavailable
from msgstore.model.interfaces import MessageStore
from msgstore.model.scripts import SCRIPT_LIMIT_OCTETS, InvalidScriptName, check_script_name
from msgstore.store.disk import Disk
from tests.exchange.room import ALICE, Silent, maildir, memory, snapshot, tree_of

FILED = b'require "fileinto";\r\nfileinto "Work";\r\n'
BROKEN = b"if if if"


def read(place: Path) -> tuple[dict[str, tuple[bytes, bool]], list[PassedOver]]:
    failures = Failures()
    found = read_scripts(Disk(), str(place), failures=failures)
    return {one.name: (one.content, one.is_active) for one in found}, failures.found


def put_out(store: MessageStore, place: Path) -> ScriptsTarget:
    scripts = ScriptsTarget()
    list(write_maildir(store, ALICE, (Disk(), str(place)), progress=Silent(), scripts=scripts))
    return scripts


@pytest.mark.parametrize("target", ["sieve/work.sieve", "./sieve/work.sieve", "/home/alice/sieve/work.sieve"])
def test_the_script_that_the_link_of_pigeonhole_leads_to_is_the_active_one(tmp_path: Path, target: str) -> None:
    tree_of(tmp_path, {"sieve/work.sieve": FILED, "sieve/old.sieve": BROKEN, "sieve/work.svbin": b"\0"})
    (tmp_path / ".dovecot.sieve").symlink_to(target)

    found, failures = read(tmp_path)

    assert found == {"work": (FILED, True), "old": (BROKEN, False)}
    assert failures == []


def test_a_plain_file_in_the_place_of_the_link_is_an_active_script_without_a_name(tmp_path: Path) -> None:
    tree_of(tmp_path, {".dovecot.sieve": FILED, "sieve/other.sieve": BROKEN})

    assert read(tmp_path) == ({"personal": (FILED, True), "other": (BROKEN, False)}, [])


def test_a_script_without_a_name_replaces_none_that_has_the_name_it_gets(tmp_path: Path) -> None:
    tree_of(tmp_path, {".dovecot.sieve": FILED, "sieve/personal.sieve": BROKEN})

    assert read(tmp_path) == ({"personal": (BROKEN, False), "personal-2": (FILED, True)}, [])


def test_where_both_programs_left_an_active_script_that_of_pigeonhole_is_active_and_both_come(tmp_path: Path) -> None:
    tree_of(tmp_path, {".sieve": BROKEN, "sieve/work.sieve": FILED})
    (tmp_path / ".dovecot.sieve").symlink_to("sieve/work.sieve")

    assert read(tmp_path) == ({"work": (FILED, True), "personal": (BROKEN, False)}, [])


def test_links_are_never_followed_and_named(tmp_path: Path) -> None:
    secret = tree_of(tmp_path / "elsewhere", {"secret": b"keep;"}) / "secret"
    home = tree_of(tmp_path / "home", {"sieve/": b""})
    (home / "sieve" / "work.sieve").symlink_to(secret)
    (home / ".dovecot.sieve").symlink_to(secret)

    found, failures = read(home)

    assert found == {}
    assert [one.place for one in failures] == ["sieve/work.sieve", ".dovecot.sieve"]
    assert str(secret) in failures[1].reason


def test_scripts_directories_that_are_links_are_named(tmp_path: Path) -> None:
    tree_of(tmp_path / "elsewhere", {"work.sieve": b"keep;"})
    (tmp_path / "sieve").symlink_to(tmp_path / "elsewhere")

    found, failures = read(tmp_path)

    assert found == {}
    assert [one.place for one in failures] == ["sieve"]


def test_what_no_script_can_be_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    long = "x" * 129
    files = {f"sieve/{long}.sieve": FILED, "sieve/a\x01b.sieve": FILED, "sieve/work.sieve": FILED, "sieve/notes": b"n"}
    tree_of(tmp_path, {**files, "sieve/huge.sieve": b"#" * (SCRIPT_LIMIT_OCTETS + 1), "sieve/d.sieve/": b""})
    (tmp_path / "sieve" / ".sieve").write_bytes(b"no name")
    (tmp_path / "sieve" / os.fsdecode(b"\xff.sieve")).write_bytes(FILED)

    found, failures = read(tmp_path)

    assert found == {"work": (FILED, False)}
    assert {one.place for one in failures} == {
        f"sieve/{long}.sieve",
        "sieve/a\x01b.sieve",
        "sieve/huge.sieve",
        "sieve/d.sieve",
        "sieve/\\udcff.sieve",
    }


def test_a_plain_script_that_is_too_large_is_named(tmp_path: Path) -> None:
    tree_of(tmp_path, {".sieve": b"#" * (SCRIPT_LIMIT_OCTETS + 1)})

    found, failures = read(tmp_path)

    assert found == {}
    assert [one.place for one in failures] == [".sieve"]


def test_two_files_that_are_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    tree_of(tmp_path, {"sieve/%2Fa%.sieve": BROKEN, "sieve/%2Fa%25.sieve": FILED, "sieve/50%.sieve": FILED})

    found, failures = read(tmp_path)

    assert found == {"%2Fa%": (BROKEN, False), "/a%": (FILED, False), "50%": (FILED, False)}
    assert failures == []


def test_scripts_are_found_in_the_tree_or_above_one_called_maildir_and_nowhere_else(tmp_path: Path) -> None:
    disk = Disk()
    home = tree_of(tmp_path / "home", {"Maildir/cur/": b"", "mail/cur/": b"", ".dovecot.sieve": FILED})
    alone = tree_of(tmp_path / "alone", {"cur/": b"", ".sieve/cur/": b""})

    assert find_scripts(disk, str(home)) == str(home)
    assert find_scripts(disk, f"{home}/Maildir") == str(home)
    assert find_scripts(disk, f"{home}/mail") is None
    assert find_scripts(disk, str(alone)) is None
    assert read(alone) == ({}, [])


NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=128)


def is_name(name: str) -> bool:
    try:
        check_script_name(name)
    except InvalidScriptName:
        return False
    return True


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(NAMES.filter(is_name), st.binary(max_size=50), max_size=4), st.integers(0, 4))
def test_scripts_of_any_name_and_content_come_back_as_they_were(scripts: dict[str, bytes], active: int) -> None:
    store = memory()
    store.create_mailbox(ALICE)
    shelf = store.scripts(ALICE)
    for name, content in scripts.items():
        shelf.put(name, content)
    chosen = (*sorted(scripts), None, None, None, None, None)[active]
    shelf.activate(chosen)
    with tempfile.TemporaryDirectory() as place:
        target = put_out(store, Path(place) / "out")

        found, failures = read(Path(place) / "out")

    assert target.failures.found == failures == []
    assert found == {name: (content, name == chosen) for name, content in scripts.items()}


def test_a_mailbox_without_scripts_leaves_no_trace_of_them(tmp_path: Path) -> None:
    store = memory()
    store.create_mailbox(ALICE)

    put_out(store, tmp_path / "out")

    assert not {"sieve", ".dovecot.sieve"} & set(snapshot(tmp_path / "out"))


def test_an_export_that_goes_on_leaves_only_the_scripts_there_are_now(tmp_path: Path) -> None:
    store = memory()
    store.create_mailbox(ALICE)
    store.scripts(ALICE).put("gone", FILED)
    store.scripts(ALICE).put("stays", FILED)
    store.scripts(ALICE).activate("gone")
    disk = Disk()
    fd = disk.open_root(str(tmp_path))
    ScriptsTarget().write(store.scripts(ALICE), (disk, fd))
    store.scripts(ALICE).activate(None)
    store.scripts(ALICE).remove("gone")

    ScriptsTarget().write(store.scripts(ALICE), (disk, fd))

    assert read(tmp_path) == ({"stays": (FILED, False)}, [])
    assert not (tmp_path / ".dovecot.sieve").is_symlink()


def test_what_the_shelf_cannot_give_is_named_and_the_rest_goes_out(tmp_path: Path) -> None:
    store = maildir(tmp_path / "store")
    store.create_mailbox(ALICE)
    shelf = store.scripts(ALICE)
    shelf.put("work", FILED)
    shelf.put("large", FILED)
    home = next((tmp_path / "store").rglob("sieve")).parent
    (home / "sieve" / "large.sieve").write_bytes(b"#" * (SCRIPT_LIMIT_OCTETS + 1))
    (home / ".sieve").symlink_to("/etc/passwd")
    with pytest.raises(StoreUnavailable):
        shelf.active()

    target = put_out(store, tmp_path / "out")

    assert [info.name for info in target.written] == ["work"]
    assert [one.place for one in target.failures.found] == ["the active script", "script large"]
    assert read(tmp_path / "out") == ({"work": (FILED, False)}, [])
    store.close()
