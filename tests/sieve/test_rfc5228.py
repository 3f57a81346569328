"""The base language: every example of RFC 5228, by its section."""

import pytest

from msgstore.sieve import Context, Envelope, FileInto, Message
from tests.sieve.room import MAIL, context_for, decided, errors, holds, run

A = MAIL
B = b"""From: youcouldberich!@reply-by-postal-mail.invalid\r
To: rube@landru.example.com\r
Date:  Mon, 31 Mar 1997 18:26:10 -0800\r
Subject: $$$ YOU, TOO, CAN BE A MILLIONAIRE! $$$\r
\r
YOU MAY HAVE ALREADY WON TEN MILLION DOLLARS, BUT I DOUBT\r
"""


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("$${hex:40}", "$@"),
        ("${hex: 40 }", "@"),
        ("${HEX: 40}", "@"),
        ("${hex:40", "${hex:40"),
        ("${hex:400}", "${hex:400}"),
        ("${hex:4${hex:30}}", "${hex:40}"),
        ("${unicode:40}", "@"),
        ("${ unicode:40}", "${ unicode:40}"),
        ("${UNICODE:40}", "@"),
        ("${UnICoDE:0000040}", "@"),
        ("${Unicode:40}", "@"),
        ("${Unicode:Cool}", "${Unicode:Cool}"),
        ("$${hex:24 24}", "$$$"),
        ("${hex:c3 a9}", "é"),
    ],
)
def test_2_4_2_4_encoded_characters_stand_for_themselves(text: str, decoded: str) -> None:
    program = f'require ["encoded-character", "fileinto"]; fileinto "x{text}";'

    verdict = run(program)

    action = verdict.actions[0]
    assert isinstance(action, FileInto)
    assert str(action.folder) == "x" + decoded


@pytest.mark.parametrize("text", ["${unicode:200000}", "${Unicode:DF01}", "${unicode:d800}"])
def test_2_4_2_4_numbers_that_are_no_character_are_errors(text: str) -> None:
    assert errors(f'require "encoded-character"; redirect "{text}@example.org";')


def test_2_4_2_4_the_example_discards_message_b() -> None:
    script = 'require "encoded-character"; if header :contains "Subject" "$${hex:24 24}" { discard; }'

    assert (decided(script, A), decided(script, B)) == (["implicit keep"], ["discard"])


def test_2_4_2_1_a_list_is_true_when_any_of_it_is() -> None:
    mail = b"Cc: me00@landru.example.com\r\n\r\n"

    assert holds('header :contains ["To", "Cc"] ["me@example.com", "me00@landru.example.com"]', mail)
    assert not holds('header :contains ["To", "Cc"] ["me@example.com", "me01@landru.example.com"]', mail)


def test_2_5_1_a_test_list_joins_tests() -> None:
    script = 'if anyof (not exists ["From", "Date"], header :contains "from" "fool@example.com") { discard; }'

    assert decided(script, A) == ["implicit keep"]
    assert decided(script, b"From: fool@example.com\r\nDate: x\r\n\r\n") == ["discard"]
    assert decided(script, b"From: a@b\r\n\r\n") == ["discard"]


@pytest.mark.parametrize(("key", "found"), [("frob", True), ("nit", True), ("fbm", False), ("", True)])
def test_2_7_1_contains_looks_for_a_part(key: str, *, found: bool) -> None:
    assert holds(f'header :contains "x" "{key}"', b"X: frobnitzm\r\n\r\n") is found


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("*", "", True),
        ("?*", "", False),
        ("?", "a", True),
        ("a?c", "abc", True),
        ("a\\\\*c", "a*c", True),
        ("a\\\\*c", "abc", False),
        ("a\\\\?", "a?", True),
        ("*b*b", "abab", True),
        ("*b?b*", "xbab", True),
        ("??", "\u00e9", True),
        ("?", "\u00e9", False),
    ],
)
def test_2_7_1_matches_fits_wildcards_over_octets(pattern: str, value: str, *, fits: bool) -> None:
    assert holds(f'header :matches "x" "{pattern}"', f"X: {value}\r\n\r\n".encode()) is fits


