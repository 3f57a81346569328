"""Imports and exports that are stopped anywhere and run again: as if they had run once."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.exchange.maildir_source import MaildirSource
from msgstore.exchange.maildir_target import write_maildir
from msgstore.exchange.mbox_source import MboxSource
from msgstore.exchange.mbox_target import write_mbox
from msgstore.exchange.taking import Taking
from msgstore.model.folder import INBOX
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.disk import Disk
from tests.exchange.room import ALICE, Held, Seen, Silent, fill, held, maildir, memory, take, tree_of


class Stopped(BaseException):
    """Ctrl-C, or worse."""


class StopsAfter(Silent):
    """Ends the work after some steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._left = steps

    def step(self) -> None:
        if not self._left:
            raise Stopped
        self._left -= 1


class StopsWriting(Disk):
    """Ends the work after some changes."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self._left = changes

    def _step(self) -> None:
        if not self._left:
            raise Stopped
        self._left -= 1

    def write(self, fd: int, octets: bytes | bytearray | memoryview) -> None:
        self._step()
        super().write(fd, octets)

    def rename(self, source: tuple[int, str], target: tuple[int, str]) -> None:
        self._step()
        super().rename(source, target)

    def make_directory(self, directory_fd: int, name: str) -> bool:
        self._step()
        return super().make_directory(directory_fd, name)


FILES = {
    "new/": b"",
    **{f"cur/{number}.host:2,S": b"Subject: %d\n\n" % number for number in range(1, 13)},
    "dovecot-uidlist": b"3 V77 N90\n" + b"".join(b"%d :%d.host\n" % (number * 5, number) for number in range(1, 11)),
    ".Old/new/": b"",
    **{f".Old/cur/{number}.host:2,S": b"Subject: %d\n\n" % number for number in range(1, 5)},
}


@pytest.mark.parametrize("steps", range(0, 17, 2))
def test_an_import_that_was_stopped_goes_on(tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgstore.exchange.taking._BATCH", 3)
    source = tree_of(tmp_path / "source", FILES)
    store, at_once = maildir(tmp_path / "store"), memory()
    take(at_once, MaildirSource(Disk(), str(source)))

    taking = Taking(store, ALICE, MaildirSource(Disk(), str(source)), progress=StopsAfter(steps))
    stopped = False
    try:
        list(taking.run())
    except Stopped:
        stopped = True
    store.close()
    store = maildir(tmp_path / "store")
    taken, failures = take(store, MaildirSource(Disk(), str(source)))

    assert stopped == (steps < 16)
    assert failures == []
    expected, found = held(at_once), held(store)
    assert found["INBOX"] == expected["INBOX"]
    assert [seen for _, seen in found["Old"].messages] == [seen for _, seen in expected["Old"].messages]
    assert taken["INBOX"].put + taken["INBOX"].present == 12
    store.close()


BEFORE = {
    "INBOX": Held(
        uidvalidity=9,
        uidnext=30,
        messages=tuple(
            (uid, Seen(text=b"Subject: %d\n\n" % uid, keywords=frozenset({f"k{uid}"}))) for uid in (2, 5, 7)
        ),
    ),
    "Empty": Held(uidvalidity=10, uidnext=4, subscribed=True),
    "Other": Held(uidvalidity=11, uidnext=4, messages=((3, Seen(flags=frozenset({SEEN}))),)),
}


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is such a thing: nothing here is about what a disk does."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as place:
        yield Path(place)


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_an_export_that_was_stopped_anywhere_goes_on(quick_path: Path, kind: str) -> None:
    store = memory()
    fill(store, BEFORE)
    write = write_maildir if kind == "maildir" else write_mbox
    for changes in itertools.count():
        target = str(quick_path / f"target{changes}")
        try:
            list(write(store, ALICE, (StopsWriting(changes), target), progress=Silent()))
        except Stopped:
            list(write(store, ALICE, (Disk(), target), progress=Silent()))
            stopped = True
        else:
            stopped = False
        back = memory()

        source = MaildirSource(Disk(), target) if kind == "maildir" else MboxSource(Disk(), target)
        _, failures = take(back, source)

        assert failures == []
        assert held(back) == BEFORE, f"after {changes} changes"
        if not stopped:
            assert changes > 10
            break


def test_a_maildir_export_that_goes_on_follows_what_changed_meanwhile(tmp_path: Path) -> None:
    store = memory()
    fill(store, BEFORE)
    target = str(tmp_path / "target")
    with pytest.raises(Stopped):
        list(write_maildir(store, ALICE, (Disk(), target), progress=StopsOnFolder("Other")))
    inbox = store.folder(ALICE, INBOX)
    inbox.set_flags([Uid(5)], FlagChange.ADD, flags=frozenset({FLAGGED}))
    inbox.expunge([Uid(7)])
    now = held(store)
    back = memory()

    written = {str(one.folder): one for one in write_maildir(store, ALICE, (Disk(), target), progress=Silent())}
    take(back, MaildirSource(Disk(), target))

    assert (written["INBOX"].written, written["INBOX"].present) == (0, 2)
    assert held(back) == now


class StopsOnFolder(Silent):
    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def begin(self, label: str, total: int | None) -> None:
        del total
        if label == self._label:
            raise Stopped


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_an_export_writes_over_nothing(tmp_path: Path, kind: str) -> None:
    store = memory()
    fill(store, BEFORE)
    write = write_maildir if kind == "maildir" else write_mbox
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_bytes(b"x")
    done = str(tmp_path / "done")
    list(write(store, ALICE, (Disk(), done), progress=Silent()))

    for place in (done, str(tmp_path / "full")):
        with pytest.raises(FileExistsError):
            list(write(store, ALICE, (Disk(), place), progress=Silent()))
    said = list(write(store, ALICE, (Disk(), str(tmp_path / "new")), progress=Silent(), dry_run=True))

    assert {str(one.folder): one.written for one in said if one.written} == {"INBOX": 3, "Other": 1}
    assert not (tmp_path / "new").exists()
