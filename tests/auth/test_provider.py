import time
from pathlib import Path

import pytest

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.auth.provider import PasswordProvider
from msgstore.auth.throttle import Throttle, ThrottleLimits
from msgstore.config.loader import settings_from
from msgstore.crypto.password import PROFILES, PasswordProfile, hash_password, verify_password
from msgstore.model.address import parse_address
from msgstore.model.envelope import ClientIdentity
from msgstore.model.errors import AuthFailed, DirectoryUnavailable, DomainNotHosted, MsgstoreError, RateLimited
from msgstore.wiring import SystemClock

CLIENT = ClientIdentity(address="192.0.2.1")
TESTING = PROFILES["testing"]


class Counted:
    def __init__(self) -> None:
        self.attempts: list[tuple[str, bool]] = []

    def count_auth(self, *, domain: str, success: bool) -> None:
        self.attempts.append((domain, success))


def provider_in(tmp_path: Path, profile: PasswordProfile = TESTING) -> tuple[PasswordProvider, Counted]:
    stored = hash_password(b"secret", TESTING)
    (tmp_path / "example.com").mkdir()
    (tmp_path / "example.com" / "passwd").write_text(f"alice:{stored}:alice\noff:!{stored}:off\nodd:x:odd\n")
    settings = settings_from({"data_dir": str(tmp_path)})
    counted = Counted()
    throttle = Throttle(ThrottleLimits(), SystemClock())
    return PasswordProvider(Directory(settings, Domains(settings)), throttle, profile=profile, counter=counted), counted


@pytest.mark.parametrize("name", ["alice@example.com", "ALICE@Example.com", "alice+x@example.com", "alice"])
def test_the_right_password_gives_the_user(tmp_path: Path, name: str) -> None:
    provider, counted = provider_in(tmp_path)

    user = provider.authenticate(name, bytearray(b"secret"), CLIENT)

    assert str(user.mailbox) == "alice@example.com"
    assert counted.attempts == [("example.com", True)]


@pytest.mark.parametrize(
    ("name", "password", "kind", "reason"),
    [
        ("alice@example.com", b"wrong", AuthFailed, "wrong password"),
        ("nobody@example.com", b"secret", AuthFailed, "no such user"),
        ("off@example.com", b"secret", AuthFailed, "the user is disabled"),
        ("odd@example.com", b"secret", AuthFailed, "wrong password"),
        ("not an address", b"secret", AuthFailed, "the user name is no address"),
        ("alice@elsewhere.example", b"secret", DomainNotHosted, None),
    ],
)
def test_every_failure_is_counted_and_says_nothing_to_the_peer(
    tmp_path: Path, name: str, password: bytes, kind: type[MsgstoreError], reason: str | None
) -> None:
    provider, counted = provider_in(tmp_path)

    with pytest.raises(kind) as caught:
        provider.authenticate(name, bytearray(password), CLIENT)

    assert [success for _, success in counted.attempts] == [False]
    if isinstance(caught.value, AuthFailed):
        assert caught.value.reason == reason
        assert str(caught.value) == "authentication failed"


def test_all_spellings_of_a_user_share_one_count(tmp_path: Path) -> None:
    provider, _ = provider_in(tmp_path)
    for name in (
        "alice@example.com",
        "ALICE@example.com",
        "Alice@Example.COM",
        "alice@example.com.",
        "aLice@example.com",
    ):
        with pytest.raises(AuthFailed):
            provider.authenticate(name, bytearray(b"wrong"), CLIENT)

    with pytest.raises(RateLimited):
        provider.authenticate("alice@example.com", bytearray(b"secret"), CLIENT)


def test_a_cheap_hash_is_made_dearer_at_login(tmp_path: Path) -> None:
    profile = PasswordProfile(memory_kib=64, passes=2)
    provider, _ = provider_in(tmp_path, profile)

    provider.authenticate("alice@example.com", bytearray(b"secret"), CLIENT)

    stored = (tmp_path / "example.com" / "passwd").read_text().split("\n")[0].split(":")[1]
    assert "m=64,t=2" in stored
    assert verify_password(stored, b"secret")
    provider.authenticate("alice@example.com", bytearray(b"secret"), CLIENT)


def test_trouble_with_the_file_is_no_failed_login(tmp_path: Path) -> None:
    provider, counted = provider_in(tmp_path)
    (tmp_path / "example.com" / "passwd").unlink()
    (tmp_path / "example.com" / "passwd").mkdir()

    with pytest.raises(DirectoryUnavailable):
        provider.authenticate("alice@example.com", bytearray(b"secret"), CLIENT)

    assert counted.attempts == []


def test_lookup_finds_without_a_password(tmp_path: Path) -> None:
    provider, _ = provider_in(tmp_path)

    assert provider.lookup(parse_address("alice+x@example.com")).username == "alice@example.com"


def test_a_detail_gives_no_further_tries(tmp_path: Path) -> None:
    provider, _ = provider_in(tmp_path)
    for name in ("alice", "alice+1", "alice+2@example.com", "alice+3@example.com", "alice@example.com"):
        with pytest.raises(AuthFailed):
            provider.authenticate(name, bytearray(b"wrong"), CLIENT)

    with pytest.raises(RateLimited):
        provider.authenticate("alice+4@example.com", bytearray(b"secret"), CLIENT)


def test_every_attempt_is_counted_for_its_domain_refused_ones_too(tmp_path: Path) -> None:
    provider, counted = provider_in(tmp_path)

    for _ in range(7):
        with pytest.raises((AuthFailed, RateLimited)):
            provider.authenticate("alice", bytearray(b"wrong"), CLIENT)

    assert counted.attempts == [("example.com", False)] * 7


@pytest.mark.parametrize("name", ["odd@example.com", "nobody@example.com", "off@example.com", "bob@elsewhere.example"])
def test_no_failure_is_answered_without_the_cost_of_a_check(tmp_path: Path, name: str) -> None:
    provider, _ = provider_in(tmp_path, PasswordProfile(memory_kib=32 * 1024, passes=3))
    passwd = tmp_path / "example.com" / "passwd"
    passwd.write_text(passwd.read_text().replace("m=8,t=1", "m=32768,t=3"))
    began = time.thread_time()

    with pytest.raises((AuthFailed, DomainNotHosted)):
        provider.authenticate(name, bytearray(b"wrong"), CLIENT)

    # 32 MiB three times take over 30 ms anywhere; an answer without them takes a few.
    assert time.thread_time() - began > 0.015


def test_a_failure_is_logged_by_the_caller_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provider, _ = provider_in(tmp_path)

    with pytest.raises(AuthFailed):
        provider.authenticate("alice@example.com", bytearray(b"wrong"), CLIENT)

    assert capsys.readouterr().err == ""
