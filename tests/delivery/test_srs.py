import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis.strategies import from_regex, integers

from msgstore.delivery.srs import Srs, SrsFault, parse_secrets
from msgstore.model.address import Address, parse_address

NOW = 1_700_000_000
"""Day 19675 since 1970, which is 219 of 1024: 6 and 27, so "G3"."""

SRS = Srs(domain="fwd.example", secrets=(b"tops3cr3t", b"older"))
BOB = parse_address("Bob@Example.NET")


def expected_hash(secret: bytes, text: str) -> str:
    return base64.b64encode(hmac.new(secret, text.lower().encode(), hashlib.sha1).digest())[:4].decode()


def test_a_reverse_path_is_written_as_the_scheme_says() -> None:
    rewritten = SRS.rewrite(BOB, at_seconds=NOW)

    assert str(rewritten) == f"SRS0={expected_hash(b'tops3cr3t', 'G3example.netBob')}=G3=example.net=Bob@fwd.example"
    assert SRS.is_ours(rewritten)
    assert str(SRS.restore(rewritten, at_seconds=NOW)) == "Bob@example.net"


def test_what_another_forwarder_rewrote_names_that_one_alone() -> None:
    foreign = parse_address("SRS0=abcd=G3=example.org=carol@other.example")

    first = SRS.rewrite(foreign, at_seconds=NOW)
    again = Srs(domain="third.example", secrets=(b"third",)).rewrite(first, at_seconds=NOW)

    wanted = expected_hash(b"tops3cr3t", "other.example=abcd=G3=example.org=carol")
    assert str(first) == f"SRS1={wanted}=other.example==abcd=G3=example.org=carol@fwd.example"
    assert again.local_part.partition("=")[2].partition("=")[2] == "other.example==abcd=G3=example.org=carol"
    assert SRS.restore(first, at_seconds=NOW) == foreign


@given(
    local=from_regex(r"[A-Za-z0-9=+._-]{1,30}", fullmatch=True).filter(lambda text: ".." not in text),
    day=integers(0, 30_000),
    age=integers(0, 21),
)
def test_every_address_comes_back_within_its_time(local: str, day: int, age: int) -> None:
    address = Address(local_part=local, domain="example.net")
    if local.upper().startswith(("SRS0", "SRS1")):
        return

    rewritten = SRS.rewrite(address, at_seconds=day * 86_400)

    assert SRS.restore(parse_address(str(rewritten)), at_seconds=(day + age) * 86_400) == address


def test_servers_that_fold_local_parts_do_no_harm() -> None:
    rewritten = SRS.rewrite(BOB, at_seconds=NOW)

    assert str(SRS.restore(parse_address(str(rewritten).lower()), at_seconds=NOW)) == "bob@example.net"


@pytest.mark.parametrize(
    ("days", "is_good"), [(-2, False), (-1, True), (0, True), (21, True), (22, False), (1000, False)]
)
def test_a_rewritten_address_is_believed_for_its_time(days: int, *, is_good: bool) -> None:
    rewritten = SRS.rewrite(BOB, at_seconds=NOW)

    if is_good:
        assert SRS.restore(rewritten, at_seconds=NOW + days * 86_400)
    else:
        with pytest.raises(SrsFault, match="days old"):
            SRS.restore(rewritten, at_seconds=NOW + days * 86_400)


def test_an_older_secret_is_believed_and_a_forgotten_one_is_not() -> None:
    older = Srs(domain="fwd.example", secrets=(b"older",)).rewrite(BOB, at_seconds=NOW)
    forgotten = Srs(domain="fwd.example", secrets=(b"forgotten",)).rewrite(BOB, at_seconds=NOW)

    assert SRS.restore(older, at_seconds=NOW)
    with pytest.raises(SrsFault, match="wrong hash"):
        SRS.restore(forgotten, at_seconds=NOW)


@pytest.mark.parametrize(
    "local",
    [
        "SRS0=abcd=G3=example.net=Bob",
        "SRS0=abcd=G3=example.net",
        "SRS0=ab=G3=example.net=Bob",
        "SRS0==G3=example.net=Bob",
        "SRS0=",
        "SRS1=abcd=host=x",
        "SRS1=abcd=host==x",
        "SRS0=\u00fcber=G3=example.net=Bob",
    ],
)
def test_what_was_not_made_here_is_refused(local: str) -> None:
    with pytest.raises(SrsFault):
        SRS.restore(Address(local_part=local, domain="fwd.example"), at_seconds=NOW)


@pytest.mark.parametrize(("time", "domain", "local"), [("!!", "a.b", "x"), ("G3", "a b", "x"), ("G3", "a.b", "\r\nx")])
def test_a_hash_vouches_for_no_broken_address(time: str, domain: str, local: str) -> None:
    hashed = expected_hash(b"tops3cr3t", time + domain + local)

    with pytest.raises(SrsFault):
        SRS.restore(Address(local_part=f"SRS0={hashed}={time}={domain}={local}", domain="fwd.example"), at_seconds=NOW)


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [
        ("SRS0=a=b=c=d@fwd.example", True),
        ("srs1-x@FWD.example.", True),
        ("SRS0@fwd.example", False),
        ("SRS0=a=b=c=d@other.example", False),
        ("SRS0=a=b=c=d", False),
        ("bob@fwd.example", False),
    ],
)
def test_only_our_domain_is_ours(address: str, *, is_ours: bool) -> None:
    assert SRS.is_ours(parse_address(address)) == is_ours


def test_an_address_that_would_become_too_long_is_left_as_it_is() -> None:
    long = Address(local_part="x" * 100, domain="a-long-domain-name.example.net")
    bare = Address(local_part="bob", domain=None)

    assert SRS.rewrite(long, at_seconds=NOW) == long
    assert SRS.rewrite(bare, at_seconds=NOW) == bare


def test_a_domain_outside_of_ascii_is_written_in_ascii() -> None:
    rewritten = SRS.rewrite(parse_address("bob@m\u00fcnchen.example"), at_seconds=NOW)

    assert rewritten.is_ascii
    assert str(SRS.restore(rewritten, at_seconds=NOW)) == "bob@xn--mnchen-3ya.example"


def test_secrets_stand_one_a_line() -> None:
    assert parse_secrets(b" first \r\n\nsecond\n") == (b"first", b"second")
    with pytest.raises(ValueError, match="needs a secret"):
        Srs(domain="x", secrets=parse_secrets(b"\n"))
