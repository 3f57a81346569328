"""A mailbox taken into a backup and put back into stores of every kind."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from msgstore.exchange.backing_up import BackingUp, FolderSaved, keep_runs
from msgstore.exchange.backup_bodies import BackupBodies
from msgstore.exchange.backup_place import BackupPlace
from msgstore.exchange.copying import Difference
from msgstore.exchange.restoring import FolderPutBack, PuttingBack
from msgstore.exchange.verifying_backup import Damage, VerifyingBackup, read_manifest
from msgstore.model.errors import StoreUnavailable
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import FLAGGED, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.disk import Disk
from tests.exchange.converting_room import DEEP, WORK, Made, furnish, portrait, put
from tests.exchange.room import ALICE, Silent, maildir, memory

NOW = 1_800_000_000.0


@contextmanager
def opened(place: Path, *, writes: bool = True) -> Generator[BackupPlace]:
    with BackupPlace(Disk(), str(place), writes=writes, create=writes) as one:
        yield one


def save(store: MessageStore, place: Path, *, full: bool = False, now: float = NOW) -> tuple[list[FolderSaved], int]:
    """Back up the mailbox; gives its folders and how many bodies were written."""
    with opened(place) as one:
        one.clean()
        run = BackingUp(store, one, now=now, progress=Silent(), full=full)
        folders = list(run.add_mailbox(ALICE))
        run.finish(everybody=True)
        assert run.differences == []
        return folders, run.written[0]


def put_back(
    place: Path, store: MessageStore, *, at: int = -1, **more: bool
) -> tuple[dict[str, FolderPutBack], list[Difference]]:
    with opened(place, writes=False) as one:
        run = one.runs()[at]
        entry = read_manifest(one, run, one.summary(run).manifests[ALICE])
        restoring = PuttingBack(store, entry, BackupBodies(one), progress=Silent(), **more)
        return {str(folder.folder): folder for folder in restoring.run()}, restoring.differences


def damages(place: Path) -> list[Damage]:
    with opened(place, writes=False) as one:
        return list(VerifyingBackup(one, progress=Silent()).run(one.runs()))


def files(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def bodies(place: Path) -> list[Path]:
    return sorted((place / "bodies").glob("*/*"))


def test_what_is_put_back_is_what_was_taken(stores: tuple[MessageStore, MessageStore], tmp_path: Path) -> None:
    source, target = stores
    furnish(source)
    place = tmp_path / "backup"

    save(source, place)
    _, differences = put_back(place, target)

    assert differences == []
    assert portrait(target) == portrait(source)
    assert damages(place) == []


def test_a_second_run_reads_and_writes_nothing_that_the_first_had(made: Made, tmp_path: Path) -> None:
    store = made("maildir")
    furnish(store)
    place = tmp_path / "backup"
    save(store, place)
    before = {path: path.stat().st_ino for path in bodies(place)}
    store.folder(ALICE, INBOX).set_flags([Uid(1)], FlagChange.ADD, flags=frozenset({FLAGGED}))
    put(store, text=b"Subject: new\r\n\r\n")

    folders, written = save(store, place)

    assert sum(one.read for one in folders) == written == 1
    assert {path: path.stat().st_ino for path in bodies(place)}.items() >= before.items()


def test_a_full_run_mends_a_damaged_body(tmp_path: Path) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)
    save(store, place)
    victim = bodies(place)[0]
    victim.write_bytes(b"?" * victim.stat().st_size)

    save(store, place)
    found = damages(place)
    save(store, place, full=True)

    assert {one.text.split(":")[0] for one in found} == {"its body has other octets"}
    assert damages(place) == []


def test_files_of_a_backup_are_for_its_owner_alone(tmp_path: Path) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)

    save(store, place)

    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in place.rglob("*")}
    assert modes == {True: 0o700, False: 0o600}


def test_a_damaged_and_a_missing_body_are_named_and_the_rest_is_put_back(tmp_path: Path) -> None:
    store, target, place = memory(), memory(), tmp_path / "backup"
    furnish(store)
    damaged = put(store, text=b"damaged\r\n")
    missing = put(store, DEEP, text=b"missing\r\n")
    save(store, place)
    by_content = {path.read_bytes(): path for path in bodies(place)}
    by_content[b"damaged\r\n"].write_bytes(b"DAMAGED\r\n")
    by_content[b"missing\r\n"].unlink()

    found = damages(place)
    _, differences = put_back(place, target)
    by_content[b"damaged\r\n"].write_bytes(b"damaged\r\n")
    again, rest = put_back(place, target)

    assert {(one.folder, one.uid) for one in found} == {(INBOX, damaged), (DEEP, missing)}
    assert {(one.folder, one.uid) for one in differences} == {(INBOX, damaged), (DEEP, missing)}
    assert [(one.folder, one.uid) for one in rest] == [(DEEP, missing)]
    assert (again["INBOX"].put, again["INBOX"].renumbered) == (1, 1)
    assert target.folder(ALICE, INBOX).stat().messages == store.folder(ALICE, INBOX).stat().messages


@pytest.mark.parametrize("pattern", ["runs/*/mailbox-*.jsonl", "runs/*/summary.json"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "emptied", "gone"])
def test_damage_to_what_describes_a_run_is_found(tmp_path: Path, pattern: str, harm: str) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)
    save(store, place)
    (victim,) = place.glob(pattern)
    content = victim.read_bytes()

    match harm:
        case "flipped":
            victim.write_bytes(content.replace(b"sha256", b"sha257").replace(b"modseq", b"modsaq"))
        case "cut":
            victim.write_bytes(content[: len(content) // 2])
        case "emptied":
            victim.write_bytes(b"")
        case _:
            victim.unlink()

    is_no_run = victim.name == "summary.json" and harm == "gone"
    assert bool(damages(place)) != is_no_run


def test_a_mailbox_with_other_mail_is_refused_and_with_force_gets_only_what_it_lacks(
    made: Made, tmp_path: Path
) -> None:
    source, target, place = made("maildir"), made("sqlite"), tmp_path / "backup"
    furnish(source)
    save(source, place)
    target.create_mailbox(ALICE)
    own = put(target, text=b"my own\r\n")
    before = target.folder(ALICE, INBOX).list()

    with pytest.raises(FileExistsError):
        put_back(place, target)
    first, _ = put_back(place, target, adds=True)
    second, _ = put_back(place, target, adds=True)

    inbox = target.folder(ALICE, INBOX).list()
    assert inbox[0] == before[0]
    assert own == inbox[0].uid
    assert first["INBOX"].renumbered == first["INBOX"].put == 2
    assert [one.guid for one in inbox[1:]] == [one.guid for one in source.folder(ALICE, INBOX).list()]
    for name in (WORK, DEEP):
        assert portrait(target, names=frozenset({name}))[str(name)] == portrait(source)[str(name)]
    assert sum(one.put for one in second.values()) == 0


def test_what_was_expunged_since_comes_back_under_a_new_uid(tmp_path: Path) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)
    save(store, place)
    (guid,) = (one.guid for one in store.folder(ALICE, INBOX).list() if one.uid == 1)
    store.folder(ALICE, INBOX).expunge([Uid(1)])

    folders, differences = put_back(place, store)

    assert differences == []
    assert (folders["INBOX"].put, folders["INBOX"].present) == (1, 1)
    assert [one.uid for one in store.folder(ALICE, INBOX).list() if one.guid == guid] == [4]


def test_a_dry_run_puts_nothing(tmp_path: Path) -> None:
    source, target, place = memory(), memory(), tmp_path / "backup"
    furnish(source)
    save(source, place)

    folders, _ = put_back(place, target, dry_run=True)

    assert folders["INBOX"].put == 2
    assert not target.mailbox_exists(ALICE)


def test_a_run_without_a_summary_is_no_run_and_goes_with_the_next(tmp_path: Path) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)
    save(store, place)
    with opened(place) as one:
        cut = BackingUp(store, one, now=NOW + 1, progress=Silent())
        list(cut.add_mailbox(ALICE))
        runs = one.runs()

    save(store, place, now=NOW + 2)

    assert len(runs) == 1
    assert not (place / "runs" / cut.run).exists()
    assert not (place / "staging").exists() or not files(place / "staging")
    assert len(list((place / "runs").iterdir())) == 2


def test_runs_are_in_order_even_when_the_clock_goes_back(tmp_path: Path) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)

    for now in (NOW, NOW, NOW - 1000):
        save(store, place, now=now)

    assert [path.name for path in sorted((place / "runs").iterdir())] == [
        "20270115T080000.000000Z",
        "20270115T080000.000001Z",
        "20270115T080000.000002Z",
    ]


def test_old_runs_go_with_the_bodies_that_only_they_name(tmp_path: Path) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)
    gone = put(store, text=b"soon gone\r\n")
    save(store, place)
    store.folder(ALICE, INBOX).expunge([gone])
    save(store, place)
    told: list[str] = []

    with opened(place) as one:
        both = keep_runs(one, 2, told=told.append)
        swept = keep_runs(one, 1, told=told.append)

    assert (both, swept, len(told)) == (0, 1, 1)
    assert not any(path.read_bytes() == b"soon gone\r\n" for path in bodies(place))
    assert damages(place) == []


def test_a_run_of_others_takes_the_place_of_none(tmp_path: Path) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)
    save(store, place)

    with opened(place) as one:
        BackingUp(store, one, now=NOW + 1, progress=Silent()).finish(everybody=False)
        swept = keep_runs(one, 1, told=print)
        runs = one.runs()

    assert (swept, len(runs)) == (0, 2)


def test_nothing_is_taken_away_while_a_run_that_stays_cannot_be_read(tmp_path: Path) -> None:
    store, place = memory(), tmp_path / "backup"
    furnish(store)
    save(store, place)
    save(store, place)
    victim = max(place.glob("runs/*/mailbox-*"))
    victim.write_bytes(b"{}\n")
    before = files(place)

    with opened(place) as one, pytest.raises(Exception, match="has other octets"):
        keep_runs(one, 1, told=print)

    assert files(place) == before


def test_two_runs_do_not_write_at_once(tmp_path: Path) -> None:
    place = tmp_path / "backup"

    with opened(place), pytest.raises(StoreUnavailable), opened(place):
        pass


def test_a_directory_with_something_else_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")

    with pytest.raises(FileExistsError), opened(tmp_path):
        pass

    assert files(tmp_path) == {"letter"}


def test_mail_that_comes_and_goes_meanwhile_leaves_a_run_that_is_whole(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    store, place, target = maildir(tmp_path / "mail"), tmp_path / "backup", memory()
    furnish(store)
    many = [put(store, text=b"Subject: %d\r\n\r\n" % number) for number in range(30)]

    class Meddling(Silent):
        """Expunges what was not read yet, and delivers, whenever a message is done."""

        def step(self) -> None:
            super().step()
            if self.steps == 5:
                store.folder(ALICE, INBOX).expunge(many[20:25])
                put(store, text=b"came later\r\n")

    with opened(place) as one:
        run = BackingUp(store, one, now=NOW, progress=Meddling())
        folders = {str(folder.folder): folder for folder in run.add_mailbox(ALICE)}
        run.finish(everybody=False)
    put_back(place, target)

    assert run.differences == []
    assert folders["INBOX"].messages == 32 - 5
    here = [one.uid for one in store.folder(ALICE, INBOX).list()][:-1]
    assert [one.uid for one in target.folder(ALICE, INBOX).list()] == here
    assert damages(place) == []
