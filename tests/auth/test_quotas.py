"""Limits of users: which count, and how the file is read and kept."""

import os
from pathlib import Path

import pytest

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.auth.quotas import QuotaLine, QuotaLines
from msgstore.config.loader import settings_from
from msgstore.model.address import parse_address
from msgstore.model.errors import ConfigError, DirectoryUnavailable
from msgstore.model.user import Quota


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "example.com").mkdir()
    (tmp_path / "example.com" / "passwd").write_text("alice:h:alice\nBob:h:bob\n")
    return tmp_path


def quota_of(place: Path, more: dict[str, object], address: str = "alice@example.com") -> Quota:
    settings = settings_from({"data_dir": str(place), **more})
    return Directory(settings, Domains(settings)).find(parse_address(address)).user.quota


def test_there_is_no_limit_where_nobody_says_one(place: Path) -> None:
    assert quota_of(place, {}) == Quota()


def test_the_nearest_limit_counts(place: Path) -> None:
    general: dict[str, object] = {"quota": {"octets": 100, "messages": 10, "over": "permanent"}}
    domain: dict[str, object] = {"domains": {"example.com": {"quota_octets": 200, "quota_messages": 0}}}
    (place / "example.com" / "quota").write_text("# comment\nbroken\nbob::5\nalice:300:\n")

    assert quota_of(place, general) == Quota(octets=300, messages=10, is_final=True)
    assert quota_of(place, general | domain) == Quota(octets=300, messages=None, is_final=True)
    assert quota_of(place, general | domain, "bob@example.com") == Quota(octets=200, messages=5, is_final=True)


def test_a_limit_below_nothing_is_a_fault() -> None:
    with pytest.raises(ConfigError) as refused:
        settings_from({"quota": {"octets": -1}, "domains": {"a.example": {"quota_messages": -2}}})

    assert len(refused.value.faults) == 2


def test_lines_are_set_and_taken_out_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "quota").write_text("# ours\nalice:1:1\nnot a line\n")
    directory = os.open(tmp_path, os.O_RDONLY)
    lines = QuotaLines()

    lines.put(directory, "Alice", QuotaLine(octets=5))
    lines.put(directory, "bob", QuotaLine(messages=0))
    first = lines.find("alice"), lines.find("BOB"), lines.find("carol")
    lines.put(directory, "alice", None)

    assert first == (QuotaLine(octets=5), QuotaLine(messages=0), None)
    assert lines.find("alice") is None
    assert (tmp_path / "quota").read_text() == "# ours\nnot a line\nbob::0\n"
    os.close(directory)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    lines = QuotaLines()
    lines.refresh(directory)

    (tmp_path / "quota").write_text("alice:1:1\n")
    lines.refresh(directory)
    first = lines.find("alice")
    (tmp_path / "quota").write_text("alice:22:22\n")
    lines.refresh(directory)

    assert (first, lines.find("alice")) == (QuotaLine(octets=1, messages=1), QuotaLine(octets=22, messages=22))
    os.close(directory)


def test_a_file_that_cannot_be_read_is_never_no_limit(place: Path) -> None:
    (place / "example.com" / "quota").mkdir()

    with pytest.raises(DirectoryUnavailable):
        quota_of(place, {})


def test_a_threshold_is_a_percentage() -> None:
    with pytest.raises(ConfigError) as refused:
        settings_from({"quota": {"warn_percent": [0, 80, 101]}})

    assert len(refused.value.faults) == 2
