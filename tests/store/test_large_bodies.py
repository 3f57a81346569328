"""What every place for large bodies promises: files and an object store."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msgstore.model.errors import StoreCorrupt, StoreError, StoreUnavailable
from msgstore.model.interfaces import BodyFacts
from msgstore.store.disk import Disk
from msgstore.store.spool import Spool
from msgstore.store.sql.bodies import ORPHAN_SECONDS, FileBodies, LargeBodies, sweep_orphans
from msgstore.store.sql.objects import PART_OCTETS, READ_AHEAD_OCTETS, S3Bodies
from msgstore.store.staging import StagedFile
from tests.clocks import HandClock
from tests.store.object_room import ask, new_bucket, settings_for

LATER = 4_000_000_000.0
"""After every moment at which a test keeps anything."""

FILE_REF = "9f/0192f3a4b5c67d8e9fa0b1c2d3e4f59f"
OBJECT_REF = f"20231114/{FILE_REF}"


DAMAGES: list[Callable[[str], str]] = [
    lambda ref: ref[:0],
    lambda ref: "/" + ref,
    lambda ref: ref + "/",
    lambda ref: ref + "\n",
    lambda ref: ref + "0",
    lambda ref: ref[:-1],
    lambda ref: ref.upper(),
    lambda ref: ref[:-3] + "/..",
    lambda ref: "../" + ref,
    lambda ref: ref.replace("/", "//"),
    lambda ref: ref[:-2] + "00",
    lambda ref: ref.replace("0", "\N{ARABIC-INDIC DIGIT ZERO}"),
    lambda ref: ref.replace("0", "\0"),
    lambda ref: OBJECT_REF if ref == FILE_REF else FILE_REF,
    lambda ref: ref * 10_000,
]
"""Each makes something of a reference that is none."""


@dataclass
class Room:
    """A place for bodies, and a place to stage them."""

    bodies: LargeBodies
    spool: Spool
    ref: str
    """Has the right form, and nothing is there."""

    put: Callable[[str], None]
    """Puts something there that is no body, or under a name that is one."""

    names: Callable[[], set[str]]
    """Everything that is there."""

    def staged(self, octets: bytes, line_endings: Literal["crlf", "lf"] = "crlf") -> StagedFile:
        """Stage something."""
        staged = StagedFile(self.spool.area(), name=uuid4().hex, line_endings=line_endings)
        for begin in range(0, len(octets), 1 << 16):
            staged.write(octets[begin : begin + (1 << 16)])
        return staged

    def keep(self, octets: bytes) -> str:
        """Keep a body."""
        with self.staged(octets) as staged:
            return self.bodies.keep(uuid4(), staged)

    def content(self, ref: str) -> bytes:
        """Read a body."""
        with self.bodies.open(ref) as body:
            return b"".join(body.chunks())


@pytest.fixture(params=["files", "objects"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    spool = Spool(Disk(), str(tmp_path / "mail"))
    if request.param == "files":
        root = tmp_path / "bodies"

        def put(ref: str) -> None:
            (root / ref).parent.mkdir(parents=True, exist_ok=True)
            (root / ref).touch()

        def names() -> set[str]:
            files = (path for path in root.rglob("*") if path.is_file())
            return {str(path.relative_to(root)) for path in files}

        made = Room(FileBodies(Disk(), str(root)), spool, FILE_REF, put, names)
    else:
        port = request.getfixturevalue("moto")
        bucket = new_bucket(port)

        def put(ref: str) -> None:
            assert ask(port, "PUT", f"/{bucket}/some/where/{ref}", b"x")[0] == 200

        def names() -> set[str]:
            found = ask(port, "GET", f"/{bucket}?max-keys=1000")[1].decode().split("<Key>some/where/")[1:]
            return {text.partition("</Key>")[0] for text in found}

        bodies = S3Bodies(settings_for(port, bucket), clock=HandClock())
        made = Room(bodies, spool, OBJECT_REF, put, names)
    yield made
    made.bodies.close()
    spool.close()


def pattern(octets: int) -> bytes:
    """Octets that show where they stand."""
    return b"".join(b"%09d\n" % number for number in range(octets // 10 + 1))[:octets]


@pytest.mark.parametrize(
    "octets",
    [1, READ_AHEAD_OCTETS, READ_AHEAD_OCTETS + 1, PART_OCTETS, PART_OCTETS + 1, 2 * PART_OCTETS, 11_000_001],
)
def test_a_body_of_any_size_comes_back_octet_by_octet_in_small_pieces(room: Room, octets: int) -> None:
    content = pattern(octets)

    ref = room.keep(content)

    facts = BodyFacts(octets=octets + 5, sealed=False)
    with room.bodies.open(ref, facts) as body:
        pieces = list(body.chunks())
        assert body.stored_octets == octets
        assert body.facts == facts
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 65536


def test_any_parts_of_a_body_are_read_in_any_order(room: Room) -> None:
    content = pattern(1_500_000)
    ref = room.keep(content)
    places = st.integers(0, len(content) + 10) | st.sampled_from([0, READ_AHEAD_OCTETS, len(content) - 1, len(content)])
    sizes = st.integers(-1, 70_000) | st.sampled_from([0, 1, READ_AHEAD_OCTETS, READ_AHEAD_OCTETS + 1, 2_000_000])

    @given(spans=st.lists(st.tuples(places, sizes), min_size=1, max_size=6), streams=st.booleans())
    @settings(max_examples=40, deadline=None)
    def read(spans: list[tuple[int, int]], *, streams: bool) -> None:
        with room.bodies.open(ref) as body:
            for offset, octets in spans:
                assert body.read(offset, octets) == content[offset : offset + max(octets, 0)]
            if streams:
                assert b"".join(body.chunks()) == content

    read()


def test_a_stream_is_whole_although_other_parts_are_read_meanwhile(room: Room) -> None:
    content = pattern(1_500_000)

    with room.bodies.open(room.keep(content)) as body:
        pieces: list[bytes] = []
        for number, piece in enumerate(body.chunks()):
            pieces.append(piece)
            begin = number * 397_123 % len(content)
            assert body.read(begin, 1000) == content[begin : begin + 1000]

    assert b"".join(pieces) == content


def test_a_staged_message_is_kept_once_for_every_mailbox_and_each_goes_by_itself(room: Room) -> None:
    with room.staged(pattern(200_000)) as staged:
        refs = [room.bodies.keep(uuid4(), staged) for _ in range(3)]
    room.bodies.remove(refs[0])

    with pytest.raises(StoreCorrupt, match=r"gone|not found"):
        room.bodies.open(refs[0])
    assert [room.content(ref) for ref in refs[1:]] == [pattern(200_000)] * 2
    assert len(set(refs)) == 3


def test_line_ends_are_kept_as_they_were_staged_to_the_last_octet(room: Room) -> None:
    with room.staged(b"a\r\n" * 70_000 + b"\r", "lf") as staged:
        ref = room.bodies.keep(uuid4(), staged)

    assert room.content(ref) == b"a\n" * 70_000 + b"\r"


def test_a_staged_message_that_is_lost_is_not_kept(room: Room) -> None:
    staged = room.staged(pattern(200_000))
    staged.discard()

    with pytest.raises(StoreUnavailable):
        room.bodies.keep(uuid4(), staged)

    assert room.names() == set()


def test_what_is_gone_is_an_error_to_open_and_none_to_remove(room: Room) -> None:
    ref = room.keep(pattern(200_000))
    room.bodies.remove(ref)

    room.bodies.remove(ref)
    room.bodies.remove(room.ref)

    for gone in (ref, room.ref):
        with pytest.raises(StoreCorrupt) as caught:
            room.bodies.open(gone)
        assert caught.value.is_temporary


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_reference_that_is_none_touches_nothing(room: Room, damage: Callable[[str], str]) -> None:
    room.put(room.ref)
    before = room.names()

    for use in (room.bodies.open, room.bodies.remove):
        with pytest.raises(StoreCorrupt, match="names no body") as caught:
            use(damage(room.ref))
        assert len(str(caught.value)) < 500

    assert room.names() == before


@given(text=st.text() | st.from_regex(r"([0-9]{8}/)?[0-9a-f]{2}/[0-9a-f]{30,34}"))
def test_no_text_out_of_a_database_leads_out_of_its_place(text: str) -> None:
    for bodies in (FileBodies(Disk(), "/nonexistent"), S3Bodies(settings_for(1, "mail", retries=0), clock=HandClock())):
        with contextlib.suppress(StoreError):
            bodies.remove(text)


def test_a_closed_body_gives_nothing_and_closing_again_does_no_harm(room: Room) -> None:
    body = room.bodies.open(room.keep(pattern(200_000)))
    body.close()
    body.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        body.read(0, 1)
    with pytest.raises(StoreUnavailable, match="closed"):
        next(iter(body.chunks()))
    assert body.fileno() is None


def test_a_body_goes_from_thread_to_thread(room: Room) -> None:
    content = pattern(900_000)
    read: list[bytes] = []

    with room.bodies.open(room.keep(content)) as body:
        for begin in range(0, len(content), 100_000):
            thread = threading.Thread(target=lambda: read.append(body.read(begin, 100_000)))  # noqa: B023 (joined here)
            thread.start()
            thread.join()

    assert b"".join(read) == content


def test_many_threads_keep_at_once(room: Room) -> None:
    refs: list[tuple[bytes, str]] = []

    def keep(number: int) -> None:
        content = b"%d" % number * 140_000
        refs.extend((content, room.keep(content)) for _ in range(3))

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refs) == 24
    assert all(room.content(ref) == content for content, ref in refs)


def test_the_place_is_used_again_after_it_was_closed(room: Room) -> None:
    ref = room.keep(b"before")
    body = room.bodies.open(ref)
    room.bodies.close()
    room.bodies.close()

    assert body.read(0, 10) == b"before"
    assert room.content(ref) == b"before"
    assert room.content(room.keep(b"after")) == b"after"
    body.close()


def test_health_is_checked_by_writing_and_leaves_no_body(room: Room) -> None:
    room.bodies.check_health()
    room.bodies.check_health()

    assert list(room.bodies.refs(older_than=LATER)) == []


def test_everything_that_was_kept_is_listed_once_and_what_is_no_body_is_left_out(room: Room) -> None:
    kept = {room.keep(b"%d" % number) for number in range(11)}
    day = room.ref[: -len(FILE_REF)]
    strangers = {f"{day}9f/README", f"{day}9f/{'0' * 32}", f"{day}zz/{'0' * 32}", "README", "2023111/x", "9f9/x"}
    for stranger in strangers:
        room.put(stranger)

    listed = list(room.bodies.refs(older_than=LATER))

    assert sorted(listed) == sorted(kept)
    assert list(room.bodies.refs(older_than=1_000_000_000)) == []
    assert strangers <= room.names()


def test_a_place_that_was_never_used_has_nothing(room: Room) -> None:
    assert list(room.bodies.refs(older_than=LATER)) == []
    assert room.names() == set()


class Rows:
    """What a database would answer."""

    def __init__(self, *named: str) -> None:
        self.named = set(named)
        self.asked: list[int] = []

    def __call__(self, refs: Sequence[str]) -> set[str]:
        self.asked.append(len(refs))
        return self.named.intersection(refs)


def test_the_sweep_takes_what_no_row_names_and_says_how_many(room: Room) -> None:
    refs = [room.keep(b"%d" % number) for number in range(9)]
    rows = Rows(*refs[:4])

    removed = sweep_orphans(room.bodies, rows, now=LATER)

    assert removed == 5
    assert set(room.bodies.refs(older_than=LATER)) == set(refs[:4])
    assert sweep_orphans(room.bodies, rows, now=LATER) == 0


def test_the_sweep_leaves_what_is_young_whoever_asks(room: Room) -> None:
    ref = room.keep(b"its row comes soon")
    rows = Rows()

    with pytest.raises(ValueError, match="172800"):
        sweep_orphans(room.bodies, rows, now=LATER, older_than_seconds=ORPHAN_SECONDS - 1)
    removed = [sweep_orphans(room.bodies, rows, now=LATER, older_than_seconds=LATER - 1e9)]
    removed.append(sweep_orphans(room.bodies, rows, now=1e9))

    assert removed == [0, 0]
    assert rows.asked == []
    assert room.content(ref) == b"its row comes soon"


def test_the_sweep_removes_nothing_that_the_database_did_not_answer_for(room: Room) -> None:
    ref = room.keep(b"one")

    def down(refs: Sequence[str]) -> set[str]:
        raise StoreUnavailable(f"no answer about {len(refs)}")

    with pytest.raises(StoreUnavailable):
        sweep_orphans(room.bodies, down, now=LATER)

    assert room.content(ref) == b"one"


@pytest.mark.parametrize("room", ["files"], indirect=True)
def test_the_sweep_asks_for_many_at_once_and_for_each_once(room: Room) -> None:
    ids = [UUID(int=number << 96 | number) for number in range(1203)]
    refs = [f"{blob_id.hex[-2:]}/{blob_id.hex}" for blob_id in ids]
    for ref in refs:
        room.put(ref)
    rows = Rows(*refs[::3])

    removed = sweep_orphans(room.bodies, rows, now=LATER)

    assert removed == 802
    assert rows.asked == [500, 500, 203]
    assert room.names() == set(refs[::3])
