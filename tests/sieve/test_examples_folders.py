"""Examples of RFC 5232 and 5490, written as they stand there, with what they decide."""

import pytest

from msgstore.sieve import (
    Context,
    Message,
    Notify,
)
from tests.sieve.room import (
    House,
    decided,
    errors,
    filed,
    holds,
    run,
)


def test_rfc5232_3_1_the_internal_variable_flags_what_is_kept() -> None:
    script = 'require "imap4flags"; if size :over 500K { setflag "\\\\Deleted"; }'

    assert filed(run(script, context=Context(Message(b"", b"", octets=512_001)))) == [("INBOX", ("\\Deleted",))]
    assert filed(run(script)) == [("INBOX", ())]


def test_rfc5232_3_1_a_variable_flags_what_is_filed() -> None:
    script = """require ["fileinto", "imap4flags", "variables"];
        if header :contains "from" "boss@frobnitzm.example.edu" {
            setflag "flagvar" "\\\\Flagged";
            fileinto :flags "${flagvar}" "INBOX.From Boss";
        }"""

    assert filed(run(script, b"From: boss@frobnitzm.example.edu\r\n")) == [("INBOX.From Boss", ("\\Flagged",))]
    assert filed(run(script)) == [("INBOX", ())]


@pytest.mark.parametrize(
    "script",
    [
        'addflag "flagvar" "\\\\Deleted"; addflag "flagvar" "\\\\Answered";',
        'addflag "flagvar" ["\\\\Deleted", "\\\\Answered"];',
        'addflag "flagvar" "\\\\Deleted \\\\Answered";',
        'addflag "flagvar" "\\\\Answered \\\\Deleted";',
    ],
)
def test_rfc5232_3_2_four_ways_to_add_the_same_flags(script: str) -> None:
    verdict = run(f'require ["imap4flags", "variables"]; {script} keep :flags "${{flagvar}}";')

    assert [(name, set(flags)) for name, flags in filed(verdict)] == [("INBOX", {"\\Deleted", "\\Answered"})]


def test_rfc5232_3_3_a_flag_is_taken_away_for_a_list() -> None:
    script = """require ["fileinto", "imap4flags", "variables"]; addflag "flagvar" "x";
        if header :contains "Disposition-Notification-To" "mel@example.com" { addflag "flagvar" "$MDNRequired"; }
        if header :contains "from" "imap@cac.washington.example.edu" {
            removeflag "flagvar" "$MDNRequired";
            fileinto :flags "${flagvar}" "INBOX.imap-list";
        } else { keep :flags "${flagvar}"; }"""
    wanted = b"Disposition-Notification-To: mel@example.com\r\n"

    assert filed(run(script, wanted + b"From: imap@cac.washington.example.edu\r\n")) == [("INBOX.imap-list", ("x",))]
    assert filed(run(script, wanted)) == [("INBOX", ("x", "$MDNRequired"))]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('hasflag :contains "MyVar" "junk forward"', True),
        ('hasflag :contains "MyVar" "forward junk"', True),
        ('hasflag :contains "MyVar" "label"', False),
        ('hasflag :contains "MyVar" ["label1", "label2"]', False),
    ],
)
def test_rfc5232_4_lists_of_flags_may_stand_in_one_string(test: str, *, expected: bool) -> None:
    before = 'set "MyVar" "NonJunk Junk gnus-forward $Forwarded NotJunk JunkRecorded $Junk $NotJunk";'

    assert holds(test, require=["imap4flags", "variables"], before=before) is expected


@pytest.mark.parametrize(
    "way",
    [
        'fileinto :flags "\\\\Deleted" "INBOX.From Boss";',
        'setflag "flagvar" "\\\\Deleted"; fileinto :flags "${flagvar}" "INBOX.From Boss";',
        'setflag "\\\\Deleted"; fileinto "INBOX.From Boss";',
    ],
)
def test_rfc5232_5_three_ways_to_flag_what_is_filed(way: str) -> None:
    verdict = run(f'require ["fileinto", "imap4flags", "variables"]; {way}')

    assert filed(verdict) == [("INBOX.From Boss", ("\\Deleted",))]


