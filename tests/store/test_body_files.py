"""Large bodies in files: what the file system does with them, and what happens when it refuses."""

import errno
import os
import stat
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from msgstore.model.errors import DiskFull, StoreError, StoreUnavailable
from msgstore.store.disk import Disk
from msgstore.store.spool import Spool
from msgstore.store.sql.bodies import FileBodies
from msgstore.store.staging import StagedFile

LATER = 4_000_000_000.0
CONTENT = b"0123456789\r\n" * 20_000


class RefusingDisk(Disk):
    """Refuses one kind of call with an error, as often as it is told to, from the moment it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, int] = {}
        self.times = 0

    def _ask(self, call: str) -> None:
        if call in self.refused and self.times:
            self.times -= 1
            raise OSError(self.refused[call], os.strerror(self.refused[call]))

    def link_anonymous(self, fd: int, directory_fd: int, name: str) -> None:
        self._ask("link")
        super().link_anonymous(fd, directory_fd, name)

    def write(self, fd: int, octets: bytes | bytearray | memoryview) -> None:
        self._ask("write")
        super().write(fd, octets)

    def sync_file(self, fd: int) -> None:
        self._ask("sync file")
        super().sync_file(fd)

    def sync_directory(self, fd: int) -> None:
        self._ask("sync directory")
        super().sync_directory(fd)

    def unlink(self, directory_fd: int, name: str) -> None:
        self._ask("unlink")
        super().unlink(directory_fd, name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "bodies"


@pytest.fixture
def disk() -> RefusingDisk:
    return RefusingDisk()


@pytest.fixture
def bodies(root: Path, disk: RefusingDisk) -> FileBodies:
    return FileBodies(disk, str(root))


@pytest.fixture
def staged(tmp_path: Path, disk: RefusingDisk) -> StagedFile:
    made = StagedFile(Spool(disk, str(tmp_path / "mail")).area(), name="one")
    made.write(CONTENT)
    return made


def content_of(bodies: FileBodies, ref: str) -> bytes:
    with bodies.open(ref) as body:
        return b"".join(body.chunks())


def write_and_keep(bodies: FileBodies, blob_id: UUID, staged: StagedFile) -> None:
    staged.write(CONTENT)
    bodies.keep(blob_id, staged)


def files_below(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


def test_mailboxes_share_the_octets_of_one_staged_file_which_nobody_else_may_read(
    bodies: FileBodies, root: Path, staged: StagedFile
) -> None:
    refs = [bodies.keep(uuid4(), staged) for _ in range(3)]

    kept = [(root / ref).stat() for ref in refs]
    assert len({status.st_ino for status in kept}) == 1
    assert [(status.st_nlink, stat.S_IMODE(status.st_mode)) for status in kept] == [(3, 0o600)] * 3
    assert {stat.S_IMODE((root / ref).parent.stat().st_mode) for ref in refs} == {0o700}


def test_files_are_spread_by_the_end_of_their_ids_whose_beginning_is_the_time(
    bodies: FileBodies, root: Path, staged: StagedFile
) -> None:
    ids = [UUID(int=0x0192F3A4 << 96 | number) for number in (0x00, 0x1FF, 0xA07)]

    refs = [bodies.keep(blob_id, staged) for blob_id in ids]

    assert refs == [f"{end}/{blob_id.hex}" for end, blob_id in zip(("00", "ff", "07"), ids, strict=True)]
    assert sorted(files_below(root)) == sorted(refs)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMLINK])
def test_what_cannot_be_linked_is_copied(
    bodies: FileBodies, root: Path, disk: RefusingDisk, staged: StagedFile, number: int
) -> None:
    bodies.check_health()
    disk.refused["link"], disk.times = number, 1

    refs = [bodies.keep(uuid4(), staged) for _ in range(2)]

    assert [content_of(bodies, ref) for ref in refs] == [CONTENT] * 2
    assert len({(root / ref).stat().st_ino for ref in refs}) == 2
    assert sorted(files_below(root)) == sorted(refs)


def test_a_message_from_another_file_system_is_kept(tmp_path: Path, root: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system")
    near, far = FileBodies(Disk(), str(root)), FileBodies(Disk(), str(memory / f"msgstore-test.{uuid4().hex}"))
    try:
        with StagedFile(Spool(Disk(), str(tmp_path / "mail")).area(), name="one") as staged:
            staged.write(CONTENT)
            refs = [bodies.keep(uuid4(), staged) for bodies in (near, far, near, far)]

        assert [content_of(bodies, ref) for bodies, ref in zip((near, far, near, far), refs, strict=True)] == [
            CONTENT
        ] * 4
    finally:
        memory_fd = os.open(memory, os.O_RDONLY)
        Disk().remove_tree(memory_fd, Path(far._root).name)
        os.close(memory_fd)


def test_a_message_whose_first_copies_were_all_removed_is_kept_for_the_next_mailbox(
    bodies: FileBodies, root: Path, staged: StagedFile
) -> None:
    bodies.remove(bodies.keep(uuid4(), staged))

    ref = bodies.keep(uuid4(), staged)

    assert content_of(bodies, ref) == CONTENT
    assert files_below(root) == [ref]


@pytest.mark.parametrize("call", ["write", "sync file", "link", "sync directory"])
@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, StoreUnavailable)]
)
def test_what_the_disk_refuses_leaves_nothing_and_is_temporary(
    bodies: FileBodies,
    root: Path,
    disk: RefusingDisk,
    staged: StagedFile,
    call: str,
    number: int,
    kind: type[StoreError],
) -> None:
    blob_id = uuid4()
    # The directories are there and durable, so that the next sync of one is that of the body's name.
    bodies.remove(bodies.keep(UUID(int=blob_id.int ^ 1 << 127), staged))
    disk.refused[call], disk.times = number, 1

    with StagedFile(staged._area, name="two") as another, pytest.raises(kind) as caught:
        write_and_keep(bodies, blob_id, another)

    assert caught.value.is_temporary
    assert disk.times == 0
    assert files_below(root) == []


def test_the_first_error_is_told_when_undoing_fails_too(
    bodies: FileBodies, root: Path, disk: RefusingDisk, staged: StagedFile
) -> None:
    blob_id = uuid4()
    bodies.remove(bodies.keep(UUID(int=blob_id.int ^ 1 << 127), staged))
    with StagedFile(staged._area, name="two") as another:
        another.write(CONTENT)
        disk.refused, disk.times = {"sync directory": errno.ENOSPC, "unlink": errno.EIO}, 2

        with pytest.raises(DiskFull):
            bodies.keep(blob_id, another)

    # Without a row it is an orphan.
    assert len(files_below(root)) == 1
    assert len(list(bodies.refs(older_than=LATER))) == 1


def test_a_name_that_is_taken_is_never_written_over(bodies: FileBodies, staged: StagedFile) -> None:
    blob_id = uuid4()
    ref = bodies.keep(blob_id, staged)

    with StagedFile(staged._area, name="two") as another:
        another.write(b"another")
        with pytest.raises(StoreUnavailable):
            bodies.keep(blob_id, another)

    assert content_of(bodies, ref) == CONTENT


def test_a_body_that_is_being_read_stays_readable_after_it_is_removed(bodies: FileBodies, staged: StagedFile) -> None:
    ref = bodies.keep(uuid4(), staged)

    with bodies.open(ref) as body:
        bodies.remove(ref)
        descriptor = body.fileno()

        assert descriptor is not None
        assert b"".join(body.chunks()) == os.pread(descriptor, 1 << 20, 0) == CONTENT


def test_no_link_leads_out_and_only_files_are_bodies(bodies: FileBodies, root: Path, staged: StagedFile) -> None:
    refs = [bodies.keep(UUID(int=number), staged) for number in (1, 2, 3)]
    outside = root.parent / "secret"
    outside.write_bytes(b"of somebody else")
    for ref in refs:
        (root / ref).unlink()
    (root / refs[0]).symlink_to(outside)
    (root / refs[1]).mkdir()
    os.mkfifo(root / refs[2])
    (root / "04").symlink_to(root / "03")

    for ref in (*refs, f"04/{UUID(int=4).hex}"):
        with pytest.raises(StoreUnavailable):
            bodies.open(ref)


def test_without_the_directory_nothing_is_said_to_be_gone(bodies: FileBodies, root: Path, staged: StagedFile) -> None:
    ref = bodies.keep(uuid4(), staged)
    root.rename(root.parent / "not mounted")

    for use in (bodies.open, bodies.remove):
        with pytest.raises(StoreUnavailable):
            use(ref)
    assert list(bodies.refs(older_than=LATER)) == []
    assert not root.exists()


def test_where_nothing_can_be_kept_health_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bodies = FileBodies(Disk(), str(tmp_path / "file"))

    with pytest.raises(StoreUnavailable):
        bodies.check_health()
    with pytest.raises(StoreUnavailable):
        list(bodies.refs(older_than=LATER))


def test_the_age_of_a_body_is_counted_from_when_it_was_kept(bodies: FileBodies, root: Path, staged: StagedFile) -> None:
    staged.finish(modified_seconds=1_000_000_000)

    ref = bodies.keep(uuid4(), staged)

    assert (root / ref).stat().st_mtime == 1_000_000_000
    assert list(bodies.refs(older_than=1_700_000_000)) == []
    assert list(bodies.refs(older_than=LATER)) == [ref]


def test_the_sweep_goes_on_where_others_remove_meanwhile(bodies: FileBodies, root: Path, staged: StagedFile) -> None:
    refs = [bodies.keep(UUID(int=number << 96 | number % 2), staged) for number in range(10)]

    found: list[str] = []
    for ref in bodies.refs(older_than=LATER):
        found.append(ref)
        if len(found) == 1:
            for other in refs[::2]:
                bodies.remove(other)

    assert set(refs[1::2]) <= set(found)
