import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import text

from msgstore.auth.forwards import ForwardFiles, ForwardTables, parse_forwards, parse_user_forward, tiers


def test_the_file_of_a_domain_is_read_line_by_line() -> None:
    table = parse_forwards(
        "# comment\n\nBob:bob@example.net\r\n sales : a@x , b@x,,a@x \n*:all@example.net\nempty:\nno colon\n:x@y\n"
        "bob:second@example.net\n"
    )

    assert table == {
        "bob": ("bob@example.net",),
        "sales": ("a@x", "b@x"),
        "*": ("all@example.net",),
        "empty": (),
    }


def test_the_file_of_a_user_has_one_target_a_line() -> None:
    assert parse_user_forward("# away\n\n a@x\r\nb@x\na@x\n") == ("a@x", "b@x")
    assert parse_user_forward("# nothing\n") == ()


@given(content=text())
def test_no_file_ends_in_an_error(content: str) -> None:
    assert all(isinstance(targets, tuple) for targets in parse_forwards(content).values())
    assert isinstance(parse_user_forward(content), tuple)


def test_both_orders_end_with_the_table_for_all_domains() -> None:
    user, domain, admin, default = {"u": ("u",)}, {"d": ("d",)}, {"a": ("a",)}, {"s": ("s",)}
    tables = ForwardTables(admin=admin, default=default)

    assert tiers("admin-first", user=user, domain=domain, tables=tables) == (admin, domain, user, default)
    assert tiers("user-first", user=user, domain=domain, tables=tables) == (user, domain, admin, default)


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    files = ForwardFiles()
    files.refresh(directory)
    before = dict(files.domain_table())

    (tmp_path / "forwards").write_text("\ufeffbob:b@x\n")
    (tmp_path / "user_forwards").mkdir()
    (tmp_path / "user_forwards" / "Alice").write_text("a@x\n")
    files.refresh(directory)
    first = files.user_table(directory, ["alice"])
    (tmp_path / "user_forwards" / "Alice").write_text("other@x\n")

    assert before == {}
    assert files.domain_table() == {"bob": ("b@x",)}
    assert first == {"alice": ("a@x",)}
    assert files.user_table(directory, ["alice", "nobody"]) == {"alice": ("other@x",)}
    (tmp_path / "user_forwards" / "Alice").unlink()
    assert files.user_table(directory, ["alice"]) == {}
    os.close(directory)


@pytest.mark.parametrize("name", ["forwards", "user_forwards"])
def test_what_cannot_be_read_is_never_no_forward(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path)
    directory = os.open(tmp_path, os.O_RDONLY)

    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        ForwardFiles().refresh(directory)
    os.close(directory)


def test_a_users_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a@x\n")
    (tmp_path / "user_forwards").mkdir()
    (tmp_path / "user_forwards" / "alice").symlink_to(tmp_path / "secret")
    directory = os.open(tmp_path, os.O_RDONLY)
    files = ForwardFiles()
    files.refresh(directory)

    with pytest.raises(OSError, match="symbolic links"):
        files.user_table(directory, ["alice"])
    os.close(directory)
