import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.auth.files import open_directory, read_small, replace_file
from msgstore.auth.passwd import PasswdEntry, PasswdFile, parse_passwd

EXISTING = "# comment\n\nalice:$hash:alice:10001\nbob:$hash2\nbroken line\nCarol:!$off:carol-box\nalice:second:x\n"


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[int]:
    descriptor = open_directory(str(tmp_path))
    yield descriptor
    os.close(descriptor)


def loaded(tmp_path: Path, domain: int, text: str) -> PasswdFile:
    (tmp_path / "passwd").write_text(text)
    file = PasswdFile()
    file.refresh(domain)
    return file


def test_an_existing_file_is_understood(tmp_path: Path, domain: int) -> None:
    file = loaded(tmp_path, domain, EXISTING)

    assert file.find("alice") == PasswdEntry(user="alice", stored_hash="$hash", mailbox="alice", rest=("10001",))
    assert file.find("bob") == PasswdEntry(user="bob", stored_hash="$hash2", mailbox="bob")
    assert file.find("carol") == PasswdEntry(user="Carol", stored_hash="$off", mailbox="carol-box", enabled=False)
    assert file.find("dave") is None
    assert [entry.user for entry in file.entries()] == ["Carol", "alice", "bob"]


def test_an_edit_changes_its_own_line_alone(tmp_path: Path, domain: int) -> None:
    file = loaded(tmp_path, domain, EXISTING)

    file.put(domain, PasswdEntry(user="bob", stored_hash="new", mailbox="bob"))
    file.put(domain, PasswdEntry(user="eve", stored_hash="h", mailbox="eve"))

    assert (tmp_path / "passwd").read_text() == EXISTING.replace("bob:$hash2\n", "bob:new:bob\n") + "eve:h:eve\n"
    assert file.find("eve") is not None


def test_removing_a_user_takes_out_every_line_of_that_name(tmp_path: Path, domain: int) -> None:
    file = loaded(tmp_path, domain, EXISTING)

    file.remove(domain, "alice")

    text = (tmp_path / "passwd").read_text()
    assert "alice" not in text
    assert "# comment" in text
    assert file.find("alice") is None


def test_a_change_by_somebody_else_is_read(tmp_path: Path, domain: int) -> None:
    file = loaded(tmp_path, domain, "alice:h:alice\n")

    (tmp_path / "new").write_text("dave:h:dave\n")
    (tmp_path / "new").rename(tmp_path / "passwd")
    file.refresh(domain)

    assert file.find("dave") is not None
    assert file.find("alice") is None


def test_a_missing_file_means_no_users(domain: int) -> None:
    file = PasswdFile()

    file.refresh(domain)

    assert file.entries() == ()


def test_a_file_that_cannot_be_read_is_an_error_and_not_empty(tmp_path: Path, domain: int) -> None:
    (tmp_path / "passwd").mkdir()

    with pytest.raises(IsADirectoryError):
        PasswdFile().refresh(domain)


@pytest.mark.parametrize("plant", ["symlink", "hardlink", "fifo"])
def test_what_is_no_file_of_its_own_is_refused(tmp_path: Path, domain: int, plant: str) -> None:
    other = tmp_path / "other"
    other.write_text("eve:h:eve\n")
    if plant == "symlink":
        (tmp_path / "passwd").symlink_to(other)
    elif plant == "hardlink":
        (tmp_path / "passwd").hardlink_to(other)
    else:
        os.mkfifo(tmp_path / "passwd")

    with pytest.raises(OSError, match=r"regular|symbolic"):
        PasswdFile().refresh(domain)


def test_a_hash_is_replaced_only_while_the_line_is_what_was_checked(tmp_path: Path, domain: int) -> None:
    file = loaded(tmp_path, domain, "alice:old:alice\n")
    checked = file.find("alice")
    assert checked is not None

    assert file.replace_hash(domain, checked, "dearer")
    assert not file.replace_hash(domain, checked, "stale")

    assert (tmp_path / "passwd").read_text() == "alice:dearer:alice\n"


def test_a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path: Path, domain: int) -> None:
    replace_file(domain, "passwd", b"x", mode=0o640)

    assert (tmp_path / "passwd").stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["passwd"]
    found = read_small(domain, "passwd")
    assert found is not None
    assert found[0] == b"x"


