"""The scripts of a Maildir: the file of earlier installations, links, interrupted changes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.errors import StoreUnavailable
from msgstore.model.scripts import (
    SCRIPT_LIMIT_OCTETS,
    ScriptIsActive,
    ScriptNotFound,
    ScriptShelf,
    ScriptTooLarge,
    StoredScript,
)
from msgstore.store.disk import Disk
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.scriptnames import file_in_link, file_of, name_of
from msgstore.store.maildir.scripts import PLAIN_NAME, ActiveScripts
from msgstore.store.maildir.store import MaildirStore
from tests.contract.shelf import ALICE

PLAIN = StoredScript(name=PLAIN_NAME, content=b"keep;")


class Interrupted(Exception):
    """The process ends here."""


class FailingDisk(Disk):
    """Counts changes and stops before one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None
        self.reads = 0

    def _count(self) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Interrupted
            self.left -= 1

    def rename(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        self._count()
        super().rename(source, target)

    def unlink(self, directory_fd: int, name: str) -> None:
        self._count()
        super().unlink(directory_fd, name)

    def sync_directory(self, fd: int) -> None:
        self._count()
        super().sync_directory(fd)

    def read_file(self, directory_fd: int, name: str) -> tuple[bytes, os.stat_result]:
        self.reads += 1
        return super().read_file(directory_fd, name)


def opened(place: Path, layout: Layout | None = None, disk: Disk | None = None) -> MaildirStore:
    found = layout or Layout()
    store = MaildirStore(str(place), layout_for=lambda _: found, disk=disk, hostname="test.example")
    store.create_mailbox(ALICE)
    return store


@pytest.fixture(params=["", "Maildir"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MaildirStore]:
    made = opened(tmp_path, Layout(maildir_subdir=request.param))
    yield made
    made.close()


def home(place: Path) -> Path:
    return place / "example.com" / "users" / "alice"


def plain(place: Path, content: bytes = b"keep;") -> Path:
    file = home(place) / ".sieve"
    file.write_bytes(content)
    return file


def test_the_file_of_an_earlier_installation_is_the_active_script(store: MaildirStore, tmp_path: Path) -> None:
    plain(tmp_path)
    shelf = store.scripts(ALICE)

    assert shelf.active() == PLAIN
    assert [(info.name, info.octets, info.is_active) for info in shelf.list()] == [(PLAIN_NAME, 5, True)]
    assert shelf.read(PLAIN_NAME) == b"keep;"
    with pytest.raises(ScriptIsActive):
        shelf.remove(PLAIN_NAME)


def test_a_plain_file_is_replaced_in_its_place(store: MaildirStore, tmp_path: Path) -> None:
    file = plain(tmp_path)

    store.scripts(ALICE).put(PLAIN_NAME, b"stop;")
    store.scripts(ALICE).activate(PLAIN_NAME)

    assert not file.is_symlink()
    assert file.read_bytes() == b"stop;"


@pytest.mark.parametrize("to", ["other", None])
def test_a_plain_file_stays_a_script_when_it_is_not_the_active_one_any_more(
    store: MaildirStore, tmp_path: Path, to: str | None
) -> None:
    plain(tmp_path)
    shelf = store.scripts(ALICE)
    shelf.put("other", b"stop;")

    shelf.activate(to)

    assert {(info.name, info.is_active) for info in shelf.list()} == {(PLAIN_NAME, False), ("other", to == "other")}
    shelf.activate(PLAIN_NAME)
    assert shelf.active() == PLAIN


def test_a_plain_file_gets_a_name_and_leaves_no_copy(store: MaildirStore, tmp_path: Path) -> None:
    plain(tmp_path)
    (home(tmp_path) / "sieve").mkdir()
    (home(tmp_path) / "sieve" / f"{PLAIN_NAME}.sieve").write_bytes(b"left behind")

    store.scripts(ALICE).rename(PLAIN_NAME, "mine")

    assert [info.name for info in store.scripts(ALICE).list()] == ["mine"]
    assert store.scripts(ALICE).active() == StoredScript(name="mine", content=b"keep;")


def test_other_programs_find_the_active_script_by_the_link(store: MaildirStore, tmp_path: Path) -> None:
    store.scripts(ALICE).put("a", b"keep;")
    store.scripts(ALICE).activate("a")

    link = home(tmp_path) / ".sieve"
    assert str(link.readlink()) == "sieve/a.sieve"
    assert link.read_bytes() == b"keep;"
    assert (home(tmp_path) / "sieve" / "a.sieve").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("target", ["/etc/passwd", "../bob/sieve/a.sieve", "sieve/../x.sieve", "sieve/.sieve", "a"])
def test_a_link_to_anywhere_else_is_an_error_and_is_never_followed(
    store: MaildirStore, tmp_path: Path, target: str
) -> None:
    (home(tmp_path) / ".sieve").symlink_to(target)
    shelf = store.scripts(ALICE)

    with pytest.raises(StoreUnavailable):
        shelf.active()
    shelf.put("a", b"keep;")
    shelf.activate("a")

    assert shelf.active() == StoredScript(name="a", content=b"keep;")


def test_a_link_to_a_script_that_is_gone_is_an_error_and_not_no_script(store: MaildirStore, tmp_path: Path) -> None:
    shelf = store.scripts(ALICE)
    (home(tmp_path) / ".sieve").symlink_to("sieve/gone.sieve")
    with pytest.raises(StoreUnavailable):
        shelf.active()

    shelf.put("other", b"keep;")

    with pytest.raises(StoreUnavailable):
        shelf.active()


@pytest.mark.parametrize("what", ["script", "directory"])
def test_links_among_the_scripts_are_not_followed(store: MaildirStore, tmp_path: Path, what: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.sieve").write_bytes(b"secret")
    if what == "directory":
        (home(tmp_path) / "sieve").symlink_to(secret)
    else:
        (home(tmp_path) / "sieve").mkdir()
        (home(tmp_path) / "sieve" / "a.sieve").symlink_to(secret / "a.sieve")
    (home(tmp_path) / ".sieve").symlink_to("sieve/a.sieve")
    shelf = store.scripts(ALICE)

    for call in (shelf.active, lambda: shelf.read("a")):
        with pytest.raises(StoreUnavailable):
            call()


def test_a_folder_that_stands_where_the_script_would_is_no_script(store: MaildirStore, tmp_path: Path) -> None:
    (home(tmp_path) / ".sieve").mkdir()
    shelf = store.scripts(ALICE)

    assert shelf.active() is None
    shelf.put("a", b"keep;")
    with pytest.raises(StoreUnavailable):
        shelf.activate("a")


def test_what_is_no_file_is_an_error(store: MaildirStore, tmp_path: Path) -> None:
    os.mkfifo(home(tmp_path) / ".sieve")

    with pytest.raises(StoreUnavailable):
        store.scripts(ALICE).active()


def test_a_file_that_is_too_large_is_not_read(store: MaildirStore, tmp_path: Path) -> None:
    plain(tmp_path, b"#" * (SCRIPT_LIMIT_OCTETS + 1))

    with pytest.raises(ScriptTooLarge):
        store.scripts(ALICE).active()


def test_files_of_others_among_the_scripts_are_passed_over(store: MaildirStore, tmp_path: Path) -> None:
    shelf = store.scripts(ALICE)
    shelf.put("a", b"keep;")
    directory = home(tmp_path) / "sieve"
    for name in ("a.svbin", ".b.sieve", "c%.sieve", "%=" + "0" * 64 + ".sieve", "d.sieve.lock"):
        (directory / name).write_bytes(b"")
    (directory / "e.sieve").mkdir()

    assert [info.name for info in shelf.list()] == ["a"]


def test_a_script_that_rests_is_read_once(tmp_path: Path) -> None:
    disk = FailingDisk()
    store = opened(tmp_path, disk=disk)
    file = plain(tmp_path)
    os.utime(file, (1, 1))
    shelf = store.scripts(ALICE)
    disk.wall_seconds = lambda: file.stat().st_ctime + 10  # type: ignore[method-assign]  # time is passed in

    assert [shelf.active() for _ in range(3)] == [PLAIN] * 3
    assert disk.reads == 1

    file.write_bytes(b"stop;")
    assert shelf.active() == StoredScript(name=PLAIN_NAME, content=b"stop;")
    store.close()


def test_only_so_many_octets_of_scripts_are_remembered(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    status = (tmp_path / "a").stat()
    scripts = ActiveScripts()
    large = StoredScript(name="a", content=b"#" * SCRIPT_LIMIT_OCTETS)
    mailboxes = [MailboxId(f"user{number}", "example.com") for number in range(80)]

    for mailbox in mailboxes:
        scripts.keep(mailbox, "a", status, large)
        scripts.keep(mailbox, "a", status, large)

    known = [scripts.get(mailbox, "a", status) is not None for mailbox in mailboxes]
    assert known == [False] * 16 + [True] * 64


@pytest.mark.parametrize("name", ["other", None])
def test_an_active_script_that_lost_its_long_name_is_an_error(
    store: MaildirStore, tmp_path: Path, name: str | None
) -> None:
    shelf = store.scripts(ALICE)
    shelf.put("山" * 128, b"keep;")
    shelf.activate("山" * 128)
    (beside,) = (home(tmp_path) / "sieve").glob("*.name")

    if name is None:
        beside.unlink()
    else:
        beside.write_text(name)

    with pytest.raises(StoreUnavailable):
        shelf.active()


def test_a_script_written_just_now_is_read_again(tmp_path: Path) -> None:
    disk = FailingDisk()
    store = opened(tmp_path, disk=disk)
    plain(tmp_path)

    for _ in range(2):
        store.scripts(ALICE).active()

    assert disk.reads == 2
    store.close()


CHANGES: dict[str, Callable[[ScriptShelf], None]] = {
    "put": lambda shelf: shelf.put("a", b"new"),
    "activate": lambda shelf: shelf.activate("b"),
    "deactivate": lambda shelf: shelf.activate(None),
    "rename": lambda shelf: shelf.rename(next(info.name for info in shelf.list() if info.is_active), "c"),
    "remove": lambda shelf: shelf.remove("b"),
}


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("begins", ["linked", "plain"])
def test_a_change_that_is_interrupted_anywhere_loses_no_script_and_leaves_the_old_or_the_new_one_active(
    tmp_path: Path, change: str, begins: str
) -> None:
    contents: set[bytes] = {b"old", b"keep;", b"stop;"} if begins == "plain" else {b"old", b"stop;"}
    for stop in range(40):
        place = tmp_path / str(stop)
        disk = FailingDisk()
        store = opened(place, disk=disk)
        shelf = store.scripts(ALICE)
        shelf.put("a", b"old")
        shelf.put("b", b"stop;")
        if begins == "plain":
            plain(place)
        else:
            shelf.activate("a")
        before = shelf.active()
        disk.left = stop
        try:
            CHANGES[change](shelf)
            done = True
        except Interrupted:
            done = False
        disk.left = None
        store.close()

        again = opened(place)
        found = again.scripts(ALICE)
        now = found.active()
        kept = {found.read(info.name) for info in found.list()}
        again.close()

        may_go = {"put": b"old", "remove": b"stop;"}.get(change)
        assert contents - kept <= {may_go}
        assert before is not None
        now_content = None if now is None else now.content
        allowed: dict[str, set[bytes | None]] = {
            "put": {before.content, b"new"} if begins == "linked" else {before.content},
            "activate": {before.content, b"stop;"},
            "deactivate": {before.content, None},
        }
        assert now_content in allowed.get(change, {before.content})
        if done:
            return
    pytest.fail("the change never came to its end")


@pytest.mark.parametrize("name", ["a", "..", "a/b", "%41", "\x00", "é" * 128])
def test_a_name_is_one_component_that_hides_nothing(name: str) -> None:
    file = file_of(name)

    assert "/" not in file
    assert "\0" not in file
    assert not file.startswith(".")
    assert len(file.encode()) <= 255
    assert name_of(file) in (name, None)
    assert file_in_link(f"sieve/{file}") == file


def test_a_name_that_is_no_file_of_ours_is_not_found(store: MaildirStore) -> None:
    with pytest.raises(ScriptNotFound):
        store.scripts(ALICE).read("%")
