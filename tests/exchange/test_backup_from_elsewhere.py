"""Backups that somebody made up, or cut off, or that were ended while they were written."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.exchange.backup_bodies import BackupBodies
from msgstore.exchange.manifests import BackupDamaged, parse_manifest
from tests.admin.trial import PATHS
from tests.exchange.converting_room import furnish, portrait, put
from tests.exchange.room import ALICE, maildir, memory, snapshot
from tests.exchange.test_backup import NOW, damages, opened, put_back, save

SHA = "ab" * 32
Row = dict[str, object]
HEAD: Row = {"kind": "mailbox", "version": 1, "mailbox": "alice@example.com", "quota_mark": 0}
FOLDER: Row = {
    "kind": "folder",
    "name": ["Work"],
    "uidvalidity": 7,
    "uidnext": 9,
    "modseq": 5,
    "guid": None,
    "special_use": None,
    "subscribed": False,
}
MESSAGE: Row = {
    "kind": "message",
    "uid": 3,
    "octets": 5,
    "stored_octets": 5,
    "flags": [],
    "keywords": [],
    "internal_date": 1,
    "modseq": 2,
    "guid": "a.b",
    "uidl": "x",
    "sealed": False,
    "body": SHA,
}
SCRIPT: Row = {"kind": "script", "name": "main", "active": True, "body": SHA}

HOSTILE: list[list[Row]] = [
    [],
    [FOLDER],
    [{**HEAD, "version": 2}],
    [{**HEAD, "mailbox": "../../etc@example.com"}],
    [{**HEAD, "mailbox": "Alice@example.com"}],
    [{**HEAD, "mailbox": None}],
    [{**HEAD, "quota_mark": -1}],
    [HEAD, MESSAGE],
    [HEAD, {"kind": "else"}],
    [HEAD, FOLDER, FOLDER],
    *([HEAD, {**FOLDER, "name": name}] for name in ([], [".."], ["a/b"], ["a\0b"], "Work", [7], ["x" * 300])),
    *([HEAD, {**FOLDER, "uidvalidity": number}] for number in (0, -1, 2**32, True, "7", 7.5, None)),
    [HEAD, {**FOLDER, "uidnext": 0}],
    [HEAD, {**FOLDER, "special_use": "\\Else"}],
    [HEAD, {**FOLDER, "guid": "../x"}],
    [HEAD, {**FOLDER, "subscribed": 1}],
    *([HEAD, FOLDER, {**MESSAGE, "uid": uid}] for uid in (0, 9, 2**40, True, "3")),
    [HEAD, FOLDER, MESSAGE, MESSAGE],
    *([HEAD, FOLDER, {**MESSAGE, "body": body}] for body in ("../../x", SHA.upper(), SHA[1:], SHA + "\n", None, 7)),
    *([HEAD, FOLDER, {**MESSAGE, "guid": guid}] for guid in ("a/b", "..\0", "", "a b", "x" * 256)),
    [HEAD, FOLDER, {**MESSAGE, "flags": ["\\Else"]}],
    [HEAD, FOLDER, {**MESSAGE, "flags": "\\Seen"}],
    [HEAD, FOLDER, {**MESSAGE, "internal_date": 2**80}],
    [HEAD, FOLDER, {**MESSAGE, "modseq": -1}],
    [HEAD, FOLDER, {**MESSAGE, "sealed": "no"}],
    [HEAD, {**SCRIPT, "name": "a\nb"}],
    [HEAD, {**SCRIPT, "body": "/etc/passwd"}],
]


def lines(rows: list[Row]) -> list[bytes]:
    return [json.dumps(row).encode() + b"\n" for row in rows]


def test_the_manifest_that_the_hostile_ones_are_made_of_is_read() -> None:
    entry = parse_manifest(lines([HEAD, FOLDER, MESSAGE, SCRIPT]))

    assert [sha256 for _, _, sha256 in entry.bodies()] == [SHA, SHA]


@pytest.mark.parametrize("rows", HOSTILE, ids=range(len(HOSTILE)))
def test_a_manifest_with_anything_that_does_not_belong_there_is_refused(rows: list[Row]) -> None:
    with pytest.raises(BackupDamaged):
        parse_manifest(lines(rows))


@pytest.mark.parametrize("line", [b"", b"[]\n", b"7\n", b"\xff\n", b"[" * 100_000, b'"' + b"x" * (2 << 20) + b'"'])
def test_what_is_no_object_of_json_is_refused(line: bytes) -> None:
    with pytest.raises(BackupDamaged):
        parse_manifest([*lines([HEAD]), line])


@given(cut=st.integers(0, 10_000), octets=st.binary(max_size=20))
def test_a_manifest_that_is_cut_or_goes_on_otherwise_is_read_or_refused(cut: int, octets: bytes) -> None:
    whole = b"".join(lines([HEAD, FOLDER, MESSAGE, SCRIPT]))
    torn = whole[: cut % len(whole)] + octets

    try:
        entry = parse_manifest(torn.splitlines(keepends=True))
    except BackupDamaged:
        return

    assert entry.mailbox == ALICE


@pytest.mark.parametrize(
    "path", [["..", "x"], ["files", "..", "x"], ["/etc/passwd"], ["summary.json"], [], "files", ["files", ""], [7]]
)
def test_a_summary_that_names_files_elsewhere_is_refused(tmp_path: Path, path: object) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)
    save(store, place)
    (summary,) = place.glob("runs/*/summary.json")
    facts = json.loads(summary.read_text())
    facts["files"].append({"path": path, "sha256": SHA, "mailbox": None})
    summary.write_text(json.dumps(facts))

    found = damages(place)

    assert [one.mailbox for one in found] == [None]


def test_a_body_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    sha256 = hashlib.sha256(b"secret").hexdigest()

    with opened(tmp_path / "backup") as place:
        shelf = tmp_path / "backup" / "bodies" / sha256[:2]
        shelf.mkdir(parents=True)
        (shelf / sha256).symlink_to(secret)
        with pytest.raises(BackupDamaged):
            list(BackupBodies(place).read(sha256))


CHILD = """
import os, signal, sys
from pathlib import Path
from msgstore.store.disk import Disk
from tests.exchange import test_backup
from tests.exchange.room import maildir