@pytest.mark.parametrize("field", ["a:b", "a\nb", "a\x00b"])
def test_a_field_can_not_break_its_line(field: str) -> None:
    with pytest.raises(ValueError, match="colon or a line end"):
        PasswdEntry(user=field, stored_hash="h", mailbox="m")
    with pytest.raises(ValueError, match="colon or a line end"):
        PasswdEntry(user="u", stored_hash=field, mailbox="m")


@given(st.text(max_size=200))
def test_any_text_parses_to_as_many_items_as_it_has_lines(text: str) -> None:
    assert len(list(parse_passwd(text.replace("\x00", "").replace("\r", "")))) == (
        text.replace("\x00", "").replace("\r", "").count("\n") + 1
    )


@pytest.mark.parametrize(
    "text", ["a:h:a\n\n\n", "a:h:a", "\n#x\n\na:h:a\n # y", "a:h:a\r\nb:h:b\r\n", "b:h:\xff\na:h:a\n"]
)
def test_every_octet_outside_of_the_changed_line_stays(tmp_path: Path, domain: int, text: str) -> None:
    before = text.encode("latin-1")
    (tmp_path / "passwd").write_bytes(before)

    PasswdFile().put(domain, PasswdEntry(user="a", stored_hash="new", mailbox="a"))

    assert (tmp_path / "passwd").read_bytes() == before.replace(b"a:h:a", b"a:new:a")


@pytest.mark.parametrize("text", ["", "b:h:b\n", "b:h:b"])
def test_a_new_user_is_a_line_at_the_end(tmp_path: Path, domain: int, text: str) -> None:
    (tmp_path / "passwd").write_text(text)

    PasswdFile().put(domain, PasswdEntry(user="a", stored_hash="h", mailbox="a"))

    lines = (tmp_path / "passwd").read_text()
    assert lines == text.rstrip("\n") + ("\n" if text else "") + "a:h:a\n"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_an_edit_keeps_the_mode_of_the_file(tmp_path: Path, domain: int, mode: int) -> None:
    file = loaded(tmp_path, domain, "a:h:a\n")
    (tmp_path / "passwd").chmod(mode)

    file.put(domain, PasswdEntry(user="a", stored_hash="new", mailbox="a"))

    assert (tmp_path / "passwd").stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed")
def test_an_edit_by_root_leaves_file_and_lock_to_their_owner(tmp_path: Path, domain: int) -> None:
    file = loaded(tmp_path, domain, "a:h:a\n")
    os.chown(tmp_path, 4001, 4002)
    os.chown(tmp_path / "passwd", 4001, 4003)

    file.put(domain, PasswdEntry(user="a", stored_hash="new", mailbox="a"))

    status, lock = (tmp_path / "passwd").stat(), (tmp_path / ".lock").stat()
    assert (status.st_uid, status.st_gid) == (4001, 4003)
    assert (lock.st_uid, lock.st_gid) == (4001, 4002)


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed")
def test_a_file_whose_owner_cannot_be_kept_is_left_alone(tmp_path: Path, domain: int) -> None:
    file = loaded(tmp_path, domain, "a:h:a\n")
    os.chown(tmp_path, 4001, 4001)
    (tmp_path / "passwd").chmod(0o644)
    os.seteuid(4001)

    try:
        with pytest.raises(PermissionError):
            file.put(domain, PasswdEntry(user="a", stored_hash="new", mailbox="a"))
    finally:
        os.seteuid(0)

    assert (tmp_path / "passwd").read_text() == "a:h:a\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", "passwd"]


def test_a_change_of_the_same_size_in_the_same_moment_is_read(tmp_path: Path, domain: int) -> None:
    file = PasswdFile()

    for turn in range(300):
        (tmp_path / "passwd").write_text(f"u{turn:03}:h:x\n")
        file.refresh(domain)
        assert file.find(f"u{turn:03}") is not None


def test_a_change_that_brings_its_old_time_along_is_read(tmp_path: Path, domain: int) -> None:
    path = tmp_path / "passwd"
    file = loaded(tmp_path, domain, "a:h:a\n")
    then = path.stat()

    path.write_text("b:h:b\n")
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    file.refresh(domain)

    assert file.find("b") is not None