def test_2_7_3_the_octet_comparator_tells_cases_apart() -> None:
    test = 'header :contains :comparator "i;octet" "Subject" "MAKE MONEY FAST"'

    assert holds(test, b"Subject: MAKE MONEY FAST now\r\n\r\n")
    assert not holds(test, b"Subject: You can Make Money Fast\r\n\r\n")


def test_2_10_2_size_over_without_action_keeps() -> None:
    assert decided("if size :over 500K { discard; }") == ["implicit keep"]


def test_3_1_both_messages_are_dropped() -> None:
    script = """require "fileinto";
        if header :contains "from" "coyote" { discard; }
        elsif header :contains ["subject"] ["$$$"] { discard; }
        else { fileinto "INBOX"; }"""

    assert (decided(script, A), decided(script, B)) == (["discard"], ["discard"])
    assert decided(script, b"From: x@y\r\n\r\n") == ["fileinto INBOX"]


def test_3_1_each_message_goes_to_its_address() -> None:
    script = """
        if header :contains ["From"] ["coyote"] { redirect "acm@example.com"; }
        elsif header :contains "Subject" "$$$" { redirect "postmaster@example.com"; }
        else { redirect "field@example.com"; }"""

    assert decided(script, A) == ["redirect acm@example.com"]
    assert decided(script, B) == ["redirect postmaster@example.com"]
    assert decided(script, b"From: x@y\r\n\r\n") == ["redirect field@example.com"]


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("else { keep; }", "'else' must follow"),
        ("if true { keep; } keep; else { keep; }", "'else' must follow"),
        ("if true {} else {} else {}", "'else' must follow"),
        ("if true {} else {} elsif true {}", "'elsif' must follow"),
        ('keep; require "fileinto";', "must stand before"),
        ('if true { require "fileinto"; }', "must stand before"),
        ('require "nothing.such";', "no capability"),
        ('require "Fileinto";', "no capability"),
    ],
)
def test_3_control_commands_stand_where_they_may(script: str, text: str) -> None:
    assert any(text in error for error in errors(script))


def test_3_2_require_may_stand_several_times() -> None:
    assert errors('require ["fileinto", "reject"]; require "vacation";') == []


def test_3_3_stop_ends_with_the_keep_that_stands() -> None:
    assert decided("stop; discard;") == ["implicit keep"]
    assert decided("discard; stop; keep;") == ["discard"]


def test_4_1_message_a_is_filed() -> None:
    script = 'require "fileinto"; if header :contains ["from"] "coyote" { fileinto "INBOX.harassment"; }'

    assert (decided(script, A), decided(script, B)) == (["fileinto INBOX.harassment"], ["implicit keep"])


def test_4_2_redirect_sends_on_and_keeps_nothing() -> None:
    assert decided('redirect "bart@example.com";') == ["redirect bart@example.com"]
    assert decided('redirect "Bart Simpson <bart@example.com>";') == ["redirect bart@example.com"]


@pytest.mark.parametrize("octets", [1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1])
def test_4_3_keep_and_discard_by_size(octets: int) -> None:
    script = "if size :under 1M { keep; } else { discard; }"
    context = Context(Message(b"", b"", octets=octets))

    assert decided(script, context=context) == (["keep"] if octets < 1024 * 1024 else ["discard"])


def test_4_4_discard_beside_fileinto_is_fileinto() -> None:
    verdict = run('require "fileinto"; discard; fileinto "a";')

    assert [type(action).__name__ for action in verdict.actions] == ["Discard", "FileInto"]
    assert not verdict.keeps


