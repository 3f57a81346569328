"""How a client of an object store is made, what it takes from its environment, and how it behaves in processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from msgstore.model.errors import StoreUnavailable
from msgstore.store.sql.objects import S3Bodies, S3Settings
from tests.clocks import HandClock
from tests.store.object_room import SECRET, new_bucket

ROOT = Path(__file__).parents[2]
SOUND: dict[str, Any] = {"bucket": "mail"}


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"bucket": ""}, "bucket"),
        ({"bucket": "a/b"}, "bucket"),
        ({"bucket": ".."}, "bucket"),
        ({"prefix": "/mail"}, "prefix"),
        ({"prefix": "mail/"}, "prefix"),
        ({"prefix": "a/../b"}, "prefix"),
        ({"prefix": "a//b"}, "prefix"),
        ({"prefix": "ä"}, "prefix"),
        ({"region": "eu west"}, "region"),
        ({"endpoint": ""}, "endpoint"),
        ({"endpoint": "s3.example.net"}, "endpoint"),
        ({"endpoint": "ftp://s3.example.net"}, "endpoint"),
        ({"endpoint": "http://"}, "endpoint"),
        ({"endpoint": "http://user:word@s3.example.net"}, "endpoint"),
        ({"endpoint": "http://s3.example.net/path"}, "endpoint"),
        ({"endpoint": "http://s3.example.net?"}, "endpoint"),
        ({"endpoint": "http://s3.example.net\n"}, "endpoint"),
        ({"endpoint": "http://s3.example.net:0"}, "endpoint"),
        ({"endpoint": "http://s3.example.net:65536"}, "endpoint"),
        ({"endpoint": "http://[::1"}, "endpoint"),
        ({"endpoint": "http://[:::]"}, "endpoint"),
        ({"access_key_id": "a"}, "access key"),
        ({"secret_access_key": "b"}, "access key"),
        ({"timeout_seconds": 0}, "time limit"),
        ({"retries": -1}, "time limit"),
        ({"retry_seconds": -1.0}, "time limit"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        S3Settings(**{**SOUND, **wrong})


@pytest.mark.parametrize(
    "endpoint",
    [None, "https://s3.example.net", "http://127.0.0.1:9000", "http://[::1]:9000/", "https://S3.Example.net:65535/"],
)
def test_settings_that_can_be_used_show_no_secret(monkeypatch: pytest.MonkeyPatch, endpoint: str | None) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    made = S3Settings(bucket="mail.example", prefix="", endpoint=endpoint, access_key_id="a", secret_access_key=SECRET)

    assert SECRET not in repr(made)
    assert S3Bodies(made, clock=HandClock())._store() is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_ENDPOINT_URL", "nonsense"), ("AWS_ENDPOINT_URL_S3", "http://[::"), ("AWS_REGION", "no such region")],
)
def test_an_environment_that_makes_no_sense_is_an_error_and_no_panic(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    bodies = S3Bodies(S3Settings(bucket="mail", access_key_id="a", secret_access_key="b"), clock=HandClock())

    with pytest.raises(StoreUnavailable, match="environment"):
        bodies.check_health()


FORKING = """
import os, sys
from msgstore.model.errors import StoreError
from msgstore.store.clock import SystemClock
from msgstore.store.sql.objects import S3Bodies, S3Settings
settings = S3Settings(bucket=sys.argv[2], endpoint=sys.argv[1], access_key_id="a", secret_access_key="b")
bodies = S3Bodies(settings, clock=SystemClock())
for round in ("made", "used"):
    if os.fork() == 0:
        try:
            bodies.check_health()
            print(round, "well", flush=True)
        except StoreError as error:
            print(round, error, flush=True)
        os._exit(0)
    os.wait()
    bodies.check_health()
print("parent well")
"""


def run(script: str, *arguments: str) -> str:
    paths = os.pathsep.join((str(ROOT / "shared"), str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True, env=environment
    ).stdout


def test_a_place_that_was_made_and_not_used_goes_through_a_fork_and_a_used_one_says_so(moto: int) -> None:
    said = run(FORKING, f"http://127.0.0.1:{moto}", new_bucket(moto))

    assert said.splitlines() == [
        "made well",
        "used the object store was used before this process was forked from another",
        "parent well",
    ]


LARGE = """
import sys, uuid
from msgstore.store.clock import SystemClock
from msgstore.store.disk import Disk
from msgstore.store.spool import Spool
from msgstore.store.sql.objects import S3Bodies, S3Settings
from msgstore.store.staging import StagedFile
settings = S3Settings(bucket=sys.argv[2], endpoint=sys.argv[1], access_key_id="a", secret_access_key="b")
bodies = S3Bodies(settings, clock=SystemClock())
def keep(pieces):
    with StagedFile(Spool(Disk(), sys.argv[3]).area(), name="one") as staged:
        for _ in range(pieces):
            staged.write(bytes(1 << 20))
        ref = bodies.keep(uuid.uuid4(), staged)
    with bodies.open(ref) as body:
        return sum(map(len, body.chunks()))
def most():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10
assert keep(12) == 12 << 20
before = most()
assert keep(52) == 52 << 20
print(most() - before)
"""


@pytest.mark.timeout(60)
def test_a_very_large_body_takes_no_more_memory_than_a_large_one(moto: int, tmp_path: Path) -> None:
    mebibytes = int(run(LARGE, f"http://127.0.0.1:{moto}", new_bucket(moto), str(tmp_path)))

    assert mebibytes < 25
