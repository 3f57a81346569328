"""Large bodies in an object store: what goes over the wire, and what happens when the server or the network fails."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from msgstore.model.errors import StoreCorrupt, StoreError, StoreUnavailable
from msgstore.store.disk import Disk
from msgstore.store.spool import Spool
from msgstore.store.sql.objects import PART_OCTETS, READ_AHEAD_OCTETS, S3Bodies, S3Settings
from msgstore.store.staging import StagedFile
from tests.clocks import HandClock
from tests.scenario.harness import free_port
from tests.store.object_room import KEY, SECRET, Between, Trouble, ask, new_bucket, settings_for

LATER = 4_000_000_000.0


class Way:
    """A client, the server between, and the object store behind it."""

    def __init__(self, moto: int, between: Between, port: int, place: Path) -> None:
        self.moto = moto
        self.between = between
        self.port = port
        self.bucket = new_bucket(moto)
        self.clock = HandClock()
        self.bodies = self.client()
        self._spool = Spool(Disk(), str(place))

    def client(self, *, retries: int = 1, timeout_seconds: float = 10.0) -> S3Bodies:
        """Another client."""
        settings = settings_for(self.port, self.bucket, retries=retries, timeout_seconds=timeout_seconds)
        return S3Bodies(settings, clock=self.clock)

    def keep(self, octets: int = 200_000, bodies: S3Bodies | None = None) -> str:
        """Keep a body."""
        with StagedFile(self._spool.area(), name=uuid4().hex) as staged:
            for _ in range(octets // 100_000):
                staged.write(b"0123456789" * 10_000)
            staged.write(b"." * (octets % 100_000))
            return (bodies or self.bodies).keep(uuid4(), staged)

    def trouble(self, kind: Trouble, *words: str, first: int = 0) -> None:
        """Make trouble for requests whose method and path hold all the words, the first ones left in peace."""
        passed = 0

        def decide(line: str, number: int) -> Trouble | None:
            nonlocal passed
            if not all(word in line for word in words):
                return None
            passed += 1
            return kind if passed > first else None

        self.between.trouble = decide

    def asked(self, *words: str) -> list[str]:
        """Requests so far whose method and path hold all the words."""
        return [line for line in self.between.lines if all(word in line for word in words)]

    def uploads(self) -> bytes:
        """What the object store says of uploads that were begun and not ended."""
        return ask(self.moto, "GET", f"/{self.bucket}?uploads")[1]


@pytest.fixture
def way(moto: int, tmp_path: Path) -> Iterator[Way]:
    between = Between(moto)
    with between.serving() as port:
        yield Way(moto, between, port, tmp_path)


def test_a_body_lies_under_prefix_and_day_of_utc_and_two_random_digits(way: Way) -> None:
    way.clock.now = datetime(2031, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    first = way.keep()
    way.clock.now += 1
    second = way.keep()

    assert [first[:9], second[:9]] == ["20311231/", "20320101/"]
    assert first[9:11] == first[-2:]
    assert ask(way.moto, "GET", f"/{way.bucket}/some/where/{first}")[1] == b"0123456789" * 20_000
    assert way.asked("PUT") == [f"PUT /{way.bucket}/some/where/{ref}" for ref in (first, second)]


def test_days_that_are_too_young_are_not_even_listed(way: Way) -> None:
    refs: list[str] = []
    for day in range(10, 17):
        way.clock.now = datetime(2020, 1, day, 12, tzinfo=UTC).timestamp()
        refs.append(way.keep(100))

    found = list(way.bodies.refs(older_than=datetime(2020, 1, 12, tzinfo=UTC).timestamp()))

    # The server says that they came today, which is later.
    assert found == []
    assert [day for day in range(10, 17) if way.asked("GET", f"202001{day}")] == [10, 11, 12]
    assert sorted(way.bodies.refs(older_than=LATER)) == sorted(refs)


def test_a_small_part_of_a_body_costs_one_small_request_and_the_next_one_none(way: Way) -> None:
    ref = way.keep(3_000_000)
    way.between.lines.clear()

    with way.bodies.open(ref) as body:
        opened = len(way.between.lines)
        beginning = [body.read(offset, 1000) for offset in range(0, READ_AHEAD_OCTETS - 1000, 50_000)]
        read = len(way.between.lines)
        body.read(2_000_000, 1000)
        body.read(2_050_000, 1000)
        further = len(way.between.lines)
        list(body.chunks())

    assert beginning == [b"0123456789" * 100] * len(beginning)
    assert (opened, read, further, len(way.between.lines)) == (1, 1, 2, 5)


def test_a_body_that_is_not_so_large_is_read_whole_by_one_request(way: Way) -> None:
    ref = way.keep(READ_AHEAD_OCTETS)
    way.between.lines.clear()

    with way.bodies.open(ref) as body:
        octets = sum(map(len, body.chunks()))

    assert octets == READ_AHEAD_OCTETS
    assert way.between.lines == [f"GET /{way.bucket}/some/where/{ref}"]


def test_what_is_larger_than_a_part_goes_up_in_parts(way: Way) -> None:
    way.keep(PART_OCTETS)
    whole = len(way.asked("PUT"))
    way.keep(2 * PART_OCTETS + 1)

    assert whole == 1
    assert len(way.asked("PUT", "partNumber=")) == 3
    assert b"<Upload>" not in way.uploads()


@pytest.mark.parametrize("first", range(5))
def test_an_upload_that_breaks_off_leaves_no_body_and_no_parts(way: Way, first: int) -> None:
    # The beginning, three parts and the end.
    way.trouble("403", f"{way.bucket}/some/where/2", first=first)

    with pytest.raises(StoreUnavailable, match="AccessDenied"):
        way.keep(2 * PART_OCTETS + 1)

    assert len(way.between.lines) >= first + 1
    assert list(way.bodies.refs(older_than=LATER)) == []
    assert (b"<Upload>" not in way.uploads()) or way.asked("DELETE", "uploadId=")


def test_an_answer_that_is_cut_off_is_fetched_again_or_an_error_and_never_taken_for_the_body(way: Way) -> None:
    ref = way.keep(600_000)
    way.trouble("cut", "GET", ref)

    with pytest.raises(StoreUnavailable):
        way.bodies.open(ref)

    way.trouble("cut", "GET", ref, first=1)
    with way.bodies.open(ref) as body, pytest.raises(StoreUnavailable):
        list(body.chunks())


@pytest.mark.parametrize("kind", ["503", "403", "hang", "cut"])
def test_whatever_fails_is_temporary_and_names_no_secret(way: Way, kind: Trouble) -> None:
    ref = way.keep(600_000)
    patience = way.client(retries=1, timeout_seconds=0.3)
    with patience.open(ref) as body:
        way.trouble(kind, way.bucket)

        errors: list[StoreError] = []
        for use in (
            lambda: patience.open(ref),
            lambda: body.read(READ_AHEAD_OCTETS - 100, 200),
            lambda: list(patience.refs(older_than=LATER)),
            patience.check_health,
            *(() if kind == "cut" else (lambda: way.keep(100, patience), lambda: patience.remove(ref))),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                use()
            errors.append(caught.value)

    assert all(error.is_temporary for error in errors)
    assert not any(bad in str(error) for bad in (SECRET, "<", "\n") for error in errors)
    assert all(map(str, errors))


def test_a_request_is_tried_again_as_often_as_the_settings_say(way: Way) -> None:
    ref = way.keep()
    way.trouble("503", "GET")

    with pytest.raises(StoreUnavailable, match="SlowDown"):
        way.client(retries=2).open(ref)

    assert len(way.asked("GET", ref)) == 3


def test_a_server_that_is_busy_for_a_moment_is_not_noticed(way: Way) -> None:
    def busy_once(line: str, number: int) -> Trouble | None:
        del line
        return "503" if number == 0 else None

    way.between.trouble = busy_once

    ref = way.keep(2 * PART_OCTETS + 1)
    with way.bodies.open(ref) as body:
        octets = sum(map(len, body.chunks()))

    assert octets == 2 * PART_OCTETS + 1


def test_a_server_that_is_not_there_is_temporary(tmp_path: Path) -> None:
    bodies = S3Bodies(settings_for(free_port(), "mail", retries=0), clock=HandClock())

    with pytest.raises(StoreUnavailable):
        bodies.check_health()


def test_a_bucket_that_is_not_there_does_not_mean_that_bodies_are_gone(way: Way) -> None:
    ref = way.keep()
    elsewhere = S3Bodies(settings_for(way.port, "no-such-bucket"), clock=way.clock)

    for use in (
        lambda: elsewhere.open(ref),
        lambda: elsewhere.remove(ref),
        lambda: list(elsewhere.refs(older_than=LATER)),
        lambda: way.keep(100, elsewhere),
        elsewhere.check_health,
    ):
        with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
            use()


def test_a_body_that_goes_while_it_is_read_is_an_error_and_not_a_shorter_body(way: Way) -> None:
    ref = way.keep(600_000)

    with way.bodies.open(ref) as body:
        way.bodies.remove(ref)
        with pytest.raises(StoreCorrupt):
            list(body.chunks())


def test_a_body_that_becomes_another_while_it_is_read_is_an_error(way: Way) -> None:
    ref = way.keep(600_000)

    with way.bodies.open(ref) as body:
        assert ask(way.moto, "PUT", f"/{way.bucket}/some/where/{ref}", b"x" * 700_000)[0] == 200
        with pytest.raises(StoreUnavailable, match="not what it was"):
            body.read(300_000, 100)


def test_health_fails_where_something_else_comes_back(way: Way) -> None:
    def replaced(line: str, number: int) -> Trouble | None:
        del number
        if line.startswith("GET"):
            assert ask(way.moto, "PUT", line.split()[1], b"no")[0] == 200
        return None

    way.between.trouble = replaced

    with pytest.raises(StoreUnavailable, match="something else"):
        way.bodies.check_health()


def test_keys_come_from_the_settings_or_from_the_environment(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENVIRON")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a token of that key")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{way.port}")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")

    way.bodies.check_health()
    S3Bodies(S3Settings(bucket=way.bucket, retries=0), clock=way.clock).check_health()

    assert ["x-amz-security-token" in line for line in way.between.authorizations] == [False, False, True, True]
    told = [line.partition("Credential=")[2].split("/aws4")[0].split("/") for line in way.between.authorizations]
    assert [(key, region) for key, _, region, _ in told] == [
        (KEY, "eu-central-1"),
        (KEY, "eu-central-1"),
        ("AKIDENVIRON", "eu-north-1"),
        ("AKIDENVIRON", "eu-north-1"),
    ]
    assert way.asked("PUT") == [f"PUT /{way.bucket}/some/where/health", f"PUT /{way.bucket}/msgstore/health"]


def test_what_is_meant_for_tls_never_goes_without(way: Way) -> None:
    settings = S3Settings(
        bucket=way.bucket,
        endpoint=f"https://127.0.0.1:{way.port}",
        access_key_id=KEY,
        secret_access_key=SECRET,
        retries=0,
        timeout_seconds=2,
    )

    with pytest.raises(StoreUnavailable):
        S3Bodies(settings, clock=way.clock).check_health()

    assert way.between.lines == []
