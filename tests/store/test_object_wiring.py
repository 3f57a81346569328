"""Bodies in an object store, as an operator sets it up."""

from pathlib import Path

import pytest

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import settings_from
from msgstore.model.errors import ConfigError
from msgstore.model.interfaces import MessageStore
from msgstore.opening import build_store
from tests.contract.shelf import ALICE, put, text_of, to
from tests.store.object_room import KEY, SECRET, new_bucket

LARGE = b"Subject: x\r\n\r\n" + b"y" * 200_000


def opened(tmp_path: Path, **store: str) -> MessageStore:
    settings = settings_from({"data_dir": str(tmp_path), "store": {"backend": "sqlite", **store}})
    return build_store(settings, Directory(settings, Domains(settings)))


def test_a_store_that_is_set_to_a_bucket_keeps_large_bodies_there(
    moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    bucket = new_bucket(moto)
    store = opened(tmp_path, bodies=f"s3://{bucket}/mail", s3_endpoint=f"http://127.0.0.1:{moto}")

    store.check_health()
    put(store, to(ALICE), text=LARGE)

    assert text_of(store, 1) == LARGE
    assert store.check(ALICE) == ()
    assert not (tmp_path / "bodies").exists()
    store.close()


def test_a_bucket_that_cannot_be_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    for bodies, endpoint in (("s3://", ""), ("s3://a b/x", ""), ("s3://mail/..", ""), ("s3://mail", "ftp://x")):
        with pytest.raises(ConfigError) as caught:
            opened(tmp_path, bodies=bodies, s3_endpoint=endpoint)
        assert "store.bodies" in str(caught.value)
