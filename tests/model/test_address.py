import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.model.address import Address, MailboxId, fold_domain, fold_local_part, parse_address, split_detail
from msgstore.model.errors import InvalidAddress

HOSTILE = [
    "",
    "@",
    "@d",
    "u@",
    "a b@d",
    "u(c)@d",
    "<u@d>",
    "u@d>",
    "a@b@c",
    "a..b@d",
    ".a@d",
    "a.@d",
    "u@-d",
    "u@d-",
    "u@d..e",
    "u@.d",
    "u\x00@d",
    "u\r\n@d",
    "u\x01@d",
    "u@d\r",
    '"u@d',
    '"a\nb"@d',
    "u@[127.0.0.1",
    "u@[::1]",
    "\ud800@d",
    "x" * 129 + "@d",
    "u@" + "d" * 256,
    "../../etc@d/../x",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_address_is_refused_as_such(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("alice@example.com", "alice", "example.com"),
        ("Alice+Work@Example.COM.", "Alice+Work", "Example.COM"),
        ("postmaster", "postmaster", None),
        ('"a b"@example.com', "a b", "example.com"),
        ('"a\\"b\\\\c"@example.com', 'a"b\\c', "example.com"),
        ("u@[192.0.2.1]", "u", "[192.0.2.1]"),
        ("u@[IPv6:2001:db8::1]", "u", "[IPv6:2001:db8::1]"),
        ("jürgen@müller.example", "jürgen", "müller.example"),
        ("=?utf-8?b?Li4vLi4v?=@d", "=?utf-8?b?Li4vLi4v?=", "d"),
        ("../../x@d".replace("../../", "a/b"), "a/bx", "d"),
    ],
)
def test_addresses_are_taken_literally(text: str, local: str, domain: str | None) -> None:
    assert parse_address(text) == Address(local_part=local, domain=domain)


def _reads(text: str) -> bool:
    try:
        parse_address(text)
    except InvalidAddress:
        return False
    return True


def test_every_character_stands_where_the_grammar_has_it() -> None:
    # RFC 5321 §4.1.2 with RFC 5322 §3.2.3, RFC 6531 §3.3; an underscore is no letter of a domain, and is met there.
    characters = [*map(chr, range(0x180)), "\u2028", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
    alphanumeric = string.ascii_letters + string.digits

    atext = {one for one in characters if _reads(f"a{one}b")}
    qtext = {one for one in characters if _reads(f'"{one}"')}
    letters = {one for one in characters if _reads(f"a@{one}")}
    inner = {one for one in characters if _reads(f"a@b{one}c")}

    beyond = {one for one in characters if not one.isascii()}
    assert atext == {*alphanumeric, *"!#$%&'*+-/=?^_`{|}~.@", *beyond}
    assert qtext == {one for one in characters if one.isprintable() and one.isascii() and one not in '"\\'} | beyond
    assert letters == {*alphanumeric, "_", *beyond}
    assert inner == letters | {"-", "."}


def test_a_quoted_address_is_written_so_that_it_reads_back_the_same() -> None:
    address = Address(local_part='a "quoted" \\ name', domain="example.com")

    assert parse_address(str(address)) == address


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_invalid_and_nothing_else(text: str) -> None:
    try:
        address = parse_address(text)
    except InvalidAddress:
        return

    assert parse_address(str(address)) == address


def test_domains_fold_to_lower_case_a_labels_without_trailing_dot() -> None:
    assert fold_domain("MÜLLER.Example.") == "xn--mller-kva.example"
    assert fold_domain("Example.COM") == "example.com"


def test_a_domain_outside_of_idna_is_an_invalid_address() -> None:
    with pytest.raises(InvalidAddress):
        fold_domain("\u2260..example")


def test_local_parts_fold_case_and_composition() -> None:
    assert fold_local_part("ALICE") == "alice"
    assert fold_local_part("Jürgen") == fold_local_part("Ju\u0308rgen")


@pytest.mark.parametrize("part", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\x00b", "a\nb", "x" * 201])
def test_no_mailbox_is_named_by_what_is_unsafe_in_a_path(part: str) -> None:
    with pytest.raises(InvalidAddress):
        MailboxId(part, "example.com")
    with pytest.raises(InvalidAddress):
        MailboxId("alice", part)


def test_a_mailbox_is_named_by_the_folded_address() -> None:
    assert str(MailboxId.parse("Alice@EXAMPLE.com.")) == "alice@example.com"


def test_a_mailbox_needs_a_domain() -> None:
    with pytest.raises(InvalidAddress):
        MailboxId.parse("alice")


@pytest.mark.parametrize(
    ("local", "expected"),
    [("alice", ("alice", None)), ("alice+", ("alice", "")), ("alice+a+b", ("alice", "a+b")), ("+x", ("", "x"))],
)
def test_the_detail_begins_at_the_first_separator(local: str, expected: tuple[str, str | None]) -> None:
    assert split_detail(local, "+") == expected


def test_whether_an_address_needs_smtputf8_shows() -> None:
    assert parse_address("a@b").is_ascii
    assert not parse_address("ä@b").is_ascii
    assert not parse_address("a@ä.example").is_ascii