EXTENDED = """require ["fileinto", "imap4flags", "variables"];

if size :over 1M
        {
        addflag "MyFlags" "Big";
        if header :is "From" "boss@company.example.com"
                   {
                   addflag "MyFlags" "\\\\Flagged";
                   }
        fileinto :flags "${MyFlags}" "Big messages";
        }

if header :is "From" "grandma@example.net"
        {
        addflag "MyFlags" ["\\\\Answered", "$MDNSent"];
        fileinto :flags "${MyFlags}" "GrandMa";
        }

if header :is "Sender" "owner-ietf-mta-filters@example.org"
        {
        set "MyFlags" "\\\\Flagged $Work";
        keep :flags "${MyFlags}";
        }

elsif anyof (address :domain :is ["From", "To"] "company.example.com")
        {
        keep :flags "${MyFlags}"; # keep in "Inbox" folder
        }

elsif anyof (not address :all :contains
               ["To", "Cc"] "me@company.example.com",
             header :matches "subject"
               ["*make*money*fast*", "*university*dipl*mas*"])
        {
        removeflag "MyFlags" "\\\\Flagged";
        fileinto :flags "${MyFlags}" "spam";
        }
else
        {
        fileinto :flags "${MyFlags}" "personal";
        }
"""
"""With the two slips of the RFC mended: a test list without parentheses, and ``remove`` for ``removeflag``."""


BIG = 1024 * 1024 + 1


@pytest.mark.parametrize(
    ("mail", "octets", "expected"),
    [
        (
            b"From: boss@company.example.com\r\n",
            BIG,
            [("Big messages", ("Big", "\\Flagged")), ("INBOX", ("Big", "\\Flagged"))],
        ),
        (
            b"From: grandma@example.net\r\nTo: x@y\r\n",
            BIG,
            [
                ("Big messages", ("Big",)),
                ("GrandMa", ("Big", "\\Answered", "$MDNSent")),
                ("spam", ("Big", "\\Answered", "$MDNSent")),
            ],
        ),
        (
            b"From: grandma@example.net\r\nTo: me@company.example.com.invalid\r\n",
            100,
            [("GrandMa", ("\\Answered", "$MDNSent")), ("personal", ("\\Answered", "$MDNSent"))],
        ),
        (b"Sender: owner-ietf-mta-filters@example.org\r\n", 100, [("INBOX", ("\\Flagged", "$Work"))]),
        (b"From: a@b\r\nTo: other@y\r\n", 100, [("spam", ())]),
    ],
)
def test_rfc5232_9_the_extended_example_flags_mail(
    mail: bytes, octets: int, expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    assert filed(run(EXTENDED, context=Context(Message(mail, b"", octets=octets)))) == expected


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("removeflag", "remove"),
        ('anyof (address :domain :is ["From", "To"] "company.example.com")', 'anyof address :domain "From" "x"'),
    ],
)
def test_rfc5232_9_the_slips_of_the_extended_example_are_errors(right: str, wrong: str) -> None:
    assert errors(EXTENDED) == []
    assert errors(EXTENDED.replace(right, wrong))


def test_rfc5490_3_1_mail_is_refused_where_a_folder_is_missing() -> None:
    script = """require ["fileinto", "reject", "mailbox"];
        if mailboxexists "Partners" {
           fileinto "Partners";
        } else {
           reject "This message was not accepted by the Mailstore";
        }"""

    assert decided(script, house=House(folders=("INBOX", "Partners"))) == ["fileinto Partners"]
    assert decided(script) == ["reject"]


def test_rfc5490_3_3_an_annotation_switches_replies_on() -> None:
    script = """require ["mboxmetadata", "vacation"];

if metadata :is "INBOX"
   "/private/vendor/vendor.isode/auto-replies" "on" {

    vacation text:
I'm away on holidays till March 2009.
Expect a delay.
.
;
}"""
    on = House(annotations={("INBOX", "/private/vendor/vendor.isode/auto-replies"): "on"})

    assert decided(script, house=on) == ["vacate", "implicit keep"]
    assert decided(script) == ["implicit keep"]
    assert errors(script.replace("\n;\n", "\n"))  # as the RFC prints it: nothing ends the command


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        (
            "mailto:me@x.example",
            ["coyote@desert.example.org [really: coyote@desert.example.org]: I have a present for you"],
        ),
        ("none", []),
    ],
)
def test_rfc5490_4_1_an_annotation_of_the_server_says_where_to_notify(uri: str, told: list[str]) -> None:
    script = """require ["enotify", "servermetadata", "variables", "envelope"];

        if servermetadata :matches
           "/private/vendor/vendor.isode/notification-uri" "*" {
            set "notif_uri" "${0}";
        }

        if not string :is "${notif_uri}" "none" {
            # :matches is used to get the MAIL FROM address
            if envelope :all :matches "from" "*" {
                set "env_from" " [really: ${1}]";
            }

            # :matches is used to get the value of the Subject header
            if header :matches "Subject" "*" {
                set "subject" "${1}";
            }

            # :matches is used to get the address from the From header
            if address :matches :all "from" "*" {
                set "from_addr" "${1}";
            }

            notify :message "${from_addr}${env_from}: ${subject}"
                   "${notif_uri}";
        }"""
    house = House(annotations={("", "/private/vendor/vendor.isode/notification-uri"): uri})

    verdict = run(script, house=house)

    assert verdict.error is None
    assert [action.message for action in verdict.actions if isinstance(action, Notify)] == told