def test_5_1_address_looks_at_addresses_only() -> None:
    assert holds('address :is :all "from" "tim@example.com"', b'From: "x@y" <tim@example.com> (c@d)\r\n\r\n')
    assert holds('address :localpart :is "to" "b"', b"To: List: a@x, b@y;\r\n\r\n")
    assert not holds('address :contains "subject" "@"', b"Subject: a@b.example\r\n\r\n")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("allof (false, false)", False),
        ("allof (false, true)", False),
        ("allof (true, true)", True),
        ("anyof (false, false)", False),
        ("anyof (false, true)", True),
        ("anyof (true, true)", True),
        ("not false", True),
        ("not not false", False),
    ],
)
def test_5_2_tests_are_joined(test: str, *, expected: bool) -> None:
    assert holds(test) is expected


@pytest.mark.parametrize("part", [":all", ":localpart", ":domain"])
def test_5_4_the_null_path_is_the_empty_string_whatever_is_asked(part: str) -> None:
    context = context_for(envelope=Envelope(reverse_path="<>"))

    assert holds(f'envelope {part} :is "From" ""', require=["envelope"], context=context)


def test_5_4_routes_are_dropped_and_unknown_parts_are_errors() -> None:
    context = context_for(envelope=Envelope(reverse_path="<@a.example,@b.example:tim@example.com>"))

    assert holds('envelope :all :is "from" "tim@example.com"', require=["envelope"], context=context)
    assert run('require "envelope"; if envelope "nothing" "" { keep; }').error is not None


def test_5_5_all_fields_must_exist() -> None:
    assert decided('if not exists ["From","Date"] { discard; }') == ["implicit keep"]
    assert decided('if not exists ["From","X-Not"] { discard; }') == ["discard"]


def test_5_7_an_existing_header_contains_the_empty_key() -> None:
    mail = b"X-Caffeine: C8H10N4O2\r\n\r\n"

    assert not holds('header :is ["X-Caffeine"] [""]', mail)
    assert holds('header :contains ["X-Caffeine"] [""]', mail)
    assert not holds('header :contains "X-Absent" ""', mail)
    assert holds('not header :matches "Cc" "?*"', mail)


@pytest.mark.parametrize(("octets", "over", "under"), [(4000, False, False), (4001, True, False), (3999, False, True)])
def test_5_9_a_message_of_the_very_size_is_neither(octets: int, *, over: bool, under: bool) -> None:
    def context() -> Context:
        return Context(Message(b"", b"", octets=octets))

    assert holds("size :over 4000", context=context()) is over
    assert holds("size :under 4000", context=context()) is under


@pytest.mark.parametrize(
    "script", ["if size 5 { keep; }", "if size :over :under 5 { keep; }", "if size :over :over 5 {}"]
)
def test_5_9_exactly_one_bound_is_given(script: str) -> None:
    assert errors(script)


EXTENDED = """
require ["fileinto"];
if header :is "Sender" "owner-ietf-mta-filters@imc.org"
        {
        fileinto "filter";  # move to "filter" mailbox
        }
#
# Keep all messages to or from people in my company
#
elsif address :DOMAIN :is ["From", "To"] "example.com"
        {
        keep;               # keep in "In" mailbox
        }
elsif anyof (NOT address :all :contains
               ["To", "Cc", "Bcc"] "me@example.com",
             header :matches "subject"
               ["*make*money*fast*", "*university*dipl*mas*"])
        {
        fileinto "spam";   # move to "spam" mailbox
        }
else
        {
        # Move all other (non-company) mail to "personal"
        fileinto "personal";
        }
"""


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"Sender: owner-ietf-mta-filters@imc.org\r\n\r\n", "fileinto filter"),
        (b"From: bob@example.com\r\nTo: x@y.z\r\n\r\n", "keep"),
        (b"From: a@b.c\r\nTo: other@b.c\r\n\r\n", "fileinto spam"),
        (b"From: a@b.c\r\nCc: <me@example.com>\r\nSubject: Make a lot of money fast!\r\n\r\n", "fileinto spam"),
        (b"From: a@b.c\r\nCc: <me@example.com>\r\nSubject: hello\r\n\r\n", "fileinto personal"),
    ],
)
def test_9_the_extended_example_sorts_mail(mail: bytes, expected: str) -> None:
    assert decided(EXTENDED, mail) == [expected]