left = int(sys.argv[4])

def counted(change):
    def run(self, *arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return change(self, *arguments)
    return run

class Ending(Disk):
    pass

for name in ("create_named", "write", "sync_file", "sync_directory", "rename", "unlink", "make_directory"):
    setattr(Ending, name, counted(getattr(Disk, name)))
test_backup.Disk = Ending
test_backup.save(maildir(Path(sys.argv[1])), Path(sys.argv[2]), now=float(sys.argv[3]))
"""


@pytest.mark.timeout(120)
def test_a_run_that_is_killed_leaves_the_earlier_ones_and_the_next_is_whole(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    store, place, chance = maildir(tmp_path / "mail"), tmp_path / "backup", random.Random(7)  # noqa: S311 (chance)
    furnish(store)
    save(store, place)
    first, earlier = portrait(store), kept(place)
    for number in range(250):
        put(store, text=b"Subject: %d\r\n\r\n" % number)

    # Changes to the disk a run does at most before its end, and the first and the last of them.
    ends = [0, 1, *(chance.randrange(2, 1000) for _ in range(6))]
    for number, changes in enumerate(ends):
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path / "mail"), str(place), str(NOW + 1 + number), str(changes)],
            env={**os.environ, "PYTHONPATH": PATHS},
            check=False,
        )
        assert child.returncode == -signal.SIGKILL
        assert damages(place) == []
        assert kept(place).items() >= earlier.items()
    runs = len(list(place.glob("runs/*/summary.json")))
    save(store, place, now=NOW + 1000)

    old, new = memory(), memory()
    put_back(place, old, at=0)
    put_back(place, new)
    assert runs == 1
    assert portrait(old) == first
    assert portrait(new) == portrait(store)
    assert damages(place) == []


def kept(place: Path) -> dict[str, bytes]:
    return {name: content for name, content in snapshot(place).items() if content is not None}
